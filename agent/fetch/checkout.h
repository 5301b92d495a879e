/* Writes exactly one commit's files, and nothing else: no filters, no attributes, no hooks, no submodules. */
#ifndef KLY_FETCH_CHECKOUT_H
#define KLY_FETCH_CHECKOUT_H

#include <git2.h>
#include <stdint.h>

#include "base/error.h"

struct checkout_limits {
    uint64_t bytes, entries;
};
struct checkout_result {
    uint64_t files, bytes;
};

/* Makes `folder`, which must not exist or be empty (E_STAGING). E_GIT_TREE for names and links that could reach outside,
 * E_REPO_LIMIT, E_GIT_OBJECT, E_DISK; then the folder is empty again. Prints a line for what is left out: submodules, and
 * Git LFS pointers. */
int checkout_write(git_repository *repo, const git_commit *commit, const char *folder,
                   const struct checkout_limits *limits, struct checkout_result *out, struct error *err);

#endif
