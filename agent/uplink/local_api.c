#include "agent/uplink/local_api.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/http/http_server.h"
#include "net/loop/listener.h"

#define ANSWER_MAX (2u * 1024u * 1024u)

struct local_api {
    struct listener *listener;
    struct http_server *server;
    const struct local_api_source *source;
    void *ctx;
};

static void answer(struct http_exchange *x, int status, const struct buf *body)
{
    static const struct http_header headers[] = {
        {"Content-Type", "application/json"}, {"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}, {NULL, NULL}};
    http_respond(x, status, headers, body->data, body->size);
}

static void refuse(struct http_exchange *x, int status, const char *code, const char *text)
{
    AUTO_BUF struct buf body = BUF(1024);
    if (buf_addf(&body, NULL, "{\"error\":{\"code\":\"%s\",\"text\":\"%s\"}}\n", code, text) < 0)
        http_abort(x);
    else
        answer(x, status, &body);
}

/* Is it somebody on this machine who means this socket, and not a page in a browser? */
static int check(struct http_exchange *x)
{
    const struct http_head *head = http_request(x);
    const char *host = http_header(head, "Host");
    if (http_header(head, "Origin") != NULL)
        refuse(x, 403, "E_ORIGIN", "web pages may not ask here");
    else if (host == NULL || strcmp(host, "localhost") != 0)
        refuse(x, 400, "E_HOST", "the Host header must be: localhost");
    else if (strcmp(head->method, "GET") != 0 && strcmp(head->method, "HEAD") != 0)
        refuse(x, 405, "E_METHOD", "this socket only reads: use GET or HEAD");
    else
        return 0;
    return -1;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct local_api *api = ctx;
    const struct {
        const char *path;
        int (*write)(void *ctx, struct buf *out, struct error *err);
    } routes[] = {{"/v1/status", api->source->status}, {"/v1/projects", api->source->projects}, {"/healthz", api->source->health}};
    if (check(x) < 0)
        return;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(http_request(x)->path, routes[i].path) != 0)
            continue;
        AUTO_BUF struct buf body = BUF(ANSWER_MAX);
        if (routes[i].write(api->ctx, &body, NULL) < 0 || buf_add_text(&body, "\n", NULL) < 0)
            refuse(x, 500, "E_INTERNAL", "the answer could not be written");
        else
            answer(x, 200, &body);
        return;
    }
    refuse(x, 404, "E_NOT_FOUND", "there are /v1/status, /v1/projects and /healthz");
}

static const struct http_handler handler = {.on_request = on_request};

static void on_accept(void *ctx, struct conn *c)
{
    struct local_api *api = ctx;
    http_server_take(api->server, c);
}

struct local_api *local_api_open(struct net_loop *net, int listener, const struct local_api_source *source, void *ctx,
                                 struct error *err)
{
    const struct http_server_options limits = {.head_ms = LOCAL_API_DEADLINE_MS, .body_ms = LOCAL_API_DEADLINE_MS,
                                               .idle_ms = LOCAL_API_DEADLINE_MS, .write_ms = LOCAL_API_DEADLINE_MS,
                                               .max_connections = LOCAL_API_CONNECTIONS};
    AUTO_CLOSE int fd = listener;
    struct local_api *api = calloc(1, sizeof *api);
    if (api == NULL) {
        fail(err, "E_MEMORY", "no memory for the local socket");
        return NULL;
    }
    *api = (struct local_api){.source = source, .ctx = ctx};
    api->server = http_server_new(net, &handler, api, &limits, err);
    /* More than the server takes, so that it is the server that says 503. */
    const struct listener_options options = {.on_accept = on_accept, .ctx = api, .max_open = LOCAL_API_CONNECTIONS * 2,
                                             .conn = {.write_limit = ANSWER_MAX + 65536}};
    if (api->server != NULL)
        api->listener = listener_fd(net, take_fd(&fd), &options, err);
    if (api->listener != NULL)
        return api;
    local_api_close(&api);
    return NULL;
}

static void on_freed(void *ctx)
{
    free(ctx);
}

void local_api_close(struct local_api **api)
{
    struct local_api *gone = take_pointer(api);
    if (gone == NULL)
        return;
    if (gone->listener != NULL)
        listener_close(&gone->listener);
    if (gone->server != NULL)
        http_server_free(&gone->server, on_freed); /* its last connection may still call us */
    else
        free(gone);
}
