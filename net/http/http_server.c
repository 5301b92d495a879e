/* The server's side of one connection after the other.
 *
 * A link is one connection: LINK_IDLE → (first byte) LINK_READING → (request complete) LINK_ANSWERING → (answer queued)
 * LINK_ANSWERED → LINK_IDLE again, or the connection is finished. Only set_state changes it. An exchange lives from the first
 * byte of its request to the moment its answer is queued, or the link's end.
 * Failures: bad input is answered and the connection finished (refuse); deadlines are the link's one timer (on_deadline).
 * Close: on_close of the connection frees the link, after on_gone of its exchange; nothing else does, but http_take_conn. */
#include "net/http/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/http/http_message.h"
#include "net/loop/timer.h"

#define HEAD_MS         10000
#define BODY_MS         30000
#define IDLE_MS         60000
#define WRITE_MS        60000
#define MAX_CONNECTIONS 1024
#define MAX_REQUESTS    1000
#define EARLY_PAUSE     16384 /* bytes of later requests held while one is answered; then reading stops */
#define EARLY_MAX       (EARLY_PAUSE + NET_READ_SIZE)
#define ANSWER_HEAD_MAX 32768
#define ANSWER_PART     65536
#define CHUNK_MAX       (1024 * 1024)

enum link_state { LINK_IDLE, LINK_READING, LINK_ANSWERING, LINK_ANSWERED, LINK_FINISHED };

struct link;

struct http_exchange {
    struct link *link;
    struct http_message message;
    struct buf body;
    struct buf answer; /* what is left of a whole answer's body, while the peer is slow */
    size_t answered;   /* bytes of it that are queued */
    void *user;
    bool shown;     /* the application knows it, and is owed on_gone */
    bool requested; /* on_request was called */
    bool begun, ended; /* of the answer */
    bool chunked, head_only, want_drain;
};

struct link {
    struct http_server *server;
    struct link *next, **where; /* in the server's list */
    struct conn *conn;
    struct loop_timer *timer;
    struct http_exchange *x;
    enum link_state state;
    struct buf early;     /* came while an answer was being made */
    const uint8_t *rest;  /* what is left of the bytes being processed */
    size_t rest_size;
    size_t queued_before; /* at the last look at the write queue */
    uint32_t requests;
    bool processing, last, peer_ended;
};

struct http_server {
    struct net_loop *net;
    const struct http_handler *handler;
    void *ctx;
    struct http_server_options options;
    struct link *links;
    uint32_t count;
    bool draining, freeing;
    void (*freed)(void *ctx);
};

static void process(struct link *l);

/* ---- States and deadlines ---------------------------------------------------------------------------------------- */

static void set_state(struct link *l, enum link_state state)
{
    const struct http_server_options *o = &l->server->options;
    l->state = state;
    switch (state) {
    case LINK_IDLE:
        loop_timer_start(l->timer, o->idle_ms, 0);
        break;
    case LINK_READING: /* the body's deadline begins when the head is there */
        loop_timer_start(l->timer, l->x->message.head_read ? o->body_ms : o->head_ms, 0);
        break;
    case LINK_ANSWERING:
        l->queued_before = 0;
        loop_timer_start(l->timer, o->write_ms, 0);
        break;
    case LINK_ANSWERED:
        loop_timer_start(l->timer, 0, 0);
        break;
    case LINK_FINISHED:
        loop_timer_stop(l->timer);
        break;
    }
}

static void end_exchange(struct link *l, bool complete)
{
    struct http_exchange *x = l->x;
    l->x = NULL;
    if (x == NULL)
        return;
    if (x->shown && l->server->handler->on_gone != NULL)
        l->server->handler->on_gone(l->server->ctx, x, complete);
    http_message_free(&x->message);
    buf_wipe_free(&x->answer);
    buf_wipe_free(&x->body); /* bodies bring passwords and env values */
    free(x);
}

/* What is queued goes out, then the connection ends. */
static void finish(struct link *l)
{
    if (l->state == LINK_FINISHED)
        return;
    set_state(l, LINK_FINISHED);
    conn_finish(l->conn);
}

static void cut(struct link *l)
{
    if (l->state != LINK_FINISHED)
        set_state(l, LINK_FINISHED);
    if (l->conn != NULL)
        conn_close(l->conn);
}

