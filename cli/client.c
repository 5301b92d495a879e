/* A call: connect, TLS with the pinned CA (or the system's roots), one request, on_done stops the loop.
 * Failures of any layer arrive in on_done as one error. The loop lives as long as the call. */
#include "cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/http/http_client.h"
#include "net/tls/tls_conn.h"
#include "proto/json_check.h"

struct call {
    uv_loop_t uv;
    struct net_loop net;
    struct tls_context *tls;
    struct answer *out;
    api_bytes on_bytes;
    void *ctx;
    bool stopped;
    bool failed;
    struct error error;
};

void answer_free(struct answer *a)
{
    cJSON_Delete(a->json);
    buf_free(&a->body);
    *a = (struct answer){0};
}

void plane_access_free(struct plane_access *p)
{
    buf_free(&p->ca);
    buf_wipe_free(&p->key);
}

int plane_url_parse(const char *url, char *host, size_t room, uint16_t *port, struct error *err)
{
    if (strncmp(url, "https://", 8) != 0)
        return fail(err, "E_USAGE", "the plane's address must begin with https://");
    const char *at = url + 8, *end;
    if (*at == '[') {
        at++;
        end = strchr(at, ']');
    } else {
        end = at + strcspn(at, ":/");
    }
    if (end == NULL || end == at || (size_t)(end - at) >= room)
        return fail(err, "E_USAGE", "the plane's address '%.200s' has no host", url);
    snprintf(host, room, "%.*s", (int)(end - at), at);
    end += *end == ']';
    long number = 443;
    if (*end == ':') {
        char *rest;
        number = strtol(end + 1, &rest, 10);
        end = rest;
    }
    if (number < 1 || number > 65535 || (*end != 0 && strcmp(end, "/") != 0))
        return fail(err, "E_USAGE", "the plane's address must look like https://host:port");
    *port = (uint16_t)number;
    return 0;
}

static int read_named(const cJSON *config, const char *name, struct buf *out, size_t limit, struct error *err)
{
    const char *path = field_text(config, name);
    return *path == 0 ? 0 : file_read(path, limit, out, err);
}

static void trim_end(struct buf *b)
{
    while (b->size > 0 && strchr(" \r\n\t", b->data[b->size - 1]) != NULL)
        b->data[--b->size] = 0;
}

int plane_access_load(const struct cli *cli, struct plane_access *out, struct error *err)
{
    AUTO_BUF struct buf text = BUF(16384);
    *out = (struct plane_access){0};
    int rc = settings_read(cli, "config.json", &text, err);
    if (rc < 0)
        return -1;
    if (rc == 1)
        return fail(err, "E_NOT_FOUND", "no plane is known here: run 'klystrr login --plane https://host:port --key-file FILE' first");
    cJSON *config = cJSON_Parse(buf_text(&text));
    snprintf(out->url, sizeof out->url, "%s", field_text(config, "plane"));
    rc = plane_url_parse(out->url, out->host, sizeof out->host, &out->port, err);
    if (rc == 0)
        rc = read_named(config, "ca_file", &out->ca, 65536, err);
    if (rc == 0)
        rc = read_named(config, "key_file", &out->key, 4096, err);
    trim_end(&out->key);
    cJSON_Delete(config);
    return rc;
}

static bool is_json(struct bytes body)
{
    struct json_limits limits = json_strict(ANSWER_MAX);
    return body.size > 0 && json_check(body, &limits, NULL) == 0;
}

static void refused_by_plane(struct call *call, int status)
{
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(call->out->json, "error");
    const char *code = field_text(inner, "code"), *text = field_text(inner, "text");
    const char *fallback = status == 401   ? "E_UNAUTHORIZED"
                           : status == 403 ? "E_FORBIDDEN"
                           : status == 404 ? "E_NOT_FOUND"
                           : status == 409 ? "E_BUSY"
                                           : "E_PLANE";
    call->failed = true;
    bool own = status == 401 || status == 403 || status == 404; /* the exit code follows the status */
    fail(&call->error, own || *code == 0 ? fallback : code, "%s", *text != 0 ? text : "the plane refused the call");
}

static void on_done(void *ctx, struct http_client *h, const struct error *err)
{
    struct call *call = ctx;
    if (call->stopped)
        return;
    if (err != NULL) {
        call->failed = true;
        call->error = *err;
        return;
    }
    call->out->status = http_client_head(h)->status;
    struct bytes body = http_client_body(h);
    if (call->on_bytes == NULL && buf_add(&call->out->body, body.data, body.size, &call->error) < 0) {
        call->failed = true;
        return;
    }
    if (is_json(buf_view(&call->out->body)))
        call->out->json = cJSON_ParseWithLength(buf_text(&call->out->body), call->out->body.size);
    if (call->out->status >= 400)
        refused_by_plane(call, call->out->status);
}

static void on_bytes(void *ctx, struct http_client *h, const uint8_t *data, size_t size)
{
    struct call *call = ctx;
    if (call->stopped)
        return;
    if (http_client_head(h)->status >= 400) { /* the words of a refusal */
        if (buf_add(&call->out->body, data, size, NULL) == 0)
            return;
    } else if (call->on_bytes(call->ctx, data, size)) {
        return;
    }
    call->stopped = true;
    http_client_cancel(h);
}

