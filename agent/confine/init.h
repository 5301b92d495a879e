/* The box's first process: builds the mounts, starts the command, reaps, and by ending takes all of it along.
 */
#ifndef KLY_CONFINE_INIT_H
#define KLY_CONFINE_INIT_H

#include "agent/confine/launch.h"

/* What confine and its init say to each other. */
enum init_verb { INIT_GO = 1, INIT_TERM, INIT_ENDED };
struct init_ended {
    int32_t status; /* waitpid's form */
    uint32_t cpu_ms, peak_kb;
};

/* Runs in the new namespaces. control: to confine; launch->birth: for the listener and the first errors. Never
 * returns. */
void init_run(struct launch *launch, int control) __attribute__((noreturn));

#endif
