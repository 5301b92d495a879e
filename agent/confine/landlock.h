/* Landlock on top of the mounts, where the kernel has it. */
#ifndef KLY_CONFINE_LANDLOCK_H
#define KLY_CONFINE_LANDLOCK_H

#include "agent/confine/plan.h"

/* Whether this kernel has an ABI that lets files move between folders (2 or newer). EPERM, ENOSYS and
 * EOPNOTSUPP all mean no. */
bool landlock_here(void);
/* Inside the box, with no_new_privs: writing only in the plan's folders, home, /tmp, /dev and /proc.
 * E_BOX_LANDLOCK. */
int landlock_restrict(const struct plan *plan, struct error *err) KLY_MUST_USE;

#endif
