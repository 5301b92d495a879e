/* Opening a WebSocket (RFC 6455 section 4), as the client and as the server. */
#include <mbedtls/version.h>

#include <errno.h>
#include <mbedtls/sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/encode.h"
#include "net/ws/ws_inside.h"

#define HANDSHAKE_MS 30000
#define KEY_SIZE     16
#define GUID         "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* SHA-1 proves here that the other side speaks WebSocket, nothing more. */
static int make_accept(const char *key, char out[WS_ACCEPT_SIZE], struct error *err)
{
    char text[BASE64_SIZE(KEY_SIZE) + sizeof GUID];
    unsigned char hash[20];
    int size = snprintf(text, sizeof text, "%s" GUID, key);
    if (size < 0 || (size_t)size >= sizeof text)
        return fail(err, "E_WS_HANDSHAKE", "a key that is too long");
#if MBEDTLS_VERSION_MAJOR >= 3
    int r = mbedtls_sha1((const unsigned char *)text, (size_t)size, hash);
#else
    int r = mbedtls_sha1_ret((const unsigned char *)text, (size_t)size, hash);
#endif
    if (r != 0)
        return fail(err, "E_WS_HANDSHAKE", "the key cannot be hashed");
    base64_encode(hash, sizeof hash, out);
    return 0;
}

/* ---- Client -------------------------------------------------------------------------------------------------------- */

static bool was_offered(const struct ws *w, const char *protocol)
{
    size_t size = strlen(protocol);
    for (const char *at = w->protocols; at != NULL && *at != 0; at += strcspn(at, ",")) {
        at += *at == ',';
        if (strcspn(at, ",") == size && strncmp(at, protocol, size) == 0)
            return size > 0;
    }
    return false;
}

static int check_protocol(struct ws *w, struct error *err)
{
    const char *chosen = http_header(&w->head, "Sec-WebSocket-Protocol");
    if (w->protocols == NULL)
        return chosen == NULL ? 0 : fail(err, "E_WS_HANDSHAKE", "the server chose a subprotocol that nobody offered");
    if (chosen == NULL || strlen(chosen) > WS_PROTOCOL_MAX || !was_offered(w, chosen))
        return fail(err, "E_WS_HANDSHAKE", "the server speaks none of the subprotocols offered (%.200s)", w->protocols);
    snprintf(w->protocol, sizeof w->protocol, "%s", chosen);
    return 0;
}

static int check_response(struct ws *w, struct error *err)
{
    const struct http_head *head = &w->head;
    w->status = head->status;
    if (head->status != 101)
        return fail(err, "E_WS_HANDSHAKE", "the server answered %d %s instead of opening a WebSocket", head->status,
                    http_reason(head->status));
    const char *accept = http_header(head, "Sec-WebSocket-Accept");
    if (!http_header_has(head, "Upgrade", "websocket") || !http_header_has(head, "Connection", "upgrade") || accept == NULL ||
        strcmp(accept, w->accept) != 0)
        return fail(err, "E_WS_HANDSHAKE", "the server's answer is no WebSocket handshake");
    if (http_header(head, "Sec-WebSocket-Extensions") != NULL)
        return fail(err, "E_WS_HANDSHAKE", "the server chose an extension that nobody offered");
    return check_protocol(w, err);
}

static int take_response(struct ws *w, const uint8_t *data, size_t size, struct error *err)
{
    size_t before = w->raw.size, room = HTTP_HEAD_MAX - before;
    if (buf_add(&w->raw, data, size < room ? size : room, err) < 0)
        return -1;
    if (memchr(data, '\n', size) == NULL && w->raw.size < HTTP_HEAD_MAX)
        return 0;
    int head_size = head_guard((const char *)w->raw.data, w->raw.size, HEAD_RESPONSE, err);
    if (head_size <= 0)
        return head_size;
    if (http_head_read(&w->head, HEAD_RESPONSE, (const char *)w->raw.data, (size_t)head_size, err) < 0 || check_response(w, err) < 0)
        return -1;
    size_t used = (size_t)head_size - before;
    buf_free(&w->raw);
    return buf_add(&w->early, data + used, size - used, err) < 0 ? -1 : 1;
}

static void on_handshake_data(void *ctx, struct conn *c, const uint8_t *data, size_t size)
{
    struct ws *w = ctx;
    struct error err;
    (void)c;
    if (w->state != WS_HANDSHAKE)
        return;
    int r = take_response(w, data, size, &err);
    if (r < 0) {
        if (strncmp(err.code, "E_HTTP", 6) == 0)
            snprintf(err.code, sizeof err.code, "E_WS_HANDSHAKE");
        ws_break(w, &err);
    } else if (r > 0) {
        ws_opened(w);
    }
}

static const struct conn_events client_events = {.on_data = on_handshake_data, .on_close = ws_on_close};

static int join_protocols(struct ws *w, const char *const *protocols, struct error *err)
{
    AUTO_BUF struct buf list = BUF(1024);
    for (; protocols != NULL && *protocols != NULL; protocols++)
        if (buf_addf(&list, err, "%s%s", list.size > 0 ? "," : "", *protocols) < 0)
            return -1;
    if (list.size > 0)
        w->protocols = take_pointer(&list.data);
    return 0;
}

