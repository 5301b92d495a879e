/* Projects: their manifests, releases and webhooks. */
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "plane/agents.h"
#include "plane/api/api.h"
#include "plane/documents.h"
#include "plane/webhook.h"
#include "trust/random.h"

/* ---- one project as JSON ---- */

static int put_live(void *ctx, const struct store_release *r)
{
    struct json_writer *w = ctx;
    if (!r->live)
        return 0;
    json_open(w, NULL, '{');
    json_put_text(w, "server", r->server);
    json_put_text(w, "release", r->release);
    json_put_text(w, "commit", r->commit);
    json_put_time(w, "since", r->since);
    json_close(w, '}');
    return 0;
}

static int put_manifest(struct json_writer *w, struct plane *p, const char *project, struct error *err)
{
    AUTO_MANIFEST struct manifest m = {0};
    char digest[65];
    int rc = documents_manifest(&p->store, project, &m, digest, NULL, err);
    if (rc < 0)
        return -1;
    if (rc > 0) {
        json_put_null(w, "manifest");
    } else {
        json_open(w, "manifest", '{');
        json_put_number(w, "version", m.version);
        json_put_text(w, "digest", digest);
        json_close(w, '}');
    }
    json_open(w, "servers", '[');
    for (size_t i = 0; rc == 0 && i < m.server_count; i++)
        json_put_text(w, NULL, m.servers[i]);
    json_close(w, ']');
    return 0;
}

static int put_project(struct json_writer *w, struct plane *p, const struct store_project *v, struct error *err)
{
    json_open(w, NULL, '{');
    json_put_text(w, "name", v->name);
    if (put_manifest(w, p, v->name, err) < 0)
        return -1;
    json_put_int(w, "env_version", v->env_version);
    json_open(w, "live", '[');
    if (store_releases(&p->store, v->name, put_live, w, err) < 0)
        return -1;
    json_close(w, ']');
    json_put_int(w, "poll_seconds", v->poll_seconds);
    json_put_bool(w, "webhook", v->webhook);
    json_close(w, '}');
    return 0;
}

static void answer_project(struct call *c, int status, const struct store_project *v)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    struct json_writer w = json_writer(&out, &err);
    if (put_project(&w, c->plane, v, &err) < 0)
        api_error(c, &err);
    else
        api_write(c, status, &w);
}

/* ---- projects ---- */

void api_projects_post(struct call *c)
{
    static const char *const members[] = {"name", NULL};
    struct error err;
    struct store_project v;
    const char *name;
    if (!api_members(c, members))
        return;
    if (json_named(&c->body, "name", JSON_REQUIRED, name_is_project, "a project's name", &name, &err) < 0 ||
        store_project_add(&c->plane->store, name, clock_wall_ms(), &err) < 0 ||
        store_project(&c->plane->store, name, &v, &err) != 0)
        api_error(c, &err);
    else
        answer_project(c, 201, &v);
}

struct listing {
    struct json_writer *w;
    struct plane *plane;
    struct error *err;
};

static int list_project(void *ctx, const struct store_project *v)
{
    struct listing *l = ctx;
    return put_project(l->w, l->plane, v, l->err);
}

void api_projects_get(struct call *c)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    struct json_writer w = json_writer(&out, &err);
    struct listing l = {&w, c->plane, &err};
    json_open(&w, NULL, '{');
    json_open(&w, "projects", '[');
    if (store_projects(&c->plane->store, list_project, &l, &err) < 0) {
        api_error(c, &err);
        return;
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_write(c, 200, &w);
}

void api_project_get(struct call *c)
{
    struct store_project v;
    if (api_project(c, &v))
        answer_project(c, 200, &v);
}

static int remove_log(void *ctx, const struct store_deployment *d)
{
    struct plane *p = ctx;
    struct error err;
    if (logstore_remove(&p->logs, d->id, &err) < 0)
        plane_log("%s: %s", d->id, err.text);
    return 0;
}

void api_project_delete(struct call *c)
{
    struct error err;
    struct store_project v;
    if (!api_project(c, &v))
        return;
    if (store_deployments(&c->plane->store, v.name, INT64_MAX, remove_log, c->plane, &err) < 0 ||
        store_project_remove(&c->plane->store, v.name, &err) < 0)
        api_error(c, &err);
    else
        api_empty(c);
}

void api_project_patch(struct call *c)
{
    static const char *const members[] = {"poll_seconds", NULL};
    struct error err;
    struct store_project v;
    if (!api_project(c, &v) || !api_members(c, members))
        return;
    int64_t seconds = v.poll_seconds;
    if (json_integer(&c->body, "poll_seconds", JSON_OPTIONAL, 0, 86400, &seconds, &err) < 0) {
        api_error(c, &err);
    } else if (seconds != 0 && seconds < 10) {
        api_fail(c, 400, "E_MEMBER", "poll_seconds: 0 (no polling) or 10 to 86400");
    } else if (store_project_poll(&c->plane->store, v.name, seconds, &err) < 0) {
        api_error(c, &err);
    } else {
        v.poll_seconds = seconds;
        answer_project(c, 200, &v);
    }
}

