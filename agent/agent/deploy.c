#include "agent/agent/deploy.h"

#include <string.h>

/* A place: its name in status, what entering it announces, and how far it reaches. */
static const struct {
    const char *name, *announce;
    bool per_app;
} places[AT_COUNT] = {
    [AT_IDLE] = {"idle", NULL, false},
    [AT_PREPARE] = {"preparing", "accepted", false},
    [AT_NODE] = {"preparing Node", NULL, false},
    [AT_FETCH] = {"fetching", "fetching", false},
    [AT_INSTALL] = {"installing", "installing", false},
    [AT_BUILD] = {"building", "building", false},
    [AT_COMMIT] = {"committing", "committing", false},
    [AT_RELEASE] = {"releasing", "releasing", false},
    [AT_START] = {"starting", "starting", true},
    [AT_PROBE] = {"probing", "probing", true},
    [AT_JOURNAL_SWITCH] = {"switching", NULL, false},
    [AT_VHOST] = {"switching", "switching", false},
    [AT_SWITCH] = {"switching", NULL, true},
    [AT_CONFIRM] = {"confirming", NULL, true},
    [AT_JOURNAL_LIVE] = {"confirming", NULL, false},
    [AT_DRAIN] = {"draining", "draining", false},
    [AT_STOP_OLD] = {"stopping the old release", NULL, false},
    [AT_CURRENT] = {"finishing", NULL, false},
    [AT_RETAIN] = {"finishing", NULL, false},
    [AT_REENTER] = {"resuming", NULL, false},
    [AT_FLIP_BACK] = {"going back", NULL, false},
    [AT_CONFIRM_BACK] = {"going back", NULL, false},
    [AT_STOP_NEW] = {"cleaning up", NULL, false},
    [AT_CLEAN] = {"cleaning up", NULL, false},
    [AT_REPORT] = {"reporting", NULL, false},
    [AT_DONE] = {"done", NULL, false},
};

const char *deploy_at_name(enum deploy_at at)
{
    return at < AT_COUNT ? places[at].name : "idle";
}

bool deploy_is_over(const struct deploy *state)
{
    return state->at == AT_IDLE || state->at == AT_DONE;
}

bool deploy_may_cancel(const struct deploy *state)
{
    return state->at >= AT_PREPARE && state->at <= AT_PROBE;
}

static uint32_t bit(unsigned app)
{
    return (uint32_t)1 << app;
}

/* Does the plan have anything to do at this place (for this app)? */
static bool wanted(const struct deploy *s, enum deploy_at at, unsigned app)
{
    const struct deploy_plan *plan = &s->plan;
    switch (at) {
    case AT_NODE:
        return plan->node;
    case AT_FETCH:
    case AT_COMMIT:
        return !plan->activate;
    case AT_INSTALL:
        return !plan->activate && plan->install;
    case AT_BUILD:
        return !plan->activate && plan->build;
    case AT_RELEASE:
        return !plan->activate && plan->release;
    case AT_SWITCH:
    case AT_CONFIRM:
        return (plan->web & bit(app)) != 0;
    case AT_VHOST:
        return plan->web != 0;
    case AT_DRAIN:
        return plan->has_old && plan->drain;
    case AT_STOP_OLD:
        return plan->has_old;
    case AT_CONFIRM_BACK:
        return plan->has_old && s->flipped != 0;
    case AT_STOP_NEW:
        return s->started != 0 && !s->keep_new;
    case AT_CLEAN:
        return s->made && !s->keep_new && !s->live;
    case AT_IDLE:
    case AT_PREPARE:
    case AT_START:
    case AT_PROBE:
    case AT_JOURNAL_SWITCH:
    case AT_JOURNAL_LIVE:
    case AT_CURRENT:
    case AT_RETAIN:
    case AT_REENTER:
    case AT_FLIP_BACK:
    case AT_REPORT:
    case AT_DONE:
    case AT_COUNT:
        break;
    }
    return true;
}

