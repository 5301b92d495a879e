#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include "agent/agent/deploy.h"

static const struct deploy_plan full = {
    .node = true, .install = true, .build = true, .release = true, .has_old = true, .drain = true, .apps = 1, .web = 1};

static struct deploy_event event(enum deploy_event_type type)
{
    struct deploy_event e = {.type = type, .plan = full, .stage = STAGE_RUN, .now_ms = 7};
    if (type == EV_FAILED)
        fail(&e.why, "E_TEST", "it broke");
    return e;
}

/* A state that stands at a place, reached by no particular way. */
static struct deploy standing(enum deploy_at at)
{
    struct deploy s = {.at = at, .plan = full};
    s.made = at > AT_PREPARE;
    if (at >= AT_START && at <= AT_STOP_NEW)
        s.started = 1;
    if ((at >= AT_SWITCH && at <= AT_RETAIN) || at == AT_FLIP_BACK || at == AT_CONFIRM_BACK)
        s.flipped = 1;
    s.live = at >= AT_DRAIN && at <= AT_RETAIN;
    return s;
}

#define SAME AT_COUNT /* the event does not fit: nothing changes */
static const struct {
    enum deploy_at at, begin, resume, ok, failed, cancelled;
} table[] = {
    {AT_IDLE, AT_PREPARE, AT_REENTER, SAME, SAME, SAME},
    {AT_PREPARE, SAME, SAME, AT_NODE, AT_REPORT, AT_PREPARE},
    {AT_NODE, SAME, SAME, AT_FETCH, AT_CLEAN, AT_NODE},
    {AT_FETCH, SAME, SAME, AT_INSTALL, AT_CLEAN, AT_FETCH},
    {AT_INSTALL, SAME, SAME, AT_BUILD, AT_CLEAN, AT_INSTALL},
    {AT_BUILD, SAME, SAME, AT_COMMIT, AT_CLEAN, AT_BUILD},
    {AT_COMMIT, SAME, SAME, AT_RELEASE, AT_CLEAN, AT_COMMIT},
    {AT_RELEASE, SAME, SAME, AT_START, AT_CLEAN, AT_RELEASE},
    {AT_START, SAME, SAME, AT_PROBE, AT_STOP_NEW, AT_START},
    {AT_PROBE, SAME, SAME, AT_JOURNAL_SWITCH, AT_STOP_NEW, AT_PROBE},
    {AT_JOURNAL_SWITCH, SAME, SAME, AT_VHOST, AT_STOP_NEW, SAME},
    {AT_VHOST, SAME, SAME, AT_SWITCH, AT_FLIP_BACK, SAME},
    {AT_SWITCH, SAME, SAME, AT_CONFIRM, AT_FLIP_BACK, SAME},
    {AT_CONFIRM, SAME, SAME, AT_JOURNAL_LIVE, AT_FLIP_BACK, SAME},
    {AT_JOURNAL_LIVE, SAME, SAME, AT_DRAIN, AT_FLIP_BACK, SAME},
    {AT_DRAIN, SAME, SAME, AT_STOP_OLD, AT_STOP_OLD, SAME},
    {AT_STOP_OLD, SAME, SAME, AT_CURRENT, AT_CURRENT, SAME},
    {AT_CURRENT, SAME, SAME, AT_RETAIN, AT_RETAIN, SAME},
    {AT_RETAIN, SAME, SAME, AT_REPORT, AT_REPORT, SAME},
    {AT_REENTER, SAME, SAME, AT_STOP_NEW, AT_STOP_NEW, SAME},
    {AT_FLIP_BACK, SAME, SAME, AT_CONFIRM_BACK, AT_CONFIRM_BACK, SAME},
    {AT_CONFIRM_BACK, SAME, SAME, AT_STOP_NEW, AT_STOP_NEW, SAME},
    {AT_STOP_NEW, SAME, SAME, AT_CLEAN, AT_CLEAN, SAME},
    {AT_CLEAN, SAME, SAME, AT_REPORT, AT_REPORT, SAME},
    {AT_REPORT, SAME, SAME, AT_DONE, AT_DONE, SAME},
    {AT_DONE, AT_PREPARE, AT_REENTER, SAME, SAME, SAME},
};

