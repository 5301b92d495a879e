/* Our side of the interoperability tests, driven by interop.sh.
 *
 *   net_peer serve [CERT KEY]          HTTP and WebSocket on a free port of 127.0.0.1, which it prints first
 *   net_peer ws PORT TARGET [CA]       connects, sends messages, demands their echo, says goodbye
 *   net_peer get PORT TARGET [CA]      prints the body of an answer
 *   net_peer pki FOLDER                ca.pem, server.pem and server.key for the others to use */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "net/http/http_client.h"
#include "net/http/http_server.h"
#include "net/loop/listener.h"
#include "net/tls/tls_conn.h"
#include "net/tls/x509.h"
#include "net/ws/ws.h"

#define FILE_MAX   65536
#define STREAM_MAX 5000000

static struct net_loop net;
static int exit_code = 1;

static int complain(const char *what, const struct error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, err->code, err->text);
    return 1;
}

static int read_file(const char *path, struct buf *out)
{
    struct error err;
    return durable_read(AT_FDCWD, path, out, &err) == 0 ? 0 : complain(path, &err);
}

/* ---- serve ------------------------------------------------------------------------------------------------------ */

static struct http_server *server;
static struct tls_context *server_tls;

static void echo(void *ctx, struct ws *w, enum ws_kind kind, const uint8_t *data, size_t size)
{
    (void)ctx;
    struct error err;
    if ((kind == WS_TEXT ? ws_send_text(w, data, size, &err) : ws_send_binary(w, data, size, &err)) < 0)
        complain("echo", &err);
}

static const struct ws_events echo_events = {.on_message = echo};

static size_t on_head(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
    return 2000000;
}

static void stream(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    static const char line[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";
    uintptr_t sent = (uintptr_t)http_user(x);
    for (; sent < STREAM_MAX; sent += sizeof line - 1)
        if (http_send(x, line, sizeof line - 1) != 0)
            break;
    if (sent >= STREAM_MAX)
        http_end(x);
    else
        http_set_user(x, (void *)(sent + sizeof line - 1));
}

static void on_request(void *ctx, struct http_exchange *x)
{
    static const char *const protocols[] = {"klystrr.agent.v1", NULL};
    static const struct ws_server_options options = {.protocols = protocols};
    const struct http_head *head = http_request(x);
    struct error err;
    if (ws_is_upgrade(head)) {
        if (ws_server_accept(x, &options, &echo_events, NULL, &err) == NULL)
            complain("handshake", &err);
    } else if (strcmp(head->path, "/stream") == 0) {
        http_begin(x, 200, NULL);
        stream(ctx, x);
    } else if (strcmp(head->path, "/echo") == 0) {
        http_respond(x, 200, NULL, http_body(x).data, http_body(x).size);
    } else {
        http_respond_text(x, strcmp(head->path, "/") == 0 ? 200 : 404, head->path);
    }
}

static const struct http_handler handler = {.on_head = on_head, .on_request = on_request, .on_drain = stream};

static void on_accept(void *ctx, struct conn *c)
{
    struct error err;
    (void)ctx;
    if (server_tls != NULL)
        c = tls_conn_server(c, server_tls, 0, &err);
    if (c != NULL)
        http_server_take(server, c);
}

static int serve(const char *cert_path, const char *key_path)
{
    struct error err;
    AUTO_BUF struct buf cert = BUF(FILE_MAX), key = BUF(FILE_MAX);
    if (cert_path != NULL) {
        if (read_file(cert_path, &cert) != 0 || read_file(key_path, &key) != 0)
            return 1;
        struct tls_server_options options = {.cert_pem = buf_text(&cert), .key_pem = buf_text(&key)};
        server_tls = tls_context_server(&options, &err);
        if (server_tls == NULL)
            return complain("tls", &err);
    }
    server = http_server_new(&net, &handler, NULL, NULL, &err);
    struct listener_options options = {.on_accept = on_accept};
    struct listener *l = server != NULL ? listener_tcp(&net, "127.0.0.1", 0, &options, &err) : NULL;
    if (l == NULL)
        return complain("listen", &err);
    printf("%u\n", listener_port(l));
    fflush(stdout);
    uv_run(net.uv, UV_RUN_DEFAULT); /* until the script ends it */
    return 1;
}

/* ---- ws ----------------------------------------------------------------------------------------------------------- */

static uint8_t big[300000];
static unsigned echoed;

static void on_open(void *ctx, struct ws *w)
{
    (void)ctx;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 13);
    if (ws_send_text(w, "gr\xc3\xbc\xc3\x9f dich", 11, NULL) < 0 || ws_send_binary(w, big, sizeof big, NULL) < 0 ||
        ws_send_text(w, "", 0, NULL) < 0 || ws_ping(w, "are you there", 13, NULL) < 0)
        ws_abort(w);
}

static void on_message(void *ctx, struct ws *w, enum ws_kind kind, const uint8_t *data, size_t size)
{
    (void)ctx;
    bool good = false;
    switch (echoed++) {
    case 0:
        good = kind == WS_TEXT && size == 11 && memcmp(data, "gr\xc3\xbc\xc3\x9f dich", 11) == 0;
        break;
    case 1:
        good = kind == WS_BINARY && size == sizeof big && memcmp(data, big, size) == 0;
        break;
    case 2:
        good = kind == WS_TEXT && size == 0;
        break;
    default:
        break;
    }
    if (!good)
        ws_abort(w);
    else if (echoed == 3)
        ws_close(w, 1000, "done");
}

