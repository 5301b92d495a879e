/* An HTTP/1.1 server side over any connection (TCP, unix, TLS). One exchange at a time a connection; pipelined
 * requests wait for their turn.
 *
 *   static void on_accept(void *ctx, struct conn *c)
 *   {
 *       struct conn *secure = tls_conn_server(c, tls, 0, &err);       (leave out for unix sockets)
 *       if (secure != NULL) http_server_take(server, secure);
 *   }
 *
 * Happy path: on_head (route, decide how much body is allowed) → body collected → on_request → http_respond, now or
 * later, or http_begin … http_send … http_end → on_gone → the next request, or close.
 * Failures: a bad head is answered 400/431/501/505 and closed, too much body 413, a slow head or body 408; the application
 * sees on_gone for every exchange it ever saw, exactly once. */
#ifndef KLY_NET_HTTP_HTTP_SERVER_H
#define KLY_NET_HTTP_HTTP_SERVER_H

#include "net/http/http.h"
#include "net/loop/conn.h"

struct http_server;
struct http_exchange;

struct http_handler {
    /* The head is there, the body not yet. Returns the body's cap in bytes (0: none allowed). May answer at once
     * (http_respond), then the body is not read and the connection closes after the answer. May be NULL: cap 0. */
    size_t (*on_head)(void *ctx, struct http_exchange *x);
    /* The whole request is there. Must answer now or later. */
    void (*on_request)(void *ctx, struct http_exchange *x);
    /* A streamed answer may go on (http_send returned 1 before). */
    void (*on_drain)(void *ctx, struct http_exchange *x);
    /* x is gone after this: answered in full (complete), or the peer left or was thrown out. Free what hangs on it. */
    void (*on_gone)(void *ctx, struct http_exchange *x, bool complete);
};

/* Zero means the default. */
struct http_server_options {
    uint32_t head_ms;         /* the whole head within: 10000 */
    uint32_t body_ms;         /* the whole body within: 30000 */
    uint32_t idle_ms;         /* between requests: 60000 */
    uint32_t write_ms;        /* an answer that makes no progress for so long is cut: 60000 */
    uint32_t max_connections; /* 1024; more are answered 503 and closed */
    uint32_t max_requests;    /* on one connection: 1000 */
};

/* options may be NULL; handler is borrowed and static. Owned or NULL. */
struct http_server *http_server_new(struct net_loop *net, const struct http_handler *handler, void *ctx,
                                    const struct http_server_options *options, struct error *err) KLY_MUST_USE;
/* Takes the connection. */
void http_server_take(struct http_server *s, struct conn *c);
/* Idle connections close now, busy ones after their answer. */
void http_server_drain(struct http_server *s);
/* Cuts all connections (on_gone for each exchange comes from the loop) and frees the server once they are closed; done
 * may be NULL. *s becomes NULL. */
void http_server_free(struct http_server **s, void (*done)(void *ctx));
uint32_t http_server_connections(const struct http_server *s);

/* ---- One exchange --------------------------------------------------------------------------------------------- */

const struct http_head *http_request(const struct http_exchange *x);
struct bytes http_body(const struct http_exchange *x); /* complete in on_request; NUL-terminated */
struct conn *http_conn(struct http_exchange *x);       /* for conn_peer, tls_conn_engine; do not write to it */
void http_set_user(struct http_exchange *x, void *user);
void *http_user(const struct http_exchange *x);

/* A whole answer. headers: pairs, NULL-terminated name at the end, or NULL; Content-Length, Connection and Date are added.
 * body is copied. A second answer to the same exchange is ignored. For HEAD the body is left out. */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers, const void *body, size_t size);
/* Content-Type text/plain; for JSON give headers yourself. */
void http_respond_text(struct http_exchange *x, int status, const char *text);
/* A streamed answer: chunked, or until close for HTTP/1.0. */
void http_begin(struct http_exchange *x, int status, const struct http_header *headers);
/* 0: fine; 1: wait for on_drain; -1: over (the peer is gone, or the queue is full). */
int http_send(struct http_exchange *x, const void *data, size_t size) KLY_MUST_USE;
void http_end(struct http_exchange *x);
/* Cuts the connection: for a streamed answer that cannot be finished honestly. */
void http_abort(struct http_exchange *x);

/* Takes the connection away for another protocol (WebSocket), in on_request only: bytes that already came after the head
 * are appended to early. on_gone(complete) comes before this returns; x is gone. The caller sets events on it. */
struct conn *http_take_conn(struct http_exchange *x, struct buf *early, struct error *err) KLY_MUST_USE;

#endif
