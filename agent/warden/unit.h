/* App units: the plan that confine reads, the FIFO their output goes to, and systemd, where it is PID 1. */
#ifndef KLY_WARDEN_UNIT_H
#define KLY_WARDEN_UNIT_H

#include <sys/types.h>

#include "base/error.h"
#include "ipc/unit_plan.h"

/* Writes the plan and makes the FIFO. command: a sealed memfd, copied, not looked into. E_UNIT. */
int unit_prepare(const struct warden_unit *unit, int command, uid_t uid, gid_t readers,
                 struct error *err) KLY_MUST_USE;
void unit_plan_path(const struct warden_unit *unit, char out[128]);
/* Removes both. */
void unit_forget(const struct warden_unit *unit);

/* Who runs the units: systemd, or `--supervise`. state fills *is; E_UNIT. */
struct unit_manager {
    int (*start)(const struct warden_unit *unit, struct error *err);
    int (*stop)(const struct warden_unit *unit, struct error *err); /* asks; UNIT_STOPPING until it is gone */
    int (*state)(const struct warden_unit *unit, struct warden_unit_is *is, struct error *err);
};
extern const struct unit_manager unit_systemd;

#endif
