/* A WebSocket on a connection: wslay for frames, our own bounded memory around it.
 *
 * Happy path: handshake (ws_handshake.c) → open → on_data → wslay → chunk by chunk into one message buffer → on_message;
 * sending: wslay makes one frame into out, which goes to the connection whole.
 * Failures: what the peer does wrong makes a close frame with a code, then the connection is finished (end_if_over).
 * Close: only by the connection: its on_close is ours. ws_close arms a deadline for a peer that does not answer.
 *
 * wslay queues a pong for each ping without a bound. So each is taken out at once, while its ping is being handled; when
 * nothing can be written, the newest replaces the one that waits (RFC 6455 section 5.5.3 allows that). */
#include "net/ws/ws_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

#define CLOSE_MS      5000
#define REASON_MAX    123
#define CONTROL_MAX   125
#define FRAME_HEAD    14
#define OUT_MAX       (WS_MESSAGE_MAX + 8192)
#define CODE_PROTOCOL 1002
#define CODE_TOO_BIG  1009

/* ---- Out ------------------------------------------------------------------------------------------------------------ */

static ssize_t on_wslay_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t size, int flags, void *user)
{
    struct ws *w = user;
    (void)flags;
    if (buf_add(&w->out, data, size, NULL) == 0)
        return (ssize_t)size;
    wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static bool random_bytes(uint8_t *out, size_t size)
{
    ssize_t got;
    do
        got = getrandom(out, size, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size;
}

static int on_wslay_mask(wslay_event_context_ptr ctx, uint8_t *out, size_t size, void *user)
{
    (void)user;
    if (random_bytes(out, size))
        return 0;
    wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

/* What wslay has queued becomes bytes in w->out. */
static int drain_wslay(struct ws *w, struct error *err)
{
    if (wslay_event_send(w->wslay) == 0)
        return 0;
    return fail(err, "E_NO_MEMORY", "no memory for a WebSocket frame");
}

static int write_out(struct ws *w, struct error *err)
{
    int r = w->out.size > 0 ? conn_write(w->conn, w->out.data, w->out.size, err) : 0;
    buf_free(&w->out);
    w->blocked |= r == 1;
    return r;
}

static int send_frame(struct ws *w, uint8_t opcode, const void *data, size_t size, struct error *err)
{
    if (w->state != WS_OPEN)
        return fail(err, "E_CONN_CLOSED", "the WebSocket is not open");
    if (size > WS_MESSAGE_MAX)
        return fail(err, "E_TOO_LARGE", "a message of %zu bytes; at most %d are allowed", size, WS_MESSAGE_MAX);
    if (conn_queued(w->conn) + size + FRAME_HEAD > w->conn->write_limit)
        return fail(err, "E_CONN_FULL", "%zu bytes wait to be sent already", conn_queued(w->conn));
    struct wslay_event_msg message = {opcode, data, size};
    if (wslay_event_queue_msg(w->wslay, &message) != 0)
        return fail(err, "E_CONN_CLOSED", "the WebSocket is closing");
    if (drain_wslay(w, err) < 0)
        return -1;
    return write_out(w, err);
}

static int send_message(struct ws *w, uint8_t opcode, const void *data, size_t size, struct error *err)
{
    int r = send_frame(w, opcode, data, size, err);
    w->want_drain |= r == 1;
    return r;
}

int ws_send_text(struct ws *w, const void *data, size_t size, struct error *err)
{
    return send_message(w, WSLAY_TEXT_FRAME, data, size, err);
}

int ws_send_binary(struct ws *w, const void *data, size_t size, struct error *err)
{
    return send_message(w, WSLAY_BINARY_FRAME, data, size, err);
}

int ws_ping(struct ws *w, const void *data, size_t size, struct error *err)
{
    if (size > CONTROL_MAX)
        return fail(err, "E_TOO_LARGE", "a ping carries at most %d bytes", CONTROL_MAX);
    return send_message(w, WSLAY_PING, data, size, err);
}

/* The pong that wslay has just queued. */
static void answer_ping(struct ws *w)
{
    struct error err;
    if (drain_wslay(w, &err) < 0) {
        ws_break(w, &err);
        return;
    }
    if (!w->blocked) {
        if (write_out(w, &err) < 0)
            ws_break(w, &err);
        return;
    }
    buf_free(&w->pong);
    w->pong = w->out;
    w->out = BUF(OUT_MAX);
}

/* ---- Ending --------------------------------------------------------------------------------------------------------- */

void ws_break(struct ws *w, const struct error *why)
{
    if (w->state == WS_OVER)
        return;
    if (!w->broken) {
        w->broken = true;
        w->error = *why;
    }
    w->state = WS_OVER;
    conn_close(w->conn);
}

/* After every turn of wslay: has one side or the other said that it is over? */
static void end_if_over(struct ws *w)
{
    struct error err;
    if (w->state == WS_OVER)
        return;
    if (drain_wslay(w, &err) < 0 || write_out(w, &err) < 0) {
        ws_break(w, &err);
        return;
    }
    bool received = wslay_event_get_close_received(w->wslay), sent = wslay_event_get_close_sent(w->wslay);
    if (received ? sent : !wslay_event_get_read_enabled(w->wslay)) {
        if (!received && !w->broken) {
            w->broken = true;
            fail(&w->error, "E_WS_PROTOCOL", "the peer broke the WebSocket protocol (closed with %u)",
                 wslay_event_get_status_code_sent(w->wslay));
        }
        w->state = WS_OVER;
        loop_timer_stop(w->timer);
        conn_finish(w->conn);
    }
}

/* Tells the peer why, and the application as well. Only from inside a wslay callback or before end_if_over. */
static void reject(struct ws *w, uint16_t code, const char *error_code, const char *text)
{
    if (!w->broken) {
        w->broken = true;
        fail(&w->error, error_code, "%s", text);
    }
    wslay_event_queue_close(w->wslay, code, (const uint8_t *)"", 0);
    wslay_event_shutdown_read(w->wslay);
}

void ws_close(struct ws *w, uint16_t code, const char *reason)
{
    if (w->state == WS_HANDSHAKE) {
        ws_abort(w);
        return;
    }
    if (w->state != WS_OPEN)
        return;
    size_t size = reason != NULL ? strlen(reason) : 0;
    wslay_event_queue_close(w->wslay, code, (const uint8_t *)(reason != NULL ? reason : ""), size <= REASON_MAX - 1 ? size : 0);
    w->state = WS_CLOSING;
    conn_resume(w->conn); /* the peer's goodbye must be read; its messages are dropped from here on */
    struct error err;
    if (drain_wslay(w, &err) < 0 || write_out(w, &err) < 0)
        ws_break(w, &err);
    else
        loop_timer_start(w->timer, CLOSE_MS, 0);
}

void ws_abort(struct ws *w)
{
    struct error why;
    fail(&why, "E_WS_ABORTED", "the WebSocket was cut off on this side");
    ws_break(w, &why);
}

/* ---- In --------------------------------------------------------------------------------------------------------------- */

static ssize_t on_wslay_recv(wslay_event_context_ptr ctx, uint8_t *out, size_t size, int flags, void *user)
{
    struct ws *w = user;
    (void)flags;
    if (w->in_size == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size = size < w->in_size ? size : w->in_size;
    memcpy(out, w->in, size);
    w->in += size;
    w->in_size -= size;
    return (ssize_t)size;
}

static void on_frame_start(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_start_arg *arg, void *user)
{
    struct ws *w = user;
    (void)ctx;
    w->in_control = wslay_is_ctrl_frame(arg->opcode);
    if (w->in_control)
        return;
    if (arg->opcode != WSLAY_CONTINUATION_FRAME)
        w->fragments = 0;
    if (++w->fragments > WS_FRAGMENTS_MAX || arg->payload_length > WS_MESSAGE_MAX - w->message.size)
        reject(w, CODE_TOO_BIG, "E_TOO_LARGE", "the peer's message is too large, or in too many pieces");
}

static void on_frame_chunk(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
    struct ws *w = user;
    (void)ctx;
    if (w->in_control || w->broken)
        return;
    if (buf_add(&w->message, arg->data, arg->data_length, NULL) < 0)
        reject(w, CODE_TOO_BIG, "E_TOO_LARGE", "the peer's message is too large");
}

static void keep_close(struct ws *w, const struct wslay_event_on_msg_recv_arg *arg)
{
    size_t size = arg->msg_length > 2 ? arg->msg_length - 2 : 0;
    if (size > REASON_MAX)
        size = REASON_MAX;
    if (size > 0)
        memcpy(w->close_reason, arg->msg + 2, size);
    w->close_reason[size] = 0;
}

static void deliver(struct ws *w, enum ws_kind kind)
{
    struct buf message = w->message;
    w->message = BUF(WS_MESSAGE_MAX); /* so that no later frame can touch what the application reads */
    if (w->state == WS_OPEN && !w->broken && w->events->on_message != NULL)
        w->events->on_message(w->ctx, w, kind, (const uint8_t *)buf_text(&message), message.size);
    buf_free(&message);
}

static void on_wslay_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct ws *w = user;
    (void)ctx;
    switch (arg->opcode) {
    case WSLAY_TEXT_FRAME:
        deliver(w, WS_TEXT);
        break;
    case WSLAY_BINARY_FRAME:
        deliver(w, WS_BINARY);
        break;
    case WSLAY_PING:
        answer_ping(w);
        break;
    case WSLAY_PONG:
        if (w->state == WS_OPEN && w->events->on_pong != NULL)
            w->events->on_pong(w->ctx, w, arg->msg, arg->msg_length);
        break;
    case WSLAY_CONNECTION_CLOSE:
        keep_close(w, arg);
        break;
    default:
        break;
    }
}

static const struct wslay_event_callbacks wslay_callbacks = {
    .recv_callback = on_wslay_recv,
    .send_callback = on_wslay_send,
    .genmask_callback = on_wslay_mask,
    .on_frame_recv_start_callback = on_frame_start,
    .on_frame_recv_chunk_callback = on_frame_chunk,
    .on_msg_recv_callback = on_wslay_message,
};

/* wslay answers a malformed frame head with a close frame that has no code; the peer is owed one, so it is made here. */
static void say_protocol_error(struct ws *w)
{
    uint8_t frame[8] = {0x88, 0x02, CODE_PROTOCOL >> 8, CODE_PROTOCOL & 0xff};
    size_t size = 4;
    if (!w->is_server && random_bytes(frame + 2, 4)) {
        frame[1] |= 0x80;
        frame[6] = (uint8_t)(frame[2] ^ (CODE_PROTOCOL >> 8));
        frame[7] = (uint8_t)(frame[3] ^ (CODE_PROTOCOL & 0xff));
        size = 8;
    }
    (void)!conn_write(w->conn, frame, size, NULL);
    if (!w->broken) {
        w->broken = true;
        fail(&w->error, "E_WS_PROTOCOL", "the peer sent a frame that breaks the WebSocket protocol");
    }
    w->state = WS_OVER;
    loop_timer_stop(w->timer);
    conn_finish(w->conn);
}

void ws_feed(struct ws *w, const uint8_t *data, size_t size)
{
    if (w->state == WS_OVER)
        return;
    w->in = data;
    w->in_size = size;
    int r = wslay_event_recv(w->wslay);
    w->in = NULL;
    w->in_size = 0;
    if (w->state == WS_OVER)
        return;
    if (r == WSLAY_ERR_NOMEM) {
        struct error err;
        fail(&err, "E_NO_MEMORY", "no memory for a WebSocket message");
        ws_break(w, &err);
    } else if (r != 0) {
        say_protocol_error(w);
    } else {
        end_if_over(w);
    }
}

/* ---- The connection --------------------------------------------------------------------------------------------------- */

static void on_open_data(void *ctx, struct conn *c, const uint8_t *data, size_t size)
{
    struct ws *w = ctx;
    (void)c;
    w->last_read_ms = clock_boot_ms();
    ws_feed(w, data, size);
}

static void on_end(void *ctx, struct conn *c)
{
    struct ws *w = ctx;
    struct error err;
    (void)c;
    fail(&err, "E_WS_CUT", "the connection ended without a WebSocket goodbye");
    ws_break(w, &err);
}

static void on_drain(void *ctx, struct conn *c)
{
    struct ws *w = ctx;
    struct error err;
    w->blocked = false;
    if (w->pong.size > 0 && w->state == WS_OPEN && conn_write(c, w->pong.data, w->pong.size, &err) < 0)
        ws_break(w, &err);
    buf_free(&w->pong);
    if (!w->want_drain || w->state != WS_OPEN)
        return;
    w->want_drain = false;
    if (w->events->on_drain != NULL)
        w->events->on_drain(w->ctx, w);
}

void ws_free(struct ws *w)
{
    if (w->wslay != NULL)
        wslay_event_context_free(w->wslay);
    loop_timer_free(&w->timer);
    http_head_free(&w->head);
    buf_free(&w->raw);
    buf_free(&w->early);
    buf_free(&w->message);
    buf_free(&w->out);
    buf_free(&w->pong);
    free(w->protocols);
    free(w);
}

void ws_on_close(void *ctx, struct conn *c, const struct error *err)
{
    struct ws *w = ctx;
    (void)c;
    bool received = wslay_event_get_close_received(w->wslay);
    if (w->broken)
        err = &w->error;
    else if (received)
        err = NULL; /* both said goodbye; how the socket ended does not matter */
    struct error cut;
    if (err == NULL && !received) {
        fail(&cut, w->opened ? "E_WS_CUT" : "E_WS_HANDSHAKE", "the connection ended%s",
             w->opened ? " without a WebSocket goodbye" : "");
        err = &cut;
    }
    uint16_t code = !w->opened ? 0 : received ? wslay_event_get_status_code_received(w->wslay) : WSLAY_CODE_ABNORMAL_CLOSURE;
    w->state = WS_OVER;
    if (w->events->on_close != NULL)
        w->events->on_close(w->ctx, w, code, w->close_reason, w->status, err);
    ws_free(w);
}

static const struct conn_events open_events = {
    .on_data = on_open_data, .on_end = on_end, .on_drain = on_drain, .on_close = ws_on_close};

static void on_timer(void *ctx)
{
    struct ws *w = ctx;
    struct error err;
    if (w->state == WS_CLOSING) {
        fail(&err, "E_WS_TIMEOUT", "the peer did not say goodbye within %d ms", CLOSE_MS);
        ws_break(w, &err);
    } else if (w->state == WS_HANDSHAKE && w->is_server) {
        ws_opened(w);
    } else if (w->state == WS_HANDSHAKE) {
        fail(&err, "E_CONN_TIMEOUT", "the WebSocket handshake did not come to an end in time");
        ws_break(w, &err);
    }
}

struct ws *ws_new(struct conn *c, bool is_server, const struct ws_events *events, void *ctx)
{
    struct ws *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    *w = (struct ws){.conn = c, .is_server = is_server, .events = events, .ctx = ctx, .raw = BUF(HTTP_HEAD_MAX),
                     .early = BUF(2 * NET_READ_SIZE), .message = BUF(WS_MESSAGE_MAX), .out = BUF(OUT_MAX), .pong = BUF(OUT_MAX)};
    w->timer = loop_timer_new(conn_loop(c), on_timer, w);
    int r = is_server ? wslay_event_context_server_init(&w->wslay, &wslay_callbacks, w)
                      : wslay_event_context_client_init(&w->wslay, &wslay_callbacks, w);
    if (r != 0)
        w->wslay = NULL;
    if (r != 0 || w->timer == NULL) {
        ws_free(w);
        return NULL;
    }
    wslay_event_config_set_no_buffering(w->wslay, 1);
    wslay_event_config_set_max_recv_msg_length(w->wslay, WS_MESSAGE_MAX);
    w->last_read_ms = clock_boot_ms();
    return w;
}

/* The handshake is done: frames from here on, those that came with it first. */
void ws_opened(struct ws *w)
{
    struct buf early = w->early;
    w->early = BUF(0);
    w->state = WS_OPEN;
    w->opened = true;
    loop_timer_stop(w->timer);
    conn_set_events(w->conn, &open_events, w);
    if (w->events->on_open != NULL)
        w->events->on_open(w->ctx, w);
    if (early.size > 0)
        ws_feed(w, early.data, early.size);
    buf_free(&early);
    if (w->is_server && w->state != WS_OVER)
        conn_resume(w->conn);
}

/* ---- Asking ------------------------------------------------------------------------------------------------------------ */

size_t ws_queued(const struct ws *w)
{
    return conn_queued(w->conn) + w->pong.size;
}

const char *ws_protocol(const struct ws *w)
{
    return w->protocol;
}

struct conn *ws_conn(struct ws *w)
{
    return w->conn;
}

int64_t ws_last_read_ms(const struct ws *w)
{
    return w->last_read_ms;
}