/* The answer is queued whole: the next request, unless this was the last. */
static void next_request(struct link *l)
{
    end_exchange(l, true);
    if (l->last || l->server->draining || l->peer_ended || ++l->requests >= l->server->options.max_requests) {
        finish(l);
        return;
    }
    set_state(l, LINK_IDLE);
    process(l);
}

static void write_deadline(struct link *l)
{
    size_t queued = conn_queued(l->conn);
    if (queued > 0 && queued >= l->queued_before && l->queued_before > 0) {
        cut(l);
        return;
    }
    l->queued_before = queued;
    loop_timer_start(l->timer, l->server->options.write_ms, 0);
}

static void refuse(struct link *l, int status, const struct error *why);

static void on_deadline(void *ctx)
{
    struct link *l = ctx;
    struct error why;
    switch (l->state) {
    case LINK_IDLE:
        finish(l);
        break;
    case LINK_READING:
        fail(&why, "E_HTTP_TIMEOUT", "the request did not come in time");
        refuse(l, 408, &why);
        break;
    case LINK_ANSWERING:
        write_deadline(l);
        break;
    case LINK_ANSWERED:
        /* A reader that is slower than its requests waits here, so that answers do not pile up. */
        if (l->last || conn_queued(l->conn) < 65536)
            next_request(l);
        else
            write_deadline(l);
        break;
    case LINK_FINISHED:
        break;
    }
}

/* ---- Answers ------------------------------------------------------------------------------------------------------ */

static void add_date(struct buf *out)
{
    char text[40];
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm) != NULL && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        (void)!http_add_header(out, "Date", text, NULL);
}

/* Everything of the head but what says how long the body is. -1: it cannot be sent. */
static int add_head(struct buf *out, const struct link *l, int status, const struct http_header *headers)
{
    if (buf_addf(out, NULL, "HTTP/1.1 %d %s\r\n", status, http_reason(status)) < 0)
        return -1;
    for (; headers != NULL && headers->name != NULL; headers++)
        if (http_add_header(out, headers->name, headers->value, NULL) < 0)
            return -1;
    add_date(out);
    return http_add_header(out, "Connection", l->last ? "close" : "keep-alive", NULL);
}

static bool may_have_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void note_last(struct http_exchange *x)
{
    struct link *l = x->link;
    /* What is not read to its end must not be taken for the next request. */
    l->last |= l->server->draining || l->peer_ended || !x->message.complete || l->requests + 1 >= l->server->options.max_requests;
}

static void ended(struct http_exchange *x)
{
    x->ended = true;
    set_state(x->link, LINK_ANSWERED);
}

static int queue(struct link *l, const struct buf *out)
{
    return conn_write(l->conn, out->data, out->size, NULL);
}

/* A part at a time, so that a large answer fits a bounded queue; on_drain goes on. */
static void queue_answer(struct http_exchange *x)
{
    struct link *l = x->link;
    while (x->answered < x->answer.size) {
        size_t part = x->answer.size - x->answered;
        part = part < ANSWER_PART ? part : ANSWER_PART;
        int r = conn_write(l->conn, x->answer.data + x->answered, part, NULL);
        if (r < 0) {
            cut(l);
            return;
        }
        x->answered += part;
        if (r == 1 && x->answered < x->answer.size)
            return;
    }
    ended(x);
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers, const void *body, size_t size)
{
    struct link *l = x->link;
    if (x->begun || l->state == LINK_FINISHED)
        return;
    x->begun = true;
    note_last(x);
    bool with_body = may_have_body(status);
    AUTO_BUF struct buf out = BUF(ANSWER_HEAD_MAX);
    x->answer = BUF(size);
    if (add_head(&out, l, status, headers) < 0 || (with_body && buf_addf(&out, NULL, "Content-Length: %zu\r\n", size) < 0) ||
        buf_add(&out, "\r\n", 2, NULL) < 0 || (with_body && !x->head_only && buf_add(&x->answer, body, size, NULL) < 0) ||
        queue(l, &out) < 0) {
        cut(l);
        return;
    }
    if (l->state == LINK_READING)
        set_state(l, LINK_ANSWERING); /* answered in on_head: the body is not read */
    queue_answer(x);
}

void http_respond_text(struct http_exchange *x, int status, const char *text)
{
    static const struct http_header headers[] = {{"Content-Type", "text/plain; charset=utf-8"}, {NULL, NULL}};
    http_respond(x, status, headers, text, strlen(text));
}

