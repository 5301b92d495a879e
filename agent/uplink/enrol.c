#include "agent/uplink/enrol.h"

#include <string.h>

#include "base/buf.h"
#include "net/loop/conn.h"
#include "net/tls/tls_conn.h"
#include "net/tls/x509.h"
#include "proto/json.h"

#define CA_PEM_MAX 32768u

static void finish(struct enrol *e, const struct enrol_response *answer, const struct error *err)
{
    e->request = NULL;
    buf_wipe_free(&e->body);
    e->on_done(e->ctx, answer, buf_text(&e->ca_pem), err);
}

static int ask(struct enrol *e, struct tls_context *tls, const struct http_client_request *what,
               const struct http_client_events *events, struct error *err)
{
    struct conn *c = conn_connect_tcp(e->net, e->config.plane.host, e->config.plane.port, NULL, err);
    if (c != NULL)
        c = tls_conn_client(c, tls, e->config.plane.host, NULL, 0, err);
    e->request = c != NULL ? http_client_start(c, what, events, e, err) : NULL;
    return e->request != NULL ? 0 : -1;
}

/* {"error":{"code","text"}}, if that is what the body is: the code of a refusal. */
static bool refusal_is(struct bytes body, const char *code)
{
    struct json_limits limits = json_strict(ENROL_REQUEST_MAX);
    AUTO_JSON cJSON *tree = NULL;
    struct json_at top, inner;
    const char *said;
    return json_parse(body, &limits, &tree, NULL) == 0 && json_top(tree, &top, NULL) == 0 &&
           json_object(&top, "error", JSON_REQUIRED, &inner, NULL) == 1 &&
           json_text(&inner, "code", JSON_REQUIRED, 64, &said, NULL) == 1 && strcmp(said, code) == 0;
}

static int check_status(const struct http_client *h, struct error *err)
{
    int status = http_client_head(h)->status;
    if (status == 200)
        return 0;
    if (status == 403 && refusal_is(http_client_body(h), "E_TOKEN"))
        return fail(err, "E_TOKEN", "the plane does not know the token, or it was used or is older than 15 minutes: "
                                    "make a new one and enrol again");
    if (status == 429)
        return fail(err, "E_PLANE_REFUSED", "the plane takes no more tokens from this address for a minute");
    return fail(err, "E_PLANE_REFUSED", "the plane answered the enrolment with HTTP status %d", status);
}

static void on_enrolled(void *ctx, struct http_client *h, const struct error *failed)
{
    struct enrol *e = ctx;
    struct error err = {0};
    AUTO_ENROL_RESPONSE struct enrol_response answer = {0};
    if (failed != NULL) {
        finish(e, NULL, failed);
        return;
    }
    int rc = check_status(h, &err);
    if (rc == 0 && (rc = enrol_response_decode(http_client_body(h), &answer, &err)) < 0)
        fail_in(&err, "the plane's answer to the enrolment is malformed");
    if (rc == 0 && strcmp(answer.server, e->config.server) != 0)
        rc = fail(&err, "E_ENROL", "the plane enrolled server %s, but this host is to be %s", answer.server, e->config.server);
    finish(e, rc == 0 ? &answer : NULL, rc == 0 ? NULL : &err);
}

static const struct http_client_events enrol_events = {.on_done = on_enrolled};

/* The first certificate of what came over the unverified connection, and nothing else of it. */
static int first_certificate(struct bytes pem, struct buf *out, struct error *err)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    const char *from = pem.size > 0 ? strstr((const char *)pem.data, begin) : NULL;
    const char *to = from != NULL ? strstr(from, end) : NULL;
    if (to == NULL)
        return fail(err, "E_CA_PIN", "the plane did not answer with its CA certificate");
    if (buf_add(out, from, (size_t)(to - from) + strlen(end), err) < 0)
        return -1;
    return buf_add_text(out, "\n", err);
}

static int trust_if_pinned(struct enrol *e, struct bytes pem, struct error *err)
{
    struct x509_info info;
    if (first_certificate(pem, &e->ca_pem, err) < 0)
        return -1;
    if (x509_read(buf_text(&e->ca_pem), &info, err) < 0)
        return fail_in(err, "the plane's CA certificate");
    if (!equal_secret(info.sha256, e->config.ca, sizeof info.sha256) || !info.is_ca)
        return fail(err, "E_CA_PIN", "the CA of the plane at %s is not the one the token pins: somebody may be in between, "
                                     "or the plane was set up anew", e->config.url);
    const struct tls_client_options options = {.ca_pem = buf_text(&e->ca_pem)};
    e->pinned = tls_context_client(&options, err);
    return e->pinned != NULL ? 0 : -1;
}

static void on_ca(void *ctx, struct http_client *h, const struct error *failed)
{
    struct enrol *e = ctx;
    struct error err = {0};
    const struct http_header headers[] = {{"Content-Type", "application/json"}, {NULL, NULL}};
    const struct http_client_request post = {.method = "POST", .target = ENROL_PATH, .host = e->config.authority,
                                             .headers = headers, .body = e->body.data, .body_size = e->body.size,
                                             .total_ms = ENROL_TOTAL_MS, .body_cap = ENROL_RESPONSE_MAX};
    e->request = NULL;
    if (failed != NULL) {
        finish(e, NULL, failed);
        return;
    }
    if (check_status(h, &err) < 0 || trust_if_pinned(e, http_client_body(h), &err) < 0 ||
        ask(e, e->pinned, &post, &enrol_events, &err) < 0)
        finish(e, NULL, &err);
}

static const struct http_client_events ca_events = {.on_done = on_ca};

int enrol_start(struct enrol *e, struct net_loop *net, const struct config *config, const struct enrol_request *request,
                void (*on_done)(void *ctx, const struct enrol_response *answer, const char *ca_pem, const struct error *err),
                void *ctx, struct error *err)
{
    *e = (struct enrol){.net = net, .config = *config, .on_done = on_done, .ctx = ctx,
                        .body = BUF(ENROL_REQUEST_MAX), .ca_pem = BUF(CA_PEM_MAX)};
    const struct http_client_request get = {.method = "GET", .target = ENROL_CA_PATH, .host = config->authority,
                                            .total_ms = ENROL_TOTAL_MS, .body_cap = CA_PEM_MAX};
    e->unverified = tls_context_client_unverified_for_pin_fetch(err);
    if (e->unverified != NULL && enrol_request_encode(request, &e->body, err) == 0 &&
        ask(e, e->unverified, &get, &ca_events, err) == 0)
        return 0;
    buf_wipe_free(&e->body); /* a connection that failed to start may still hold the context */
    return -1;
}

void enrol_cancel(struct enrol *e)
{
    if (e->request != NULL)
        http_client_cancel(e->request);
}

void enrol_free(struct enrol *e)
{
    buf_wipe_free(&e->body);
    buf_free(&e->ca_pem);
    tls_context_free(e->unverified);
    tls_context_free(e->pinned);
    *e = (struct enrol){0};
}
