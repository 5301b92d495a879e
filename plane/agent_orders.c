/* What a host is sent: trust, manifest, env, order, in this order, and only what it does not have.
 *
 * An order is made when the host is there, against its newest challenge, and stored before it is sent. A
 * connection that broke before the host had it shows in the next hello: its sequence is lower than the order's,
 * so the order was never used and never will be, and a new one is made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "plane/agent_conn.h"
#include "plane/documents.h"
#include "plane/events.h"
#include "plane/follow.h"
#include "plane/intents.h"

struct agent_held *agent_held_for(struct agent *a, const char *project, bool make)
{
    for (size_t i = 0; i < a->held_count; i++)
        if (strcmp(a->held[i].project, project) == 0)
            return &a->held[i];
    if (!make || a->held_count == HELLO_PROJECTS_MAX)
        return NULL;
    struct agent_held *h = &a->held[a->held_count++];
    *h = (struct agent_held){0};
    snprintf(h->project, sizeof h->project, "%s", project);
    return h;
}

/* ---- trust ---- */

void agent_orders_trust(struct agent *a)
{
    for (;;) {
        struct error err;
        int64_t version = a->trust + 1, found;
        AUTO_BUF struct buf envelope = BUF(STORE_ENVELOPE_MAX);
        int rc = store_document(&a->plane->store, STORE_TRUST, "", version, &found, NULL, &envelope, &err);
        if (rc < 0)
            plane_log("%s: %s", a->server, err.text);
        if (rc != 0)
            return;
        agent_send_envelope(a, &envelope);
        a->trust = version;
    }
}

/* ---- after hello ---- */

static bool is_state(const struct store_deployment *d, const char *state)
{
    return strcmp(d->state, state) == 0;
}

/* Orders that an earlier connection lost on the way wait again, and so do those that the uplink had and the agent behind
 * it, restarting, had not. Otherwise, within a connection, they are still under way. */
void agent_orders_hello(struct agent *a)
{
    struct error err;
    struct intent_open open;
    if (a->said_hello && !a->order_lost)
        return;
    a->order_lost = false;
    if (intents_open(&a->plane->store, a->server, &open, &err) < 0) {
        plane_log("%s: %s", a->server, err.text);
        return;
    }
    for (size_t i = 0; i < open.count; i++) {
        struct store_deployment *d = &open.at[i];
        const struct agent_held *held = agent_held_for(a, d->project, false);
        if (!is_state(d, "ordered") || d->sequence <= (held != NULL ? held->sequence : 0))
            continue;
        snprintf(d->state, sizeof d->state, "waiting");
        if (store_deployment_save(&a->plane->store, d, &err) < 0)
            plane_log("%s: %s", a->server, err.text);
    }
    intents_open_free(&open);
}

/* ---- making an order ---- */

struct minted {
    struct buf manifest, env, order;
    char manifest_digest[65], env_digest[65], order_digest[65];
    bool has_env;
};

static void minted_free(struct minted *m)
{
    buf_free(&m->manifest);
    buf_free(&m->env);
    buf_free(&m->order);
}

static int seal_key(struct agent *a, uint8_t *seal, struct error *err)
{
    struct store_server v;
    AUTO_TRUST_DOC struct trust_doc t = {0};
    if (store_server(&a->plane->store, a->server, &v, err) != 0)
        return fail(err, "E_REVOKED", "the server was removed");
    if (documents_trust(&a->plane->store, &t, NULL, err) != 0)
        return fail(err, "E_NO_TRUST", "this plane has no trust document yet");
    memcpy(seal, v.seal, sizeof v.seal);
    for (size_t i = 0; i < t.host_count; i++)
        if (strcmp(t.hosts[i].server, a->server) == 0 && memcmp(t.hosts[i].seal, seal, sizeof v.seal) != 0)
            return fail(err, "E_SEAL_KEY",
                        "the owner's trust document names another seal key for %s; values are not sealed to it",
                        a->server);
    return 0;
}

static int env_version(struct agent *a, const struct manifest *m, int64_t *version, struct error *err)
{
    struct store_project p;
    if (m->env_signed)
        return fail(err, "E_ENV_SIGNED",
                    "the manifest of %s demands values sealed by its owner; this plane has none", m->project);
    if (store_project(&a->plane->store, m->project, &p, err) != 0)
        return fail(err, "E_NOT_FOUND", "the project is gone");
    *version = p.env_version;
    if (*version == 0 && store_env_bump(&a->plane->store, m->project, version, err) < 0)
        return -1;
    if ((uint64_t)*version < m->env_min_version)
        return fail(err, "E_ENV_VERSION",
                    "the manifest of %s demands env version %llu or later, the plane has %lld", m->project,
                    (unsigned long long)m->env_min_version, (long long)*version);
    return 0;
}

