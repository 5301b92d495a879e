/* A timer one can free at any time, also in its own callback. */
#ifndef KLY_NET_LOOP_TIMER_H
#define KLY_NET_LOOP_TIMER_H

#include <stdint.h>

#include "net/loop/loop.h"

struct loop_timer;

/* Returns an owned, stopped timer, or NULL (no memory). */
struct loop_timer *loop_timer_new(struct net_loop *net, void (*fire)(void *ctx), void *ctx);
/* Fires once after ms (0: in the next turn), then every repeat_ms if that is not 0. Starting again replaces. */
void loop_timer_start(struct loop_timer *t, uint64_t ms, uint64_t repeat_ms);
void loop_timer_stop(struct loop_timer *t);
/* It never fires again; *t becomes NULL. The loop must run once more to give the memory back. */
void loop_timer_free(struct loop_timer **t);

#endif
