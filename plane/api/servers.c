/* The plane itself, its trust document, and the servers. */
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "plane/agents.h"
#include "plane/api/api.h"
#include "plane/documents.h"
#include "trust/random.h"

#define TOKEN_MS (INT64_C(15) * 60 * 1000)

/* ---- /plane, /trust ---- */

void api_plane(struct call *c)
{
    struct error err = {0};
    struct home *h = &c->plane->home;
    char digest[65];
    int64_t version = 0;
    int rc = store_document(&c->plane->store, STORE_TRUST, "", 0, &version, digest, NULL, &err);
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    struct json_writer w = json_writer(&out, &err);
    if (rc < 0) {
        api_error(c, &err);
        return;
    }
    json_open(&w, NULL, '{');
    json_put_text(&w, "id", h->id);
    json_put_text(&w, "version", KLY_VERSION);
    json_put_text(&w, "agent_url", h->agent_url);
    json_put_bytes(&w, "ca", buf_view(&h->ca_pem));
    json_put_hex(&w, "ca_sha256", h->ca_sha256, sizeof h->ca_sha256);
    json_put_base64(&w, "order_key", h->order_key.point, sizeof h->order_key.point);
    if (rc > 0) {
        json_put_null(&w, "trust");
    } else {
        json_open(&w, "trust", '{');
        json_put_int(&w, "version", version);
        json_put_text(&w, "digest", digest);
        json_close(&w, '}');
    }
    json_close(&w, '}');
    api_write(c, 200, &w);
}

static int put_trust(struct call *c, uint64_t *version, char *digest, struct error *err)
{
    struct home *h = &c->plane->home;
    AUTO_TRUST_DOC struct trust_doc before = {0}, now = {0};
    char known[65];
    struct mint_plane self = {.id = h->id, .ca_sha256 = h->ca_sha256, .order_point = h->order_key.point};
    int rc = documents_trust(&c->plane->store, &before, known, err);
    if (rc < 0)
        return -1;
    if (mint_check_trust(http_body(c->x), rc == 0 ? &before : NULL, &self, &now, digest, err) < 0) {
        /* The same document again is no step back, and no error. */
        *version = before.version;
        return rc == 0 && strcmp(err->code, "E_TRUST_VERSION") == 0 && strcmp(known, digest) == 0 ? 0 : -1;
    }
    *version = now.version;
    return store_document_add(&c->plane->store, STORE_TRUST, "", (int64_t)now.version, digest, http_body(c->x),
                              clock_wall_ms(), err);
}

static void answer_version(struct call *c, uint64_t version, const char *digest)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(1024);
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_put_number(&w, "version", version);
    json_put_text(&w, "digest", digest);
    json_close(&w, '}');
    api_write(c, 200, &w);
}

void api_trust_put(struct call *c)
{
    struct error err = {0};
    char digest[65] = "";
    uint64_t version = 0;
    if (put_trust(c, &version, digest, &err) < 0) {
        api_error(c, &err);
        return;
    }
    answer_version(c, version, digest);
    agents_trust_changed(c->plane);
    agents_kick(c->plane, NULL);
}

void api_trust_get(struct call *c)
{
    struct error err;
    AUTO_BUF struct buf envelope = BUF(STORE_ENVELOPE_MAX);
    int rc = store_document(&c->plane->store, STORE_TRUST, "", 0, NULL, NULL, &envelope, &err);
    if (rc < 0)
        api_error(c, &err);
    else if (rc > 0)
        api_fail(c, 404, "E_NO_TRUST", "no trust document was uploaded yet");
    else
        api_json(c, 200, &envelope);
}

/* ---- servers ---- */

static bool name_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 63 &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n && s[0] != '-' &&
           s[0] != '.';
}

static const char *state_of(const struct plane *p, const struct store_server *v)
{
    if (v->revoked != 0)
        return "revoked";
    if (!v->enrolled)
        return "pending";
    return agents_online(p, v->id) ? "connected" : "offline";
}

