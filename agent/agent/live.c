/* What serves: brought back after a reboot, stopped by local root, its unwatched output read and dropped.
 *
 * Happy path: live_apply → a worker sets the flags and starts what does not run → app events → a deployment that was
 * interrupted is resumed, or what waits begins. Failures: an app that cannot be started is told as an `app` event, and
 * tried again at every tick. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent/agent.h"
#include "agent/agent/secrets.h"
#include "ipc/unit_plan.h"

struct live_job {
    uv_work_t job;
    struct agent *agent;
    struct project *project;
    struct manifest manifest;
    struct env_values values;
    struct work work;
    bool stop;
    uint64_t client;
    unsigned started;
    int rc;
    struct error err;
};

struct drain {
    uv_poll_t poll;
    int fd;
};

static void drain_freed(uv_handle_t *handle)
{
    struct drain *d = handle->data;
    close(d->fd);
    free(d);
}

static void stop_drain(struct drain *d)
{
    uv_poll_stop(&d->poll);
    uv_close((uv_handle_t *)&d->poll, drain_freed);
}

static void on_output(uv_poll_t *poll, int status, int what)
{
    struct drain *d = poll->data;
    char block[65536];
    (void)what;
    ssize_t n = status < 0 ? 0 : read(d->fd, block, sizeof block);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        uv_poll_stop(poll); /* nobody writes any more; the next look at what serves opens it again */
}

/* Open for writing too: a FIFO without a writer would be readable for ever. */
static struct drain *start_drain(uv_loop_t *loop, const struct warden_unit *unit)
{
    char path[128];
    unit_output_path(unit, path);
    struct drain *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (d->fd < 0)
        d->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (d->fd < 0 || uv_poll_init(loop, &d->poll, d->fd) < 0) {
        if (d->fd >= 0)
            close(d->fd);
        free(d);
        return NULL;
    }
    d->poll.data = d;
    uv_poll_start(&d->poll, UV_READABLE, on_output);
    return d;
}

void live_drain(struct agent *a, struct project *p)
{
    struct journal_project *j = agent_journal(a, p->name);
    unsigned n = 0;
    bool pm2 = false;
    for (int i = 0; i < DRAINS_MAX; i++) {
        if (p->drains[i] != NULL)
            stop_drain(p->drains[i]);
        p->drains[i] = NULL;
    }
    for (uint32_t i = 0; j != NULL && j->live.stopped == 0 && i < j->live.app_count; i++) {
        struct warden_unit unit = {.slot = j->live.apps[i].slot};
        pm2 = pm2 || j->live.apps[i].pm2 != 0;
        if (j->live.apps[i].pm2 != 0)
            continue;
        snprintf(unit.project, sizeof unit.project, "%s", p->name);
        snprintf(unit.app, sizeof unit.app, "%s", j->live.apps[i].name);
        p->drains[n++] = start_drain(a->loop, &unit);
    }
    if (pm2) {
        struct warden_unit unit = {0};
        snprintf(unit.project, sizeof unit.project, "%s", p->name);
        p->drains[n] = start_drain(a->loop, &unit);
    }
}

static void run_job(uv_work_t *job)
{
    struct live_job *l = job->data;
    l->rc = l->stop ? process_stop_live(&l->work, &l->err) : process_apply_live(&l->work, &l->started, &l->err);
}

static void tell_apps(struct live_job *l)
{
    const struct journal_live *live = &l->work.old;
    bool failed = l->rc < 0;
    if (!failed && l->started == 0 && !l->stop && l->project->trouble[0] == 0)
        return;
    if (failed && strcmp(l->project->trouble, l->err.text) == 0)
        return; /* told already */
    for (uint32_t i = 0; i < live->app_count; i++)
        report_app(l->agent, l->project->name, live->apps[i].name,
                   failed ? APP_FAILED : l->stop ? APP_STOPPED : APP_RUNNING, live->release, failed ? l->err.text : NULL);
}

