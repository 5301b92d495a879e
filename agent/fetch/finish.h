/* Makes a built folder fit to be a release, as the user who built it. */
#ifndef KLY_FETCH_FINISH_H
#define KLY_FETCH_FINISH_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define FINISH_PATHS_MAX 32

struct finish_shared {
    const char *path;   /* in the release */
    const char *target; /* absolute: what it is linked to */
};

struct finish_plan {
    const char *staging;
    const char *known_as; /* NULL, or where the release will be: absolute links that begin so are taken as inside */
    struct finish_shared shared[FINISH_PATHS_MAX];
    const char *writable[FINISH_PATHS_MAX];
    unsigned shared_count, writable_count;
    gid_t group;          /* of writable paths */
    uint64_t entries, bytes; /* limits */
};

struct finish_result {
    uint64_t files, bytes;
};

/* Refuses devices, fifos and sockets (E_SPECIAL_FILE), files of somebody else (E_GIT_OWNER) and links that lead out
 * (E_LINK_ESCAPES); takes set-id bits and write permission for others away, gives read permission to all; a file with
 * several hard links becomes a copy. Then puts links for shared paths (E_SHARED_CONFLICT if the repository has files
 * there; .gitkeep, .keep, .gitignore and README* make no conflict), makes writable paths writable for the group, and
 * writes all of the file system to disk. Repeating it is harmless. */
int finish_run(const struct finish_plan *plan, struct finish_result *out, struct error *err) KLY_MUST_USE;

/* The scan alone, without changing modes: for what was just checked out. */
int finish_check_links(int root, uint64_t entries, const char *known_as, struct error *err) KLY_MUST_USE;

#endif