static void check(enum deploy_at at, enum deploy_event_type type, enum deploy_at expected)
{
    struct deploy state = standing(at), next;
    struct deploy_event e = event(type);
    struct deploy_action action;
    deploy_step(&state, &e, &next, &action);
    if (expected == SAME) {
        assert_memory_equal(&state, &next, sizeof state);
        assert_int_equal(action.start, AT_IDLE);
        assert_false(action.interrupt);
        return;
    }
    assert_int_equal(next.at, expected);
    if (type == EV_CANCEL) {
        assert_true(action.interrupt);
        assert_int_equal(action.start, AT_IDLE);
    } else {
        assert_int_equal(action.start, expected == AT_DONE ? AT_IDLE : expected);
    }
}

static void takes_every_event_at_every_place_as_the_table_says(void **unused)
{
    (void)unused;
    assert_int_equal(sizeof table / sizeof *table, AT_COUNT);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(table[i].at, i);
        check(table[i].at, EV_BEGIN, table[i].begin);
        check(table[i].at, EV_RESUME, table[i].resume);
        check(table[i].at, EV_OK, table[i].ok);
        check(table[i].at, EV_FAILED, table[i].failed);
        check(table[i].at, EV_CANCEL, table[i].cancelled);
    }
}

static struct deploy run_until(struct deploy s, enum deploy_at stop)
{
    while (s.at != stop && s.at != AT_DONE) {
        struct deploy_event e = event(s.at == AT_IDLE ? EV_BEGIN : EV_OK);
        struct deploy next;
        struct deploy_action action;
        deploy_step(&s, &e, &next, &action);
        s = next;
    }
    return s;
}

static struct deploy send(struct deploy s, enum deploy_event_type type)
{
    struct deploy_event e = event(type);
    struct deploy next;
    struct deploy_action action;
    deploy_step(&s, &e, &next, &action);
    return next;
}

static void goes_live_when_everything_works(void **unused)
{
    (void)unused;
    struct deploy s = run_until((struct deploy){0}, AT_DONE);
    assert_int_equal(s.end, END_LIVE);
    assert_true(s.live);
}

static void restores_previous_release_when_nginx_does_not_confirm(void **unused)
{
    (void)unused;
    struct deploy s = run_until((struct deploy){0}, AT_CONFIRM);
    s = run_until(send(s, EV_FAILED), AT_DONE);
    assert_int_equal(s.end, END_ROLLED_BACK);
    assert_string_equal(s.why.code, "E_TEST");
    assert_int_equal(s.started, 0);
}

static void leaves_both_running_when_going_back_fails(void **unused)
{
    (void)unused;
    struct deploy s = run_until((struct deploy){0}, AT_CONFIRM);
    s = send(send(s, EV_FAILED), EV_FAILED);
    s = run_until(s, AT_DONE);
    assert_int_equal(s.end, END_ROLLBACK_FAILED);
    assert_int_equal(s.started, 1);
}

static void is_cancelled_only_when_the_running_work_has_ended(void **unused)
{
    (void)unused;
    struct deploy s = send(run_until((struct deploy){0}, AT_BUILD), EV_CANCEL);
    assert_int_equal(s.at, AT_BUILD);
    assert_int_equal(s.end, END_NONE);
    s = run_until(send(s, EV_FAILED), AT_DONE);
    assert_int_equal(s.end, END_CANCELLED);
}

