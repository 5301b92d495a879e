/* One HTTP/1.1 request over a connection, then the connection closes.
 *
 *   struct conn *c = conn_connect_tcp(net, host, port, NULL, err);
 *   if (c != NULL) c = tls_conn_client(c, context, host, NULL, 0, err);
 *   if (c != NULL) client = http_client_start(c, &request, &events, ctx, err);
 *
 * on_head once, on_body as bytes come (or collected, see body_cap), on_done exactly once, from the loop. */
#ifndef KLY_NET_HTTP_HTTP_CLIENT_H
#define KLY_NET_HTTP_HTTP_CLIENT_H

#include "net/http/http.h"
#include "net/loop/conn.h"

struct http_client;

struct http_client_request {
    const char *method;
    const char *target; /* "/path?query" */
    const char *host;   /* the Host header, with ":port" if not the default one */
    const struct http_header *headers; /* ends with a NULL name; may be NULL */
    const void *body;                  /* sent with Content-Length; copied */
    size_t body_size;
    uint32_t head_ms;  /* until the response's head is there, connect included: 30000 */
    uint32_t stall_ms; /* no byte of the body for so long: 60000 */
    uint32_t total_ms; /* everything; 0: no limit */
    uint64_t body_cap; /* of the response; 0: 1 MiB; more is E_HTTP_BODY_SIZE */
};

struct http_client_events {
    void (*on_head)(void *ctx, struct http_client *h); /* http_client_head(h); may be NULL */
    /* May pause the connection with http_client_conn(). If NULL, the body is collected: http_client_body(h) in on_done. */
    void (*on_body)(void *ctx, struct http_client *h, const uint8_t *data, size_t size);
    /* err NULL: the response is complete. h is freed after this. Codes: E_HTTP_*, E_CONN_*, E_TLS_*. */
    void (*on_done)(void *ctx, struct http_client *h, const struct error *err);
};

/* Takes c, also on failure; events is borrowed and static, request for the call. */
struct http_client *http_client_start(struct conn *c, const struct http_client_request *request,
                                      const struct http_client_events *events, void *ctx, struct error *err) KLY_MUST_USE;
const struct http_head *http_client_head(const struct http_client *h); /* from on_head on */
struct bytes http_client_body(const struct http_client *h);            /* collected; NUL-terminated */
struct conn *http_client_conn(struct http_client *h);
/* on_done comes with E_HTTP_CANCELLED. */
void http_client_cancel(struct http_client *h);

#endif
