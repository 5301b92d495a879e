/* One deployment: deploy_step decides, this file does it and turns results into events.
 *
 * Happy path: begin loads what the wish names and journals "running" → perform() starts a place's work on a worker
 * thread, or does it here if it is a journal entry or the result → its end is EV_OK or EV_FAILED → the next place. After
 * the result the scribe is asked to finish; when it has, the deployment is freed and the project is free.
 * Failures: every error becomes an event, and deploy.c says what follows. A scribe that dies fails the deployment before
 * the switch; afterwards it only costs log lines.
 * End: after DONE nothing but the scribe's last word is waited for, at most CLOSE_MS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/agent/agent.h"
#include "agent/agent/secrets.h"
#include "base/clock.h"
#include "ipc/record.h"

#define CLOSE_MS 20000
#define DRAIN_MS 500

struct deployment {
    struct agent *agent;
    struct project *project;
    struct wish wish;
    struct deploy state;
    struct work work;
    struct manifest manifest, old_manifest;
    struct env_values values;
    bool has_old_manifest, resumed, log_over;
    int cancel;
    struct spool_stream *log;
    uv_poll_t *scribe_poll;
    uv_timer_t *timer;
    /* the job on the worker thread */
    uv_work_t job;
    bool working, scribe_lost;
    enum deploy_at at;
    unsigned app;
    int rc;
    uint64_t synced;
    struct error err;
};

static void feed(struct deployment *d, struct deploy_event *event);
static void finish(struct deployment *d);

bool deployment_is(const struct deployment *d, const char *id)
{
    return strcmp(d->wish.deployment, id) == 0;
}

const char *deployment_id(const struct deployment *d)
{
    return d->wish.deployment;
}

const char *deployment_state(const struct deployment *d)
{
    return deploy_at_name(d->state.at);
}

static void freed(uv_handle_t *handle)
{
    free(handle);
}

/* What the scribe tells. */
static void close_scribe(struct deployment *d)
{
    if (d->scribe_poll != NULL) {
        uv_poll_stop(d->scribe_poll);
        uv_close((uv_handle_t *)d->scribe_poll, freed);
        d->scribe_poll = NULL;
    }
    scribe_close(&d->work.scribe);
}

static void log_end(struct deployment *d, uint64_t end)
{
    struct error err = {0};
    if (d->log == NULL || d->log_over)
        return;
    if (spool_log_done(&d->agent->spool, d->log, end, &err) < 0)
        report_host(d->agent, &err);
    d->log_over = true;
    agent_grown(d->agent, d->log);
}

static void on_scribe_gone(struct deployment *d)
{
    close_scribe(d);
    d->scribe_lost = true;
    if (d->state.at == AT_DONE) {
        if (d->log != NULL)
            log_end(d, d->log->end);
        finish(d);
        return;
    }
    uint64_t one = 1;
    if (d->working && deploy_may_cancel(&d->state))
        (void)!write(d->cancel, &one, sizeof one);
}

static void take_scribe(struct deployment *d, const struct ipc_record *r)
{
    const struct scribe_synced *synced = ipc_body(r, sizeof *synced);
    struct error err = {0};
    if (ipc_check_error(r, &err) < 0) {
        report_host(d->agent, &err);
        on_scribe_gone(d);
    } else if (r->head.verb == SCRIBE_SYNCED && synced != NULL && d->log != NULL) {
        d->log->end = synced->offset;
        agent_grown(d->agent, d->log);
    } else if (r->head.verb == SCRIBE_CLOSED && synced != NULL) {
        log_end(d, synced->offset);
        close_scribe(d);
        if (d->state.at == AT_DONE)
            finish(d);
    } else if (r->head.verb == SCRIBE_TROUBLE) {
        fail(&err, "E_SPOOL_WRITE", "the log of %s cannot be written: is the disk full?", d->wish.deployment);
        report_host(d->agent, &err);
    }
}

