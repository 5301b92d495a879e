#include "agent/fetch/finish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/fetch/entry.h"
#include "agent/fetch/limits.h"
#include "agent/fetch/tree.h"
#include "base/buf.h"
#include "base/names.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define COPY_NAME    ".klystrr-copy"

static int open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* ---- links ---- */

struct scan {
    const char *known_as;
    uint64_t files, bytes, bytes_max;
    uid_t uid;
};

/* What follows the release's own future place in an absolute target, or NULL. */
static const char *inside_known(const char *known_as, const char *target)
{
    size_t size = known_as != NULL ? strlen(known_as) : 0;
    if (size < 2 || strncmp(target, known_as, size) != 0 || (target[size] != '/' && target[size] != '\0'))
        return NULL;
    while (target[size] == '/')
        size++;
    return target[size] == '\0' ? "." : target + size;
}

/* The kernel follows the link for us and refuses to leave the root. A link to nothing is judged by its letters. */
static int check_link(const struct scan *scan, const struct tree_entry *e, struct error *err)
{
    char target[LIMIT_LINK + 1];
    ssize_t size = readlinkat(e->folder, e->name, target, sizeof target);
    if (size <= 0 || (size_t)size > LIMIT_LINK)
        return tree_fail(err, "E_LINK_ESCAPES", "a link whose target cannot be read, or is too long", e->path);
    target[size] = '\0';
    const char *known = inside_known(scan->known_as, target), *follow = known != NULL ? known : e->path;
    int fd = open_beneath(e->root, follow);
    int why = errno;
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    bool dangles = why == ENOENT || why == ELOOP || why == ENOTDIR || why == EACCES;
    if (dangles && (known != NULL ? entry_link_ok(known, 0) : entry_link_ok(target, e->depth)))
        return 0;
    return tree_fail(err, "E_LINK_ESCAPES", "a symbolic link that leads out of the release", e->path);
}

static int visit_link_only(void *context, const struct tree_entry *e, struct error *err)
{
    return S_ISLNK(e->is.st_mode) ? check_link(context, e, err) : 0;
}

int finish_check_links(int root, uint64_t entries, const char *known_as, struct error *err)
{
    struct scan scan = {.known_as = known_as};
    return tree_walk(root, entries, visit_link_only, &scan, err);
}

/* ---- files ---- */