/* Where the path goes on after this place, when it went well or has nothing to do. */
static enum deploy_at after(const struct deploy *s, enum deploy_at at)
{
    switch (at) {
    case AT_RETAIN:
    case AT_CLEAN:
        return AT_REPORT;
    case AT_FLIP_BACK:
        return AT_CONFIRM_BACK;
    case AT_CONFIRM_BACK:
        return AT_STOP_NEW;
    case AT_STOP_NEW:
        return AT_CLEAN;
    case AT_REENTER:
        if (s->live)
            return AT_STOP_OLD;
        return s->vhosts || s->flipped != 0 ? AT_FLIP_BACK : AT_STOP_NEW;
    case AT_REPORT:
        return AT_DONE;
    case AT_IDLE:
    case AT_PREPARE:
    case AT_NODE:
    case AT_FETCH:
    case AT_INSTALL:
    case AT_BUILD:
    case AT_COMMIT:
    case AT_RELEASE:
    case AT_START:
    case AT_PROBE:
    case AT_JOURNAL_SWITCH:
    case AT_VHOST:
    case AT_SWITCH:
    case AT_CONFIRM:
    case AT_JOURNAL_LIVE:
    case AT_DRAIN:
    case AT_STOP_OLD:
    case AT_CURRENT:
    case AT_DONE:
    case AT_COUNT:
        break;
    }
    return (enum deploy_at)(at + 1);
}

/* What becomes true, or may become true, the moment this place's work begins. */
static void begin_work(struct deploy *s)
{
    if (s->at == AT_FETCH)
        s->made = true;
    if (s->at == AT_START)
        s->started |= bit(s->app);
    if (s->at == AT_VHOST)
        s->vhosts = true;
    if (s->at == AT_SWITCH)
        s->flipped |= bit(s->app);
}

/* Goes to a place, or past it as long as there is nothing to do. */
static void enter(struct deploy *s, enum deploy_at at, unsigned app, struct deploy_action *action)
{
    while (!wanted(s, at, app)) {
        if (places[at].per_app && app + 1 < s->plan.apps) {
            app++;
            continue;
        }
        at = after(s, at);
        app = 0;
    }
    bool again = s->at == at;
    s->at = at;
    s->app = app;
    begin_work(s);
    if (at == AT_DONE)
        return;
    action->start = at;
    action->app = app;
    action->announce = again ? NULL : places[at].announce;
}

static void go_on(struct deploy *s, struct deploy_action *action)
{
    if (places[s->at].per_app && s->app + 1 < s->plan.apps)
        enter(s, s->at, s->app + 1, action);
    else
        enter(s, after(s, s->at), 0, action);
}

static void set_end(struct deploy *s, enum deploy_end end, const struct error *why)
{
    s->end = end;
    if (why != NULL)
        s->why = *why;
}

/* Nothing of the old release was touched: put away what was begun. */
static void give_up(struct deploy *s, enum deploy_end end, const struct error *why,
                    struct deploy_action *action)
{
    set_end(s, end, why);
    enter(s, AT_STOP_NEW, 0, action);
}

static void finish_cancel(struct deploy *s, struct deploy_action *action)
{
    struct error why = {0};
    fail(&why, "E_CANCELLED", "cancelled before it was switched to; nothing was changed");
    give_up(s, END_CANCELLED, &why, action);
}

static void on_ok(struct deploy *s, struct deploy_action *action)
{
    if (s->cancelled && deploy_may_cancel(s)) {
        finish_cancel(s, action);
        return;
    }
    if (s->at == AT_PROBE)
        s->proven |= bit(s->app);
    if (s->at == AT_CONFIRM)
        s->confirmed |= bit(s->app);
    if (s->at == AT_JOURNAL_LIVE) {
        s->live = true;
        set_end(s, END_LIVE, NULL);
    }
    if (s->at == AT_STOP_NEW)
        s->started = 0;
    go_on(s, action);
}