static void answer(struct live_job *l)
{
    struct control_client *client = l->client != 0 ? control_by_id(l->agent->control, l->client) : NULL;
    if (client == NULL)
        return;
    if (l->rc < 0)
        control_refuse(client, &l->err);
    else
        control_say(client, CONTROL_DONE, NULL, 0, -1);
}

static void on_job(uv_work_t *job, int status)
{
    struct live_job *l = job->data;
    struct agent *a = l->agent;
    struct project *p = l->project;
    (void)status;
    secrets_mask_text(&l->values, l->err.text, sizeof l->err.text);
    tell_apps(l);
    snprintf(p->trouble, sizeof p->trouble, "%s", l->rc < 0 ? l->err.text : "");
    p->daemon_pid = l->work.daemon_pid;
    if (!l->stop) {
        memcpy(p->ports, l->work.is.ports, sizeof p->ports);
        for (int i = 0; i < JOURNAL_APPS_MAX; i++)
            if (l->work.pids[i] != 0)
                p->pids[i] = l->work.pids[i];
    }
    answer(l);
    manifest_free(&l->manifest);
    env_values_free(&l->values);
    free(l);
    p->busy = false;
    live_drain(a, p);
    report_publish(a);
    struct journal_project *j = agent_journal(a, p->name);
    if (j != NULL && j->running.stage != STAGE_NONE && p->running == NULL)
        deployment_resume(a, p, j);
    else
        agent_next(a, p);
}

static int begin(struct agent *a, struct project *p, bool stop, uint64_t client, struct error *err)
{
    struct journal_project *j = agent_journal(a, p->name);
    struct live_job *l = calloc(1, sizeof *l);
    if (l == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    *l = (struct live_job){.agent = a, .project = p, .stop = stop, .client = client};
    work_init(&l->work);
    if (accept_manifest(&a->acceptor, j->live.manifest, &l->manifest, err) != 0 ||
        (!stop && accept_pair(&a->acceptor, &l->manifest, j->live.env, &l->values, err) < 0)) {
        free(l);
        return fail_in(err, "what serves of '%s' cannot be looked up", p->name);
    }
    l->work.manifest = &l->manifest;
    l->work.values = &l->values;
    l->work.old = j->live;
    l->work.daemon_pid = p->daemon_pid;
    snprintf(l->work.project, sizeof l->work.project, "%s", p->name);
    for (size_t i = 0; i < l->manifest.app_count; i++) {
        const struct journal_app *live = journal_live_app(&j->live, l->manifest.apps[i].name);
        if (live != NULL)
            l->work.apps[i] = *live;
    }
    const struct journal_release *release = journal_release(j, j->live.release);
    snprintf(l->work.release, sizeof l->work.release, "%s", j->live.release);
    snprintf(l->work.commit, sizeof l->work.commit, "%s", release != NULL ? release->commit : "");
    l->job.data = l;
    p->busy = true;
    if (uv_queue_work(a->loop, &l->job, run_job, on_job) == 0)
        return 0;
    p->busy = false;
    free(l);
    return fail(err, "E_NO_MEMORY", "no worker thread");
}

void live_apply(struct agent *a, struct project *p)
{
    struct journal_project *j = agent_journal(a, p->name);
    struct error err = {0};
    if (j->live.release[0] != 0 && j->live.stopped == 0 && begin(a, p, false, 0, &err) == 0)
        return;
    if (err.code[0] != 0)
        report_host(a, &err);
    if (j->running.stage != STAGE_NONE && p->running == NULL)
        deployment_resume(a, p, j);
    else
        agent_next(a, p);
}

void live_stop(struct agent *a, struct project *p, uint64_t client)
{
    struct error err = {0};
    struct control_client *who = control_by_id(a->control, client);
    if (begin(a, p, true, client, &err) < 0 && who != NULL)
        control_refuse(who, &err);
}