static const struct http_client_events collecting = {.on_done = on_done};
static const struct http_client_events streaming = {.on_body = on_bytes, .on_done = on_done};

static struct conn *reach(struct call *call, const struct plane_access *plane)
{
    struct tls_client_options options = {.ca_pem = plane->ca.size > 0 ? buf_text(&plane->ca) : NULL};
    call->tls = tls_context_client(&options, &call->error);
    if (call->tls == NULL)
        return NULL;
    struct conn *c = conn_connect_tcp(&call->net, plane->host, plane->port, NULL, &call->error);
    return c == NULL ? NULL : tls_conn_client(c, call->tls, plane->host, NULL, 0, &call->error);
}

static int run_call(struct call *call, struct conn *c, const struct http_client_request *request, struct error *err)
{
    const struct http_client_events *events = call->on_bytes != NULL ? &streaming : &collecting;
    if (c == NULL || http_client_start(c, request, events, call, &call->error) == NULL)
        call->failed = true;
    else
        uv_run(&call->uv, UV_RUN_DEFAULT);
    net_loop_free(&call->net);
    tls_context_free(call->tls);
    uv_loop_close(&call->uv);
    if (!call->failed)
        return 0;
    if (err != NULL)
        *err = call->error;
    return -1;
}

static int prepare(struct call *call, struct answer *out, struct error *err)
{
    *out = (struct answer){.body = BUF(ANSWER_MAX)};
    call->out = out;
    if (uv_loop_init(&call->uv) != 0)
        return fail(err, "E_NO_MEMORY", "no event loop");
    return net_loop_init(&call->net, &call->uv, err);
}

static void host_header(const struct plane_access *plane, char *out, size_t room)
{
    const char *authority = plane->url + strlen("https://");
    snprintf(out, room, "%.*s", (int)strcspn(authority, "/"), authority);
}

static int call_plane(const struct plane_access *plane, struct call *call, const char *method, const char *target,
                      const char *event_id, const char *body, struct answer *out, struct error *err)
{
    AUTO_WIPE struct buf bearer = BUF(4200);
    char host[300];
    if (prepare(call, out, err) < 0 || buf_addf(&bearer, err, "Bearer %s", buf_text(&plane->key)) < 0)
        return -1;
    host_header(plane, host, sizeof host);
    struct http_header headers[5] = {{"User-Agent", "klystrr/" KLY_VERSION}, {"Accept", "application/json, text/event-stream, text/plain"}};
    size_t n = 2;
    if (plane->key.size > 0)
        headers[n++] = (struct http_header){"Authorization", buf_text(&bearer)};
    if (body != NULL)
        headers[n++] = (struct http_header){"Content-Type", "application/json"};
    if (event_id != NULL)
        headers[n] = (struct http_header){"Last-Event-ID", event_id};
    struct http_header ended[6] = {0};
    memcpy(ended, headers, sizeof headers);
    struct http_client_request request = {.method = method, .target = target, .host = host, .headers = ended, .body = body,
                                          .body_size = body != NULL ? strlen(body) : 0, .stall_ms = call->on_bytes != NULL ? 120000 : 0,
                                          .body_cap = call->on_bytes != NULL ? UINT64_MAX : ANSWER_MAX};
    return run_call(call, reach(call, plane), &request, err);
}

int api_call(const struct plane_access *plane, const char *method, const char *target, const cJSON *body, struct answer *out,
             struct error *err)
{
    struct call call = {0};
    char *text = body != NULL ? cJSON_PrintUnformatted(body) : NULL;
    int rc = call_plane(plane, &call, method, target, NULL, text, out, err);
    if (text != NULL)
        wipe(text, strlen(text)); /* may hold values */
    cJSON_free(text);
    return rc < 0 && out->status == 0 ? fail_in(err, "%s", plane->url) : rc; /* an answer speaks for itself */
}

int api(const struct cli *cli, const char *method, const char *target, const cJSON *body, struct answer *out)
{
    struct error err = {0};
    AUTO_ACCESS struct plane_access plane = {0};
    *out = (struct answer){0};
    if (plane_access_load(cli, &plane, &err) < 0 || api_call(&plane, method, target, body, out, &err) < 0)
        return say_error(cli, &err);
    return EXIT_OK;
}

int api_stream(const struct plane_access *plane, const char *target, const char *last_event_id, api_bytes on_piece, void *ctx,
               struct error *err)
{
    struct call call = {.on_bytes = on_piece, .ctx = ctx};
    AUTO_ANSWER struct answer out = {0};
    return call_plane(plane, &call, "GET", target, last_event_id, NULL, &out, err);
}

int unix_get(const char *path, const char *target, struct answer *out, struct error *err)
{
    struct call call = {0};
    if (prepare(&call, out, err) < 0)
        return -1;
    struct http_client_request request = {.method = "GET", .target = target, .host = "localhost", .body_cap = ANSWER_MAX};
    return run_call(&call, conn_connect_unix(&call.net, path, NULL, &call.error), &request, err);
}
