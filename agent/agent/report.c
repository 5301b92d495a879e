#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent/agent.h"
#include "base/clock.h"
#include "base/encode.h"
#include "ipc/sock.h"
#include "proto/json_write.h"

#define STATUS_MAX (512u * 1024u)

static int put(struct agent *a, const struct event *e, bool over, struct error *err)
{
    AUTO_BUF struct buf line = BUF(EVENT_MAX);
    if (event_encode(e, &line, err) < 0 || spool_event(&a->spool, buf_view(&line), err) < 0)
        return -1;
    agent_grown(a, &a->spool.events);
    if (a->control != NULL && e->deployment != NULL)
        control_event(a->control, e->deployment, buf_view(&line), over);
    return 0;
}

/* An event that cannot be written is told to whoever reads this host's own log. */
static void put_or_say(struct agent *a, const struct event *e)
{
    struct error err = {0};
    if (put(a, e, false, &err) < 0)
        fprintf(stderr, "klystrr-agent: %s %s\n", err.code, err.text);
    report_publish(a);
}

void report_state(struct agent *a, const char *project, const char *deployment, const char *state)
{
    struct event e = {.kind = EVENT_STATE, .at = clock_wall_ms(), .project = project, .deployment = deployment};
    for (int i = DEPLOY_ACCEPTED; i <= DEPLOY_DRAINING; i++)
        if (strcmp(deploy_state_name((enum deploy_state)i), state) == 0)
            e.state.deploy = (enum deploy_state)i;
    put_or_say(a, &e);
}

static const char *serving(struct agent *a, const char *project)
{
    struct journal_project *j = agent_journal(a, project);
    return j != NULL && j->live.release[0] != 0 && j->live.stopped == 0 ? j->live.release : NULL;
}

int report_result(struct agent *a, const char *project, const char *deployment, enum deploy_outcome outcome,
                  const struct error *why, const char *release, const char *commit, int64_t elapsed_ms, struct error *err)
{
    bool said = why != NULL && why->code[0] != 0;
    struct event e = {.kind = EVENT_RESULT, .at = clock_wall_ms(), .project = project, .deployment = deployment,
                      .outcome = outcome, .code = said ? why->code : NULL, .text = said ? why->text : NULL,
                      .release = release != NULL && release[0] != 0 ? release : NULL,
                      .commit = commit != NULL && commit[0] != 0 ? commit : NULL, .serving = serving(a, project),
                      .elapsed_ms = elapsed_ms};
    struct project *p = agent_project(a, project);
    if (p != NULL) {
        snprintf(p->last_deployment, sizeof p->last_deployment, "%s", deployment);
        snprintf(p->last_code, sizeof p->last_code, "%s", said ? why->code : "");
        snprintf(p->last_text, sizeof p->last_text, "%s", said ? why->text : "");
        p->last_outcome = deploy_outcome_name(outcome);
        p->last_at = e.at;
    }
    int rc = put(a, &e, true, err);
    report_publish(a);
    return rc;
}

void report_refused(struct agent *a, const char *project, const uint8_t *digest, const struct error *why)
{
    char hex[65] = "";
    struct link_refused told = {0};
    if (digest != NULL)
        hex_encode(digest, 32, hex);
    struct event e = {.kind = EVENT_REFUSED, .at = clock_wall_ms(), .project = project[0] != 0 ? project : NULL,
                      .code = why->code, .text = why->text, .about = hex};
    put_or_say(a, &e);
    snprintf(told.code, sizeof told.code, "%s", why->code);
    snprintf(told.text, sizeof told.text, "%s", why->text);
    snprintf(told.about, sizeof told.about, "%s", hex);
    if (a->link != NULL && link_connected(a->link) && a->enrolled)
        link_send(a->link, LINK_REFUSED, &told, sizeof told, -1);
}

void report_app(struct agent *a, const char *project, const char *app, enum app_state state, const char *release, const char *text)
{
    struct event e = {.kind = EVENT_APP, .at = clock_wall_ms(), .project = project, .app = app, .state.app = state,
                      .release = release, .text = text};
    put_or_say(a, &e);
}

void report_host(struct agent *a, const struct error *why)
{
    struct event e = {.kind = EVENT_HOST, .at = clock_wall_ms(), .code = why->code, .text = why->text};
    fprintf(stderr, "klystrr-agent: %s %s\n", why->code, why->text);
    put_or_say(a, &e);
}

