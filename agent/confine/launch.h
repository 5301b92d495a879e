/* The last steps, in the process that becomes the command: descriptors, limits, user, command, filter, exec. */
#ifndef KLY_CONFINE_LAUNCH_H
#define KLY_CONFINE_LAUNCH_H

#include "agent/confine/plan.h"

#define LAUNCH_FDS 5

struct launch {
    struct plan plan;
    int filter;            /* an open seccomp program */
    int command;           /* descriptor with the command; read only after root is dropped */
    uint32_t command_at;   /* offset there */
    uint32_t command_size; /* 0: a sealed memfd, whole */
    int fds[LAUNCH_FDS];   /* become 0, 1, 2 and, by plan.start.extra_fds, 3 and 4 */
    int birth;             /* where the listener of refused calls goes; -1: the filter has none */
};

/* Becomes the command. Returns only when it could not: E_BOX_… */
int launch_run(struct launch *launch, struct error *err);

#endif
