/* Walks a folder that others have filled, by descriptors: never a path from the top, never through a link. */
#ifndef KLY_FETCH_TREE_H
#define KLY_FETCH_TREE_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

struct tree_entry {
    int root;           /* descriptor of the folder that is walked */
    int folder;         /* of the folder the entry is in */
    const char *name;   /* in that folder */
    const char *path;   /* from the root, for messages and openat2 */
    unsigned depth;     /* folders between the root and it */
    struct stat is;     /* not followed; of a folder, before what is in it was visited */
};

/* 0 to go on, 1 not to enter this folder, -1 with err to stop. May remove or replace the entry. */
typedef int (*tree_visit)(void *context, const struct tree_entry *entry, struct error *err);

/* Calls visit for every entry below root, folders before what is in them. Stays on one file system. E_REPO_LIMIT for
 * more than `entries`, LIMIT_DEPTH or LIMIT_PATH; E_DISK. */
int tree_walk(int root, uint64_t entries, tree_visit visit, void *context, struct error *err) KLY_MUST_USE;

/* Opens a folder for walking: O_NOFOLLOW, its owner must be the caller (E_GIT_OWNER). Descriptor or -1 (E_STAGING). */
int tree_open(const char *path, struct error *err) KLY_MUST_USE;

/* The same whoever owns it: for clearing what the caller wrote into somebody else's folder. */
int tree_open_any(const char *path, struct error *err) KLY_MUST_USE;

/* Removes everything below root, however deep, links themselves only. Counts what could not be removed, and goes on.
 * 0, or -1 if root cannot be read. */
int tree_clear(int root, uint64_t *removed, uint64_t *left, struct error *err) KLY_MUST_USE;

/* A message with a path in it. */
int tree_fail(struct error *err, const char *code, const char *what, const char *path);

#endif
