#include "agent/agent/accept.h"

#include <stdlib.h>
#include <string.h>

#include "agent/agent/secrets.h"
#include "trust/random.h"

static const uint8_t none[32];

static bool is_none(const uint8_t *digest)
{
    return memcmp(digest, none, sizeof none) == 0;
}

int accept_load(struct acceptor *a, struct error *err)
{
    struct journal_state *state = journal_state(a->journal);
    a->keys = (struct trust_keys){0};
    if (state->trust_version == 0)
        return 0;
    AUTO_ENVELOPE struct envelope keep = {0};
    AUTO_TRUST_DOC struct trust_doc doc = {0};
    int rc = documents_load(a->dirfd, DOCUMENT_TRUST, state->trust, NULL, &keep, NULL, err);
    if (rc == 1)
        return fail(err, "E_STATE_LOST", "the trust document is gone from this host's disk: root must say "
                                         "'klystrr trust reset'");
    /* The journal vouches for the digest, so these bytes may be looked into for the keys that signed them. */
    if (rc < 0 || trust_doc_check(buf_view(&keep.payload), &doc, err) < 0)
        return -1;
    return trust_keys_of(&doc, &a->keys, err);
}

int accept_challenge(struct acceptor *a, int64_t boot_ms, struct error *err)
{
    unsigned next = (a->challenge_at + 1) % CHALLENGES_MAX;
    struct challenge made = {.made_ms = boot_ms};
    if (random_bytes(made.bytes, sizeof made.bytes, err) < 0)
        return -1;
    a->challenges[next] = made;
    a->challenge_at = next;
    return 0;
}

static int check_challenge(const struct acceptor *a, const uint8_t *answer, int64_t boot_ms, struct error *err)
{
    for (unsigned i = 0; i < CHALLENGES_MAX; i++) {
        const struct challenge *c = &a->challenges[i];
        if (is_none(c->bytes) || !equal_secret(c->bytes, answer, CHALLENGE_SIZE))
            continue;
        if (boot_ms - c->made_ms >= CHALLENGE_AGE_MS)
            return fail(err, "E_CHALLENGE", "the order answers a challenge that is older than 10 minutes");
        return 0;
    }
    return fail(err, "E_CHALLENGE", "the order does not answer a challenge of this agent");
}

/* A version may stay, rise, and nothing else. 1: it is the one we have. */
static int check_version(const char *what, uint64_t have, const uint8_t *have_digest, uint64_t offered,
                         const uint8_t *digest, struct error *err)
{
    if (offered == have && memcmp(digest, have_digest, 32) == 0)
        return 1;
    if (offered == have)
        return fail(err, "E_EQUIVOCATION", "two different %ss of version %llu were signed", what, (unsigned long long)offered);
    if (offered < have)
        return fail(err, "E_ROLLBACK", "%s version %llu is older than %llu, which was accepted here", what,
                    (unsigned long long)offered, (unsigned long long)have);
    if (offered - have > VERSION_JUMP_MAX)
        return fail(err, "E_VERSION_JUMP", "%s version %llu is too far beyond %llu", what, (unsigned long long)offered,
                    (unsigned long long)have);
    return 0;
}

static int check_expiry(const struct acceptor *a, const char *what, int64_t expires, int64_t wall_ms, struct error *err)
{
    int64_t floor = journal_state(a->journal)->floor_ms;
    if (expires <= (wall_ms > floor ? wall_ms : floor))
        return fail(err, "E_EXPIRED", "the %s has expired: its owner must sign a new version", what);
    return 0;
}

static void raise_floor(struct journal_state *state, int64_t issued)
{
    if (issued > state->floor_ms)
        state->floor_ms = issued;
}

static enum accept_result store_failed(struct acceptor *a)
{
    journal_undo(a->journal);
    return ACCEPT_REFUSED;
}

static enum accept_result accept_trust(struct acceptor *a, const struct signed_bytes *document, const struct verified *v,
                                       const struct accept_now *now, struct error *err)
{
    struct journal_state *state = journal_state(a->journal);
    AUTO_TRUST_DOC struct trust_doc doc = {0};
    struct trust_keys keys;
    if (trust_doc_decode(v, &doc, err) < 0)
        return ACCEPT_REFUSED;
    int rc = check_version("trust document", state->trust_version, state->trust, doc.version, v->digest, err);
    if (rc != 0)
        return rc > 0 ? ACCEPT_KNOWN : ACCEPT_REFUSED;
    if (check_expiry(a, "trust document", doc.expires, now->wall_ms, err) < 0 || trust_keys_of(&doc, &keys, err) < 0 ||
        documents_store(a->dirfd, document, v->digest, err) < 0)
        return ACCEPT_REFUSED;
    state->trust_version = doc.version;
    memcpy(state->trust, v->digest, sizeof state->trust);
    raise_floor(state, doc.issued);
    if (journal_commit(a->journal, err) < 0)
        return store_failed(a);
    a->keys = keys;
    return ACCEPT_STORED;
}

