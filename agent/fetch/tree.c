#include "agent/fetch/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/fetch/entry.h"
#include "agent/fetch/limits.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int tree_fail(struct error *err, const char *code, const char *what, const char *path)
{
    char shown[300];
    entry_show(path, strlen(path), shown, sizeof shown);
    return fail(err, code, "%s: %s", shown, what);
}

int tree_open_any(const char *path, struct error *err)
{
    int fd = open(path, FOLDER_FLAGS);
    return fd >= 0 ? fd : fail_errno(err, "E_STAGING", errno, "the folder %s cannot be opened", path);
}

int tree_open(const char *path, struct error *err)
{
    struct stat is;
    int fd = tree_open_any(path, err);
    if (fd < 0 || (fstat(fd, &is) == 0 && is.st_uid == geteuid()))
        return fd;
    close(fd);
    return fail(err, "E_GIT_OWNER", "the folder %s does not belong to the user who should own it", path);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* ---- walking ---- */

struct level {
    DIR *dir;
    size_t path_size; /* of the path up to this folder */
};

struct walk {
    struct level levels[LIMIT_DEPTH + 1];
    unsigned depth;
    char path[LIMIT_PATH + 258];
    int root;
    dev_t device;
    uint64_t left;
    tree_visit visit;
    void *context;
};

static int enter(struct walk *w, int folder, const char *name, size_t path_size, struct error *err)
{
    if (w->depth > LIMIT_DEPTH)
        return tree_fail(err, "E_REPO_LIMIT", "folders are nested too deep", w->path);
    int fd = openat(folder, name, FOLDER_FLAGS);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return fail_errno(err, "E_DISK", why, "a folder cannot be read");
    }
    w->levels[w->depth++] = (struct level){dir, path_size};
    return 0;
}

