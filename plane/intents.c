#include "plane/intents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "plane/documents.h"
#include "trust/random.h"

#define OPEN_MAX 256

static int new_id(char *out, struct error *err)
{
    uint8_t random[8];
    if (random_bytes(random, sizeof random, err) < 0)
        return -1;
    memcpy(out, "dep_", 4);
    hex_encode(random, sizeof random, out + 4);
    return 0;
}

int intents_end(struct store *s, struct store_deployment *d, const char *outcome, const char *code,
                const char *text, int64_t now, struct error *err)
{
    snprintf(d->state, sizeof d->state, "done");
    snprintf(d->outcome, sizeof d->outcome, "%s", outcome);
    snprintf(d->code, sizeof d->code, "%s", code);
    snprintf(d->text, sizeof d->text, "%s", text);
    d->finished = now;
    struct store_release live;
    struct error ignored;
    if (store_release(s, d->project, d->server, "", &live, &ignored) == 0)
        snprintf(d->serving, sizeof d->serving, "%s", live.release);
    return store_deployment_save(s, d, err);
}

/* ---- the open ones ---- */

static int keep_open(void *ctx, const struct store_deployment *d)
{
    struct intent_open *o = ctx;
    if (o->count < OPEN_MAX)
        o->at[o->count++] = *d;
    return 0;
}

