#include "agent/fetch/checkout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fetch/entry.h"
#include "agent/fetch/finish.h"
#include "agent/fetch/limits.h"
#include "agent/fetch/session.h"
#include "agent/fetch/tree.h"
#include "base/buf.h"
#include "base/durable.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct checkout {
    git_repository *repo;
    uint64_t entries_left, bytes_left;
    struct checkout_result *done;
    unsigned lfs;
    char path[LIMIT_PATH + 1]; /* of the folder that is written */
};

static int bad_entry(const struct checkout *c, const char *name, const char *why, struct error *err)
{
    char path[LIMIT_PATH + 300];
    snprintf(path, sizeof path, "%s%s", c->path, name);
    return tree_fail(err, "E_GIT_TREE", why, path);
}

static int spend(struct checkout *c, uint64_t bytes, struct error *err)
{
    if (bytes > c->bytes_left)
        return fail(err, "E_REPO_LIMIT", "the commit's files are larger than allowed together");
    c->bytes_left -= bytes;
    return 0;
}

static void tell_lfs(struct checkout *c, const char *name)
{
    char path[LIMIT_PATH + 300], shown[600];
    snprintf(path, sizeof path, "%s%s", c->path, name);
    entry_show(path, strlen(path), shown, sizeof shown);
    if (c->lfs++ < LIMIT_LFS_LINES)
        printf("lfs %s\n", shown);
}

static int write_file(struct checkout *c, int folder, const char *name, git_blob *blob, mode_t mode, struct error *err)
{
    const void *data = git_blob_rawcontent(blob);
    size_t size = (size_t)git_blob_rawsize(blob);
    if (spend(c, size, err) < 0)
        return -1;
    AUTO_CLOSE int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
        return bad_entry(c, name, "the tree names it twice", err);
    if (fd < 0 || write_all(fd, data, size) < 0 || fchmod(fd, mode) < 0)
        return fail_errno(err, "E_DISK", errno, "a file of the commit cannot be written");
    if (entry_is_lfs_pointer(data, size))
        tell_lfs(c, name);
    c->done->files++;
    c->done->bytes += size;
    return 0;
}

static int write_link(struct checkout *c, int folder, const char *name, git_blob *blob, struct error *err)
{
    char target[LIMIT_LINK + 1];
    size_t size = (size_t)git_blob_rawsize(blob);
    if (size == 0 || size > LIMIT_LINK || memchr(git_blob_rawcontent(blob), 0, size) != NULL)
        return bad_entry(c, name, "a link without a usable target", err);
    if (strcasecmp(name, ".gitmodules") == 0)
        return bad_entry(c, name, "a link that Git itself would follow", err);
    memcpy(target, git_blob_rawcontent(blob), size);
    target[size] = '\0';
    if (symlinkat(target, folder, name) == 0)
        return 0;
    if (errno == EEXIST)
        return bad_entry(c, name, "the tree names it twice", err);
    return fail_errno(err, "E_DISK", errno, "a link of the commit cannot be written");
}

static int write_blob(struct checkout *c, int folder, const char *name, const git_tree_entry *entry, struct error *err)
{
    git_blob *blob = NULL;
    int result = git_blob_lookup(&blob, c->repo, git_tree_entry_id(entry));
    if (result < 0)
        return session_fail(NULL, result, "E_GIT_OBJECT", "a file of the commit cannot be read", err);
    git_filemode_t mode = git_tree_entry_filemode(entry);
    int failed = mode == GIT_FILEMODE_LINK
                     ? write_link(c, folder, name, blob, err)
                     : write_file(c, folder, name, blob, mode == GIT_FILEMODE_BLOB_EXECUTABLE ? 0755 : 0644, err);
    git_blob_free(blob);
    return failed;
}

static int make_folder(const struct checkout *c, int folder, const char *name, struct error *err)
{
    if (mkdirat(folder, name, 0755) < 0)
        return errno == EEXIST ? bad_entry(c, name, "the tree names it twice", err)
                               : fail_errno(err, "E_DISK", errno, "a folder of the commit cannot be made");
    int fd = openat(folder, name, FOLDER_FLAGS);
    return fd >= 0 ? fd : fail_errno(err, "E_DISK", errno, "a folder of the commit cannot be opened");
}