static void put_server(struct json_writer *w, struct plane *p, const struct store_server *v)
{
    json_open(w, NULL, '{');
    json_put_text(w, "id", v->id);
    json_put_text(w, "name", v->name);
    json_put_text(w, "state", state_of(p, v));
    json_put_text(w, "hostname", v->enrolled ? v->hostname : NULL);
    json_put_text(w, "version", v->enrolled ? v->version : NULL);
    if (v->enrolled)
        json_put_base64(w, "seal", v->seal, sizeof v->seal);
    else
        json_put_null(w, "seal");
    if (v->last_seen != 0)
        json_put_time(w, "last_seen", v->last_seen);
    else
        json_put_null(w, "last_seen");
    json_put_int(w, "box_level", v->box_level);
    json_put_int(w, "clock_skew_ms", v->clock_skew);
    json_close(w, '}');
}

struct listing {
    struct json_writer *w;
    struct plane *plane;
};

static int list_server(void *ctx, const struct store_server *v)
{
    struct listing *l = ctx;
    put_server(l->w, l->plane, v);
    return 0;
}

void api_servers_get(struct call *c)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    struct json_writer w = json_writer(&out, &err);
    struct listing l = {&w, c->plane};
    json_open(&w, NULL, '{');
    json_open(&w, "servers", '[');
    if (store_servers(&c->plane->store, list_server, &l, &err) < 0) {
        api_error(c, &err);
        return;
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_write(c, 200, &w);
}

void api_server_get(struct call *c)
{
    struct error err;
    struct store_server v;
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    if (!api_server(c, c->param[0], &v))
        return;
    struct json_writer w = json_writer(&out, &err);
    put_server(&w, c->plane, &v);
    api_write(c, 200, &w);
}

void api_server_delete(struct call *c)
{
    struct error err;
    struct store_server v;
    if (!api_server(c, c->param[0], &v))
        return;
    /* First the connection: nothing of it may be written after the rows are gone. */
    agents_drop(c->plane, v.id, "the server was removed");
    if (store_server_remove(&c->plane->store, v.id, clock_wall_ms(), &err) < 0)
        api_error(c, &err);
    else
        api_empty(c);
}

/* ---- tokens ---- */

static int new_token(struct call *c, const char *id, char *secret, int64_t *expires, struct error *err)
{
    uint8_t random[32], hash[DIGEST_SIZE];
    if (random_bytes(random, sizeof random, err) < 0 || digest_of(random, sizeof random, hash, err) < 0)
        return -1;
    hex_encode(random, sizeof random, secret);
    wipe(random, sizeof random);
    *expires = clock_wall_ms() + TOKEN_MS;
    return store_token_set(&c->plane->store, id, hash, *expires, err);
}

static void answer_token(struct call *c, int status, const char *id, const char *name, const char *secret,
                         int64_t expires)
{
    struct error err;
    AUTO_WIPE struct buf out = BUF(1024);
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "id", id);
    json_put_text(&w, "name", name);
    json_put_text(&w, "secret", secret);
    json_put_time(&w, "expires", expires);
    json_close(&w, '}');
    api_write(c, status, &w);
}

static int add_server(struct call *c, const char *name, char *id, char *secret, int64_t *expires,
                      struct error *err)
{
    uint8_t random[8];
    if (random_bytes(random, sizeof random, err) < 0)
        return -1;
    memcpy(id, "srv_", 4);
    hex_encode(random, sizeof random, id + 4);
    if (store_begin(&c->plane->store, err) < 0)
        return -1;
    bool ok = store_server_add(&c->plane->store, id, name, clock_wall_ms(), err) == 0 &&
              new_token(c, id, secret, expires, err) == 0;
    return store_end(&c->plane->store, ok, err);
}

void api_servers_post(struct call *c)
{
    static const char *const members[] = {"name", NULL};
    struct error err;
    const char *name;
    char id[24], secret[65];
    int64_t expires = 0;
    if (!api_members(c, members))
        return;
    if (json_named(&c->body, "name", JSON_REQUIRED, name_ok, "1 to 63 letters, digits, '.', '_', '-'", &name,
                   &err) < 0 ||
        add_server(c, name, id, secret, &expires, &err) < 0) {
        api_error(c, &err);
        return;
    }
    answer_token(c, 201, id, name, secret, expires);
    wipe(secret, sizeof secret);
}

void api_server_token(struct call *c)
{
    struct error err;
    struct store_server v;
    char secret[65];
    int64_t expires = 0;
    if (!api_server(c, c->param[0], &v))
        return;
    if (new_token(c, v.id, secret, &expires, &err) < 0) {
        api_error(c, &err);
        return;
    }
    answer_token(c, 201, v.id, v.name, secret, expires);
    wipe(secret, sizeof secret);
}