/* ---- the manifest ---- */

static int check_version(struct call *c, const char *project, const struct manifest *m, const char *digest,
                         struct error *err)
{
    int64_t there = 0;
    char known[65];
    int rc = store_document(&c->plane->store, STORE_MANIFEST, project, 0, &there, known, NULL, err);
    if (rc < 0)
        return -1;
    if (rc == 0 && (int64_t)m->version <= there && strcmp(known, digest) != 0)
        return fail(err, "E_EXISTS",
                    "version %llu was sent, but version %lld is here; raise the version and sign it again",
                    (unsigned long long)m->version, (long long)there);
    return 0;
}

static int put_checked(struct call *c, const char *project, uint64_t *version, char *digest, struct error *err)
{
    AUTO_TRUST_DOC struct trust_doc trust = {0};
    AUTO_MANIFEST struct manifest m = {0};
    int rc = documents_trust(&c->plane->store, &trust, NULL, err);
    if (rc != 0)
        return rc < 0 ? -1
                      : fail(err, "E_NO_TRUST",
                             "upload the trust document first: it names the key that signs manifests");
    if (mint_check_manifest(http_body(c->x), &trust, project, &m, digest, err) < 0 ||
        check_version(c, project, &m, digest, err) < 0)
        return -1;
    *version = m.version;
    return store_document_add(&c->plane->store, STORE_MANIFEST, project, (int64_t)m.version, digest,
                              http_body(c->x), clock_wall_ms(), err);
}

void api_manifest_put(struct call *c)
{
    struct error err = {0};
    struct store_project v;
    uint64_t version = 0;
    char digest[65] = "";
    AUTO_BUF struct buf out = BUF(1024);
    if (!api_project(c, &v))
        return;
    if (put_checked(c, v.name, &version, digest, &err) < 0) {
        api_error(c, &err);
        return;
    }
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_put_number(&w, "version", version);
    json_put_text(&w, "digest", digest);
    json_close(&w, '}');
    api_write(c, 200, &w);
}

void api_manifest_get(struct call *c)
{
    struct error err;
    struct store_project v;
    AUTO_BUF struct buf envelope = BUF(STORE_ENVELOPE_MAX);
    if (!api_project(c, &v))
        return;
    int rc = store_document(&c->plane->store, STORE_MANIFEST, v.name, 0, NULL, NULL, &envelope, &err);
    if (rc < 0)
        api_error(c, &err);
    else if (rc > 0)
        api_fail(c, 404, "E_NO_MANIFEST", "%s has no manifest yet", v.name);
    else
        api_json(c, 200, &envelope);
}

/* ---- releases ---- */

static int list_release(void *ctx, const struct store_release *r)
{
    struct json_writer *w = ctx;
    json_open(w, NULL, '{');
    json_put_text(w, "server", r->server);
    json_put_text(w, "release", r->release);
    json_put_text(w, "commit", r->commit);
    json_put_text(w, "state", r->live ? "live" : "kept");
    json_put_time(w, "deployed", r->deployed);
    json_close(w, '}');
    return 0;
}

void api_releases_get(struct call *c)
{
    struct error err;
    struct store_project v;
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    if (!api_project(c, &v))
        return;
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_open(&w, "releases", '[');
    if (store_releases(&c->plane->store, v.name, list_release, &w, &err) < 0) {
        api_error(c, &err);
        return;
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_write(c, 200, &w);
}

/* ---- the webhook's settings ---- */

static int set_webhook(struct call *c, const char *project, char *secret, struct error *err)
{
    uint8_t random[32];
    char label[WEBHOOK_LABEL_SIZE];
    AUTO_BUF struct buf sealed = BUF(1024);
    if (random_bytes(random, sizeof random, err) < 0)
        return -1;
    hex_encode(random, sizeof random, secret);
    webhook_label(project, label);
    if (vault_seal(&c->plane->home.vault, label, (struct bytes){(const uint8_t *)secret, 64}, &sealed, err) < 0)
        return -1;
    return store_webhook_set(&c->plane->store, project, &sealed, err);
}

void api_webhook_put(struct call *c)
{
    struct error err;
    struct store_project v;
    char secret[65], url[64];
    AUTO_WIPE struct buf out = BUF(1024);
    if (!api_project(c, &v))
        return;
    if (set_webhook(c, v.name, secret, &err) < 0) {
        api_error(c, &err);
        return;
    }
    snprintf(url, sizeof url, "/hooks/v1/%s", v.name);
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "url", url);
    json_put_text(&w, "secret", secret);
    json_close(&w, '}');
    api_write(c, 200, &w);
    wipe(secret, sizeof secret);
}

void api_webhook_delete(struct call *c)
{
    struct error err;
    struct store_project v;
    if (!api_project(c, &v))
        return;
    if (store_webhook_set(&c->plane->store, v.name, NULL, &err) < 0)
        api_error(c, &err);
    else
        api_empty(c);
}