static enum accept_result store_manifest(struct acceptor *a, const struct signed_bytes *document,
                                         const struct verified *v, const struct manifest *m,
                                         const struct accept_now *now, struct accepted *out, struct error *err)
{
    struct journal_state *state = journal_state(a->journal);
    memcpy(out->project, m->project, sizeof out->project);
    if (!manifest_names_server(m, a->server)) {
        fail(err, "E_TARGET", "the manifest of '%s' does not name this server (%s)", m->project, a->server);
        return ACCEPT_REFUSED;
    }
    struct journal_project *p = journal_project(state, m->project, false);
    int rc = check_version("manifest", p != NULL ? p->manifest_version : 0, p != NULL ? p->manifest : none, m->version,
                           v->digest, err);
    if (rc != 0)
        return rc > 0 ? ACCEPT_KNOWN : ACCEPT_REFUSED;
    if (check_expiry(a, "manifest", m->expires, now->wall_ms, err) < 0)
        return ACCEPT_REFUSED;
    if (p == NULL && (p = journal_project(state, m->project, true)) == NULL) {
        fail(err, "E_LIMIT", "this host already has %d projects", JOURNAL_PROJECTS_MAX);
        return ACCEPT_REFUSED;
    }
    uint8_t old[32];
    memcpy(old, p->manifest, sizeof old);
    if (documents_store(a->dirfd, document, v->digest, err) < 0)
        return store_failed(a);
    p->manifest_version = m->version;
    memcpy(p->manifest, v->digest, sizeof p->manifest);
    raise_floor(state, m->issued);
    if (journal_commit(a->journal, err) < 0)
        return store_failed(a);
    if (!journal_refers(p, old))
        documents_remove(a->dirfd, DOCUMENT_MANIFEST, old);
    return ACCEPT_STORED;
}

static enum accept_result accept_new_manifest(struct acceptor *a, const struct signed_bytes *document,
                                              const struct verified *v, const struct accept_now *now,
                                              struct accepted *out, struct error *err)
{
    AUTO_FREE struct manifest *m = calloc(1, sizeof *m);
    if (m == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for a manifest");
        return ACCEPT_REFUSED;
    }
    if (manifest_decode(v, m, err) < 0)
        return ACCEPT_REFUSED;
    enum accept_result result = store_manifest(a, document, v, m, now, out, err);
    manifest_free(m);
    return result;
}

static enum accept_result store_env(struct acceptor *a, const struct signed_bytes *document, const struct verified *v,
                                    const struct env_doc *doc, struct accepted *out, struct error *err)
{
    memcpy(out->project, doc->project, sizeof out->project);
    if (strcmp(doc->server, a->server) != 0) {
        fail(err, "E_TARGET", "these values are for %s, this is %s", doc->server, a->server);
        return ACCEPT_REFUSED;
    }
    struct journal_project *p = journal_project(journal_state(a->journal), doc->project, false);
    if (p == NULL) {
        fail(err, "E_DIGESTS", "values for project '%s', of which no manifest was accepted", doc->project);
        return ACCEPT_REFUSED;
    }
    int rc = check_version("env document", p->env_version, p->env, doc->version, v->digest, err);
    if (rc != 0)
        return rc > 0 ? ACCEPT_KNOWN : ACCEPT_REFUSED;
    struct env_values *values = calloc(1, sizeof *values);
    if (values == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for values");
        return ACCEPT_REFUSED;
    }
    rc = secrets_open(&a->seal, doc, values, err);
    if (rc == 0)
        env_values_free(values);
    free(values);
    uint8_t old[32];
    memcpy(old, p->env, sizeof old);
    if (rc < 0 || documents_store(a->dirfd, document, v->digest, err) < 0)
        return ACCEPT_REFUSED;
    p->env_version = doc->version;
    memcpy(p->env, v->digest, sizeof p->env);
    if (journal_commit(a->journal, err) < 0)
        return store_failed(a);
    if (!journal_refers(p, old))
        documents_remove(a->dirfd, DOCUMENT_ENV, old);
    return ACCEPT_STORED;
}