static void on_scribe(uv_poll_t *poll, int status, int what)
{
    struct deployment *d = poll->data;
    struct ipc_record record;
    (void)what;
    enum ipc_result got = status < 0 ? IPC_ERROR : ipc_recv(d->work.scribe.control, &record, NULL);
    if (got == IPC_AGAIN)
        return;
    if (got != IPC_OK) {
        on_scribe_gone(d);
        return;
    }
    ipc_close_fds(&record);
    take_scribe(d, &record);
}

static void watch_scribe(struct deployment *d)
{
    if (d->work.scribe.control < 0 || d->scribe_poll != NULL)
        return;
    d->log->end = d->synced;
    d->log->unsure = false;
    agent_stream(d->agent, d->log);
    d->scribe_poll = calloc(1, sizeof *d->scribe_poll);
    if (d->scribe_poll == NULL || uv_poll_init(d->agent->loop, d->scribe_poll, d->work.scribe.control) < 0) {
        free(d->scribe_poll);
        d->scribe_poll = NULL;
        return;
    }
    d->scribe_poll->data = d;
    uv_poll_start(d->scribe_poll, UV_READABLE, on_scribe);
}

/* On the worker thread: this place's work. */
static int work_at(struct deployment *d)
{
    struct work *w = &d->work;
    struct error *err = &d->err;
    int spool = d->log != NULL ? d->log->fd : -1;
    switch (d->at) {
    case AT_PREPARE:
        return work_prepare(w, spool, 0, 0, &d->synced, err);
    case AT_REENTER:
        return work_prepare(w, spool, 0, 1, &d->synced, err);
    case AT_NODE:
        return work_node(w, err);
    case AT_FETCH:
        return work_fetch(w, err);
    case AT_INSTALL:
        return work_phase(w, PHASE_INSTALL, err);
    case AT_BUILD:
        return work_phase(w, PHASE_BUILD, err);
    case AT_COMMIT:
        return work_commit(w, err);
    case AT_RELEASE:
        return work_phase(w, PHASE_RELEASE, err);
    case AT_START:
        return work_start(w, d->app, err);
    case AT_PROBE:
        return work_probe(w, d->app, err);
    case AT_VHOST:
        return work_vhosts(w, err);
    case AT_SWITCH:
        return work_switch(w, d->app, err);
    case AT_CONFIRM:
        return work_confirm(w, d->app, err);
    case AT_DRAIN:
        return work_drain(w, err);
    case AT_STOP_OLD:
        return work_stop_old(w, err);
    case AT_CURRENT:
        return work_current(w, err);
    case AT_RETAIN:
        return work_retain(w, err);
    case AT_FLIP_BACK:
        return work_flip_back(w, err);
    case AT_CONFIRM_BACK:
        return work_confirm_back(w, err);
    case AT_STOP_NEW:
        return work_stop_new(w, err);
    case AT_CLEAN:
        return work_clean(w, err);
    case AT_IDLE:
    case AT_JOURNAL_SWITCH:
    case AT_JOURNAL_LIVE:
    case AT_REPORT:
    case AT_DONE:
    case AT_COUNT:
        break;
    }
    return fail(err, "E_INTERNAL", "no work belongs to '%s'", deploy_at_name(d->at));
}

static void run_job(uv_work_t *job)
{
    struct deployment *d = job->data;
    d->err = (struct error){0};
    d->rc = work_at(d);
}

static void on_job(uv_work_t *job, int status)
{
    struct deployment *d = job->data;
    struct deploy_event event = {.type = d->rc == 0 && status == 0 ? EV_OK : EV_FAILED, .why = d->err};
    d->working = false;
    if (d->work.box_level > d->agent->box_level)
        d->agent->box_level = d->work.box_level;
    if (d->at == AT_PREPARE || d->at == AT_REENTER)
        watch_scribe(d);
    if (d->scribe_lost && !d->state.cancelled && event.type == EV_FAILED && strcmp(d->err.code, "E_CANCELLED") == 0)
        fail(&event.why, "E_SCRIBE_GONE", "the log writer ended unexpectedly; deploy again");
    if (strstr(event.why.text, "No space left on device") != NULL)
        fail(&event.why, d->err.code, "%s: free space on this host's disk", d->err.text);
    secrets_mask_text(&d->values, event.why.text, sizeof event.why.text);
    feed(d, &event);
}

