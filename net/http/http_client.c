/* One request, one response, then the connection ends.
 *
 * Happy path: http_client_start queues the request → on_data → the head → the body → done.
 * Failures: whatever goes wrong first is kept (give_up) and closes the connection.
 * Close: on_close of the connection is the only place that calls on_done and frees. */
#include "net/http/http_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/http/http_message.h"
#include "net/loop/timer.h"

#define HEAD_MS     30000
#define STALL_MS    60000
#define BODY_CAP    (1024 * 1024)
#define REQUEST_MAX 32768 /* without the body */
#define INTERIM_MAX 16    /* 1xx answers before the real one */

struct http_client {
    struct conn *conn;
    const struct http_client_events *events;
    void *ctx;
    struct loop_timer *timer;
    struct http_message message;
    struct buf body;
    uint64_t body_size, body_cap;
    uint32_t head_ms, stall_ms, total_ms;
    int64_t started_ms, byte_ms;
    unsigned interims;
    struct error reason;
    bool failed, done, head_only, closing;
};

static void give_up(struct http_client *h, const struct error *why)
{
    if (h->closing)
        return;
    h->closing = true;
    h->failed = true;
    h->reason = *why;
    conn_close(h->conn);
}

static void on_close(void *ctx, struct conn *c, const struct error *err)
{
    struct http_client *h = ctx;
    (void)c;
    if (!h->done && !h->failed) {
        h->failed = true;
        if (err != NULL)
            h->reason = *err;
        else
            fail(&h->reason, "E_HTTP_CUT", "the connection ended before the response did");
    }
    h->closing = true;
    if (h->events->on_done != NULL)
        h->events->on_done(h->ctx, h, h->failed ? &h->reason : NULL);
    loop_timer_free(&h->timer);
    http_message_free(&h->message);
    buf_wipe_free(&h->body);
    free(h);
}

static void succeed(struct http_client *h)
{
    if (h->closing)
        return;
    h->done = h->closing = true;
    conn_close(h->conn);
}

/* ---- Deadlines ----------------------------------------------------------------------------------------------------- */

static int64_t deadline(const struct http_client *h)
{
    int64_t next = h->message.head_read ? h->byte_ms + h->stall_ms : h->started_ms + h->head_ms;
    int64_t total = h->started_ms + h->total_ms;
    return h->total_ms > 0 && total < next ? total : next;
}

static void on_timer(void *ctx)
{
    struct http_client *h = ctx;
    int64_t left = deadline(h) - clock_mono_ms();
    if (left > 0) {
        loop_timer_start(h->timer, (uint64_t)left, 0);
        return;
    }
    struct error why;
    fail(&why, "E_HTTP_TIMEOUT", "the %s did not come in time", h->message.head_read ? "rest of the response" : "response");
    give_up(h, &why);
}

/* ---- The response -------------------------------------------------------------------------------------------------- */

static int on_body(void *ctx, const uint8_t *data, size_t size, struct error *err)
{
    struct http_client *h = ctx;
    if (size > h->body_cap - h->body_size)
        return fail(err, "E_HTTP_BODY_SIZE", "the response is larger than %llu bytes", (unsigned long long)h->body_cap);
    h->body_size += size;
    if (h->events->on_body == NULL)
        return buf_add(&h->body, data, size, err);
    h->events->on_body(h->ctx, h, data, size);
    return h->closing ? fail(err, "E_HTTP_CANCELLED", "cancelled") : 0;
}

static void expect_head(struct http_client *h)
{
    http_message_free(&h->message);
    http_message_init(&h->message, HEAD_RESPONSE);
    h->message.no_body = h->head_only;
    h->message.on_body = on_body;
    h->message.ctx = h;
}

/* An interim answer is read over; another protocol was not asked for. */
static int head_read(struct http_client *h, struct error *err)
{
    int status = h->message.head.status;
    if (status == 101 || (status < 200 && ++h->interims > INTERIM_MAX))
        return fail(err, "E_HTTP_HEAD", "an answer of status %d that was not asked for", status);
    if (status < 200) {
        expect_head(h);
        return 0;
    }
    if (h->events->on_head != NULL)
        h->events->on_head(h->ctx, h);
    return 0;
}