void http_begin(struct http_exchange *x, int status, const struct http_header *headers)
{
    struct link *l = x->link;
    if (x->begun || l->state == LINK_FINISHED)
        return;
    x->begun = true;
    note_last(x);
    x->chunked = x->message.head.minor == 1;
    l->last |= !x->chunked; /* HTTP/1.0 reads until the end */
    AUTO_BUF struct buf out = BUF(ANSWER_HEAD_MAX);
    if (add_head(&out, l, status, headers) < 0 || (x->chunked && buf_add_text(&out, "Transfer-Encoding: chunked\r\n", NULL) < 0) ||
        buf_add(&out, "\r\n", 2, NULL) < 0 || queue(l, &out) < 0)
        cut(l);
    else if (l->state == LINK_READING)
        set_state(l, LINK_ANSWERING); /* answered in on_head: the body is not read */
}

int http_send(struct http_exchange *x, const void *data, size_t size)
{
    struct link *l = x->link;
    if (!x->begun || x->ended || l->state == LINK_FINISHED)
        return -1;
    if (size == 0 || x->head_only)
        return 0;
    AUTO_BUF struct buf out = BUF(CHUNK_MAX + 32);
    int r = x->chunked ? buf_addf(&out, NULL, "%zx\r\n", size) : 0;
    r = r < 0 ? r : buf_add(&out, data, size, NULL);
    r = r < 0 || !x->chunked ? r : buf_add(&out, "\r\n", 2, NULL);
    r = r < 0 ? r : queue(l, &out);
    if (r < 0)
        cut(l); /* half an answer must not look like a whole one */
    x->want_drain = r == 1;
    return r;
}

void http_end(struct http_exchange *x)
{
    struct link *l = x->link;
    if (!x->begun || x->ended || l->state == LINK_FINISHED)
        return;
    if (x->chunked && !x->head_only && conn_write(l->conn, "0\r\n\r\n", 5, NULL) < 0)
        cut(l);
    else
        ended(x);
}

void http_abort(struct http_exchange *x)
{
    cut(x->link);
}

/* Answers what never became a request, in the wire's own words, and ends the connection. */
static void refuse(struct link *l, int status, const struct error *why)
{
    l->last = true;
    AUTO_BUF struct buf out = BUF(4096);
    bool begun = l->x != NULL && l->x->begun;
    if (!begun && add_head(&out, l, status, NULL) == 0 &&
        buf_addf(&out, NULL, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n\r\n%s: %s\n",
                 strlen(why->code) + strlen(why->text) + 3, why->code, why->text) == 0)
        (void)!queue(l, &out);
    finish(l);
}

static int status_of(const struct error *err)
{
    static const struct {
        const char *code;
        int status;
    } map[] = {
        {"E_HTTP_HEAD_SIZE", 431}, {"E_HTTP_METHOD", 501}, {"E_HTTP_VERSION", 505}, {"E_HTTP_BODY_SIZE", 413}, {"E_NO_MEMORY", 503},
    };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        if (strcmp(map[i].code, err->code) == 0)
            return map[i].status;
    return 400;
}

/* ---- Requests ----------------------------------------------------------------------------------------------------- */

static int on_body(void *ctx, const uint8_t *data, size_t size, struct error *err)
{
    struct http_exchange *x = ctx;
    if (buf_add(&x->body, data, size, err) == 0)
        return 0;
    return fail(err, "E_HTTP_BODY_SIZE", "the body is larger than the %zu bytes allowed here", x->body.limit);
}

static struct http_exchange *new_exchange(struct link *l)
{
    struct http_exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->link = l;
    http_message_init(&x->message, HEAD_REQUEST);
    x->message.on_body = on_body;
    x->message.ctx = x;
    return x;
}

/* A length that is known to be too large needs no body to be refused; a client that waits for leave gets it. */
static int check_announced(struct http_exchange *x, struct error *err)
{
    const struct http_head *head = &x->message.head;
    const char *length = http_header(head, "Content-Length");
    if (length != NULL && strtoull(length, NULL, 10) > x->body.limit)
        return fail(err, "E_HTTP_BODY_SIZE", "the body is larger than the %zu bytes allowed here", x->body.limit);
    if (head->minor == 1 && !x->message.complete && http_header_has(head, "Expect", "100-continue"))
        return conn_write(x->link->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25, err) < 0 ? -1 : 0;
    return 0;
}