static int copy_bytes(int from, int to, struct error *err)
{
    for (;;) {
        ssize_t got = copy_file_range(from, NULL, to, NULL, 1u << 30, 0);
        if (got < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
            got = sendfile(to, from, NULL, 1u << 30);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? 0 : fail_errno(err, "E_DISK", errno, "a hard-linked file cannot be copied");
    }
}

/* A file that another release shares by a hard link could be changed from there. */
static int unshare(const struct tree_entry *e, struct error *err)
{
    AUTO_CLOSE int from = openat(e->folder, e->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    (void)unlinkat(e->folder, COPY_NAME, 0);
    AUTO_CLOSE int to = openat(e->folder, COPY_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        return fail_errno(err, "E_DISK", errno, "a hard-linked file cannot be copied");
    if (copy_bytes(from, to, err) < 0)
        return -1;
    if (fchmod(to, e->is.st_mode & 0777) < 0 || renameat(e->folder, COPY_NAME, e->folder, e->name) < 0)
        return fail_errno(err, "E_DISK", errno, "a hard-linked file cannot be replaced by its copy");
    return 0;
}

static int set_mode(const struct tree_entry *e, struct error *err)
{
    bool runs = S_ISDIR(e->is.st_mode) || (e->is.st_mode & 0111) != 0;
    mode_t mode = runs ? 0755 : 0644;
    if ((e->is.st_mode & 07777) == mode)
        return 0;
    /* fchmodat follows links; what is here was seen not to be one, and only we write here. Opened to be sure. */
    AUTO_CLOSE int fd = openat(e->folder, e->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat is;
    char path[40];
    if (fd < 0 || fstat(fd, &is) < 0 || S_ISLNK(is.st_mode))
        return tree_fail(err, "E_SPECIAL_FILE", "it changed while it was looked at", e->path);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (chmod(path, mode) < 0 && fchmodat(e->folder, e->name, mode, 0) < 0)
        return fail_errno(err, "E_DISK", errno, "the mode of a file cannot be set");
    return 0;
}

static int visit(void *context, const struct tree_entry *e, struct error *err)
{
    struct scan *scan = context;
    mode_t type = e->is.st_mode & S_IFMT;
    if (e->is.st_uid != scan->uid)
        return tree_fail(err, "E_GIT_OWNER", "it belongs to somebody else", e->path);
    if (type == S_IFLNK)
        return check_link(scan, e, err);
    if (type != S_IFREG && type != S_IFDIR)
        return tree_fail(err, "E_SPECIAL_FILE", "a device, fifo or socket cannot be part of a release", e->path);
    if (type == S_IFREG) {
        scan->files++;
        scan->bytes += (uint64_t)e->is.st_size;
        if (scan->bytes > scan->bytes_max)
            return fail(err, "E_REPO_LIMIT", "the release is larger than %llu MB",
                        (unsigned long long)(scan->bytes_max >> 20));
        if (e->is.st_nlink > 1 && unshare(e, err) < 0)
            return -1;
    }
    return set_mode(e, err);
}

/* ---- shared and writable paths ---- */

/* The folder that `path` is in, made if missing, never through a link; *name: its last part. */
static int open_parent(int root, const char *path, const char **name, struct error *err)
{
    char part[NAME_PATH_MAX + 1];
    const char *slash = strrchr(path, '/');
    *name = slash != NULL ? slash + 1 : path;
    AUTO_CLOSE int at = openat(root, ".", FOLDER_FLAGS);
    for (const char *from = path; at >= 0 && from < *name; ) {
        size_t size = strcspn(from, "/");
        memcpy(part, from, size);
        part[size] = '\0';
        if (mkdirat(at, part, 0755) < 0 && errno != EEXIST)
            break;
        int next = openat(at, part, FOLDER_FLAGS);
        close(at);
        at = next;
        from += size + 1;
    }
    if (at < 0)
        return fail_errno(err, "E_SHARED_CONFLICT", errno, "the folders of '%s' cannot be made", path);
    return take_fd(&at);
}

static bool is_placeholder(const char *name)
{
    return strcmp(name, ".gitkeep") == 0 || strcmp(name, ".keep") == 0 || strcmp(name, ".gitignore") == 0 ||
           strncmp(name, "README", 6) == 0;
}

/* Only placeholders in there? Removes them if so. */
static int empty_placeholders(int parent, const char *name)
{
    int fd = openat(parent, name, FOLDER_FLAGS);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        cleanup_close(&fd);
        return -1;
    }
    int found = 0;
    const struct dirent *next;
    while ((next = readdir(dir)) != NULL)
        if (strcmp(next->d_name, ".") != 0 && strcmp(next->d_name, "..") != 0 && !is_placeholder(next->d_name))
            found = -1;
    rewinddir(dir);
    while (found == 0 && (next = readdir(dir)) != NULL)
        if (is_placeholder(next->d_name) && unlinkat(dirfd(dir), next->d_name, 0) < 0)
            found = -1;
    closedir(dir);
    return found;
}

static bool links_to(int parent, const char *name, const char *target)
{
    char is[LIMIT_LINK + 1];
    ssize_t size = readlinkat(parent, name, is, sizeof is);
    return size > 0 && (size_t)size == strlen(target) && memcmp(is, target, (size_t)size) == 0;
}

static int put_shared(int root, const struct finish_shared *shared, struct error *err)
{
    const char *name;
    AUTO_CLOSE int parent = open_parent(root, shared->path, &name, err);
    if (parent < 0)
        return -1;
    if (links_to(parent, name, shared->target))
        return 0;
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT &&
        (errno == ENOTDIR || empty_placeholders(parent, name) < 0 || unlinkat(parent, name, AT_REMOVEDIR) < 0))
        return fail(err, "E_SHARED_CONFLICT", "the repository (or its build) has files at '%s', which the manifest says is "
                    "shared between releases: remove them from the repository, or the path from `shared`",
                    shared->path);
    if (symlinkat(shared->target, parent, name) < 0)
        return fail_errno(err, "E_DISK", errno, "the link for the shared path '%s' cannot be made", shared->path);
    return 0;
}

static int give_to_group(int folder, const char *name, const struct stat *is, gid_t group, struct error *err)
{
    if (S_ISLNK(is->st_mode))
        return 0;
    mode_t mode = S_ISDIR(is->st_mode) ? 02775 : (is->st_mode & 0111) != 0 ? 0775 : 0664;
    if ((is->st_gid != group && fchownat(folder, name, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) < 0) || fchmodat(folder, name, mode, 0) < 0)
        return fail_errno(err, "E_DISK", errno, "a writable path cannot be given to group %u", (unsigned)group);
    return 0;
}

static int visit_writable(void *context, const struct tree_entry *e, struct error *err)
{
    const gid_t *group = context;
    return give_to_group(e->folder, e->name, &e->is, *group, err);
}

static int put_writable(int root, const char *path, const struct finish_plan *plan, struct error *err)
{
    const char *name;
    gid_t group = plan->group;
    AUTO_CLOSE int parent = open_parent(root, path, &name, err);
    if (parent < 0)
        return -1;
    if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
        return fail_errno(err, "E_DISK", errno, "the writable path '%s' cannot be made", path);
    struct stat is;
    if (fstatat(parent, name, &is, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(is.st_mode))
        return fail(err, "E_LINK_ESCAPES", "the writable path '%s' is a link", path);
    if (give_to_group(parent, name, &is, group, err) < 0)
        return -1;
    if (!S_ISDIR(is.st_mode))
        return 0;
    AUTO_CLOSE int folder = openat(parent, name, FOLDER_FLAGS);
    if (folder < 0)
        return fail_errno(err, "E_DISK", errno, "the writable path '%s' cannot be opened", path);
    return tree_walk(folder, plan->entries, visit_writable, &group, err);
}

static int put_paths(int root, const struct finish_plan *plan, struct error *err)
{
    for (unsigned i = 0; i < plan->shared_count; i++)
        if (put_shared(root, &plan->shared[i], err) < 0)
            return -1;
    for (unsigned i = 0; i < plan->writable_count; i++)
        if (put_writable(root, plan->writable[i], plan, err) < 0)
            return -1;
    return 0;
}

/* A second run finds the shared links of the first one: they are taken away before the scan and put again. */
static void drop_own_links(int root, const struct finish_plan *plan)
{
    for (unsigned i = 0; i < plan->shared_count; i++) {
        struct error ignored;
        const char *name;
        AUTO_CLOSE int parent = open_parent(root, plan->shared[i].path, &name, &ignored);
        if (parent >= 0 && links_to(parent, name, plan->shared[i].target))
            (void)unlinkat(parent, name, 0);
    }
}

int finish_run(const struct finish_plan *plan, struct finish_result *out, struct error *err)
{
    AUTO_CLOSE int root = tree_open(plan->staging, err);
    if (root < 0)
        return -1;
    struct scan scan = {.known_as = plan->known_as, .bytes_max = plan->bytes, .uid = geteuid()};
    drop_own_links(root, plan);
    if (tree_walk(root, plan->entries, visit, &scan, err) < 0 || put_paths(root, plan, err) < 0)
        return -1;
    if (fchmod(root, 0755) < 0 || syncfs(root) < 0)
        return fail_errno(err, "E_DISK", errno, "the release cannot be written to disk");
    *out = (struct finish_result){scan.files, scan.bytes};
    return 0;
}