static void on_failed(struct deploy *s, const struct error *why, struct deploy_action *action)
{
    switch (s->at) {
    case AT_PREPARE:
    case AT_NODE:
    case AT_FETCH:
    case AT_INSTALL:
    case AT_BUILD:
    case AT_COMMIT:
    case AT_RELEASE:
    case AT_START:
    case AT_PROBE:
        if (s->cancelled) {
            finish_cancel(s, action);
            return;
        }
        give_up(s, END_FAILED, why, action);
        return;
    case AT_JOURNAL_SWITCH:
        give_up(s, END_FAILED, why, action);
        return;
    case AT_VHOST:
    case AT_SWITCH:
    case AT_CONFIRM:
    case AT_JOURNAL_LIVE:
        set_end(s, s->flipped != 0 && s->plan.has_old ? END_ROLLED_BACK : END_FAILED, why);
        enter(s, AT_FLIP_BACK, 0, action);
        return;
    case AT_FLIP_BACK:
        s->keep_new = true;
        /* fall through */
    case AT_CONFIRM_BACK:
        set_end(s, END_ROLLBACK_FAILED, why);
        go_on(s, action);
        return;
    case AT_DRAIN:
    case AT_STOP_OLD:
    case AT_CURRENT:
    case AT_RETAIN:
    case AT_REENTER:
    case AT_STOP_NEW:
    case AT_CLEAN:
    case AT_REPORT:
        action->warning = *why;
        go_on(s, action);
        return;
    case AT_IDLE:
    case AT_DONE:
    case AT_COUNT:
        return;
    }
}

static void on_begin(struct deploy *s, const struct deploy_event *event, struct deploy_action *action)
{
    *s = (struct deploy){.plan = event->plan, .began_ms = event->now_ms};
    enter(s, AT_PREPARE, 0, action);
}

/* Before the switch: clean up. Perhaps switched: go back, the same way every time. Live: finish. */
static void on_resume(struct deploy *s, const struct deploy_event *event, struct deploy_action *action)
{
    *s = (struct deploy){.plan = event->plan, .began_ms = event->now_ms};
    if (event->stage == STAGE_REPORT) {
        set_end(s, event->end, &event->why);
        enter(s, AT_REPORT, 0, action);
        return;
    }
    uint32_t all = bit(s->plan.apps) - 1;
    s->live = event->stage == STAGE_LIVE;
    s->made = !s->plan.activate;
    if (s->live) {
        set_end(s, END_LIVE, NULL);
    } else {
        struct error why = {0};
        fail(&why, "E_INTERRUPTED", "the agent was stopped while this deployment ran; start it again");
        set_end(s, END_INTERRUPTED, &why);
        s->started = all;
    }
    if (event->stage == STAGE_SWITCH) {
        s->vhosts = s->plan.web != 0;
        s->flipped = s->plan.web;
    }
    enter(s, AT_REENTER, 0, action);
}

void deploy_step(const struct deploy *state, const struct deploy_event *event, struct deploy *next,
                 struct deploy_action *action)
{
    *next = *state;
    *action = (struct deploy_action){.start = AT_IDLE};
    bool plan_ok = event->plan.apps >= 1 && event->plan.apps <= DEPLOY_APPS_MAX;
    switch (event->type) {
    case EV_BEGIN:
        if (deploy_is_over(state) && plan_ok)
            on_begin(next, event, action);
        return;
    case EV_RESUME:
        if (deploy_is_over(state) && plan_ok && event->stage > STAGE_NONE && event->stage < STAGE_COUNT)
            on_resume(next, event, action);
        return;
    case EV_OK:
        if (!deploy_is_over(state))
            on_ok(next, action);
        return;
    case EV_FAILED:
        if (!deploy_is_over(state))
            on_failed(next, &event->why, action);
        return;
    case EV_CANCEL:
        if (deploy_may_cancel(state) && !state->cancelled) {
            next->cancelled = true;
            action->interrupt = true;
        }
        return;
    case EV_COUNT:
        return;
    }
}