static void head_read(struct link *l)
{
    struct http_exchange *x = l->x;
    const struct http_handler *handler = l->server->handler;
    const struct http_head *head = &x->message.head;
    struct error err;
    l->last |= head->minor == 0 || http_header_has(head, "Connection", "close") || strcmp(head->method, "CONNECT") == 0;
    x->head_only = strcmp(head->method, "HEAD") == 0;
    set_state(l, LINK_READING);
    x->shown = true;
    x->body = BUF(handler->on_head != NULL ? handler->on_head(l->server->ctx, x) : 0);
    if (l->state == LINK_READING && !x->begun && check_announced(x, &err) < 0)
        refuse(l, status_of(&err), &err);
}

static void request_complete(struct link *l)
{
    set_state(l, LINK_ANSWERING);
    l->x->requested = true;
    l->server->handler->on_request(l->server->ctx, l->x);
}

/* One turn over the bytes at rest; false: nothing more can be done with them now. */
static bool take_some(struct link *l)
{
    struct error err;
    if (l->state == LINK_IDLE) {
        if (l->rest_size == 0)
            return false;
        l->x = new_exchange(l);
        if (l->x == NULL) {
            cut(l);
            return false;
        }
        set_state(l, LINK_READING);
    }
    if (l->state != LINK_READING || l->x->begun)
        return false;
    size_t used = 0;
    int r = http_message_feed(&l->x->message, l->rest, l->rest_size, &used, &err);
    l->rest += used;
    l->rest_size -= used;
    if (r < 0)
        refuse(l, status_of(&err), &err);
    else if (r == HTTP_HEAD_READ)
        head_read(l);
    else if (r == HTTP_COMPLETE)
        request_complete(l);
    return r > HTTP_MORE;
}

static void free_link(struct link *l);

/* Works off l->early; the handlers that it calls may answer at once, later, or take the connection away. */
static void process(struct link *l)
{
    if (l->processing)
        return;
    l->processing = true;
    struct buf bytes = l->early;
    l->early = BUF(EARLY_MAX);
    l->rest = bytes.data;
    l->rest_size = bytes.size;
    while (l->conn != NULL && take_some(l))
        ;
    l->processing = false;
    if (l->conn == NULL) { /* taken */
        free_link(l);
    } else if (l->state != LINK_FINISHED) {
        if (l->rest_size > 0 && buf_add(&l->early, l->rest, l->rest_size, NULL) < 0)
            cut(l);
        else if (l->early.size <= EARLY_PAUSE)
            conn_resume(l->conn);
    }
    buf_wipe_free(&bytes);
}

/* ---- The connection ----------------------------------------------------------------------------------------------- */

static void on_data(void *ctx, struct conn *c, const uint8_t *data, size_t size)
{
    struct link *l = ctx;
    if (l->state == LINK_FINISHED)
        return;
    if (buf_add(&l->early, data, size, NULL) < 0) {
        cut(l);
        return;
    }
    if (l->state == LINK_IDLE || l->state == LINK_READING)
        process(l);
    else if (l->early.size > EARLY_PAUSE)
        conn_pause(c);
}

static void on_end(void *ctx, struct conn *c)
{
    struct link *l = ctx;
    (void)c;
    l->peer_ended = l->last = true;
    bool streaming = l->x != NULL && l->x->begun && !l->x->ended && l->x->answer.size == 0;
    if (l->state == LINK_ANSWERING && !streaming)
        return; /* it may still read its answer */
    if (l->state == LINK_ANSWERED)
        return;
    if (streaming)
        cut(l);
    else
        finish(l);
}

static void on_drain(void *ctx, struct conn *c)
{
    struct link *l = ctx;
    (void)c;
    if (l->state == LINK_ANSWERED) {
        loop_timer_start(l->timer, 0, 0);
    } else if (l->state == LINK_ANSWERING && l->x->answered < l->x->answer.size) {
        queue_answer(l->x);
    } else if (l->state == LINK_ANSWERING && l->x->want_drain) {
        l->x->want_drain = false;
        if (l->server->handler->on_drain != NULL)
            l->server->handler->on_drain(l->server->ctx, l->x);
    }
}

static void free_server(struct http_server *s)
{
    void (*freed)(void *ctx) = s->freed;
    void *ctx = s->ctx;
    free(s);
    if (freed != NULL)
        freed(ctx);
}

