/* Deployments: asking for them, watching them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plane/agents.h"
#include "plane/api/api.h"
#include "plane/follow.h"
#include "plane/intents.h"
#include "plane/resolve.h"

#define LIST_DEFAULT 20
#define LIST_MAX     200
#define LOG_CHUNK    65536

/* ---- one deployment as JSON ---- */

static void put_or_null(struct json_writer *w, const char *name, const char *text)
{
    json_put_text(w, name, text[0] != '\0' ? text : NULL);
}

static void put_time_or_null(struct json_writer *w, const char *name, int64_t at)
{
    if (at != 0)
        json_put_time(w, name, at);
    else
        json_put_null(w, name);
}

void api_put_deployment(struct json_writer *w, const char *name, const struct store_deployment *d)
{
    json_open(w, name, '{');
    json_put_text(w, "id", d->id);
    json_put_text(w, "project", d->project);
    json_put_text(w, "server", d->server);
    json_put_text(w, "action", d->action);
    put_or_null(w, "commit", d->commit);
    put_or_null(w, "release", d->release);
    json_put_text(w, "state", d->state);
    put_or_null(w, "outcome", d->outcome);
    put_or_null(w, "code", d->code);
    put_or_null(w, "text", d->text);
    put_or_null(w, "serving", d->serving);
    put_time_or_null(w, "created", d->created);
    put_time_or_null(w, "started", d->started);
    put_time_or_null(w, "finished", d->finished);
    json_put_int(w, "elapsed_ms", d->elapsed_ms);
    json_put_text(w, "trigger", d->trigger);
    json_close(w, '}');
}

static int list_deployment(void *ctx, const struct store_deployment *d)
{
    api_put_deployment(ctx, NULL, d);
    return 0;
}

static void answer_one(struct call *c, int status, const struct store_deployment *d)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(16384);
    struct json_writer w = json_writer(&out, &err);
    api_put_deployment(&w, NULL, d);
    api_write(c, status, &w);
}

static void answer_made(struct call *c, const struct intents *made)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_open(&w, "deployments", '[');
    for (size_t i = 0; i < made->count; i++) {
        struct store_deployment d;
        if (store_deployment(&c->plane->store, made->id[i], &d, &err) == 0)
            api_put_deployment(&w, NULL, &d);
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_write(c, 202, &w);
}

static void kick_made(struct plane *p, const struct intents *made)
{
    for (size_t i = 0; i < made->count; i++)
        agents_kick(p, made->server[i]);
}

/* ---- asking ---- */

/* What a client may ask for; kept while the ref is resolved. */
struct wish {
    struct call *call;
    char project[32], server[24];
};

static void deploy_now(struct call *c, const char *project, const char *server, const char *commit)
{
    struct error err = {0};
    struct intents *made = calloc(1, sizeof *made);
    struct intent_ask ask = {.project = project,
                             .server = server[0] != '\0' ? server : NULL,
                             .trigger = "cli",
                             .now = clock_wall_ms()};
    if (made == NULL)
        api_fail(c, 500, "E_NO_MEMORY", "no memory");
    else if (intents_deploy(&c->plane->store, &ask, commit, made, &err) < 0)
        api_error(c, &err);
    else {
        answer_made(c, made);
        kick_made(c->plane, made);
    }
    free(made);
}

static void on_resolved(void *ctx, const char *commit, const struct error *err)
{
    struct wish *w = ctx;
    struct call *c = w->call;
    /* A client that left while we asked gets no deployment it cannot know of. */
    if (c->x != NULL && commit == NULL)
        api_error(c, err);
    else if (c->x != NULL)
        deploy_now(c, w->project, w->server, commit);
    api_release(c);
    free(w);
}

static bool full_ref(const char *ref, char *out, size_t room)
{
    int n = snprintf(out, room, "%s%s", strncmp(ref, "refs/", 5) == 0 ? "" : "refs/heads/", ref);
    return n > 0 && (size_t)n < room && name_is_ref(out);
}

static void resolve_then_deploy(struct call *c, const char *project, const char *server, const char *ref)
{
    struct error err;
    struct wish *w = calloc(1, sizeof *w);
    if (w == NULL) {
        api_fail(c, 500, "E_NO_MEMORY", "no memory");
        return;
    }
    w->call = c;
    snprintf(w->project, sizeof w->project, "%s", project);
    snprintf(w->server, sizeof w->server, "%s", server);
    api_hold(c);
    if (resolve_project(c->plane, project, ref[0] != '\0' ? ref : NULL, on_resolved, w, &err) < 0) {
        free(w);
        api_error(c, &err);
        api_release(c);
    }
}

void api_deployments_post(struct call *c)
{
    static const char *const members[] = {"ref", "commit", "server", NULL};
    struct error err;
    struct store_project v;
    const char *ref = NULL, *commit = NULL, *server = "";
    char full[256] = "";
    if (!api_project(c, &v) || !api_members(c, members))
        return;
    if (json_text(&c->body, "ref", JSON_OPTIONAL, 240, &ref, &err) < 0 ||
        json_named(&c->body, "commit", JSON_OPTIONAL, name_is_commit,
                   "a commit: 40 or 64 lower-case hex digits", &commit, &err) < 0 ||
        json_named(&c->body, "server", JSON_OPTIONAL, name_is_server, "a server's id", &server, &err) < 0)
        api_error(c, &err);
    else if (ref != NULL && !full_ref(ref, full, sizeof full))
        api_fail(c, 400, "E_MEMBER", "ref: not a branch or a full ref name");
    else if (commit != NULL)
        deploy_now(c, v.name, server, commit);
    else
        resolve_then_deploy(c, v.name, server, full);
}