int accept_manifest(struct acceptor *a, const uint8_t *digest, struct manifest *out, struct error *err)
{
    AUTO_ENVELOPE struct envelope keep = {0};
    struct verified v;
    int rc = documents_load(a->dirfd, DOCUMENT_MANIFEST, digest, &a->keys, &keep, &v, err);
    return rc != 0 ? rc : manifest_decode(&v, out, err);
}

int accept_env(struct acceptor *a, const uint8_t *digest, struct env_doc *out, bool *signed_by_owner, struct error *err)
{
    AUTO_ENVELOPE struct envelope keep = {0};
    struct verified v;
    int rc = documents_load(a->dirfd, DOCUMENT_ENV, digest, &a->keys, &keep, &v, err);
    if (rc != 0)
        return rc;
    if (signed_by_owner != NULL)
        *signed_by_owner = v.role == ROLE_MANIFEST;
    return env_doc_decode(&v, out, err);
}

static int need_values(const struct manifest *m, const struct env_values *values, struct error *err)
{
    for (size_t i = 0; i < m->env.count; i++)
        if (env_values_get(values, m->env.at[i]) == NULL)
            return fail(err, "E_ENV_MISSING", "no value is set for %s, which the manifest names: set it with 'klystrr env set'",
                        m->env.at[i]);
    return 0;
}

int accept_pair(struct acceptor *a, const struct manifest *m, const uint8_t *env, struct env_values *values,
                struct error *err)
{
    *values = (struct env_values){0};
    if (is_none(env))
        return need_values(m, values, err);
    AUTO_ENV_DOC struct env_doc doc = {0};
    bool owner = false;
    int rc = accept_env(a, env, &doc, &owner, err);
    if (rc != 0)
        return rc > 0 ? fail(err, "E_DIGESTS", "the env document is not on this host any more") : -1;
    if (strcmp(doc.project, m->project) != 0)
        return fail(err, "E_DIGESTS", "the env document is for project '%s'", doc.project);
    if (m->env_signed && !owner)
        return fail(err, "E_ENV_SIGNED", "the manifest wants values that its owner has signed, and these are not");
    if (doc.version < m->env_min_version)
        return fail(err, "E_ENV_VERSION", "env version %llu is below the manifest's env.min_version %llu",
                    (unsigned long long)doc.version, (unsigned long long)m->env_min_version);
    if (secrets_open(&a->seal, &doc, values, err) < 0)
        return -1;
    if (need_values(m, values, err) < 0) {
        env_values_free(values);
        return -1;
    }
    return 0;
}

/* May this digest be named for a deploy: the newest; for an activate: also the one the release was made with. */
static bool may_name(const uint8_t *digest, const uint8_t *newest, const uint8_t *of_release)
{
    return memcmp(digest, newest, 32) == 0 || (of_release != NULL && memcmp(digest, of_release, 32) == 0);
}

static enum accept_result want(struct accepted *out, enum document_type type, const uint8_t *digest)
{
    out->want_type = type;
    memcpy(out->want, digest, 32);
    return ACCEPT_WANT;
}

static enum accept_result check_digests(struct acceptor *a, struct journal_project *p, struct accepted *out,
                                        struct manifest *m, struct error *err)
{
    const struct order *o = &out->order;
    const struct journal_release *release = o->action == ORDER_ACTIVATE ? journal_release(p, o->release) : NULL;
    if (o->action == ORDER_ACTIVATE && release == NULL) {
        fail(err, "E_RELEASE", "release %s is not kept on this host", o->release);
        return ACCEPT_REFUSED;
    }
    if (!may_name(o->manifest, p->manifest, release != NULL ? release->manifest : NULL))
        return want(out, DOCUMENT_MANIFEST, o->manifest);
    int rc = accept_manifest(a, o->manifest, m, err);
    if (rc != 0)
        return rc > 0 ? want(out, DOCUMENT_MANIFEST, o->manifest) : ACCEPT_REFUSED;
    if (strcmp(m->project, o->project) != 0 || !manifest_names_server(m, a->server)) {
        fail(err, "E_DIGESTS", "the manifest is for project '%s', or not for this server", m->project);
        return ACCEPT_REFUSED;
    }
    if (!o->has_env)
        return ACCEPT_ORDER;
    if (!may_name(o->env, p->env, release != NULL ? release->env : NULL))
        return want(out, DOCUMENT_ENV, o->env);
    return ACCEPT_ORDER;
}