static void on_pong(void *ctx, struct ws *w, const uint8_t *data, size_t size)
{
    (void)ctx;
    (void)data;
    if (size != 13)
        ws_abort(w);
}

static void on_ws_close(void *ctx, struct ws *w, uint16_t code, const char *reason, int status, const struct error *err)
{
    (void)ctx;
    (void)w;
    if (err != NULL)
        complain("ws", err);
    printf("closed %u %s %d, %u echoed\n", code, reason, status, echoed);
    exit_code = err == NULL && code == 1000 && echoed == 3 ? 0 : 1;
}

static const struct ws_events client_events = {
    .on_open = on_open, .on_message = on_message, .on_pong = on_pong, .on_close = on_ws_close};

/* ---- get ---------------------------------------------------------------------------------------------------------- */

static void on_done(void *ctx, struct http_client *h, const struct error *err)
{
    (void)ctx;
    if (err != NULL) {
        complain("get", err);
        return;
    }
    fwrite(http_client_body(h).data, 1, http_client_body(h).size, stdout);
    exit_code = http_client_head(h)->status == 200 ? 0 : 1;
}

static const struct http_client_events get_events = {.on_done = on_done};

static int client(bool is_ws, const char *port, const char *target, const char *ca_path)
{
    static const char *const protocols[] = {"klystrr.agent.v1", NULL};
    struct error err;
    struct tls_context *tls = NULL;
    struct conn *c = conn_connect_tcp(&net, "localhost", (uint16_t)atoi(port), NULL, &err);
    if (c != NULL && ca_path != NULL) {
        AUTO_BUF struct buf ca = BUF(FILE_MAX);
        if (read_file(ca_path, &ca) != 0)
            return 1;
        tls = tls_context_client(&(struct tls_client_options){.ca_pem = buf_text(&ca)}, &err);
        if (tls == NULL)
            conn_close(c);
        c = tls != NULL ? tls_conn_client(c, tls, "localhost", NULL, 0, &err) : NULL;
    }
    if (c == NULL)
        return complain("connect", &err);
    if (is_ws) {
        struct ws_client_options options = {.host = "localhost", .target = target, .protocols = protocols};
        if (ws_client_start(c, &options, &client_events, NULL, &err) == NULL)
            return complain("ws", &err);
    } else if (http_client_start(c, &(struct http_client_request){.method = "GET", .target = target, .host = "localhost", .body_cap = 10000000},
                                 &get_events, NULL, &err) == NULL) {
        return complain("get", &err);
    }
    uv_run(net.uv, UV_RUN_DEFAULT);
    tls_context_free(tls);
    return exit_code;
}

/* ---- pki ---------------------------------------------------------------------------------------------------------- */

static int save(int folder, const char *name, const struct buf *data, struct error *err)
{
    return durable_replace(folder, name, data->data, data->size, 0600, err);
}

static int make_pki(const char *path)
{
    struct error err;
    AUTO_WIPE struct buf ca_key = BUF(FILE_MAX), key = BUF(FILE_MAX);
    AUTO_BUF struct buf ca = BUF(FILE_MAX), csr = BUF(FILE_MAX), cert = BUF(FILE_MAX);
    int64_t now = clock_wall_ms(), day = 86400000;
    AUTO_CLOSE int folder = durable_dir(path, 0700, &err);
    if (folder < 0 || x509_make_key(&ca_key, &err) < 0 || x509_make_key(&key, &err) < 0 ||
        x509_make_ca(buf_text(&ca_key), "Interop CA", now - day, now + day, &ca, &err) < 0 ||
        x509_make_csr(buf_text(&key), "localhost", &csr, &err) < 0)
        return complain("pki", &err);
    struct x509_issue what = {.ca_cert_pem = buf_text(&ca), .ca_key_pem = buf_text(&ca_key), .csr_pem = buf_text(&csr),
                              .common_name = "localhost", .use = X509_SERVER, .names = {"localhost", "127.0.0.1"},
                              .not_before_ms = now - day, .not_after_ms = now + day};
    if (x509_issue(&what, &cert, &err) < 0 || save(folder, "ca.pem", &ca, &err) < 0 || save(folder, "server.pem", &cert, &err) < 0 ||
        save(folder, "server.key", &key, &err) < 0)
        return complain("pki", &err);
    return 0;
}

static int run(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "serve") == 0)
        return serve(argc > 3 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL);
    if (argc == 3 && strcmp(argv[1], "pki") == 0)
        return make_pki(argv[2]);
    if (argc >= 4 && (strcmp(argv[1], "ws") == 0 || strcmp(argv[1], "get") == 0))
        return client(strcmp(argv[1], "ws") == 0, argv[2], argv[3], argc > 4 ? argv[4] : NULL);
    fprintf(stderr, "usage: net_peer serve|ws|get|pki …\n");
    return 2;
}

int main(int argc, char **argv)
{
    uv_loop_t uv;
    struct error err;
    if (uv_loop_init(&uv) != 0 || net_loop_init(&net, &uv, &err) < 0)
        return 1;
    int code = run(argc, argv);
    uv_run(&uv, UV_RUN_DEFAULT); /* what failed early still has to close */
    uv_loop_close(&uv);
    net_loop_free(&net);
    return code;
}
