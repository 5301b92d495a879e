/* Happy path: tick → a project is due → resolve → intents_deploy(only_new) → kick. A webhook is the same, due
 * at once; if one arrives while a resolve runs, another follows when it is done: the head may have moved in
 * between. */
#include "plane/poll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plane/agents.h"
#include "plane/intents.h"
#include "plane/resolve.h"

#define TICK_MS      1000
#define PROJECTS_MAX 1024
#define RETRY_MS     60000 /* after a failure, at least */

struct polled {
    char project[32];
    int64_t due; /* clock_boot_ms */
    int64_t seconds;
    bool asking, again, hooked, seen;
    char last_error[40];
};

struct poller {
    struct plane *plane;
    struct loop_timer *tick;
    struct polled *at;
    size_t count;
};

struct asking {
    struct plane *plane;
    char project[32];
};

static struct polled *polled_of(struct poller *all, const char *project, bool make)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->at[i].project, project) == 0)
            return &all->at[i];
    if (!make || all->count == PROJECTS_MAX)
        return NULL;
    struct polled *v = &all->at[all->count++];
    *v = (struct polled){.due = clock_boot_ms()};
    snprintf(v->project, sizeof v->project, "%s", project);
    return v;
}

static void deploy_new(struct plane *p, const char *project, const char *trigger, const char *commit)
{
    struct error err = {0};
    struct intents *made = calloc(1, sizeof *made);
    struct intent_ask ask = {.project = project, .trigger = trigger, .now = clock_wall_ms(), .only_new = true};
    if (made == NULL)
        return;
    if (intents_deploy(&p->store, &ask, commit, made, &err) < 0)
        plane_log("%s: %s: %s", project, err.code, err.text);
    for (size_t i = 0; err.code[0] == '\0' && i < made->count; i++) {
        plane_log("%s: %.12s is new (%s): %s", project, commit, trigger, made->id[i]);
        agents_kick(p, made->server[i]);
    }
    free(made);
}

static int ask(struct plane *p, struct polled *v);

static void say_failure(struct polled *v, const struct error *err)
{
    /* Once, not every minute. */
    if (strcmp(v->last_error, err->code) != 0 && strcmp(err->code, "E_STOPPING") != 0)
        plane_log("%s: asking the Git host: %s: %s", v->project, err->code, err->text);
    snprintf(v->last_error, sizeof v->last_error, "%s", err->code);
}

static void on_resolved(void *ctx, const char *commit, const struct error *err)
{
    struct asking *asked = ctx;
    struct plane *p = asked->plane;
    struct polled *v = p->poller != NULL ? polled_of(p->poller, asked->project, false) : NULL;
    if (v != NULL) {
        bool hooked = v->hooked, again = v->again;
        v->asking = v->again = v->hooked = false;
        v->due = clock_boot_ms() + (v->seconds > 0 ? v->seconds * 1000 : RETRY_MS);
        if (commit != NULL) {
            v->last_error[0] = '\0';
            deploy_new(p, v->project, hooked ? "webhook" : "poll", commit);
        } else {
            say_failure(v, err);
        }
        if (again && !p->stopping) {
            v->hooked = true;
            if (ask(p, v) < 0)
                v->hooked = false;
        }
    }
    free(asked);
}

static int ask(struct plane *p, struct polled *v)
{
    struct error err;
    struct asking *asked = calloc(1, sizeof *asked);
    if (asked == NULL)
        return -1;
    asked->plane = p;
    memcpy(asked->project, v->project, sizeof asked->project);
    v->asking = true;
    if (resolve_project(p, v->project, NULL, on_resolved, asked, &err) == 0)
        return 0;
    v->asking = false;
    v->due = clock_boot_ms() + RETRY_MS;
    if (strcmp(err.code, "E_NO_MANIFEST") != 0)
        say_failure(v, &err);
    free(asked);
    return -1;
}

int poll_now(struct plane *p, const char *project, struct error *err)
{
    struct polled *v = polled_of(p->poller, project, true);
    if (v == NULL)
        return fail(err, "E_BUSY", "too many projects");
    if (v->asking) {
        v->again = true;
        return 0;
    }
    v->hooked = true;
    if (ask(p, v) == 0)
        return 0;
    v->hooked = false;
    return fail(err, "E_BUSY", "the repository of %s cannot be asked now", project);
}

static int note_project(void *ctx, const struct store_project *row)
{
    struct poller *all = ctx;
    struct polled *v = polled_of(all, row->name, true);
    if (v == NULL)
        return 0;
    v->seen = true;
    if (row->poll_seconds != v->seconds && (v->seconds == 0 || row->poll_seconds < v->seconds))
        v->due = clock_boot_ms() + row->poll_seconds * 1000;
    v->seconds = row->poll_seconds;
    return 0;
}

static void forget_deleted(struct poller *all)
{
    for (size_t i = 0; i < all->count;)
        if (!all->at[i].seen && !all->at[i].asking)
            all->at[i] = all->at[--all->count];
        else
            all->at[i++].seen = false;
}

static void on_tick(void *ctx)
{
    struct poller *all = ctx;
    struct error err;
    int64_t now = clock_boot_ms();
    if (store_projects(&all->plane->store, note_project, all, &err) < 0) {
        plane_log("polling: %s", err.text);
        return;
    }
    forget_deleted(all);
    for (size_t i = 0; i < all->count; i++) {
        struct polled *v = &all->at[i];
        if (v->seconds > 0 && !v->asking && now >= v->due && ask(all->plane, v) < 0)
            v->due = now + RETRY_MS;
    }
}

int poll_start(struct plane *p, struct error *err)
{
    struct poller *all = calloc(1, sizeof *all);
    p->poller = all;
    if (all != NULL) {
        all->plane = p;
        all->at = calloc(PROJECTS_MAX, sizeof *all->at);
        all->tick = loop_timer_new(&p->net, on_tick, all);
    }
    if (all == NULL || all->at == NULL || all->tick == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    loop_timer_start(all->tick, TICK_MS, TICK_MS);
    return 0;
}

void poll_stop(struct plane *p)
{
    if (p->poller != NULL && p->poller->tick != NULL)
        loop_timer_free(&p->poller->tick);
}

void poll_free(struct plane *p)
{
    if (p->poller == NULL)
        return;
    poll_stop(p);
    free(p->poller->at);
    free(p->poller);
    p->poller = NULL;
}