/* What is journalled, here on the loop thread. */
static struct journal_project *journal_of(struct deployment *d)
{
    return agent_journal(d->agent, d->wish.project);
}

static int journal_switch(struct deployment *d, struct error *err)
{
    journal_of(d)->running.stage = STAGE_SWITCH;
    return journal_commit(d->agent->journal, err);
}

static void remember_release(struct deployment *d, struct journal_project *j)
{
    struct journal_release made = {.made_ms = clock_wall_ms()};
    if (d->wish.action != ORDER_DEPLOY) {
        struct journal_release *kept = journal_release(j, d->wish.release);
        if (kept != NULL) {
            memcpy(kept->manifest, d->wish.manifest, 32);
            memcpy(kept->env, d->wish.env, 32);
        }
        return;
    }
    snprintf(made.name, sizeof made.name, "%s", d->wish.release);
    snprintf(made.deployment, sizeof made.deployment, "%s", d->wish.deployment);
    snprintf(made.commit, sizeof made.commit, "%s", d->wish.commit);
    memcpy(made.manifest, d->wish.manifest, 32);
    memcpy(made.env, d->wish.env, 32);
    if (!journal_add_release(j, &made)) { /* the oldest that is not live gives way; its folder goes with the next retain */
        journal_drop_release(j, j->releases[0].name);
        (void)journal_add_release(j, &made);
    }
}

static int journal_live(struct deployment *d, struct error *err)
{
    struct journal_project *j = journal_of(d);
    struct journal_live live = {.app_count = j->running.app_count};
    snprintf(live.release, sizeof live.release, "%s", d->wish.release);
    snprintf(live.deployment, sizeof live.deployment, "%s", d->wish.deployment);
    memcpy(live.manifest, d->wish.manifest, 32);
    memcpy(live.env, d->wish.env, 32);
    memcpy(live.apps, j->running.apps, sizeof live.apps);
    j->live = live;
    j->running.stage = STAGE_LIVE;
    remember_release(d, j);
    if (journal_commit(d->agent->journal, err) < 0)
        return -1;
    memcpy(d->project->ports, d->work.is.ports, sizeof d->project->ports);
    memcpy(d->project->pids, d->work.pids, sizeof d->project->pids);
    d->project->trouble[0] = 0;
    d->project->daemon_pid = 0;
    return 0;
}

/* Which releases go: the oldest, until `retain` are left; never what serves or what served before. */
static void choose_trash(struct deployment *d)
{
    struct journal_project *j = journal_of(d);
    uint32_t left = j->release_count, retain = (uint32_t)d->manifest.retain;
    d->work.trash_count = 0;
    for (uint32_t i = 0; i < j->release_count && left > retain && d->work.trash_count < WORK_TRASH_MAX; i++) {
        const char *name = j->releases[i].name;
        if (strcmp(name, j->live.release) == 0 || strcmp(name, j->running.old.release) == 0)
            continue;
        snprintf(d->work.trash[d->work.trash_count++], sizeof d->work.trash[0], "%s", name);
        left--;
    }
}

static void forget_trash(struct deployment *d)
{
    struct journal_project *j = journal_of(d);
    struct error err = {0};
    for (unsigned i = 0; i < d->work.trash_count; i++) {
        struct journal_release *found = journal_release(j, d->work.trash[i]);
        if (found == NULL)
            continue;
        struct journal_release gone = *found;
        journal_drop_release(j, gone.name);
        if (!journal_refers(j, gone.manifest))
            documents_remove(d->agent->documents_dir, DOCUMENT_MANIFEST, gone.manifest);
        if (!journal_refers(j, gone.env))
            documents_remove(d->agent->documents_dir, DOCUMENT_ENV, gone.env);
    }
    if (d->work.trash_count > 0 && journal_commit(d->agent->journal, &err) < 0)
        report_host(d->agent, &err);
}

