/* App units: the plan that confine reads, the FIFO their output goes to, and who runs them: systemd, or
 * klystrr-supervise. */
#ifndef KLY_WARDEN_UNIT_H
#define KLY_WARDEN_UNIT_H

#include <sys/types.h>

#include "base/error.h"
#include "ipc/unit_plan.h"

/* Writes the plan and makes the FIFO. command: a sealed memfd, copied, not looked into. E_UNIT. */
int unit_prepare(const struct warden_unit *unit, int command, uid_t uid, gid_t readers,
                 struct error *err) KLY_MUST_USE;
/* Removes both. */
void unit_forget(const struct warden_unit *unit);
/* Starts it, asks it to stop or just looks; *is tells how it is then. supervisor: -1 for systemd. E_UNIT. */
int unit_ask(int supervisor, enum warden_verb verb, const struct warden_unit *unit, struct warden_unit_is *is,
             struct error *err) KLY_MUST_USE;

#endif