static void resumes_the_same_way_every_time(void **unused)
{
    (void)unused;
    static const enum deploy_end outcome[STAGE_COUNT] = {END_NONE, END_INTERRUPTED, END_INTERRUPTED,
                                                             END_LIVE, END_FAILED};
    for (int stage = STAGE_RUN; stage < STAGE_COUNT; stage++) {
        struct deploy_event e = event(EV_RESUME);
        e.stage = (enum deploy_stage)stage;
        e.end = END_FAILED;
        struct deploy idle = {0}, s;
        struct deploy_action action;
        deploy_step(&idle, &e, &s, &action);
        assert_int_equal(action.start, stage == STAGE_REPORT ? AT_REPORT : AT_REENTER);
        s = run_until(s, AT_DONE);
        assert_int_equal(s.end, outcome[stage]);
        assert_int_equal(s.started, 0);
    }
}

static void does_not_fetch_or_build_when_it_activates_a_kept_release(void **unused)
{
    (void)unused;
    struct deploy_event e = event(EV_BEGIN);
    e.plan.activate = true;
    struct deploy s = {0}, next;
    struct deploy_action action;
    deploy_step(&s, &e, &next, &action);
    while (next.at != AT_DONE) {
        assert_false(next.at >= AT_FETCH && next.at <= AT_RELEASE);
        assert_int_not_equal(next.at, AT_CLEAN);
        next = send(next, EV_OK);
    }
    assert_int_equal(next.end, END_LIVE);
}

static void refuses_a_plan_without_apps(void **unused)
{
    (void)unused;
    struct deploy_event e = event(EV_BEGIN);
    struct deploy s = {0}, next;
    struct deploy_action action;
    e.plan.apps = 0;
    deploy_step(&s, &e, &next, &action);
    assert_int_equal(next.at, AT_IDLE);
    e.plan.apps = DEPLOY_APPS_MAX + 1;
    deploy_step(&s, &e, &next, &action);
    assert_int_equal(next.at, AT_IDLE);
}

/* The world that the actions would change, kept beside the machine to check it. */
struct world {
    bool box;               /* work is outstanding */
    uint32_t running, flag; /* candidates that run; flags that point at them */
    bool complete;          /* the release folder is whole */
    bool live_record, reported, switched;
    uint32_t proven;
    enum deploy_stage stage;
};

static uint64_t rng_state;
static uint32_t rng(uint32_t below)
{
    rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(rng_state >> 33) % below;
}

static void work_begins(struct world *w, const struct deploy *s, const struct deploy_action *a)
{
    assert_false(w->box);
    w->box = true;
    uint32_t b = 1u << a->app;
    if (a->start == AT_START) {
        assert_true(w->complete);
        w->running |= b;
    }
    if (a->start == AT_VHOST || a->start == AT_SWITCH) {
        assert_int_equal(w->stage, STAGE_SWITCH);
        assert_int_equal(w->proven, (1u << s->plan.apps) - 1);
    }
    if (a->start == AT_SWITCH)
        w->flag |= b;
    if (a->start == AT_STOP_NEW)
        assert_true(w->flag == 0 || !s->plan.has_old || s->end == END_ROLLBACK_FAILED);
    if (a->start == AT_CLEAN)
        assert_false(w->live_record);
    if (a->start == AT_STOP_OLD || a->start == AT_CURRENT || a->start == AT_RETAIN)
        assert_true(w->live_record);
    if (a->start == AT_REPORT)
        assert_false(w->reported);
}

static void work_ends(struct world *w, const struct deploy *s, bool ok)
{
    w->box = false;
    uint32_t b = 1u << s->app;
    if (s->at == AT_COMMIT && ok)
        w->complete = true;
    if (s->at == AT_PROBE && ok)
        w->proven |= b;
    if (s->at == AT_JOURNAL_SWITCH && ok)
        w->stage = STAGE_SWITCH;
    if (s->at == AT_JOURNAL_LIVE && ok) {
        assert_int_equal(w->flag, s->plan.web);
        assert_int_equal(s->confirmed, s->plan.web);
        w->stage = STAGE_LIVE;
        w->live_record = true;
    }
    if (s->at == AT_FLIP_BACK && ok)
        w->flag = 0;
    if (s->at == AT_STOP_NEW && ok)
        w->running = 0;
    if (s->at == AT_REPORT) {
        w->stage = STAGE_NONE;
        w->reported = true;
    }
}

