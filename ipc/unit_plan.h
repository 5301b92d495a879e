/* What the warden leaves for `klystrr-confine --app`: a root-owned file (0400) in KLY_RUN_APPS, on tmpfs,
 * because the command's env holds secrets. A fixed head that confine reads as root, and behind it a box command
 * that it reads only after dropping root. */
#ifndef KLY_IPC_UNIT_PLAN_H
#define KLY_IPC_UNIT_PLAN_H

#include "ipc/warden_api.h"

#define UNIT_PLAN_MAGIC 0x554b4c31u
#define UNIT_NAME_SIZE  64

struct unit_plan {
    uint32_t magic, size; /* of this struct */
    struct warden_unit unit;
    uint32_t command_size;
};

/* "<project>" for the pm2 daemon, else "<project>:<app>:<slot>": the systemd instance, and the plan file's
 * stem. */
void unit_name(const struct warden_unit *unit, char out[UNIT_NAME_SIZE]);
/* "/run/klystrr/apps/<name>.plan". */
void unit_plan_path(const struct warden_unit *unit, char out[128]);
/* "/run/klystrr/out/<project>.<app>.<slot>": the FIFO that the unit's output goes to; the daemon's app is "".
 */
void unit_output_path(const struct warden_unit *unit, char out[128]);

#endif
