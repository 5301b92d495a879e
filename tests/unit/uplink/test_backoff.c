#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uplink/backoff.h"

#include <cmocka.h> /* last: it defines fail() */

/* xorshift64*: the same numbers on every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void waits_stay_below_a_ceiling_that_doubles_up_to_a_minute(void **state)
{
    (void)state;
    static const uint64_t ceilings[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    uint64_t random = 1;
    for (int round = 0; round < 1000; round++) {
        struct backoff b = {0};
        for (size_t n = 0; n < sizeof ceilings / sizeof ceilings[0]; n++) {
            assert_int_equal(backoff_ceiling(&b), ceilings[n]);
            assert_true(backoff_failed(&b, 1000, next_random(&random)) < ceilings[n]);
        }
    }
}

static void the_whole_range_is_used(void **state)
{
    (void)state;
    uint64_t random = 7, tenths[10] = {0};
    for (int i = 0; i < 10000; i++) {
        struct backoff b = {.failures = 6};
        tenths[backoff_failed(&b, 1000, next_random(&random)) / 6000]++;
    }
    for (size_t i = 0; i < 10; i++) {
        assert_true(tenths[i] > 800);
        assert_true(tenths[i] < 1200);
    }
}

static void a_bare_connect_resets_nothing(void **state)
{
    (void)state;
    struct backoff b = {0};
    uint64_t total = 0, random = 3;
    int64_t now = 1000;
    for (int i = 0; i < 100; i++) {
        backoff_online(&b, now);
        now += 50;
        uint64_t wait = backoff_failed(&b, now, next_random(&random));
        total += wait;
        now += (int64_t)wait;
    }
    assert_int_equal(backoff_ceiling(&b), BACKOFF_CEILING_MS);
    assert_true(total > UINT64_C(100) * BACKOFF_CEILING_MS / 4); /* 100 attempts took a good 25 minutes */
}

static void sixty_healthy_seconds_reset_and_one_less_does_not(void **state)
{
    (void)state;
    struct backoff b = {.failures = 6};
    backoff_online(&b, 5000);
    (void)backoff_failed(&b, 5000 + BACKOFF_HEALTHY_MS - 1, 0);
    assert_int_equal(backoff_ceiling(&b), BACKOFF_CEILING_MS);
    backoff_online(&b, 5000);
    assert_true(backoff_failed(&b, 5000 + BACKOFF_HEALTHY_MS, UINT64_MAX) < BACKOFF_FIRST_MS);
    assert_int_equal(backoff_ceiling(&b), 2 * BACKOFF_FIRST_MS);
}

static void an_earlier_healthy_connection_helps_only_once(void **state)
{
    (void)state;
    struct backoff b = {0};
    backoff_online(&b, 1000);
    (void)backoff_failed(&b, 1000 + 2 * BACKOFF_HEALTHY_MS, 0);
    for (int i = 0; i < 5; i++)
        (void)backoff_failed(&b, 1000 + 9 * BACKOFF_HEALTHY_MS, 0);
    assert_int_equal(backoff_ceiling(&b), BACKOFF_CEILING_MS);
}

static void goaway_waits_as_long_as_asked_and_then_some(void **state)
{
    (void)state;
    struct backoff b = {0};
    uint64_t wait = backoff_goaway(&b, 1000, 30, 999);
    assert_int_equal(wait, 30999);
    b = (struct backoff){0};
    assert_int_equal(backoff_goaway(&b, 1000, UINT32_MAX, 0), BACKOFF_GOAWAY_MAX_S * UINT64_C(1000));
    b = (struct backoff){0};
    for (int i = 0; i < 10; i++) /* a plane that says "come back at once" for ever is not hammered */
        (void)backoff_goaway(&b, 1000, 0, 0);
    assert_int_equal(backoff_ceiling(&b), BACKOFF_CEILING_MS);
}

#define HOSTS 1000

struct host {
    struct backoff backoff;
    int64_t next_ms;
};

/* Attempts of all hosts at a plane that refuses each, in slots of slot_ms between from_ms and to_ms. */
static void count_attempts(struct host *hosts, uint64_t *random, int64_t from_ms, int64_t to_ms, int64_t slot_ms, unsigned *slots)
{
    for (size_t i = 0; i < HOSTS; i++) {
        while (hosts[i].next_ms < to_ms) {
            if (hosts[i].next_ms >= from_ms)
                slots[(hosts[i].next_ms - from_ms) / slot_ms]++;
            hosts[i].next_ms += 1 + (int64_t)backoff_failed(&hosts[i].backoff, hosts[i].next_ms, next_random(random));
        }
    }
}

static void assert_peak_within_twice_the_mean(const unsigned *slots, size_t count)
{
    unsigned peak = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += slots[i];
        peak = slots[i] > peak ? slots[i] : peak;
    }
    assert_true(sum > 0);
    assert_true((uint64_t)peak * count <= UINT64_C(2) * sum);
}

static void a_thousand_hosts_do_not_come_back_at_once(void **state)
{
    (void)state;
    struct host *hosts = calloc(HOSTS, sizeof *hosts);
    unsigned first[10] = {0}, later[300] = {0};
    uint64_t random = 11;
    assert_non_null(hosts);
    for (size_t i = 0; i < HOSTS; i++) { /* all were healthy for an hour and lose the plane at the same moment */
        backoff_online(&hosts[i].backoff, 1000);
        hosts[i].next_ms = 3600000 + (int64_t)backoff_failed(&hosts[i].backoff, 3600000, next_random(&random));
        first[(hosts[i].next_ms - 3600000) / 100]++;
    }
    assert_peak_within_twice_the_mean(first, 10); /* it is back within a second */
    count_attempts(hosts, &random, 3600000 + 600000, 3600000 + 900000, 1000, later);
    assert_peak_within_twice_the_mean(later, 300); /* it stays away */
    free(hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_stay_below_a_ceiling_that_doubles_up_to_a_minute),
        cmocka_unit_test(the_whole_range_is_used),
        cmocka_unit_test(a_bare_connect_resets_nothing),
        cmocka_unit_test(sixty_healthy_seconds_reset_and_one_less_does_not),
        cmocka_unit_test(an_earlier_healthy_connection_helps_only_once),
        cmocka_unit_test(goaway_waits_as_long_as_asked_and_then_some),
        cmocka_unit_test(a_thousand_hosts_do_not_come_back_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