/* What may run is decided here for the last time: manifest, values, expiry, policy. */
static int check_run(struct acceptor *a, const struct order *o, const struct manifest *m, int64_t wall_ms, struct error *err)
{
    struct env_values *values = calloc(1, sizeof *values);
    if (values == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for values");
    int rc = accept_pair(a, m, o->has_env ? o->env : none, values, err);
    if (rc == 0)
        env_values_free(values);
    free(values);
    if (rc < 0 || (o->action == ORDER_DEPLOY && check_expiry(a, "manifest", m->expires, wall_ms, err) < 0))
        return -1;
    return policy_check(a->policy, m, err);
}

static enum accept_result check_order(struct acceptor *a, struct journal_project *p, const struct accept_now *now,
                                      struct accepted *out, struct error *err)
{
    if (out->order.action == ORDER_CANCEL)
        return ACCEPT_ORDER;
    AUTO_FREE struct manifest *m = calloc(1, sizeof *m);
    if (m == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for a manifest");
        return ACCEPT_REFUSED;
    }
    enum accept_result result = check_digests(a, p, out, m, err);
    if (result == ACCEPT_ORDER && check_run(a, &out->order, m, now->wall_ms, err) < 0)
        result = ACCEPT_REFUSED;
    manifest_free(m);
    return result;
}

static enum accept_result accept_order(struct acceptor *a, const struct verified *v, const struct accept_now *now,
                                       struct accepted *out, struct error *err)
{
    struct order *o = &out->order;
    if (order_decode(v, o, err) < 0)
        return ACCEPT_REFUSED;
    memcpy(out->project, o->project, sizeof out->project);
    if (strcmp(o->server, a->server) != 0) {
        fail(err, "E_TARGET", "the order is for %s, this is %s", o->server, a->server);
        return ACCEPT_REFUSED;
    }
    if (check_challenge(a, o->challenge, now->boot_ms, err) < 0)
        return ACCEPT_REFUSED;
    struct journal_project *p = journal_project(journal_state(a->journal), o->project, false);
    uint64_t have = p != NULL ? p->sequence : 0;
    if (o->sequence <= have) {
        fail(err, "E_REPLAY", "sequence %llu was used already; the last one is %llu", (unsigned long long)o->sequence,
             (unsigned long long)have);
        return ACCEPT_REFUSED;
    }
    if (o->sequence - have > VERSION_JUMP_MAX) {
        fail(err, "E_VERSION_JUMP", "sequence %llu is too far beyond %llu", (unsigned long long)o->sequence,
             (unsigned long long)have);
        return ACCEPT_REFUSED;
    }
    if (p == NULL)
        return o->action == ORDER_CANCEL ? ACCEPT_KNOWN : want(out, DOCUMENT_MANIFEST, o->manifest);
    enum accept_result result = check_order(a, p, now, out, err);
    if (result != ACCEPT_ORDER)
        return result;
    p->sequence = o->sequence;
    if (o->action != ORDER_CANCEL)
        memcpy(p->pending, o->deployment, sizeof o->deployment);
    return journal_commit(a->journal, err) < 0 ? store_failed(a) : ACCEPT_ORDER;
}

static enum accept_result accept_new_env(struct acceptor *a, const struct signed_bytes *document, const struct verified *v,
                                         struct accepted *out, struct error *err)
{
    AUTO_ENV_DOC struct env_doc doc = {0};
    return env_doc_decode(v, &doc, err) < 0 ? ACCEPT_REFUSED : store_env(a, document, v, &doc, out, err);
}

enum accept_result accept_document(struct acceptor *a, const struct signed_bytes *document, const struct accept_now *now,
                                   struct accepted *out, struct error *err)
{
    struct verified v;
    *out = (struct accepted){0};
    bool first = journal_state(a->journal)->trust_version == 0;
    int rc = first ? verify_trust_first(a->pin, document, &v, err) : verify(&a->keys, document, &v, err);
    if (rc < 0)
        return ACCEPT_REFUSED;
    memcpy(out->digest, v.digest, sizeof out->digest);
    switch (v.type) {
    case DOCUMENT_TRUST:
        return accept_trust(a, document, &v, now, err);
    case DOCUMENT_MANIFEST:
        return accept_new_manifest(a, document, &v, now, out, err);
    case DOCUMENT_ENV:
        return accept_new_env(a, document, &v, out, err);
    case DOCUMENT_ORDER:
        return accept_order(a, &v, now, out, err);
    }
    fail(err, "E_TYPE", "an unknown kind of document");
    return ACCEPT_REFUSED;
}