static void put_apps(struct json_writer *w, const struct project *p, const struct journal_project *j)
{
    json_open(w, "apps", '[');
    for (uint32_t i = 0; i < j->live.app_count; i++) {
        const struct journal_app *app = &j->live.apps[i];
        bool stopped = j->live.stopped != 0;
        json_open(w, NULL, '{');
        json_put_text(w, "app", app->name);
        json_put_text(w, "process", app->pm2 != 0 ? "pm2" : "systemd");
        json_put_text(w, "state", stopped ? "stopped" : p->trouble[0] != 0 ? "failed" : "running");
        json_put_text(w, "slot", app->slot != 0 ? "green" : "blue");
        json_put_int(w, "port", app->web != 0 ? p->ports[i][app->slot & 1] : 0);
        json_put_int(w, "pid", stopped ? 0 : p->pids[i]);
        json_put_text(w, "text", p->trouble);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static const char *commit_of(const struct journal_project *j, const char *release)
{
    for (uint32_t i = 0; i < j->release_count; i++)
        if (strcmp(j->releases[i].name, release) == 0)
            return j->releases[i].commit;
    return "";
}

static void put_last(struct json_writer *w, const struct project *p)
{
    if (p->last_outcome == NULL) {
        json_put_null(w, "last");
        return;
    }
    json_open(w, "last", '{');
    json_put_text(w, "deployment", p->last_deployment);
    json_put_text(w, "outcome", p->last_outcome);
    json_put_time(w, "at", p->last_at);
    json_put_text(w, "code", p->last_code);
    json_put_text(w, "text", p->last_text);
    json_close(w, '}');
}

static void put_project(struct agent *a, struct json_writer *w, const struct journal_project *j)
{
    const struct project *p = agent_project(a, j->name);
    if (p == NULL)
        return;
    json_open(w, NULL, '{');
    json_put_text(w, "project", j->name);
    json_put_text(w, "live", j->live.release);
    json_put_text(w, "commit", commit_of(j, j->live.release));
    json_put_text(w, "state", p->running != NULL ? deployment_state(p->running) : "idle");
    json_put_text(w, "deployment", p->running != NULL ? deployment_id(p->running) : "");
    json_put_bool(w, "stopped", j->live.stopped != 0);
    put_apps(w, p, j);
    put_last(w, p);
    json_close(w, '}');
}

int report_status(struct agent *a, struct buf *out, struct error *err)
{
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "version", KLY_VERSION);
    json_put_text(&w, "server", a->config.server);
    json_put_number(&w, "trust", a->journal != NULL ? journal_state(a->journal)->trust_version : 0);
    json_put_int(&w, "box_level", (int64_t)a->box_level);
    json_open(&w, "link", '{');
    json_put_bool(&w, "online", a->online.online != 0);
    json_put_text(&w, "text", a->online.text);
    json_put_time(&w, "since", a->online.since_ms);
    json_close(&w, '}');
    json_open(&w, "warnings", '[');
    if (a->refused.code[0] != 0)
        json_put_text(&w, NULL, a->refused.text);
    if (a->policy.tree == NULL)
        json_put_text(&w, NULL, a->policy.why.text);
    json_close(&w, ']');
    json_open(&w, "projects", '[');
    for (uint32_t i = 0; a->journal != NULL && i < journal_state(a->journal)->project_count; i++)
        put_project(a, &w, &journal_state(a->journal)->projects[i]);
    json_close(&w, ']');
    json_close(&w, '}');
    return json_done(&w);
}

int report_releases(struct agent *a, const struct journal_project *j, struct buf *out, struct error *err)
{
    struct json_writer w = json_writer(out, err);
    (void)a;
    json_open(&w, NULL, '{');
    json_open(&w, "releases", '[');
    for (uint32_t i = j->release_count; i > 0; i--) {
        const struct journal_release *r = &j->releases[i - 1];
        json_open(&w, NULL, '{');
        json_put_text(&w, "release", r->name);
        json_put_text(&w, "commit", r->commit);
        json_put_text(&w, "state", strcmp(r->name, j->live.release) == 0 ? "live" : "kept");
        json_put_time(&w, "deployed", r->made_ms);
        json_close(&w, '}');
    }
    json_close(&w, ']');
    json_close(&w, '}');
    return json_done(&w);
}

void report_publish(struct agent *a)
{
    AUTO_BUF struct buf json = BUF(STATUS_MAX);
    struct error err;
    if (a->link == NULL || !link_connected(a->link) || !a->enrolled || report_status(a, &json, &err) < 0)
        return;
    int fd = memfd_sealed("status", json.data, json.size, &err);
    if (fd >= 0)
        link_send(a->link, LINK_STATUS, NULL, 0, fd);
}
