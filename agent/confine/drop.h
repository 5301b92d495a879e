/* Giving up root, for good. */
#ifndef KLY_CONFINE_DROP_H
#define KLY_CONFINE_DROP_H

#include "agent/confine/plan.h"

/* setsid, umask, rlimits, oom_score_adj: what needs root, or must be there before the command. E_BOX_DROP. */
int drop_limits(const struct plan *plan, struct error *err) KLY_MUST_USE;
/* To the plan's user and group, no capability in any set, no_new_privs; proves that root is gone. E_BOX_DROP.
 */
int drop_user(const struct plan *plan, struct error *err) KLY_MUST_USE;
/* For the box's PID 1: stays root by name, keeps CAP_KILL alone. E_BOX_DROP. */
int drop_to_kill(struct error *err) KLY_MUST_USE;

#endif
