#include "proto/event.h"

#include <string.h>

#include "proto/json.h"
#include "proto/json_write.h"

static const char *const kinds[] = {"state", "result", "refused", "app", "host", NULL};
static const char *const states[] = {"accepted",   "fetching",  "installing", "building",
                                     "committing", "releasing", "starting",   "probing",
                                     "switching",  "draining",  NULL};
static const char *const outcomes[] = {"live",        "refused",         "failed",
                                       "rolled_back", "rollback_failed", "cancelled",
                                       "superseded",  "interrupted",     NULL};
static const char *const app_states[] = {"running", "stopped", "failed", NULL};

const char *deploy_state_name(enum deploy_state state)
{
    return state >= DEPLOY_ACCEPTED && state <= DEPLOY_DRAINING ? states[state] : "unknown";
}

const char *deploy_outcome_name(enum deploy_outcome outcome)
{
    return outcome >= OUTCOME_LIVE && outcome <= OUTCOME_INTERRUPTED ? outcomes[outcome] : "unknown";
}

const char *app_state_name(enum app_state state)
{
    return state >= APP_RUNNING && state <= APP_FAILED ? app_states[state] : "unknown";
}

static void put_if(struct json_writer *w, const char *name, const char *text)
{
    if (text != NULL)
        json_put_text(w, name, text);
}

/* Cut so that even a text of nothing but escapes leaves a line within EVENT_MAX. */
static void put_text(struct json_writer *w, const char *text)
{
    if (text == NULL)
        return;
    size_t n = strnlen(text, EVENT_TEXT_CUT + 1);
    if (n > EVENT_TEXT_CUT)
        for (n = EVENT_TEXT_CUT; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;)
            n--;
    json_put_bytes(w, "text", (struct bytes){(const uint8_t *)text, n});
}

static void put_kind(struct json_writer *w, const struct event *e)
{
    switch (e->kind) {
    case EVENT_STATE:
        json_put_text(w, "state", deploy_state_name(e->state.deploy));
        break;
    case EVENT_RESULT:
        json_put_text(w, "outcome", deploy_outcome_name(e->outcome));
        json_put_text(w, "serving", e->serving);
        json_put_int(w, "elapsed_ms", e->elapsed_ms);
        break;
    case EVENT_APP:
        json_put_text(w, "state", app_state_name(e->state.app));
        break;
    case EVENT_REFUSED:
    case EVENT_HOST:
        break;
    }
}

static void put_event(struct json_writer *w, const struct event *e)
{
    json_open(w, NULL, '{');
    json_put_text(w, "event", e->kind >= EVENT_STATE && e->kind <= EVENT_HOST ? kinds[e->kind] : "unknown");
    json_put_time(w, "at", e->at);
    put_if(w, "project", e->project);
    put_if(w, "deployment", e->deployment);
    put_kind(w, e);
    put_if(w, "app", e->app);
    put_if(w, "code", e->code);
    put_text(w, e->text);
    put_if(w, "about", e->about);
    put_if(w, "release", e->release);
    put_if(w, "commit", e->commit);
    json_close(w, '}');
}

int event_encode(const struct event *e, struct buf *out, struct error *err)
{
    AUTO_EVENT struct event again = {0};
    struct json_writer w = json_writer(out, err);
    put_event(&w, e);
    if (json_done(&w) < 0)
        return -1;
    int rc = event_decode((struct bytes){out->data + w.start, out->size - w.start}, &again, err);
    if (rc == 1)
        rc = fail(err, "E_MEMBER", "an event needs a known kind");
    if (rc == 0 && buf_add(out, "\n", 1, err) == 0)
        return 0;
    w.failed = true;
    return json_done(&w);
}

static bool is_release(const char *s)
{
    return name_release_sequence(s) != 0;
}

static bool is_code(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n <= EVENT_CODE_MAX && s[n] == 0;
}

static int decode_words(const struct json_at *top, struct event *e, struct error *err)
{
    int state = 0, outcome = 0;
    switch (e->kind) {
    case EVENT_STATE:
        if (json_word(top, "state", JSON_REQUIRED, states, &state, err) < 0)
            return -1;
        e->state.deploy = (enum deploy_state)state;
        return 0;
    case EVENT_RESULT:
        if (json_word(top, "outcome", JSON_REQUIRED, outcomes, &outcome, err) < 0 ||
            json_named(top, "serving", JSON_OPTIONAL, is_release, "a release's name", &e->serving, err) < 0 ||
            json_integer(top, "elapsed_ms", JSON_REQUIRED, 0, JSON_INTEGER_MAX, &e->elapsed_ms, err) < 0)
            return -1;
        e->outcome = (enum deploy_outcome)outcome;
        return 0;
    case EVENT_APP:
        if (json_word(top, "state", JSON_REQUIRED, app_states, &state, err) < 0 ||
            json_named(top, "app", JSON_REQUIRED, name_is_app, "an app's name", &e->app, err) < 0)
            return -1;
        e->state.app = (enum app_state)state;
        return 0;
    case EVENT_REFUSED:
    case EVENT_HOST:
        return 0;
    }
    return -1;
}

static int decode_texts(const struct json_at *top, struct event *e, struct error *err)
{
    enum json_need for_deployment =
        e->kind == EVENT_STATE || e->kind == EVENT_RESULT ? JSON_REQUIRED : JSON_OPTIONAL;
    enum json_need with_code =
        e->kind == EVENT_REFUSED || e->kind == EVENT_HOST ? JSON_REQUIRED : JSON_OPTIONAL;
    if (json_named(top, "project", for_deployment, name_is_project, "a project's name", &e->project, err) < 0 ||
        json_named(top, "deployment", for_deployment, name_is_deployment, "a deployment's id", &e->deployment,
                   err) < 0 ||
        json_named(top, "code", with_code, is_code, "a code like E_REPLAY", &e->code, err) < 0 ||
        json_text(top, "text", with_code, EVENT_TEXT_MAX, &e->text, err) < 0 ||
        json_text(top, "about", JSON_OPTIONAL, 128, &e->about, err) < 0 ||
        json_named(top, "release", JSON_OPTIONAL, is_release, "a release's name", &e->release, err) < 0)
        return -1;
    return json_named(top, "commit", JSON_OPTIONAL, name_is_commit, "a whole commit id", &e->commit, err) < 0
               ? -1
               : 0;
}

static int decode(const struct json_at *top, struct event *e, struct error *err)
{
    const char *kind;
    size_t which = 0;
    if (json_text(top, "event", JSON_REQUIRED, 64, &kind, err) < 0)
        return -1;
    while (kinds[which] != NULL && strcmp(kinds[which], kind) != 0)
        which++;
    if (kinds[which] == NULL)
        return 1;
    e->kind = (enum event_kind)which;
    if (json_time(top, "at", JSON_REQUIRED, &e->at, err) < 0 || decode_words(top, e, err) < 0)
        return -1;
    return decode_texts(top, e, err);
}

int event_decode(struct bytes line, struct event *out, struct error *err)
{
    const struct json_limits limits = json_strict(EVENT_MAX);
    struct json_at top;
    memset(out, 0, sizeof *out);
    int rc = json_parse(line, &limits, &out->tree, err) < 0 || json_top(out->tree, &top, err) < 0
                 ? -1
                 : decode(&top, out, err);
    if (rc != 0)
        event_free(out);
    return rc < 0 ? fail_in(err, "event") : rc;
}

void event_free(struct event *e)
{
    json_free(e->tree);
    memset(e, 0, sizeof *e);
}