static void the_end_is_sound(const struct world *w, const struct deploy *s, bool stop_failed)
{
    assert_false(w->box);
    assert_true(w->reported);
    assert_int_not_equal(s->end, END_NONE);
    assert_true((s->end == END_LIVE) == w->live_record);
    if (s->end == END_LIVE)
        return;
    assert_true(w->flag == 0 || s->end == END_ROLLBACK_FAILED);
    assert_true(w->running == 0 || stop_failed || s->keep_new);
    if (s->end == END_FAILED || s->end == END_CANCELLED)
        assert_true(s->why.code[0] != 0);
}

static struct deploy_plan any_plan(void)
{
    struct deploy_plan p = {.activate = rng(4) == 0, .node = rng(2) != 0, .install = rng(2) != 0, .build = rng(2) != 0,
                            .release = rng(2) != 0, .has_old = rng(3) != 0, .drain = rng(2) != 0, .apps = 1 + rng(3)};
    p.web = rng(1u << p.apps);
    return p;
}

static void walk(uint32_t fail_in, uint32_t crash_in)
{
    struct deploy_plan plan = any_plan();
    struct world w = {.stage = STAGE_NONE, .complete = plan.activate};
    struct deploy s = {0}, next;
    struct deploy_action a;
    struct deploy_event e = event(EV_BEGIN);
    enum deploy_end reported = END_NONE;
    bool stop_failed = false;
    e.plan = plan;
    w.stage = STAGE_RUN; /* journalled when the order was accepted, before BEGIN */
    for (int steps = 0;; steps++) {
        assert_true(steps < 400);
        if (e.type == EV_OK || e.type == EV_FAILED)
            work_ends(&w, &s, e.type == EV_OK);
        deploy_step(&s, &e, &next, &a);
        assert_true(s.live <= next.live || e.type == EV_BEGIN || e.type == EV_RESUME);
        s = next;
        if (a.start != AT_IDLE)
            work_begins(&w, &s, &a);
        if (s.at == AT_DONE)
            break;
        assert_true(w.box);
        if (s.at == AT_REPORT)
            reported = s.end, w.stage = STAGE_REPORT;
        e = event(rng(fail_in) == 0 ? EV_FAILED : rng(20) == 0 ? EV_CANCEL : EV_OK);
        if (e.type == EV_FAILED && (s.at == AT_STOP_NEW || s.at == AT_FLIP_BACK))
            stop_failed = true;
        if (rng(crash_in) == 0) { /* the agent dies, with all its boxes */
            w.box = false;
            e = event(EV_RESUME);
            e.plan = plan;
            e.stage = w.stage;
            e.end = reported;
            fail(&e.why, "E_TEST", "before the crash");
            s = (struct deploy){0};
        }
    }
    the_end_is_sound(&w, &s, stop_failed);
}

static void keeps_its_promises_in_a_million_random_walks(void **unused)
{
    (void)unused;
    rng_state = 20261122;
    for (int i = 0; i < 1000000; i++)
        walk(i % 3 == 0 ? 1000000 : 12, i % 2 == 0 ? 1000000 : 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_event_at_every_place_as_the_table_says),
        cmocka_unit_test(goes_live_when_everything_works),
        cmocka_unit_test(restores_previous_release_when_nginx_does_not_confirm),
        cmocka_unit_test(leaves_both_running_when_going_back_fails),
        cmocka_unit_test(is_cancelled_only_when_the_running_work_has_ended),
        cmocka_unit_test(resumes_the_same_way_every_time),
        cmocka_unit_test(does_not_fetch_or_build_when_it_activates_a_kept_release),
        cmocka_unit_test(refuses_a_plan_without_apps),
        cmocka_unit_test(keeps_its_promises_in_a_million_random_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
