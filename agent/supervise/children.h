/* What systemd would run: warden, agent, uplink and the app units, as children. Each starts again with a growing
 * pause when it ends. Apps that outlived a killed supervisor are taken over again. */
#ifndef KLY_SUPERVISE_CHILDREN_H
#define KLY_SUPERVISE_CHILDREN_H

#include <stdint.h>

#include "base/error.h"
#include "ipc/unit_plan.h"

/* A program of KLY_LIBEXEC with one or two sockets by these names (LISTEN_FDNAMES), started at once. user NULL:
 * root. second -1: none. */
void child_add(const char *program, const char *user, const char *names, int first, int second);
/* The warden: its second socket, made anew at each start, is where it asks for units. Ours then is *units. */
void child_add_warden(int listener, int *units);

/* E_UNIT: no such user, or too many units. A running unit stays as it is. */
int child_start_unit(const struct warden_unit *unit, struct error *err) KLY_MUST_USE;
/* Asks with SIGTERM; UNIT_STOPPING until it is gone. */
void child_stop_unit(const struct warden_unit *unit);
void child_unit_state(const struct warden_unit *unit, struct warden_unit_is *is);

/* For a fresh process: the environment that children get, and no signal blocked. */
void child_clean(void);
/* Reaps, restarts, kills what has had its grace. Returns milliseconds until it has something to do. */
int children_tick(void);
void children_signal(int number); /* to agent and uplink */
/* Ends all children, apps too; returns when they are gone. */
void children_close(void);

#endif
