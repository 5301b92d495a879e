/* A cgroup (v2) of the box's own, where there is a hierarchy; with limits, where there are controllers. */
#ifndef KLY_CONFINE_CGROUP_H
#define KLY_CONFINE_CGROUP_H

#include "agent/confine/plan.h"

struct cgroup {
    int dir;      /* -1: none */
    bool limited; /* memory and task limits are in force, or could be */
    uint64_t inode;
    char path[512];
};

/* Never fails: a machine without cgroup v2 gives a box without one, and the level says so. */
void cgroup_make(const struct plan *plan, struct cgroup *group);
/* Puts the box's first process in. E_BOX_CGROUP, also when a limit was asked for, is possible and cannot be
 * set. */
int cgroup_enter(struct cgroup *group, const struct plan *plan, pid_t pid, struct error *err) KLY_MUST_USE;
void cgroup_kill(const struct cgroup *group);
/* Highest memory use in KiB, 0 unknown; whether the kernel killed for memory. */
uint32_t cgroup_peak_kb(const struct cgroup *group);
bool cgroup_oom(const struct cgroup *group);
/* Kills what is left and removes it. False if something lives on for 5 s. */
bool cgroup_drop(struct cgroup *group);

#endif