int intents_open(struct store *s, const char *server, struct intent_open *out, struct error *err)
{
    *out = (struct intent_open){.at = calloc(OPEN_MAX, sizeof *out->at)};
    if (out->at == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for the open deployments");
    if (store_deployments_open(s, server, keep_open, out, err) == 0)
        return 0;
    intents_open_free(out);
    return -1;
}

void intents_open_free(struct intent_open *o)
{
    free(o->at);
    *o = (struct intent_open){0};
}

static bool is_cancel(const struct store_deployment *d)
{
    return strcmp(d->action, "cancel") == 0;
}

static bool is_waiting(const struct store_deployment *d)
{
    return strcmp(d->state, "waiting") == 0;
}

static bool older_runs(const struct intent_open *o, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (!is_cancel(&o->at[i]) && strcmp(o->at[i].project, o->at[index].project) == 0)
            return true;
    return false;
}

int intents_next(const struct intent_open *o, size_t from)
{
    for (size_t i = from; i < o->count; i++)
        if (is_waiting(&o->at[i]) && (is_cancel(&o->at[i]) || !older_runs(o, i)))
            return (int)i;
    return -1;
}

/* ---- asking ---- */

static int supersede_waiting(struct store *s, const struct intent_ask *ask, const char *server,
                             struct error *err)
{
    struct intent_open open;
    if (intents_open(s, server, &open, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < open.count; i++) {
        struct store_deployment *d = &open.at[i];
        if (is_waiting(d) && !is_cancel(d) && strcmp(d->project, ask->project) == 0)
            rc = intents_end(s, d, "superseded", "E_SUPERSEDED",
                             "a newer deployment was asked for before the host was there", ask->now, err);
    }
    intents_open_free(&open);
    return rc;
}

static int add(struct store *s, const struct intent_ask *ask, const char *server, struct store_deployment *d,
               struct intents *made, struct error *err)
{
    snprintf(d->project, sizeof d->project, "%s", ask->project);
    snprintf(d->server, sizeof d->server, "%s", server);
    snprintf(d->trigger, sizeof d->trigger, "%s", ask->trigger);
    snprintf(d->state, sizeof d->state, "waiting");
    d->created = ask->now;
    if (supersede_waiting(s, ask, server, err) < 0 || new_id(d->id, err) < 0 ||
        store_deployment_add(s, d, err) < 0)
        return -1;
    memcpy(made->id[made->count], d->id, sizeof d->id);
    memcpy(made->server[made->count], d->server, sizeof d->server);
    made->count++;
    return 0;
}

static int deploy_on(struct store *s, const struct intent_ask *ask, const char *server, const char *commit,
                     struct intents *made, struct error *err)
{
    struct store_deployment newest;
    int rc = store_deployment_newest(s, ask->project, server, &newest, err);
    if (rc < 0)
        return -1;
    if (ask->only_new && rc == 0 && strcmp(newest.commit, commit) == 0)
        return 0;
    /* A poll finds what changed; that a project shall run at all is said by a person, or by a push. */
    if (rc > 0 && strcmp(ask->trigger, "poll") == 0)
        return 0;
    struct store_deployment d = {0};
    snprintf(d.action, sizeof d.action, "deploy");
    snprintf(d.commit, sizeof d.commit, "%s", commit);
    return add(s, ask, server, &d, made, err);
}

static int activate_on(struct store *s, const struct intent_ask *ask, const char *server, const char *release,
                       struct intents *made, struct error *err)
{
    struct store_release live, r;
    bool back = strcmp(ask->trigger, "rollback") == 0;
    int rc = store_release(s, ask->project, server, "", &live, err);
    if (rc == 0 && release != NULL)
        rc = store_release(s, ask->project, server, release, &r, err);
    else if (rc == 0 && back)
        rc = store_release_before(s, ask->project, server, (int64_t)name_release_sequence(live.release), &r,
                                  err);
    else
        r = live;
    if (rc < 0)
        return -1;
    if (rc > 0)
        return fail(err, "E_NO_RELEASE",
                    back ? "%s has no such kept release on %s; `releases` lists what is there"
                         : "%s has no live release on %s; deploy first",
                    ask->project, server);
    struct store_deployment d = {0};
    snprintf(d.action, sizeof d.action, "activate");
    snprintf(d.release, sizeof d.release, "%s", r.release);
    snprintf(d.commit, sizeof d.commit, "%s", r.commit);
    return add(s, ask, server, &d, made, err);
}

typedef int on_server(struct store *s, const struct intent_ask *ask, const char *server, const char *what,
                      struct intents *made, struct error *err);

static int each_server(struct store *s, const struct intent_ask *ask, const struct manifest *m, on_server *on,
                       const char *what, struct intents *made, struct error *err)
{
    size_t here = 0;
    for (size_t i = 0; i < m->server_count; i++) {
        struct store_server v;
        if (ask->server != NULL && strcmp(ask->server, m->servers[i]) != 0)
            continue;
        int rc = store_server(s, m->servers[i], &v, err);
        if (rc < 0)
            return -1;
        here += rc == 0;
        if (rc == 0 && on(s, ask, m->servers[i], what, made, err) < 0)
            return -1;
    }
    if (here > 0)
        return 0;
    if (ask->server != NULL)
        return fail(err, "E_TARGET", "the manifest of %s does not name server %s", ask->project, ask->server);
    return fail(err, "E_NO_SERVER", "none of the servers in the manifest of %s is enrolled here", ask->project);
}

static int in_transaction(struct store *s, const struct intent_ask *ask, on_server *on, const char *what,
                          struct intents *made, struct error *err)
{
    AUTO_MANIFEST struct manifest m = {0};
    int rc = documents_manifest(s, ask->project, &m, NULL, NULL, err);
    if (rc != 0)
        return rc < 0 ? -1
                      : fail(err, "E_NO_MANIFEST", "%s has no manifest yet; upload one first", ask->project);
    return each_server(s, ask, &m, on, what, made, err);
}

static int asked(struct store *s, const struct intent_ask *ask, on_server *on, const char *what,
                 struct intents *made, struct error *err)
{
    made->count = 0;
    if (store_begin(s, err) < 0)
        return -1;
    bool ok = in_transaction(s, ask, on, what, made, err) == 0;
    return store_end(s, ok, err);
}

int intents_deploy(struct store *s, const struct intent_ask *ask, const char *commit, struct intents *made,
                   struct error *err)
{
    return asked(s, ask, deploy_on, commit, made, err);
}

int intents_activate(struct store *s, const struct intent_ask *ask, const char *release, struct intents *made,
                     struct error *err)
{
    return asked(s, ask, activate_on, release, made, err);
}

static int has_cancel(struct store *s, const struct store_deployment *d, struct error *err)
{
    struct intent_open open;
    if (intents_open(s, d->server, &open, err) < 0)
        return -1;
    int found = 0;
    for (size_t i = 0; i < open.count; i++)
        found |= is_cancel(&open.at[i]) && strcmp(open.at[i].target, d->id) == 0;
    intents_open_free(&open);
    return found;
}

int intents_cancel(struct store *s, struct store_deployment *d, int64_t now, struct error *err)
{
    if (strcmp(d->state, "done") == 0)
        return fail(err, "E_DONE", "deployment %s is over (%s)", d->id, d->outcome);
    if (is_waiting(d))
        return intents_end(s, d, "cancelled", "", "cancelled before it was ordered", now, err);
    int there = has_cancel(s, d, err);
    if (there != 0)
        return there < 0 ? -1 : 0;
    struct store_deployment c = {.created = now};
    snprintf(c.action, sizeof c.action, "cancel");
    snprintf(c.state, sizeof c.state, "waiting");
    snprintf(c.trigger, sizeof c.trigger, "cli");
    memcpy(c.project, d->project, sizeof c.project);
    memcpy(c.server, d->server, sizeof c.server);
    memcpy(c.target, d->id, sizeof c.target);
    if (new_id(c.id, err) < 0)
        return -1;
    return store_deployment_add(s, &c, err);
}
