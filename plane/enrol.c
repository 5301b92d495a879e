/* Enrolment and renewal: who may have a certificate, and what it says. */
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "net/tls/x509.h"
#include "plane/agent_conn.h"
#include "proto/enrol.h"
#include "proto/json_write.h"
#include "trust/digest.h"

#define CERT_MS (INT64_C(90) * 24 * 3600 * 1000)
#define BACK_MS (INT64_C(3600) * 1000)

static const struct http_header json_headers[] = {
    {"Content-Type", "application/json"}, {"Cache-Control", "no-store"}, {NULL, NULL}};
static const struct http_header pem_headers[] = {{"Content-Type", "application/x-pem-file"}, {NULL, NULL}};

void enrol_ca(struct plane *p, struct http_exchange *x)
{
    http_respond(x, 200, pem_headers, p->home.ca_pem.data, p->home.ca_pem.size);
}

static void answer_error(struct http_exchange *x, int status, const struct error *why)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(4096);
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_open(&w, "error", '{');
    json_put_text(&w, "code", why->code);
    json_put_text(&w, "text", why->text);
    json_close(&w, '}');
    json_close(&w, '}');
    if (json_done(&w) < 0)
        http_respond_text(x, 500, "E_NO_MEMORY\n");
    else
        http_respond(x, status, json_headers, out.data, out.size);
}

static int issue(struct plane *p, const char *server, const char *csr, struct buf *pem, struct x509_info *info,
                 struct error *err)
{
    int64_t now = clock_wall_ms();
    struct x509_issue what = {.ca_cert_pem = buf_text(&p->home.ca_pem),
                              .ca_key_pem = buf_text(&p->home.ca_key),
                              .csr_pem = csr,
                              .common_name = server,
                              .use = X509_CLIENT,
                              .not_before_ms = now - BACK_MS,
                              .not_after_ms = now + CERT_MS};
    if (x509_issue(&what, pem, err) < 0)
        return -1;
    return x509_read(buf_text(pem), info, err);
}

int enrol_renew(struct plane *p, const char *server, const char *csr, struct buf *certificate,
                struct error *err)
{
    struct x509_info info;
    if (issue(p, server, csr, certificate, &info, err) < 0)
        return -1;
    return store_server_renewed(&p->store, server, info.sha256, err);
}

/* ---- POST /agent/v1/enrol ---- */

static int use_token(struct plane *p, const struct enrol_request *r, struct error *err)
{
    uint8_t hash[DIGEST_SIZE];
    if (digest_of(r->token, sizeof r->token, hash, err) < 0)
        return -1;
    int rc = store_token_use(&p->store, r->server, hash, clock_wall_ms(), err);
    if (rc > 0)
        return fail(err, "E_TOKEN", "the token is unknown, used or older than 15 minutes; make a new one");
    return rc;
}

static int enrolled(struct plane *p, const struct enrol_request *r, const struct x509_info *info,
                    struct error *err)
{
    struct store_enrolment e = {.id = r->server,
                                .hostname = r->hostname,
                                .version = r->version,
                                .cert_serial = info->serial,
                                .cert_sha256 = info->sha256,
                                .seal = r->seal,
                                .cert_expires = info->not_after_ms};
    return store_server_enrolled(&p->store, &e, err);
}

/* Token, certificate and row change together: a failure leaves the token good. */
static int enrol(struct plane *p, const struct enrol_request *r, struct buf *pem, struct error *err)
{
    struct x509_info info;
    if (p256_check_point(r->seal, err) < 0)
        return fail_in(err, "seal");
    if (store_begin(&p->store, err) < 0)
        return -1;
    bool ok = use_token(p, r, err) == 0 && issue(p, r->server, r->csr, pem, &info, err) == 0 &&
              enrolled(p, r, &info, err) == 0;
    return store_end(&p->store, ok, err);
}

static int first_trust(struct plane *p, struct envelope *out, struct error *err)
{
    AUTO_BUF struct buf text = BUF(STORE_ENVELOPE_MAX);
    int rc = store_document(&p->store, STORE_TRUST, "", 1, NULL, NULL, &text, err);
    if (rc > 0)
        return fail(err, "E_NO_TRUST", "this plane has no trust document yet; its owner uploads one first");
    return rc < 0 ? -1 : envelope_decode(buf_view(&text), out, err);
}

static int status_of(const struct error *err)
{
    if (strcmp(err->code, "E_TOKEN") == 0)
        return 403;
    if (strcmp(err->code, "E_NO_TRUST") == 0)
        return 409;
    if (strcmp(err->code, "E_STORE_FULL") == 0)
        return 507;
    if (strcmp(err->code, "E_STORE") == 0 || strcmp(err->code, "E_RANDOM") == 0 ||
        strcmp(err->code, "E_CRYPTO") == 0)
        return 500;
    return strcmp(err->code, "E_TOO_LARGE") == 0 ? 413 : strcmp(err->code, "E_JSON") == 0 ? 400 : 422;
}

static int answer(struct plane *p, struct http_exchange *x, const struct enrol_request *r, struct error *err)
{
    AUTO_BUF struct buf pem = BUF(X509_PEM_MAX), body = BUF(ENROL_RESPONSE_MAX);
    AUTO_ENVELOPE struct envelope trust = {0};
    if (first_trust(p, &trust, err) < 0 || enrol(p, r, &pem, err) < 0)
        return -1;
    struct enrol_response response = {.certificate = buf_text(&pem), .trust = trust};
    memcpy(response.server, r->server, sizeof response.server);
    memcpy(response.plane, p->home.id, sizeof response.plane);
    if (enrol_response_encode(&response, &body, err) < 0)
        return -1;
    http_respond(x, 200, json_headers, body.data, body.size);
    plane_log("%s: enrolled (%s)", r->server, r->hostname);
    agents_drop(p, r->server, "enrolled anew");
    return 0;
}

void enrol_post(struct plane *p, struct http_exchange *x)
{
    struct error err = {0};
    char peer[CONN_PEER_SIZE];
    conn_peer(http_conn(x), peer);
    AUTO_ENROL_REQUEST struct enrol_request r = {0};
    if (enrol_request_decode(http_body(x), &r, &err) == 0 && answer(p, x, &r, &err) == 0)
        return;
    plane_log("enrolment from %s refused: %s", peer, err.code);
    if (strcmp(err.code, "E_TOKEN") == 0) {
        int64_t now = clock_boot_ms();
        bool reached = limit_reached(&p->wrong_tokens, peer, now);
        limit_count(&p->wrong_tokens, peer, now);
        if (reached) {
            fail(&err, "E_RATE", "too many wrong tokens from this address; wait a minute");
            answer_error(x, 429, &err);
            return;
        }
    }
    answer_error(x, status_of(&err), &err);
}