/* The one result. It is written only if it was not before a crash. */
static int write_result(struct deployment *d, struct error *err)
{
    struct agent *a = d->agent;
    struct journal_running *r = &journal_of(d)->running;
    enum deploy_outcome outcome = (enum deploy_outcome)(d->state.end - END_LIVE);
    bool again = r->stage == STAGE_REPORT;
    if (!again) {
        r->stage = STAGE_REPORT;
        r->outcome = d->state.end;
        r->events_end = a->spool.events.end;
        snprintf(r->code, sizeof r->code, "%s", d->state.why.code);
        snprintf(r->text, sizeof r->text, "%s", d->state.why.text);
        if (journal_commit(a->journal, err) < 0)
            report_host(a, err);
    }
    if (again && a->spool.events.end > r->events_end)
        return 0;
    const char *release = d->state.live || d->wish.action != ORDER_DEPLOY ? d->wish.release : NULL;
    return report_result(a, d->wish.project, d->wish.deployment, outcome, &d->state.why, release, d->wish.commit,
                         clock_boot_ms() - d->state.began_ms, err);
}

static int report(struct deployment *d, struct error *err)
{
    int rc = write_result(d, err);
    struct journal_running *r = &journal_of(d)->running;
    *r = (struct journal_running){0};
    if (journal_commit(d->agent->journal, err) < 0)
        rc = -1;
    if (d->state.end == END_LIVE)
        scribe_note(&d->work.scribe, "live: release %s", d->wish.release);
    else
        scribe_note(&d->work.scribe, "%s: %s", deploy_outcome_name((enum deploy_outcome)(d->state.end - END_LIVE)),
                    d->state.why.text);
    return rc;
}

/* Starts a place's work. Returns 1 if it is done already (then *event says how), 0 if it runs. */
static int perform(struct deployment *d, const struct deploy_action *action, struct deploy_event *event)
{
    *event = (struct deploy_event){.type = EV_OK};
    int rc;
    switch ((int)action->start) {
    case AT_JOURNAL_SWITCH:
        rc = journal_switch(d, &event->why);
        break;
    case AT_JOURNAL_LIVE:
        rc = journal_live(d, &event->why);
        break;
    case AT_REPORT:
        rc = report(d, &event->why);
        break;
    default:
        if (action->start == AT_RETAIN)
            choose_trash(d);
        d->at = action->start;
        d->app = action->app;
        d->work.cancel = deploy_may_cancel(&d->state) ? d->cancel : -1;
        d->working = true;
        rc = uv_queue_work(d->agent->loop, &d->job, run_job, on_job);
        if (rc == 0)
            return 0;
        d->working = false;
        rc = fail(&event->why, "E_NO_MEMORY", "no worker thread");
    }
    if (rc < 0)
        event->type = EV_FAILED;
    return 1;
}

static void on_place_left(struct deployment *d, const struct deploy *before)
{
    if (before->at == AT_PROBE && d->state.at != AT_PROBE && d->state.at != AT_STOP_NEW)
        work_close_watches(&d->work);
    if (before->at == AT_RETAIN)
        forget_trash(d);
}

static void on_timer(uv_timer_t *timer)
{
    struct deployment *d = timer->data;
    close_scribe(d);
    if (d->log != NULL)
        log_end(d, d->log->end);
    finish(d);
}