static int write_tree(struct checkout *c, int folder, const git_oid *id, unsigned depth, struct error *err);

static int write_folder(struct checkout *c, int folder, const char *name, const git_tree_entry *entry, unsigned depth,
                        struct error *err)
{
    size_t before = strlen(c->path);
    if (depth >= LIMIT_DEPTH || before + strlen(name) + 2 > LIMIT_PATH)
        return fail(err, "E_REPO_LIMIT", "folders are nested too deep, or a path is too long");
    AUTO_CLOSE int inner = make_folder(c, folder, name, err);
    if (inner < 0)
        return -1;
    snprintf(c->path + before, sizeof c->path - before, "%s/", name);
    int failed = write_tree(c, inner, git_tree_entry_id(entry), depth + 1, err);
    c->path[before] = '\0';
    return failed;
}

/* Its place stays empty, as in a clone without --recurse-submodules. */
static int write_submodule(struct checkout *c, int folder, const char *name, struct error *err)
{
    char shown[600];
    AUTO_CLOSE int inner = make_folder(c, folder, name, err);
    entry_show(name, strlen(name), shown, sizeof shown);
    printf("submodule %s is not fetched\n", shown);
    return inner < 0 ? -1 : 0;
}

static int write_entry(struct checkout *c, int folder, const git_tree_entry *entry, unsigned depth, struct error *err)
{
    const char *name = git_tree_entry_name(entry);
    if (!entry_name_ok(name, strlen(name)))
        return bad_entry(c, name, "a name that no checkout may write", err);
    if (c->entries_left-- == 0)
        return fail(err, "E_REPO_LIMIT", "the commit has more files and folders than allowed");
    switch ((unsigned)git_tree_entry_filemode_raw(entry) & S_IFMT) {
    case S_IFDIR:
        return write_folder(c, folder, name, entry, depth, err);
    case S_IFREG:
    case S_IFLNK:
        return write_blob(c, folder, name, entry, err);
    case 0160000:
        return write_submodule(c, folder, name, err);
    default:
        return bad_entry(c, name, "neither file, link, folder nor submodule", err);
    }
}

static int write_tree(struct checkout *c, int folder, const git_oid *id, unsigned depth, struct error *err)
{
    git_tree *tree = NULL;
    int result = git_tree_lookup(&tree, c->repo, id), failed = 0;
    if (result < 0)
        return session_fail(NULL, result, "E_GIT_OBJECT", "a folder of the commit cannot be read", err);
    size_t count = git_tree_entrycount(tree);
    for (size_t i = 0; i < count && failed == 0; i++)
        failed = write_entry(c, folder, git_tree_entry_byindex(tree, i), depth, err);
    git_tree_free(tree);
    return failed;
}

static int open_empty(const char *path, struct error *err)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return fail_errno(err, "E_STAGING", errno, "the staging folder %s cannot be made", path);
    AUTO_CLOSE int fd = tree_open(path, err);
    int again = fd >= 0 ? openat(fd, ".", FOLDER_FLAGS) : -1;
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (dir == NULL) {
        cleanup_close(&again);
        return fd < 0 ? -1 : fail_errno(err, "E_STAGING", errno, "the staging folder cannot be read");
    }
    unsigned names = 0;
    while (readdir(dir) != NULL)
        names++;
    closedir(dir);
    return names == 2 ? take_fd(&fd) : fail(err, "E_STAGING", "the staging folder %s is not empty", path);
}

int checkout_write(git_repository *repo, const git_commit *commit, const char *folder,
                   const struct checkout_limits *limits, struct checkout_result *out, struct error *err)
{
    AUTO_CLOSE int root = open_empty(folder, err);
    if (root < 0)
        return -1;
    *out = (struct checkout_result){0};
    struct checkout c = {.repo = repo, .entries_left = limits->entries, .bytes_left = limits->bytes, .done = out};
    if (write_tree(&c, root, git_commit_tree_id(commit), 0, err) == 0 &&
        finish_check_links(root, limits->entries, NULL, err) == 0 && fchmod(root, 0755) == 0)
        return 0;
    uint64_t removed, left;
    struct error ignored;
    (void)(tree_clear(root, &removed, &left, &ignored) < 0);
    return -1;
}
