/* What the network tests share: a loop that runs until a condition holds, and throw-away keys and certificates. */
#ifndef KLY_TESTS_NET_TEST_H
#define KLY_TESTS_NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/loop/conn.h"
#include "net/loop/listener.h"
#include "net/loop/timer.h"

#include <cmocka.h> /* last: it defines fail() */

struct test_net {
    uv_loop_t uv;
    struct net_loop net;
};

static inline void test_net_open(struct test_net *t)
{
    struct error err;
    assert_int_equal(uv_loop_init(&t->uv), 0);
    assert_int_equal(net_loop_init(&t->net, &t->uv, &err), 0);
}

/* Every handle must be gone: what is left is a leak. */
static inline void test_net_close(struct test_net *t)
{
    int64_t until = clock_mono_ms() + 20000;
    while (uv_run(&t->uv, UV_RUN_NOWAIT) != 0 && clock_mono_ms() < until)
        ;
    assert_int_equal(uv_loop_close(&t->uv), 0);
    net_loop_free(&t->net);
}

static inline void on_wake(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs the loop until *flag, for ten seconds at most; says whether it came. */
static inline bool run_until(struct test_net *t, const bool *flag)
{
    uv_timer_t wake;
    uv_timer_init(&t->uv, &wake);
    uv_timer_start(&wake, on_wake, 50, 50);
    int64_t until = clock_mono_ms() + 10000;
    while (!*flag && clock_mono_ms() < until)
        uv_run(&t->uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&wake, NULL);
    uv_run(&t->uv, UV_RUN_NOWAIT);
    return *flag;
}

#endif