/* All is decided and told; the log's end is waited for. */
static void wind_up(struct deployment *d)
{
    struct error err;
    work_close_watches(&d->work);
    live_drain(d->agent, d->project);
    d->timer = calloc(1, sizeof *d->timer);
    if (d->work.scribe.control < 0 || scribe_finish(&d->work.scribe, DRAIN_MS, &err) < 0 || d->timer == NULL ||
        uv_timer_init(d->agent->loop, d->timer) < 0) {
        free(d->timer);
        d->timer = NULL;
        close_scribe(d);
        if (d->log != NULL && !d->log_over)
            deployment_mend_log(d->agent, d->wish.deployment);
        finish(d);
        return;
    }
    d->timer->data = d;
    uv_timer_start(d->timer, on_timer, CLOSE_MS, 0);
}

static void feed(struct deployment *d, struct deploy_event *event)
{
    for (;;) {
        struct deploy before = d->state, next;
        struct deploy_action action;
        deploy_step(&before, event, &next, &action);
        d->state = next;
        on_place_left(d, &before);
        if (action.warning.code[0] != 0)
            report_host(d->agent, &action.warning);
        if (action.announce != NULL)
            report_state(d->agent, d->wish.project, d->wish.deployment, action.announce);
        if (action.interrupt) {
            uint64_t one = 1;
            (void)!write(d->cancel, &one, sizeof one);
        }
        if (d->state.at == AT_DONE) {
            wind_up(d);
            return;
        }
        if (action.start == AT_IDLE || perform(d, &action, event) == 0)
            return;
    }
}

bool deployment_cancel(struct deployment *d)
{
    struct deploy_event event = {.type = EV_CANCEL};
    if (!deploy_may_cancel(&d->state))
        return false;
    feed(d, &event);
    return true;
}

static void finish(struct deployment *d)
{
    struct agent *a = d->agent;
    struct project *p = d->project;
    if (d->timer != NULL) {
        uv_timer_stop(d->timer);
        uv_close((uv_handle_t *)d->timer, freed);
    }
    close_scribe(d);
    work_close_watches(&d->work);
    manifest_free(&d->manifest);
    if (d->has_old_manifest)
        manifest_free(&d->old_manifest);
    env_values_free(&d->values);
    if (d->cancel >= 0)
        close(d->cancel);
    free(d);
    p->running = NULL;
    report_publish(a);
    agent_next(a, p);
}

/* Which slot each candidate takes: the other one of what serves. */
static void choose_slots(struct deployment *d, const struct journal_live *old)
{
    for (size_t i = 0; i < d->manifest.app_count; i++) {
        const struct manifest_app *m = &d->manifest.apps[i];
        struct journal_app *app = &d->work.apps[i];
        const struct journal_app *was = journal_live_app(old, m->name);
        *app = (struct journal_app){.slot = was != NULL ? 1 - (was->slot & 1) : 0, .pm2 = m->process == PROCESS_PM2,
                                    .web = m->vhost.present};
        snprintf(app->name, sizeof app->name, "%s", m->name);
    }
}

static void make_plan(const struct deployment *d, struct deploy_plan *plan)
{
    const struct manifest *m = &d->manifest;
    *plan = (struct deploy_plan){.activate = d->wish.action != ORDER_DEPLOY, .node = m->runtime.node != NULL,
                                 .install = m->phases[PHASE_INSTALL].present, .build = m->phases[PHASE_BUILD].present,
                                 .release = m->phases[PHASE_RELEASE].present, .has_old = d->work.old.release[0] != 0,
                                 .drain = true, .apps = (unsigned)m->app_count};
    for (size_t i = 0; i < m->app_count; i++)
        plan->web |= m->apps[i].vhost.present ? 1u << i : 0;
}

