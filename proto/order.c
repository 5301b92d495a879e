#include "proto/order.h"

#include <string.h>

#include "proto/document.h"

static const char *const actions[] = {"deploy", "activate", "cancel", NULL};
static const char *const members[] = {"server",     "project", "sequence", "challenge", "issued",
                                      "deployment", "action",  "commit",   "manifest",  "env",
                                      "release",    "target",  NULL};

const char *order_action_name(enum order_action action)
{
    return action >= ORDER_DEPLOY && action <= ORDER_CANCEL ? actions[action] : "unknown";
}

static bool is_release(const char *s)
{
    return name_release_sequence(s) != 0;
}

static int decode_digests(const struct json_at *top, struct order *o, struct error *err)
{
    if (json_hex(top, "manifest", JSON_REQUIRED, o->manifest, sizeof o->manifest, err) < 0)
        return -1;
    int has_env = json_hex(top, "env", JSON_OPTIONAL, o->env, sizeof o->env, err);
    o->has_env = has_env == 1;
    return has_env < 0 ? -1 : 0;
}

static int decode_action(const struct json_at *top, struct order *o, struct error *err)
{
    int action = 0, rc = -1;
    if (json_word(top, "action", JSON_REQUIRED, actions, &action, err) < 0)
        return -1;
    o->action = (enum order_action)action;
    switch (o->action) {
    case ORDER_DEPLOY:
        rc = json_named_copy(top, "commit", JSON_REQUIRED, name_is_commit,
                             "a whole commit id (40 or 64 hex digits)", o->commit, sizeof o->commit, err);
        return rc < 0 ? -1 : decode_digests(top, o, err);
    case ORDER_ACTIVATE:
        rc = json_named_copy(top, "release", JSON_REQUIRED, is_release, "a release's name", o->release,
                             sizeof o->release, err);
        return rc < 0 ? -1 : decode_digests(top, o, err);
    case ORDER_CANCEL:
        rc = json_named_copy(top, "target", JSON_REQUIRED, name_is_deployment, "a deployment's id", o->target,
                             sizeof o->target, err);
        return rc < 0 ? -1 : 0;
    }
    return -1;
}

static int decode(const struct json_at *top, struct order *o, struct error *err)
{
    if (json_named_copy(top, "server", JSON_REQUIRED, name_is_server, "a server's id", o->server,
                        sizeof o->server, err) < 0 ||
        json_named_copy(top, "project", JSON_REQUIRED, name_is_project, "a project's name", o->project,
                        sizeof o->project, err) < 0 ||
        json_number(top, "sequence", JSON_REQUIRED, 1, JSON_INTEGER_MAX, &o->sequence, err) < 0 ||
        json_base64(top, "challenge", JSON_REQUIRED, o->challenge, sizeof o->challenge, err) < 0 ||
        document_times(top, &o->issued, NULL, err) < 0 ||
        json_named_copy(top, "deployment", JSON_REQUIRED, name_is_deployment, "a deployment's id",
                        o->deployment, sizeof o->deployment, err) < 0)
        return -1;
    return decode_action(top, o, err);
}

int order_check(struct bytes payload, struct order *out, struct error *err)
{
    AUTO_JSON cJSON *tree = NULL;
    struct json_at top;
    memset(out, 0, sizeof *out);
    if (document_open(payload, DOCUMENT_ORDER, members, &tree, &top, err) < 0 || decode(&top, out, err) < 0)
        return fail_in(err, "order");
    return 0;
}

int order_decode(const struct verified *v, struct order *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    return document_is(v, DOCUMENT_ORDER, err) < 0 ? -1 : order_check(v->payload, out, err);
}

static void write_order(struct json_writer *w, const struct order *o)
{
    json_open(w, NULL, '{');
    json_put_text(w, "type", "order");
    json_put_text(w, "server", o->server);
    json_put_text(w, "project", o->project);
    json_put_number(w, "sequence", o->sequence);
    json_put_base64(w, "challenge", o->challenge, sizeof o->challenge);
    json_put_time(w, "issued", o->issued);
    json_put_text(w, "deployment", o->deployment);
    json_put_text(w, "action", order_action_name(o->action));
    if (o->action == ORDER_DEPLOY)
        json_put_text(w, "commit", o->commit);
    if (o->action == ORDER_ACTIVATE)
        json_put_text(w, "release", o->release);
    if (o->action == ORDER_CANCEL)
        json_put_text(w, "target", o->target);
    else
        json_put_hex(w, "manifest", o->manifest, sizeof o->manifest);
    if (o->action != ORDER_CANCEL && o->has_env)
        json_put_hex(w, "env", o->env, sizeof o->env);
    json_close(w, '}');
}

int order_encode(const struct order *o, struct buf *out, struct error *err)
{
    struct order again;
    struct json_writer w = json_writer(out, err);
    write_order(&w, o);
    if (json_done(&w) < 0)
        return -1;
    if (order_check((struct bytes){out->data + w.start, out->size - w.start}, &again, err) == 0)
        return 0;
    w.failed = true;
    return json_done(&w);
}