static void on_data(void *ctx, struct conn *c, const uint8_t *data, size_t size)
{
    struct http_client *h = ctx;
    struct error err;
    (void)c;
    h->byte_ms = clock_mono_ms();
    while (!h->closing) {
        size_t used = 0;
        int r = http_message_feed(&h->message, data, size, &used, &err);
        data += used;
        size -= used;
        if (r < 0 || (r == HTTP_HEAD_READ && head_read(h, &err) < 0))
            give_up(h, &err);
        else if (r == HTTP_COMPLETE)
            succeed(h);
        else if (r == HTTP_MORE && size == 0)
            return;
    }
}

static void on_end(void *ctx, struct conn *c)
{
    struct http_client *h = ctx;
    struct error err;
    (void)c;
    if (h->closing)
        return;
    if (http_message_end(&h->message, &err) < 0)
        give_up(h, &err);
    else
        succeed(h);
}

static const struct conn_events client_events = {.on_data = on_data, .on_end = on_end, .on_close = on_close};

/* ---- The request --------------------------------------------------------------------------------------------------- */

static int write_request(const struct http_client_request *r, struct buf *out, struct error *err)
{
    if (r->target[0] != '/' || strpbrk(r->target, " \r\n\t") != NULL || strpbrk(r->method, " \r\n\t") != NULL)
        return fail(err, "E_HTTP_HEADER", "a request line that cannot be sent");
    if (buf_addf(out, err, "%s %s HTTP/1.1\r\n", r->method, r->target) < 0 || http_add_header(out, "Host", r->host, err) < 0)
        return -1;
    for (const struct http_header *h = r->headers; h != NULL && h->name != NULL; h++)
        if (http_add_header(out, h->name, h->value, err) < 0)
            return -1;
    bool sends = r->body_size > 0 || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0;
    if (sends && buf_addf(out, err, "Content-Length: %zu\r\n", r->body_size) < 0)
        return -1;
    if (buf_add_text(out, "Connection: close\r\n\r\n", err) < 0)
        return -1;
    return r->body_size > 0 ? buf_add(out, r->body, r->body_size, err) : 0;
}

static struct http_client *new_client(struct conn *c, const struct http_client_request *r,
                                      const struct http_client_events *events, void *ctx)
{
    struct http_client *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->timer = loop_timer_new(conn_loop(c), on_timer, h);
    if (h->timer == NULL) {
        free(h);
        return NULL;
    }
    h->conn = c;
    h->events = events;
    h->ctx = ctx;
    h->head_ms = r->head_ms > 0 ? r->head_ms : HEAD_MS;
    h->stall_ms = r->stall_ms > 0 ? r->stall_ms : STALL_MS;
    h->total_ms = r->total_ms;
    h->body_cap = r->body_cap > 0 ? r->body_cap : BODY_CAP;
    h->body = BUF((size_t)h->body_cap);
    h->head_only = strcmp(r->method, "HEAD") == 0;
    h->started_ms = h->byte_ms = clock_mono_ms();
    expect_head(h);
    return h;
}

struct http_client *http_client_start(struct conn *c, const struct http_client_request *request,
                                      const struct http_client_events *events, void *ctx, struct error *err)
{
    AUTO_WIPE struct buf out = BUF(REQUEST_MAX + request->body_size);
    struct http_client *h = NULL;
    if (write_request(request, &out, err) == 0 && conn_write(c, out.data, out.size, err) >= 0) {
        h = new_client(c, request, events, ctx);
        if (h == NULL)
            fail(err, "E_NO_MEMORY", "no memory for an HTTP request");
    }
    if (h == NULL) {
        conn_set_events(c, NULL, NULL);
        conn_close(c);
        return NULL;
    }
    conn_set_events(c, &client_events, h);
    on_timer(h);
    return h;
}

const struct http_head *http_client_head(const struct http_client *h)
{
    return &h->message.head;
}

struct bytes http_client_body(const struct http_client *h)
{
    return (struct bytes){(const uint8_t *)buf_text(&h->body), h->body.size};
}

struct conn *http_client_conn(struct http_client *h)
{
    return h->conn;
}

void http_client_cancel(struct http_client *h)
{
    struct error why;
    fail(&why, "E_HTTP_CANCELLED", "cancelled");
    give_up(h, &why);
}