/* Loads what the wish names. */
static int load(struct deployment *d, const struct journal_live *old, struct error *err)
{
    struct acceptor *acceptor = &d->agent->acceptor;
    if (accept_manifest(acceptor, d->wish.manifest, &d->manifest, err) != 0)
        return fail(err, "E_DIGESTS", "the manifest is not on this host any more");
    if (d->resumed) {
        struct error ignored; /* going back needs no values */
        if (accept_pair(acceptor, &d->manifest, d->wish.env, &d->values, &ignored) < 0)
            d->values = (struct env_values){0};
    } else if (accept_pair(acceptor, &d->manifest, d->wish.env, &d->values, err) < 0) {
        return -1;
    }
    d->has_old_manifest = old->release[0] != 0 && accept_manifest(acceptor, old->manifest, &d->old_manifest, err) == 0;
    d->work.manifest = &d->manifest;
    d->work.old_manifest = d->has_old_manifest ? &d->old_manifest : NULL;
    d->work.values = &d->values;
    d->work.old = *old;
    snprintf(d->work.project, sizeof d->work.project, "%s", d->wish.project);
    snprintf(d->work.deployment, sizeof d->work.deployment, "%s", d->wish.deployment);
    snprintf(d->work.release, sizeof d->work.release, "%s", d->wish.release);
    snprintf(d->work.commit, sizeof d->work.commit, "%s", d->wish.commit);
    d->work.activate = d->wish.action != ORDER_DEPLOY;
    d->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return d->cancel >= 0 ? 0 : fail_errno(err, "E_NO_MEMORY", errno, "no eventfd");
}

static int journal_run(struct deployment *d, struct error *err)
{
    struct journal_project *j = journal_of(d);
    struct journal_running *r = &j->running;
    *r = (struct journal_running){.stage = STAGE_RUN, .action = d->wish.action, .began_ms = clock_wall_ms(),
                                  .app_count = (uint32_t)d->manifest.app_count, .old = d->work.old};
    memcpy(r->apps, d->work.apps, sizeof r->apps);
    snprintf(r->deployment, sizeof r->deployment, "%s", d->wish.deployment);
    snprintf(r->commit, sizeof r->commit, "%s", d->wish.commit);
    snprintf(r->release, sizeof r->release, "%s", d->wish.release);
    memcpy(r->manifest, d->wish.manifest, 32);
    memcpy(r->env, d->wish.env, 32);
    if (strcmp(j->pending, d->wish.deployment) == 0)
        memset(j->pending, 0, sizeof j->pending);
    return journal_commit(d->agent->journal, err);
}

static void discard(struct deployment *d)
{
    manifest_free(&d->manifest);
    env_values_free(&d->values);
    if (d->has_old_manifest)
        manifest_free(&d->old_manifest);
    if (d->cancel >= 0)
        close(d->cancel);
    free(d);
}

static struct deployment *make(struct agent *a, struct project *p, const struct wish *wish)
{
    struct deployment *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->agent = a;
    d->project = p;
    d->wish = *wish;
    d->cancel = -1;
    d->job.data = d;
    work_init(&d->work);
    return d;
}

static void refuse(struct agent *a, const struct wish *wish, const struct error *why)
{
    struct error err = {0};
    struct journal_project *j = agent_journal(a, wish->project);
    if (j != NULL && strcmp(j->pending, wish->deployment) == 0) {
        memset(j->pending, 0, sizeof j->pending);
        if (journal_commit(a->journal, &err) < 0)
            report_host(a, &err);
    }
    if (report_result(a, wish->project, wish->deployment, OUTCOME_REFUSED, why, NULL, wish->commit, 0, &err) < 0)
        report_host(a, &err);
}

void deployment_begin(struct agent *a, struct project *p, const struct wish *wish)
{
    struct journal_project *j = agent_journal(a, wish->project);
    struct deployment *d = make(a, p, wish);
    struct error err = {0};
    struct journal_live none = {0};
    if (d == NULL || j == NULL) {
        free(d);
        return;
    }
    /* What is stopped serves nothing: there is nothing to drain or to go back to. Its slots still count. */
    int rc = load(d, j->live.stopped != 0 ? &none : &j->live, &err);
    if (rc == 0) {
        choose_slots(d, &j->live);
        d->log = spool_log(&a->spool, wish->deployment, &err);
        rc = d->log != NULL ? journal_run(d, &err) : -1;
    }
    if (rc < 0) {
        discard(d);
        refuse(a, wish, &err);
        agent_next(a, p);
        return;
    }
    p->running = d;
    struct deploy_event event = {.type = EV_BEGIN, .now_ms = clock_boot_ms()};
    make_plan(d, &event.plan);
    feed(d, &event);
}