static int mint_env_doc(struct agent *a, const struct manifest *m, struct minted *out, struct error *err)
{
    uint8_t seal[65];
    out->has_env = m->env.count > 0;
    if (!out->has_env)
        return 0;
    struct documents_sealed what = {
        .server = a->server, .project = m->project, .seal = seal, .now = clock_wall_ms()};
    if (env_version(a, m, &what.version, err) < 0 || seal_key(a, seal, err) < 0)
        return -1;
    return documents_env(&a->plane->store, &a->plane->home.vault, &a->plane->home.order_key, &what, &out->env,
                         out->env_digest, err);
}

static int fill_order(struct agent *a, const struct store_deployment *d, const struct minted *m,
                      struct order *o, struct error *err)
{
    *o = (struct order){.sequence = (uint64_t)d->sequence, .issued = clock_wall_ms(), .has_env = m->has_env};
    COPY_TEXT(o->server, a->server);
    COPY_TEXT(o->project, d->project);
    COPY_TEXT(o->deployment, d->id);
    memcpy(o->challenge, a->challenge, sizeof o->challenge);
    if (strcmp(d->action, "cancel") == 0) {
        o->action = ORDER_CANCEL;
        o->has_env = false;
        COPY_TEXT(o->target, d->target);
        return 0;
    }
    o->action = strcmp(d->action, "deploy") == 0 ? ORDER_DEPLOY : ORDER_ACTIVATE;
    if (o->action == ORDER_DEPLOY)
        COPY_TEXT(o->commit, d->commit);
    else
        COPY_TEXT(o->release, d->release);
    if (hex_decode(m->manifest_digest, 64, o->manifest, sizeof o->manifest) < 0 ||
        (m->has_env && hex_decode(m->env_digest, 64, o->env, sizeof o->env) < 0))
        return fail(err, "E_STORE", "a digest in the database is damaged");
    return 0;
}

static int next_sequence(struct agent *a, const char *project, int64_t *sequence, struct error *err)
{
    const struct agent_held *held = agent_held_for(a, project, false);
    if (store_sequence(&a->plane->store, a->server, project, sequence, err) < 0)
        return -1;
    if (held != NULL && held->sequence > *sequence)
        *sequence = held->sequence;
    *sequence += 1;
    return store_sequence_raise(&a->plane->store, a->server, project, *sequence, err);
}

static int mint_documents(struct agent *a, const struct store_deployment *d, struct minted *m,
                          struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    if (strcmp(d->action, "cancel") == 0)
        return 0;
    int rc = documents_manifest(&a->plane->store, d->project, &manifest, m->manifest_digest, &m->manifest, err);
    if (rc != 0)
        return rc < 0 ? -1 : fail(err, "E_NO_MANIFEST", "%s has no manifest; upload one first", d->project);
    if (!manifest_names_server(&manifest, a->server)) {
        manifest_free(&manifest);
        return fail(err, "E_TARGET", "the manifest of %s does not name server %s", d->project, a->server);
    }
    return mint_env_doc(a, &manifest, m, err);
}

/* The order and its row, in one transaction of the caller's. */
static int mint(struct agent *a, struct store_deployment *d, struct minted *m, struct error *err)
{
    struct order o;
    if (mint_documents(a, d, m, err) < 0 || next_sequence(a, d->project, &d->sequence, err) < 0 ||
        fill_order(a, d, m, &o, err) < 0 ||
        mint_order(&a->plane->home.order_key, &o, &m->order, m->order_digest, err) < 0)
        return -1;
    snprintf(d->state, sizeof d->state, "ordered");
    snprintf(d->order_digest, sizeof d->order_digest, "%s", m->order_digest);
    snprintf(d->manifest, sizeof d->manifest, "%s", m->manifest_digest);
    d->attempts++;
    return store_deployment_save(&a->plane->store, d, err);
}

static bool same_digest(const char *hex, const uint8_t *digest)
{
    uint8_t bytes[32];
    return hex_decode(hex, 64, bytes, sizeof bytes) == 0 && memcmp(bytes, digest, sizeof bytes) == 0;
}

static void send_minted(struct agent *a, const struct store_deployment *d, const struct minted *m)
{
    struct agent_held *held = agent_held_for(a, d->project, true);
    agent_orders_trust(a);
    if (m->manifest.size > 0 &&
        (held == NULL || !held->has_manifest || !same_digest(m->manifest_digest, held->manifest)))
        agent_send_envelope(a, &m->manifest);
    if (m->has_env && (held == NULL || !held->has_env || !same_digest(m->env_digest, held->env)))
        agent_send_envelope(a, &m->env);
    agent_send_envelope(a, &m->order);
    if (held == NULL || m->manifest.size == 0)
        return;
    held->has_manifest = hex_decode(m->manifest_digest, 64, held->manifest, sizeof held->manifest) == 0;
    held->has_env = m->has_env && hex_decode(m->env_digest, 64, held->env, sizeof held->env) == 0;
}

/* An order that cannot be made is the deployment's result: nobody would see it otherwise. */
static void refuse(struct agent *a, struct store_deployment *d, const struct error *why)
{
    struct error err;
    if (strncmp(why->code, "E_STORE", 7) == 0) {
        plane_log("%s: %s: %s", d->id, why->code, why->text); /* not the deployment's fault: it waits */
        return;
    }
    if (intents_end(&a->plane->store, d, "refused", why->code, why->text, clock_wall_ms(), &err) < 0)
        plane_log("%s: %s", d->id, err.text);
    follow_changed(a->plane, d->id);
}