static void activate(struct call *c, const char *trigger, bool with_release)
{
    static const char *const both[] = {"server", "release", NULL}, *const one[] = {"server", NULL};
    struct error err = {0};
    struct store_project v;
    const char *server = NULL, *release = NULL;
    if (!api_project(c, &v) || !api_members(c, with_release ? both : one))
        return;
    if (json_named(&c->body, "server", JSON_OPTIONAL, name_is_server, "a server's id", &server, &err) < 0 ||
        json_text(&c->body, "release", JSON_OPTIONAL, NAME_RELEASE_MAX, &release, &err) < 0) {
        api_error(c, &err);
        return;
    }
    struct intents *made = calloc(1, sizeof *made);
    struct intent_ask ask = {.project = v.name, .server = server, .trigger = trigger, .now = clock_wall_ms()};
    if (made == NULL)
        api_fail(c, 500, "E_NO_MEMORY", "no memory");
    else if (intents_activate(&c->plane->store, &ask, release, made, &err) < 0)
        api_error(c, &err);
    else {
        answer_made(c, made);
        kick_made(c->plane, made);
    }
    free(made);
}

void api_rollback(struct call *c)
{
    activate(c, "rollback", true);
}

void api_restart(struct call *c)
{
    activate(c, "restart", false);
}

/* ---- looking ---- */

void api_deployments_get(struct call *c)
{
    struct error err;
    struct store_project v;
    char text[16];
    int64_t limit = LIST_DEFAULT;
    if (!api_project(c, &v))
        return;
    int n = http_query(http_request(c->x)->query, "limit", text, sizeof text);
    if (n > 0)
        limit = strtoll(text, NULL, 10);
    if ((n < 0 && strstr(http_request(c->x)->query, "limit=") != NULL) || limit < 1 || limit > LIST_MAX) {
        api_fail(c, 400, "E_USAGE", "limit: 1 to %d", LIST_MAX);
        return;
    }
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_open(&w, "deployments", '[');
    if (store_deployments(&c->plane->store, v.name, limit, list_deployment, &w, &err) < 0) {
        api_error(c, &err);
        return;
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_write(c, 200, &w);
}

void api_deployment_get(struct call *c)
{
    struct store_deployment d;
    if (api_deployment(c, &d))
        answer_one(c, 200, &d);
}

void api_deployment_cancel(struct call *c)
{
    struct error err;
    struct store_deployment d;
    if (!api_deployment(c, &d))
        return;
    if (intents_cancel(&c->plane->store, &d, clock_wall_ms(), &err) < 0) {
        api_error(c, &err);
        return;
    }
    answer_one(c, 202, &d);
    follow_changed(c->plane, d.id);
    agents_kick(c->plane, d.server);
}

/* ---- logs ---- */

void api_events(struct call *c)
{
    struct store_deployment d;
    if (api_deployment(c, &d))
        follow_begin(c->plane, c->x, d.id, http_header(http_request(c->x), "Last-Event-ID"));
}

void api_log_more(struct call *c)
{
    for (;;) {
        struct error err = {0};
        AUTO_BUF struct buf chunk = BUF(8 * LOG_CHUNK);
        int rc = c->raw ? log_reader_raw(c->log, LOG_CHUNK, &chunk, &err)
                        : log_reader_text(c->log, LOG_CHUNK, &chunk, &err);
        if (chunk.size > 0) {
            int sent = http_send(c->x, chunk.data, chunk.size);
            if (sent != 0)
                return; /* on_drain comes, or on_gone */
        } else if (rc < 0) {
            plane_log("%s", err.text);
            http_abort(c->x); /* an end would say "this is all" */
            return;
        } else {
            http_end(c->x);
            return;
        }
    }
}

static void send_log(struct call *c, bool raw)
{
    static const struct http_header text[] = {{"Content-Type", "text/plain; charset=utf-8"},
                                              {"Cache-Control", "no-store"},
                                              {"X-Content-Type-Options", "nosniff"},
                                              {NULL, NULL}};
    static const struct http_header gzip[] = {
        {"Content-Type", "application/gzip"}, {"Cache-Control", "no-store"}, {NULL, NULL}};
    struct error err;
    struct store_deployment d;
    if (!api_deployment(c, &d))
        return;
    c->raw = raw;
    c->log = log_reader_new(&c->plane->logs, d.id, 0, &err);
    if (c->log == NULL) {
        api_error(c, &err);
        return;
    }
    http_begin(c->x, 200, raw ? gzip : text);
    api_log_more(c);
}

void api_log(struct call *c)
{
    send_log(c, false);
}

void api_log_gz(struct call *c)
{
    send_log(c, true);
}