static int write_request(struct ws *w, const struct ws_client_options *o, struct buf *out, struct error *err)
{
    uint8_t nonce[KEY_SIZE];
    char key[BASE64_SIZE(KEY_SIZE)];
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        return fail_errno(err, "E_WS_HANDSHAKE", errno, "no random bytes");
    base64_encode(nonce, sizeof nonce, key);
    if (o->target[0] != '/' || strpbrk(o->target, " \r\n\t") != NULL)
        return fail(err, "E_HTTP_HEADER", "a target that cannot be sent");
    if (make_accept(key, w->accept, err) < 0 || join_protocols(w, o->protocols, err) < 0 ||
        buf_addf(out, err, "GET %s HTTP/1.1\r\n", o->target) < 0 || http_add_header(out, "Host", o->host, err) < 0 ||
        buf_addf(out, err, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", key) < 0)
        return -1;
    if (w->protocols != NULL && http_add_header(out, "Sec-WebSocket-Protocol", w->protocols, err) < 0)
        return -1;
    for (const struct http_header *h = o->headers; h != NULL && h->name != NULL; h++)
        if (http_add_header(out, h->name, h->value, err) < 0)
            return -1;
    return buf_add(out, "\r\n", 2, err);
}

struct ws *ws_client_start(struct conn *c, const struct ws_client_options *options, const struct ws_events *events, void *ctx,
                           struct error *err)
{
    AUTO_BUF struct buf out = BUF(HTTP_HEAD_MAX);
    struct ws *w = ws_new(c, false, events, ctx);
    if (w == NULL)
        fail(err, "E_NO_MEMORY", "no memory for a WebSocket");
    if (w == NULL || write_request(w, options, &out, err) < 0 || conn_write(c, out.data, out.size, err) < 0) {
        if (w != NULL)
            ws_free(w);
        conn_set_events(c, NULL, NULL);
        conn_close(c);
        return NULL;
    }
    conn_set_events(c, &client_events, w);
    loop_timer_start(w->timer, options->handshake_ms > 0 ? options->handshake_ms : HANDSHAKE_MS, 0);
    return w;
}

/* ---- Server -------------------------------------------------------------------------------------------------------- */

bool ws_is_upgrade(const struct http_head *head)
{
    return strcmp(head->method, "GET") == 0 && head->minor == 1 && http_header_has(head, "Connection", "upgrade") &&
           http_header_has(head, "Upgrade", "websocket");
}

/* The HTTP status to refuse with, or 0. */
static int judge(const struct http_head *head, const struct ws_server_options *o, struct error *err)
{
    uint8_t nonce[KEY_SIZE];
    const char *version = http_header(head, "Sec-WebSocket-Version");
    const char *key = http_header(head, "Sec-WebSocket-Key");
    if (!ws_is_upgrade(head) || version == NULL || strcmp(version, "13") != 0) {
        fail(err, "E_WS_HANDSHAKE", "only WebSocket version 13 is spoken here");
        return 426;
    }
    if (key == NULL || base64_decode_exact(key, strlen(key), nonce, sizeof nonce) < 0) {
        fail(err, "E_WS_HANDSHAKE", "Sec-WebSocket-Key is not 16 bytes of base64");
        return 400;
    }
    if (!o->allow_origin && http_header(head, "Origin") != NULL) {
        fail(err, "E_WS_HANDSHAKE", "a browser's request (it has an Origin) is not taken here");
        return 403;
    }
    return 0;
}

/* The first of ours that the client offers; "" if we demand none. NULL: none in common. */
static const char *choose(const struct http_head *head, const char *const *protocols)
{
    if (protocols == NULL)
        return "";
    for (; *protocols != NULL; protocols++)
        if (http_header_has(head, "Sec-WebSocket-Protocol", *protocols))
            return *protocols;
    return NULL;
}

static void refuse(struct http_exchange *x, int status, const struct error *err)
{
    static const struct http_header headers[] = {
        {"Content-Type", "text/plain; charset=utf-8"}, {"Sec-WebSocket-Version", "13"}, {"Upgrade", "websocket"}, {NULL, NULL}};
    http_respond(x, status, status == 426 ? headers : NULL, err->text, strlen(err->text));
}

static int write_response(const char *key, const char *protocol, struct buf *out, struct error *err)
{
    char accept[WS_ACCEPT_SIZE];
    if (make_accept(key, accept, err) < 0 ||
        buf_addf(out, err, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
                 accept) < 0)
        return -1;
    if (protocol[0] != 0 && http_add_header(out, "Sec-WebSocket-Protocol", protocol, err) < 0)
        return -1;
    return buf_add(out, "\r\n", 2, err);
}

static const struct conn_events server_events = {.on_close = ws_on_close};

struct ws *ws_server_accept(struct http_exchange *x, const struct ws_server_options *options, const struct ws_events *events,
                            void *ctx, struct error *err)
{
    const struct http_head *head = http_request(x);
    struct error own;
    err = err != NULL ? err : &own;
    int status = judge(head, options, err);
    const char *protocol = status == 0 ? choose(head, options->protocols) : "";
    if (protocol == NULL) {
        fail(err, "E_WS_HANDSHAKE", "none of the subprotocols offered is spoken here");
        status = 400;
    }
    if (status != 0) {
        refuse(x, status, err);
        return NULL;
    }
    AUTO_BUF struct buf out = BUF(1024);
    struct ws *w = ws_new(http_conn(x), true, events, ctx);
    if (w == NULL)
        fail(err, "E_NO_MEMORY", "no memory for a WebSocket");
    if (w == NULL || write_response(http_header(head, "Sec-WebSocket-Key"), protocol, &out, err) < 0 ||
        http_take_conn(x, &w->early, err) == NULL) {
        if (w != NULL)
            ws_free(w);
        refuse(x, 500, err);
        return NULL;
    }
    /* x is gone. Until ws_opened nothing is read, so that on_open comes first. */
    conn_pause(w->conn);
    conn_set_events(w->conn, &server_events, w);
    snprintf(w->protocol, sizeof w->protocol, "%s", protocol);
    loop_timer_start(w->timer, 0, 0);
    if (conn_write(w->conn, out.data, out.size, err) < 0)
        ws_break(w, err);
    return w;
}
