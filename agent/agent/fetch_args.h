/* klystrr-fetch's command lines. */
#ifndef KLY_AGENT_FETCH_ARGS_H
#define KLY_AGENT_FETCH_ARGS_H

#include <stdbool.h>

#include "ipc/box_api.h"
#include "proto/manifest.h"

struct fetch_args {
    char *at[BOX_ARGS_MAX + 1]; /* owned */
    size_t count;
    const char *what; /* for error texts: "fetching the commit" */
    bool failed;      /* memory ran out, or there were too many */
};

/* One commit of the manifest's ref into staging/<release>. */
void fetch_args_fetch(struct fetch_args *a, const struct manifest *m, const char *commit, const char *release);
void fetch_args_credential(struct fetch_args *a, int fd);
void fetch_args_known_hosts(struct fetch_args *a, int fd);
void fetch_args_ca(struct fetch_args *a, int fd);
/* staging/<release> becomes fit for releases/: scanned, modes, shared links, writable paths. */
void fetch_args_finish(struct fetch_args *a, const struct manifest *m, const char *release, uint32_t group);
void fetch_args_remove(struct fetch_args *a, const char *name, bool best_effort);
void fetch_args_free(struct fetch_args *a);

#endif
