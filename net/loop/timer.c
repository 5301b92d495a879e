#include "net/loop/timer.h"

#include <stdlib.h>

struct loop_timer {
    uv_timer_t uv;
    void (*fire)(void *ctx);
    void *ctx;
};

static void on_timer(uv_timer_t *uv)
{
    struct loop_timer *t = (struct loop_timer *)uv;
    t->fire(t->ctx);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

struct loop_timer *loop_timer_new(struct net_loop *net, void (*fire)(void *ctx), void *ctx)
{
    struct loop_timer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->fire = fire;
    t->ctx = ctx;
    uv_timer_init(net->uv, &t->uv); /* cannot fail */
    return t;
}

void loop_timer_start(struct loop_timer *t, uint64_t ms, uint64_t repeat_ms)
{
    /* libuv counts from the loop's last turn; a long callback must not make the timer early. */
    uv_update_time(t->uv.loop);
    uv_timer_start(&t->uv, on_timer, ms, repeat_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
    uv_timer_stop(&t->uv);
}

void loop_timer_free(struct loop_timer **t)
{
    if (*t == NULL)
        return;
    uv_close((uv_handle_t *)&(*t)->uv, on_closed);
    *t = NULL;
}
