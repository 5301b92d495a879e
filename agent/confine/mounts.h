/* The box's file system: a root made of nothing but what the plan lists. */
#ifndef KLY_CONFINE_MOUNTS_H
#define KLY_CONFINE_MOUNTS_H

#include "agent/confine/plan.h"

/* In a new mount namespace (and PID namespace, where the plan has one), as root: makes the root and enters it.
 * E_BOX_MOUNT names the path. */
int mounts_build(const struct plan *plan, struct error *err) KLY_MUST_USE;
/* Before that, in the host's namespace: empties (as the box's user) and makes the folder that will be /tmp. */
int mounts_fresh_tmp(const struct plan *plan, struct error *err) KLY_MUST_USE;
/* Removes what was left there, as the box's user. */
void mounts_drop_tmp(const struct plan *plan);

#endif
