/* Life without systemd as PID 1: the same sockets, the same programs. Agent, uplink and apps are children here;
 * they start again with a growing pause when they end. Apps that outlived a killed supervisor are taken over
 * again. */
#ifndef KLY_WARDEN_SUPERVISE_H
#define KLY_WARDEN_SUPERVISE_H

#include <stdint.h>

#include "agent/warden/unit.h"

struct listeners {
    int warden, box; /* the warden's own; -1: none */
};

/* Takes the lock (E_SUPERVISE_LOCKED if another supervisor runs), makes the sockets, starts agent and uplink.
 */
int supervise_open(struct listeners *listeners, struct error *err) KLY_MUST_USE;
/* A connection on box.sock becomes the standard input of a klystrr-confine of its own. */
void supervise_box(int listener);
/* Reaps, restarts, kills what has had its grace. Returns milliseconds until it has something to do. */
int supervise_tick(void);
void supervise_signal(int number); /* to agent and uplink */
/* Ends all children, apps too; returns when they are gone. */
void supervise_close(void);
extern const struct unit_manager unit_supervised;

#endif
