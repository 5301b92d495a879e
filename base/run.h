/* A program of the system, with fixed words and a clean environment: no shell, ever. */
#ifndef KLY_BASE_RUN_H
#define KLY_BASE_RUN_H

#include <sys/types.h>

#include "base/buf.h"

#define RUN_ARGS 16

/* Runs it to its end (60 s at most). Exit status, or -1 with E_RUN. What it prints is appended to out, cut at
 * its limit; out may be NULL. */
int run(const char *const argv[], struct buf *out, struct error *err) KLY_MUST_USE;
/* In a child that has become this user for good, ended by a signal or not: removes all that the user can remove
 * below these paths, and kills all that the user has running. Root walks no tree from outside. */
void run_sweep_as(uid_t uid, gid_t gid, gid_t group, const char *const paths[]);

#endif