/* The manifest cannot be read: nothing can be put in order, but the deployment must have its end. */
static void give_up_resume(struct agent *a, struct journal_project *j, const struct wish *wish)
{
    struct error why = {0}, err = {0};
    fail(&why, "E_INTERRUPTED", "the agent was stopped while this deployment ran, and its manifest cannot be read any more");
    memset(&j->running, 0, sizeof j->running);
    if (report_result(a, wish->project, wish->deployment, OUTCOME_INTERRUPTED, &why, NULL, wish->commit, 0, &err) < 0 ||
        journal_commit(a->journal, &err) < 0)
        report_host(a, &err);
}

void deployment_resume(struct agent *a, struct project *p, struct journal_project *j)
{
    const struct journal_running *r = &j->running;
    struct wish wish = {.action = (enum order_action)r->action};
    struct error err = {0};
    snprintf(wish.project, sizeof wish.project, "%s", j->name);
    snprintf(wish.deployment, sizeof wish.deployment, "%s", r->deployment);
    snprintf(wish.commit, sizeof wish.commit, "%s", r->commit);
    snprintf(wish.release, sizeof wish.release, "%s", r->release);
    memcpy(wish.manifest, r->manifest, 32);
    memcpy(wish.env, r->env, 32);
    struct deployment *d = make(a, p, &wish);
    if (d == NULL)
        return;
    d->resumed = true;
    if (load(d, &r->old, &err) < 0) {
        discard(d);
        give_up_resume(a, j, &wish);
        return;
    }
    memcpy(d->work.apps, r->apps, sizeof d->work.apps);
    d->log = spool_log(&a->spool, wish.deployment, &err);
    d->log_over = d->log == NULL || d->log->closed;
    if (d->log_over)
        d->log = NULL;
    p->running = d;
    struct deploy_event event = {.type = EV_RESUME, .now_ms = clock_boot_ms(), .stage = (enum deploy_stage)r->stage,
                                 .end = (enum deploy_end)r->outcome};
    snprintf(event.why.code, sizeof event.why.code, "%s", r->code);
    snprintf(event.why.text, sizeof event.why.text, "%s", r->text);
    make_plan(d, &event.plan);
    feed(d, &event);
}

/* A log whose scribe and agent both died: a scribe cuts the torn tail off, and that is its end. */
struct mend {
    uv_work_t job;
    struct agent *agent;
    int spool, rc;
    char deployment[24];
    uint64_t synced;
    struct error err;
};

static void run_mend(uv_work_t *job)
{
    struct mend *m = job->data;
    struct scribe scribe;
    m->rc = scribe_open(m->spool, 0, 1, &scribe, &m->synced, &m->err);
    if (m->rc == 0)
        scribe_close(&scribe);
}

static void on_mended(uv_work_t *job, int status)
{
    struct mend *m = job->data;
    struct spool_stream *log = spool_find_log(&m->agent->spool, m->deployment);
    if (status == 0 && m->rc == 0 && log != NULL && !log->closed) {
        if (spool_log_done(&m->agent->spool, log, m->synced, &m->err) < 0)
            report_host(m->agent, &m->err);
        agent_stream(m->agent, log);
        agent_grown(m->agent, log);
    }
    free(m);
}

void deployment_mend_log(struct agent *a, const char *deployment)
{
    struct spool_stream *log = spool_find_log(&a->spool, deployment);
    struct mend *m = log != NULL && !log->closed ? calloc(1, sizeof *m) : NULL;
    if (m == NULL)
        return;
    *m = (struct mend){.agent = a, .spool = log->fd};
    snprintf(m->deployment, sizeof m->deployment, "%s", deployment);
    m->job.data = m;
    if (uv_queue_work(a->loop, &m->job, run_mend, on_mended) < 0)
        free(m);
}
