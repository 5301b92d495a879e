#include "plane/events.h"

#include <stdio.h>
#include <string.h>

#include "plane/documents.h"
#include "plane/intents.h"
#include "proto/json_write.h"

#define STALE_MAX 5 /* orders refused for their challenge before we give up */

static void text_or_empty(char *out, size_t room, const char *text)
{
    snprintf(out, room, "%s", text != NULL ? text : "");
}
#define PUT(array, text) text_or_empty((array), sizeof(array), (text))

/* The deployment an event is about, if this host may speak of it. 1: none such. */
static int owner_of(struct store *s, const char *server, const struct event *e, struct store_deployment *d,
                    struct error *err)
{
    int rc = store_deployment(s, e->deployment, d, err);
    if (rc != 0)
        return rc;
    return strcmp(d->server, server) == 0 && strcmp(d->project, e->project) == 0 ? 0 : 1;
}

static int apply_state(struct store *s, struct store_deployment *d, const struct event *e, struct error *err)
{
    if (strcmp(d->state, "done") == 0)
        return 0;
    PUT(d->state, deploy_state_name(e->state.deploy));
    if (d->started == 0)
        d->started = e->at;
    return store_deployment_save(s, d, err);
}

static int64_t retain_of(struct store *s, const char *project)
{
    AUTO_MANIFEST struct manifest m = {0};
    struct error ignored;
    return documents_manifest(s, project, &m, NULL, NULL, &ignored) == 0 ? m.retain : 5;
}

static int note_live(struct store *s, const struct store_deployment *d, int64_t at, struct error *err)
{
    struct store_release r = {.live = true, .deployed = at, .since = at};
    memcpy(r.server, d->server, sizeof r.server);
    memcpy(r.release, d->release, sizeof r.release);
    memcpy(r.commit, d->commit, sizeof r.commit);
    return store_release_live(s, d->project, &r, retain_of(s, d->project), err);
}

/* A cancel order is over when what it was to cancel is. */
static int end_cancels(struct store *s, const struct store_deployment *d, int64_t now, struct error *err)
{
    struct intent_open open;
    if (intents_open(s, d->server, &open, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < open.count; i++)
        if (strcmp(open.at[i].action, "cancel") == 0 && strcmp(open.at[i].target, d->id) == 0)
            rc = intents_end(s, &open.at[i], "live", "", "", now, err);
    intents_open_free(&open);
    return rc;
}

static int apply_result(struct store *s, struct store_deployment *d, const struct event *e, struct error *err)
{
    if (strcmp(d->state, "done") == 0)
        return 0;
    PUT(d->state, "done");
    PUT(d->outcome, deploy_outcome_name(e->outcome));
    PUT(d->code, e->code);
    PUT(d->text, e->text);
    PUT(d->serving, e->serving);
    if (e->release != NULL)
        PUT(d->release, e->release);
    if (e->commit != NULL)
        PUT(d->commit, e->commit);
    d->finished = e->at;
    d->elapsed_ms = e->elapsed_ms;
    if (store_deployment_save(s, d, err) < 0 || end_cancels(s, d, e->at, err) < 0)
        return -1;
    if (e->outcome != OUTCOME_LIVE || strcmp(d->action, "cancel") == 0 ||
        name_release_sequence(d->release) == 0)
        return 0;
    return note_live(s, d, e->at, err);
}

static int write_line(const struct event *e, struct buf *out, struct error *err)
{
    if (event_encode(e, out, err) < 0)
        return -1;
    if (out->size > 0 && out->data[out->size - 1] == '\n')
        out->data[--out->size] = 0;
    return 0;
}

static int apply_deployment(struct store *s, const char *server, const struct event *e, int64_t now,
                            struct events_result *out, struct error *err)
{
    struct store_deployment d;
    bool added = false;
    AUTO_BUF struct buf line = BUF(2 * EVENT_MAX);
    if (write_line(e, &line, err) < 0)
        return -1;
    int rc = owner_of(s, server, e, &d, err);
    if (rc != 0)
        return rc < 0 ? -1 : store_host_event_add(s, server, buf_text(&line), now, err);
    const char *event = e->kind == EVENT_STATE ? "state" : "result";
    if (store_event_add(s, d.id, event, buf_text(&line), &added, err) < 0)
        return -1;
    if (!added)
        return 0;
    memcpy(out->deployment, d.id, sizeof d.id);
    out->over = e->kind == EVENT_RESULT;
    return e->kind == EVENT_STATE ? apply_state(s, &d, e, err) : apply_result(s, &d, e, err);
}

int events_refused(struct store *s, const char *server, const char *digest, const char *code, const char *text,
                   int64_t now, struct events_result *out, struct error *err)
{
    struct store_deployment d;
    int rc = store_deployment_by_order(s, server, digest, &d, err);
    if (rc != 0 || strcmp(d.state, "ordered") != 0)
        return rc < 0 ? -1 : 0;
    memcpy(out->deployment, d.id, sizeof d.id);
    if (strcmp(code, "E_CHALLENGE") == 0 && d.attempts < STALE_MAX) {
        out->order_stale = true;
        PUT(d.state, "waiting");
        return store_deployment_save(s, &d, err);
    }
    out->over = true;
    if (end_cancels(s, &d, now, err) < 0)
        return -1;
    return intents_end(s, &d, "refused", code, text, now, err);
}

static int apply_known(struct store *s, const char *server, const struct event *e, int64_t now,
                       struct events_result *out, struct error *err)
{
    if (e->kind == EVENT_STATE || e->kind == EVENT_RESULT)
        return apply_deployment(s, server, e, now, out, err);
    AUTO_BUF struct buf line = BUF(2 * EVENT_MAX);
    if (write_line(e, &line, err) < 0 || store_host_event_add(s, server, buf_text(&line), now, err) < 0)
        return -1;
    if (e->kind == EVENT_REFUSED && e->about != NULL)
        return events_refused(s, server, e->about, e->code != NULL ? e->code : "",
                              e->text != NULL ? e->text : "", now, out, err);
    return 0;
}

static int note_bad_line(struct store *s, const char *server, const struct error *why, int64_t now,
                         struct error *err)
{
    AUTO_BUF struct buf json = BUF(4096);
    struct json_writer w = json_writer(&json, err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "event", "malformed");
    json_put_text(&w, "code", why->code);
    json_put_text(&w, "text", why->text);
    json_close(&w, '}');
    return json_done(&w) < 0 ? -1 : store_host_event_add(s, server, buf_text(&json), now, err);
}

int events_apply(struct store *s, const char *server, struct bytes line, int64_t now, struct events_result *out,
                 struct error *err)
{
    *out = (struct events_result){0};
    AUTO_EVENT struct event e = {0};
    struct error why = {0};
    int rc = event_decode(line, &e, &why);
    if (rc > 0)
        return 0; /* an event of a later version */
    if (rc < 0)
        return note_bad_line(s, server, &why, now, err);
    return apply_known(s, server, &e, now, out, err);
}
