/* WebSocket (RFC 6455), both roles, whole messages. No extensions. Text is checked to be UTF-8.
 *
 * Happy path: ws_client_start or ws_server_accept → on_open → on_message … ws_send_* → ws_close → on_close.
 * Failures: whatever breaks arrives in on_close, exactly once, last, from the loop; the ws is freed when it returns. A peer
 * that breaks the protocol is told why by a close code (1002, 1003, 1007, 1008, 1009) first.
 * Memory: one message of at most WS_MESSAGE_MAX, held only while it is incomplete; sending is bounded by the
 * connection's queue; of pings that come while nothing can be written, only the last is answered. */
#ifndef KLY_NET_WS_WS_H
#define KLY_NET_WS_WS_H

#include "net/http/http_server.h"

#define WS_MESSAGE_MAX   524288
#define WS_FRAGMENTS_MAX 65536 /* of one message */

struct ws;

enum ws_kind { WS_TEXT, WS_BINARY };

struct ws_events {
    void (*on_open)(void *ctx, struct ws *w);
    /* data is borrowed for the call; text is UTF-8 and NUL-terminated as well. */
    void (*on_message)(void *ctx, struct ws *w, enum ws_kind kind, const uint8_t *data, size_t size);
    void (*on_pong)(void *ctx, struct ws *w, const uint8_t *data, size_t size);
    void (*on_drain)(void *ctx, struct ws *w); /* ws_send_* returned 1 before */
    /* code: the peer's close code, or 1005 (it gave none), or 1006 (cut off: err says why). reason is UTF-8, maybe "".
     * A refused handshake: code is 0, err E_WS_HANDSHAKE, status the HTTP status (0 if none came). err NULL: closed in order. */
    void (*on_close)(void *ctx, struct ws *w, uint16_t code, const char *reason, int status, const struct error *err);
};

struct ws_client_options {
    const char *host;   /* the Host header, with ":port" if not the default one */
    const char *target; /* "/agent/v1" */
    const char *const *protocols;      /* offered, NULL-terminated; NULL: none. The server must choose one of them. */
    const struct http_header *headers; /* more of them; ends with a NULL name; may be NULL */
    uint32_t handshake_ms;             /* connect and TLS included: 30000 */
};

/* Takes c (connecting or open), also on failure. events is borrowed and static. Owned by itself: freed after on_close. */
struct ws *ws_client_start(struct conn *c, const struct ws_client_options *options, const struct ws_events *events, void *ctx,
                           struct error *err) KLY_MUST_USE;

struct ws_server_options {
    const char *const *protocols; /* spoken, best first, NULL-terminated; the client must offer one; NULL: any client */
    bool allow_origin;            /* false: a request with Origin (a browser's) is answered 403 */
};

/* In on_request of an HTTP server. Answers 101 and takes the connection, or answers 400, 403 or 426 and returns NULL with
 * E_WS_HANDSHAKE (x is answered then). on_open comes from the loop. */
struct ws *ws_server_accept(struct http_exchange *x, const struct ws_server_options *options, const struct ws_events *events,
                            void *ctx, struct error *err) KLY_MUST_USE;
/* Does this request ask for a WebSocket? */
bool ws_is_upgrade(const struct http_head *head);

/* The whole message is queued or nothing. 0: fine; 1: wait for on_drain before the next; -1: E_CONN_FULL, E_CONN_CLOSED,
 * E_TOO_LARGE (over WS_MESSAGE_MAX). */
int ws_send_text(struct ws *w, const void *data, size_t size, struct error *err) KLY_MUST_USE;
int ws_send_binary(struct ws *w, const void *data, size_t size, struct error *err) KLY_MUST_USE;
int ws_ping(struct ws *w, const void *data, size_t size, struct error *err) KLY_MUST_USE; /* at most 125 bytes */
size_t ws_queued(const struct ws *w); /* bytes not yet handed to the kernel */
const char *ws_protocol(const struct ws *w); /* the one agreed on, or "" */
struct conn *ws_conn(struct ws *w);          /* for conn_peer, tls_conn_engine, conn_pause; do not write to it */
int64_t ws_last_read_ms(const struct ws *w); /* clock_boot_ms of the last byte that came in */

/* Says goodbye and waits at most 5 s for the peer's. code 1000 to 1014 or 3000 to 4999; reason at most 123 bytes, may be NULL. */
void ws_close(struct ws *w, uint16_t code, const char *reason);
/* Cuts it off: on_close with 1006. */
void ws_abort(struct ws *w);

#endif