static int visit_entry(struct walk *w, const char *name, struct error *err)
{
    struct level *level = &w->levels[w->depth - 1];
    size_t size = strlen(name), at = level->path_size;
    if (at + size + 1 > LIMIT_PATH)
        return tree_fail(err, "E_REPO_LIMIT", "the path is too long", w->path);
    if (w->left-- == 0)
        return fail(err, "E_REPO_LIMIT", "more files and folders than may be there");
    if (at > 0)
        w->path[at++] = '/';
    memcpy(w->path + at, name, size + 1);
    struct tree_entry entry = {.root = w->root, .folder = dirfd(level->dir), .name = w->path + at, .path = w->path,
                               .depth = w->depth - 1};
    if (fstatat(entry.folder, name, &entry.is, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(err, "E_DISK", errno, "an entry cannot be examined");
    if (entry.is.st_dev != w->device)
        return tree_fail(err, "E_SPECIAL_FILE", "another file system is mounted there", w->path);
    int answer = w->visit(w->context, &entry, err);
    if (answer != 0 || !S_ISDIR(entry.is.st_mode))
        return answer < 0 ? -1 : 0;
    return enter(w, entry.folder, entry.name, at + size, err);
}

static int walk_on(struct walk *w, struct error *err)
{
    while (w->depth > 0) {
        struct level *level = &w->levels[w->depth - 1];
        errno = 0;
        const struct dirent *next = readdir(level->dir);
        if (next == NULL && errno != 0)
            return fail_errno(err, "E_DISK", errno, "a folder cannot be read");
        w->path[level->path_size] = '\0';
        if (next == NULL) {
            closedir(level->dir);
            w->depth--;
        } else if (!is_dots(next->d_name) && visit_entry(w, next->d_name, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int tree_walk(int root, uint64_t entries, tree_visit visit, void *context, struct error *err)
{
    struct stat is;
    struct walk *w = calloc(1, sizeof *w);
    if (w == NULL || fstat(root, &is) < 0) {
        free(w);
        return fail(err, "E_NO_MEMORY", "a folder cannot be walked");
    }
    w->root = root;
    w->device = is.st_dev;
    w->left = entries;
    w->visit = visit;
    w->context = context;
    int failed = enter(w, root, ".", 0, err);
    if (failed == 0)
        failed = walk_on(w, err);
    while (w->depth > 0)
        closedir(w->levels[--w->depth].dir);
    free(w);
    return failed;
}

/* ---- clearing ----
 *
 * A tree may be deeper than descriptors go. A folder below LIMIT_DEPTH is moved up to the root under a name of its own
 * and cleared from there in another round. */

struct clearing {
    struct {
        DIR *dir;
        char name[NAME_MAX + 1]; /* in the folder above */
    } levels[LIMIT_DEPTH + 1];
    unsigned depth;
    int root;
    unsigned moved; /* names given, over all rounds */
    bool again;
    uint64_t *removed, *left;
};

static void drop(struct clearing *c, int folder, const char *name, int flags)
{
    if (unlinkat(folder, name, flags) == 0)
        (*c->removed)++;
    else if (errno != ENOENT)
        (*c->left)++;
}

static void descend(struct clearing *c, int folder, const char *name)
{
    char moved[40];
    if (c->depth > LIMIT_DEPTH / 2) {
        snprintf(moved, sizeof moved, ".deep-%d-%u", (int)getpid(), c->moved++);
        if (renameat(folder, name, c->root, moved) == 0)
            c->again = true;
        else
            (*c->left)++;
        return;
    }
    /* Our own folder may lack the bits that clearing it needs; whether it has them then, opening it tells. */
    int changed = fchmodat(folder, name, 0700, AT_SYMLINK_NOFOLLOW);
    int fd = openat(folder, name, FOLDER_FLAGS);
    if (fd >= 0 && changed < 0)
        changed = fchmod(fd, 0700);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        (*c->left)++;
        return;
    }
    snprintf(c->levels[c->depth].name, sizeof c->levels[0].name, "%s", name);
    c->levels[c->depth++].dir = dir;
}

/* The folder has been read to its end: it goes, if it is empty now. */
static void leave(struct clearing *c)
{
    closedir(c->levels[--c->depth].dir);
    if (c->depth > 0 && unlinkat(dirfd(c->levels[c->depth - 1].dir), c->levels[c->depth].name, AT_REMOVEDIR) == 0)
        (*c->removed)++;
    else if (c->depth > 0)
        (*c->left)++;
}

static void clear_level(struct clearing *c)
{
    DIR *dir = c->levels[c->depth - 1].dir;
    int folder = dirfd(dir);
    const struct dirent *next;
    struct stat is;
    unsigned depth = c->depth;
    while (c->depth == depth && (next = readdir(dir)) != NULL) {
        if (is_dots(next->d_name) || fstatat(folder, next->d_name, &is, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (!S_ISDIR(is.st_mode))
            drop(c, folder, next->d_name, 0);
        else if (unlinkat(folder, next->d_name, AT_REMOVEDIR) == 0)
            (*c->removed)++;
        else if (errno == ENOTEMPTY || errno == EEXIST || errno == EACCES)
            descend(c, folder, next->d_name);
        else
            (*c->left)++;
    }
    if (c->depth == depth)
        leave(c);
}

static int clear_once(struct clearing *c, struct error *err)
{
    int fd = openat(c->root, ".", FOLDER_FLAGS);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return fail_errno(err, "E_DISK", errno, "the folder cannot be read");
    }
    c->levels[c->depth++].dir = dir;
    while (c->depth > 0)
        clear_level(c);
    return 0;
}

/* Rounds go on as long as they remove or move something. */
int tree_clear(int root, uint64_t *removed, uint64_t *left, struct error *err)
{
    struct clearing c = {.root = root, .removed = removed, .left = left};
    *removed = 0;
    for (;;) {
        uint64_t before = *removed;
        *left = 0;
        c.again = false;
        if (clear_once(&c, err) < 0)
            return -1;
        if (*removed == before && !c.again)
            return 0;
    }
}