static void free_link(struct link *l)
{
    struct http_server *s = l->server;
    *l->where = l->next;
    if (l->next != NULL)
        l->next->where = l->where;
    s->count--;
    loop_timer_free(&l->timer);
    buf_wipe_free(&l->early);
    free(l);
    if (s->freeing && s->count == 0)
        free_server(s);
}

static void on_close(void *ctx, struct conn *c, const struct error *err)
{
    struct link *l = ctx;
    (void)c;
    (void)err; /* who serves many does not report each that leaves */
    end_exchange(l, l->x != NULL && l->x->ended);
    free_link(l);
}

static const struct conn_events link_events = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_close = on_close};

void http_server_take(struct http_server *s, struct conn *c)
{
    struct link *l = s->freeing ? NULL : calloc(1, sizeof *l);
    if (l != NULL)
        l->timer = loop_timer_new(s->net, on_deadline, l);
    if (l == NULL || l->timer == NULL) {
        free(l);
        conn_set_events(c, NULL, NULL);
        conn_close(c);
        return;
    }
    l->server = s;
    l->conn = c;
    l->early = BUF(EARLY_MAX);
    l->where = &s->links;
    l->next = s->links;
    if (l->next != NULL)
        l->next->where = &l->next;
    s->links = l;
    s->count++;
    conn_set_events(c, &link_events, l);
    set_state(l, LINK_IDLE);
    if (s->count > s->options.max_connections || s->draining) {
        struct error why;
        fail(&why, "E_HTTP_BUSY", "too many connections; try again");
        refuse(l, 503, &why);
    }
}

/* ---- The server --------------------------------------------------------------------------------------------------- */

static uint32_t or_default(uint32_t given, uint32_t usual)
{
    return given > 0 ? given : usual;
}

struct http_server *http_server_new(struct net_loop *net, const struct http_handler *handler, void *ctx,
                                    const struct http_server_options *options, struct error *err)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for an HTTP server");
        return NULL;
    }
    struct http_server_options o = options != NULL ? *options : (struct http_server_options){0};
    *s = (struct http_server){.net = net, .handler = handler, .ctx = ctx};
    s->options = (struct http_server_options){
        .head_ms = or_default(o.head_ms, HEAD_MS),
        .body_ms = or_default(o.body_ms, BODY_MS),
        .idle_ms = or_default(o.idle_ms, IDLE_MS),
        .write_ms = or_default(o.write_ms, WRITE_MS),
        .max_connections = or_default(o.max_connections, MAX_CONNECTIONS),
        .max_requests = or_default(o.max_requests, MAX_REQUESTS),
    };
    return s;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    for (struct link *l = s->links; l != NULL; l = l->next)
        if (l->state == LINK_IDLE)
            finish(l);
}

void http_server_free(struct http_server **server, void (*done)(void *ctx))
{
    struct http_server *s = *server;
    *server = NULL;
    if (s == NULL)
        return;
    s->freeing = true;
    s->freed = done;
    for (struct link *l = s->links; l != NULL; l = l->next)
        cut(l);
    if (s->count == 0)
        free_server(s);
}

uint32_t http_server_connections(const struct http_server *s)
{
    return s->count;
}

/* ---- The exchange ------------------------------------------------------------------------------------------------- */

const struct http_head *http_request(const struct http_exchange *x)
{
    return &x->message.head;
}

struct bytes http_body(const struct http_exchange *x)
{
    return (struct bytes){(const uint8_t *)buf_text(&x->body), x->body.size};
}

struct conn *http_conn(struct http_exchange *x)
{
    return x->link->conn;
}

void http_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_user(const struct http_exchange *x)
{
    return x->user;
}

struct conn *http_take_conn(struct http_exchange *x, struct buf *early, struct error *err)
{
    struct link *l = x->link;
    if (!l->processing || l->state != LINK_ANSWERING || x->begun || l->peer_ended) {
        fail(err, "E_HTTP_UPGRADE", "a connection can be taken only in on_request, unanswered");
        return NULL;
    }
    if (buf_add(early, l->rest, l->rest_size, err) < 0)
        return NULL;
    struct conn *c = l->conn;
    set_state(l, LINK_FINISHED);
    conn_set_events(c, NULL, NULL);
    end_exchange(l, true);
    l->conn = NULL; /* process() frees the link when the handler has returned */
    return c;
}