/* 0: ordered; -1: it is over, or the store is in trouble. */
static int order(struct agent *a, struct store_deployment *d)
{
    struct error err = {0};
    struct store_deployment before = *d;
    struct minted m = {
        .manifest = BUF(STORE_ENVELOPE_MAX), .env = BUF(STORE_ENVELOPE_MAX), .order = BUF(STORE_ENVELOPE_MAX)};
    int rc = store_begin(&a->plane->store, &err);
    if (rc == 0)
        rc = store_end(&a->plane->store, mint(a, d, &m, &err) == 0, &err);
    if (rc == 0) {
        send_minted(a, d, &m);
        plane_log("%s: ordered %s of %s (%s, sequence %lld)", a->server, d->action, d->project, d->id,
                  (long long)d->sequence);
        follow_changed(a->plane, d->id);
    } else {
        *d = before;
        refuse(a, d, &err);
    }
    minted_free(&m);
    return rc;
}

static bool challenge_fresh(struct agent *a)
{
    if (a->challenge_at != 0 && clock_boot_ms() - a->challenge_at < AGENT_CHALLENGE_MS)
        return true;
    if (!a->challenge_wanted) {
        struct message m = {.type = MESSAGE_WANT, .as.want = {.what = WANT_CHALLENGE}};
        agent_send(a, &m);
        a->challenge_wanted = true;
    }
    return false;
}

static bool has_trust(struct agent *a)
{
    struct error err;
    int64_t version = 0;
    return store_document(&a->plane->store, STORE_TRUST, "", 0, &version, NULL, NULL, &err) == 0;
}

void agent_orders_next(struct agent *a)
{
    struct error err;
    struct intent_open open;
    if (!a->said_hello || a->leaving || a->plane->stopping || a->ws == NULL)
        return;
    if (intents_open(&a->plane->store, a->server, &open, &err) < 0) {
        plane_log("%s: %s", a->server, err.text);
        return;
    }
    for (int i = intents_next(&open, 0); i >= 0; i = intents_next(&open, (size_t)i + 1))
        if (!has_trust(a) || !challenge_fresh(a))
            break;
        else if (order(a, &open.at[i]) < 0 && strcmp(open.at[i].state, "done") != 0)
            break;
    intents_open_free(&open);
}

/* ---- what the host asks for, and refuses ---- */

static int wanted(struct agent *a, const struct message_want *w, struct buf *envelope, char *about,
                  struct error *err)
{
    struct store *s = &a->plane->store;
    if (w->what == WANT_TRUST) {
        snprintf(about, 65, "%llu", (unsigned long long)w->version);
        return w->version == 0
                   ? 1
                   : store_document(s, STORE_TRUST, "", (int64_t)w->version, NULL, NULL, envelope, err);
    }
    hex_encode(w->digest, sizeof w->digest, about);
    if (w->what == WANT_ENV)
        return store_env_doc_by_digest(s, a->server, about, envelope, err);
    return store_document_by_digest(s, about, envelope, err);
}

void agent_orders_want(struct agent *a, const struct message_want *w)
{
    struct error err = {0};
    char about[65] = "";
    AUTO_BUF struct buf envelope = BUF(STORE_ENVELOPE_MAX);
    if (w->what == WANT_CHALLENGE) {
        agent_send_error(a, "E_MESSAGE", "a challenge is the host's to give", "want");
        return;
    }
    int rc = wanted(a, w, &envelope, about, &err);
    if (rc == 0)
        agent_send_envelope(a, &envelope);
    else
        agent_send_error(a, rc < 0 ? "E_STORE" : "E_NOT_FOUND", "the plane does not have that document", about);
}

/* The uplink's words about the agent behind it. Any order of ours may have died with that agent. */
static bool agent_was_away(struct agent *a, const struct message_error *e)
{
    bool away = strcmp(e->code, "E_AGENT_AWAY") == 0, busy = strcmp(e->code, "E_BUSY") == 0;
    if (!away && !busy)
        return false;
    a->order_lost = true;
    if (busy && strcmp(e->about, document_type_name(DOCUMENT_ORDER)) == 0) {
        a->challenge_at = 0; /* nobody restarts: ask for the hello that tells */
        (void)challenge_fresh(a);
    }
    return true;
}

void agent_orders_refused(struct agent *a, const struct message_error *e)
{
    struct error err;
    struct events_result r = {0};
    if (agent_was_away(a, e))
        return;
    if (strlen(e->about) != 64)
        return;
    if (events_refused(&a->plane->store, a->server, e->about, e->code, e->text, clock_wall_ms(), &r, &err) <
        0) {
        plane_log("%s: %s", a->server, err.text);
        return;
    }
    if (r.order_stale)
        a->challenge_at = 0;
    if (r.deployment[0] == '\0')
        return;
    follow_changed(a->plane, r.deployment);
    agent_orders_next(a);
}
