/* A connection over a socket, once it is there: bytes both ways, and the one way it closes.
 *
 * Happy path: sock_opened → on_read / sock_write → pump, on_written → finish → shut_down → the peer's FIN → sock_close.
 * Failures: a read error closes at once. A write error drops what is queued but reads on for a while, since the peer may
 * have said why before it hung up; a deadline closes in any case.
 * Close: sock_close is the only door. It closes every handle; when the last part has ended, on_close comes and the memory
 * goes. */
#include "net/loop/conn_sock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

#define CONNECT_MS    15000
#define FINISH_MS     5000
#define FINISH_ROUNDS 12
#define WRITE_LIMIT   (1024 * 1024)
#define WRITE_HIGH    (256 * 1024)
#define WRITE_LOW     (64 * 1024)

static struct sock *of(struct conn *c)
{
    return (struct sock *)c;
}

/* ---- Closing ------------------------------------------------------------------------------------------------ */

void sock_part_ended(struct sock *s)
{
    if (--s->parts > 0)
        return;
    const struct conn_events *events = s->base.events;
    if (events != NULL && events->on_close != NULL)
        events->on_close(s->base.ctx, &s->base, s->reason);
    if (s->on_gone != NULL)
        s->on_gone(s->owner);
    buf_free(&s->flying);
    buf_free(&s->pending);
    free(s->resolving);
    free(s->reason);
    free(s);
}

static void on_stream_closed(uv_handle_t *handle)
{
    struct sock *s = handle->data;
    s->stream_live = false;
    sock_part_ended(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    sock_part_ended(handle->data);
}

static void keep_reason(struct sock *s, const struct error *reason)
{
    if (reason == NULL || s->reason != NULL)
        return;
    s->reason = malloc(sizeof *s->reason);
    if (s->reason != NULL)
        *s->reason = *reason;
}

void sock_close(struct sock *s, const struct error *reason)
{
    if (s->state == SOCK_CLOSING)
        return;
    keep_reason(s, reason);
    if (s->state == SOCK_RESOLVING || s->state == SOCK_CONNECTING)
        connect_abandon(s);
    s->state = SOCK_CLOSING;
    s->base.closing = true;
    if (s->stream_live && !uv_is_closing(&s->u.handle)) {
        s->parts++;
        uv_close(&s->u.handle, on_stream_closed);
    }
    /* The timer is the last of the parts that always exist: its end is what parts started with. */
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

static void close_with(struct sock *s, const char *code, const char *what, int uv_error)
{
    struct error why;
    fail(&why, code, "%s: %s", what, uv_strerror(uv_error));
    sock_close(s, &why);
}

static void op_close(struct conn *c, const struct error *reason)
{
    sock_close(of(c), reason);
}

/* ---- Deadlines ---------------------------------------------------------------------------------------------- */

static size_t op_queued(const struct conn *c)
{
    const struct sock *s = (const struct sock *)c;
    return s->pending.size + (s->stream_live && s->flying.size > 0 ? uv_stream_get_write_queue_size(&s->u.stream) : 0);
}

static void idle_deadline(struct sock *s)
{
    if (s->options.idle_ms == 0)
        return;
    int64_t quiet = clock_mono_ms() - s->active_ms;
    if (quiet < s->options.idle_ms) {
        sock_arm(s, (uint64_t)(s->options.idle_ms - quiet));
        return;
    }
    struct error why;
    fail(&why, "E_CONN_IDLE", "nothing was read or written for %u ms", s->options.idle_ms);
    sock_close(s, &why);
}

/* A slow reader may have its bytes as long as it takes some, but not for ever. */
static void finish_deadline(struct sock *s)
{
    size_t queued = op_queued(&s->base);
    if (queued < s->finish_queued && ++s->finish_rounds < FINISH_ROUNDS) {
        s->finish_queued = queued;
        sock_arm(s, s->options.finish_ms);
        return;
    }
    struct error why;
    fail(&why, "E_CONN_TIMEOUT", "the peer did not take the last %zu bytes in time", queued);
    sock_close(s, queued > 0 ? &why : NULL);
}

static void on_timer(uv_timer_t *timer)
{
    struct sock *s = timer->data;
    switch (s->state) {
    case SOCK_RESOLVING:
    case SOCK_CONNECTING:
        connect_deadline(s);
        break;
    case SOCK_ADOPTED:
        sock_opened(s);
        break;
    case SOCK_OPEN:
        if (s->finishing || s->write_broken)
            finish_deadline(s);
        else
            idle_deadline(s);
        break;
    case SOCK_CLOSING:
        break;
    }
}

void sock_arm(struct sock *s, uint64_t ms)
{
    if (s->state == SOCK_CLOSING)
        return;
    uv_update_time(s->base.net->uv);
    uv_timer_start(&s->timer, on_timer, ms, 0);
}

static void op_set_idle(struct conn *c, uint32_t idle_ms)
{
    struct sock *s = of(c);
    s->options.idle_ms = idle_ms;
    s->active_ms = clock_mono_ms();
    if (s->state == SOCK_OPEN && !s->finishing && !s->write_broken && idle_ms > 0)
        sock_arm(s, idle_ms);
}

/* ---- Writing ------------------------------------------------------------------------------------------------ */

static void on_written(uv_write_t *request, int status);

static void write_failed(struct sock *s, int uv_error)
{
    struct error why;
    fail(&why, uv_error == UV_ECONNRESET || uv_error == UV_EPIPE ? "E_CONN_RESET" : "E_CONN_WRITE", "writing: %s",
         uv_strerror(uv_error));
    keep_reason(s, &why);
    s->write_broken = true;
    buf_free(&s->pending);
    s->finish_queued = 0;
    sock_arm(s, s->options.finish_ms);
    if (s->peer_ended || s->paused || s->finishing)
        sock_close(s, NULL);
}

static void pump(struct sock *s)
{
    if (s->state != SOCK_OPEN || s->write_broken || s->flying.size > 0 || s->pending.size == 0)
        return;
    struct buf empty = s->flying;
    s->flying = s->pending;
    s->pending = empty;
    uv_buf_t part = uv_buf_init((char *)s->flying.data, (unsigned)s->flying.size);
    int r = uv_write(&s->write, &s->u.stream, &part, 1, on_written);
    if (r < 0) {
        buf_free(&s->flying);
        write_failed(s, r);
    }
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct sock *s = request->data;
    (void)status; /* a peer that is gone already makes reading end too */
    s->shut = true;
    if (s->peer_ended)
        sock_close(s, NULL);
}

/* Everything is sent. Wait for the peer's FIN (or the deadline): closing with unread bytes would reset the connection
 * and could destroy what was just sent. */
static void shut_down(struct sock *s)
{
    s->shutdown.data = s;
    if (s->write_broken || uv_shutdown(&s->shutdown, &s->u.stream, on_shut) < 0) {
        sock_close(s, NULL);
        return;
    }
    s->finish_queued = 0;
    sock_arm(s, s->options.finish_ms);
}

static void on_written(uv_write_t *request, int status)
{
    struct sock *s = request->data;
    buf_free(&s->flying);
    if (s->state == SOCK_CLOSING)
        return;
    if (status < 0) {
        write_failed(s, status);
        return;
    }
    s->active_ms = clock_mono_ms();
    pump(s);
    if (s->finishing) {
        if (op_queued(&s->base) == 0)
            shut_down(s);
        return;
    }
    if (s->want_drain && op_queued(&s->base) <= s->options.write_low) {
        s->want_drain = false;
        if (s->base.events != NULL && s->base.events->on_drain != NULL)
            s->base.events->on_drain(s->base.ctx, &s->base);
    }
}

/* What goes at once needs no copy. Returns how much went, or libuv's error number. */
static ssize_t write_now(struct sock *s, const void *data, size_t size)
{
    if (s->state != SOCK_OPEN || op_queued(&s->base) > 0 || size == 0)
        return 0;
    uv_buf_t part = uv_buf_init((char *)data, (unsigned)size);
    int went = uv_try_write(&s->u.stream, &part, 1);
    return went == UV_EAGAIN ? 0 : went;
}

static int op_write(struct conn *c, const void *data, size_t size, struct error *err)
{
    struct sock *s = of(c);
    if (s->finishing || s->write_broken)
        return fail(err, "E_CONN_CLOSED", "the connection is finished");
    if (size > s->options.write_limit || op_queued(c) > s->options.write_limit - size)
        return fail(err, "E_CONN_FULL", "%zu bytes are queued, %zu more are over the limit of %zu", op_queued(c), size,
                    s->options.write_limit);
    /* Make room before anything goes out, so that all of data is taken or nothing. */
    if (buf_reserve(&s->pending, size, err) < 0)
        return -1;
    ssize_t went = write_now(s, data, size);
    if (went < 0) {
        write_failed(s, (int)went);
        return fail(err, "E_CONN_RESET", "writing: %s", uv_strerror((int)went));
    }
    s->active_ms = clock_mono_ms();
    if ((size_t)went < size) {
        if (buf_add(&s->pending, (const uint8_t *)data + went, size - (size_t)went, err) < 0)
            return -1;
        pump(s);
    } else if (s->pending.size == 0) {
        buf_free(&s->pending); /* an idle connection holds no buffer */
    }
    if (op_queued(c) < s->options.write_high)
        return 0;
    s->want_drain = true;
    return 1;
}

static void op_finish(struct conn *c)
{
    struct sock *s = of(c);
    if (s->finishing)
        return;
    s->finishing = true;
    if (s->state != SOCK_OPEN)
        return; /* sock_opened goes on */
    if (s->write_broken) {
        sock_close(s, NULL);
        return;
    }
    s->finish_queued = op_queued(c);
    s->paused = false;
    conn_resume(c);
    if (s->finish_queued == 0)
        shut_down(s);
    else
        sock_arm(s, s->options.finish_ms);
}

/* ---- Reading ------------------------------------------------------------------------------------------------ */

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
    struct sock *s = handle->data;
    (void)wanted;
    *out = uv_buf_init((char *)s->base.net->read, NET_READ_SIZE);
}

static void peer_ended(struct sock *s)
{
    s->peer_ended = true;
    uv_read_stop(&s->u.stream);
    s->reading = false;
    if (s->shut || s->write_broken) {
        sock_close(s, NULL);
        return;
    }
    if (s->finishing)
        return; /* on_shut closes */
    if (s->base.events != NULL && s->base.events->on_end != NULL)
        s->base.events->on_end(s->base.ctx, &s->base);
    else
        conn_finish(&s->base);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *part)
{
    struct sock *s = stream->data;
    if (s->state != SOCK_OPEN || size == 0)
        return;
    if (size == UV_EOF) {
        peer_ended(s);
    } else if (size < 0) {
        if (s->finishing && op_queued(&s->base) == 0)
            sock_close(s, NULL); /* all was sent; how the peer hung up does not matter */
        else
            close_with(s, "E_CONN_RESET", "reading", (int)size);
    } else if (!s->finishing) {
        s->active_ms = clock_mono_ms();
        if (s->base.events != NULL && s->base.events->on_data != NULL)
            s->base.events->on_data(s->base.ctx, &s->base, (const uint8_t *)part->base, (size_t)size);
    }
}

static void op_pause(struct conn *c)
{
    struct sock *s = of(c);
    s->paused = true;
    if (s->reading && s->state == SOCK_OPEN)
        uv_read_stop(&s->u.stream);
    s->reading = false;
}

static void op_resume(struct conn *c)
{
    struct sock *s = of(c);
    s->paused = false;
    if (s->reading || s->state != SOCK_OPEN || s->peer_ended)
        return;
    int r = uv_read_start(&s->u.stream, on_alloc, on_read);
    if (r < 0)
        close_with(s, "E_CONN_RESET", "reading", r);
    else
        s->reading = true;
}

/* ---- Coming to be ------------------------------------------------------------------------------------------- */

static const struct conn_ops sock_ops = {
    .write = op_write,
    .queued = op_queued,
    .pause = op_pause,
    .resume = op_resume,
    .set_idle = op_set_idle,
    .finish = op_finish,
    .close = op_close,
};

static struct conn_options with_defaults(const struct conn_options *given)
{
    struct conn_options o = given != NULL ? *given : (struct conn_options){0};
    o.connect_ms = o.connect_ms > 0 ? o.connect_ms : CONNECT_MS;
    o.finish_ms = o.finish_ms > 0 ? o.finish_ms : FINISH_MS;
    o.write_limit = o.write_limit > 0 ? o.write_limit : WRITE_LIMIT;
    o.write_high = o.write_high > 0 ? o.write_high : WRITE_HIGH;
    o.write_low = o.write_low > 0 ? o.write_low : WRITE_LOW;
    return o;
}

struct sock *sock_new(struct net_loop *net, bool is_pipe, const struct conn_options *options)
{
    struct sock *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->base = (struct conn){.ops = &sock_ops, .net = net};
    s->options = with_defaults(options);
    s->base.write_limit = s->options.write_limit;
    s->is_pipe = is_pipe;
    s->parts = 1; /* the timer */
    s->pending = s->flying = BUF(s->options.write_limit);
    s->write.data = s;
    s->timer.data = s;
    uv_timer_init(net->uv, &s->timer);
    s->timer.data = s;
    return s;
}

int sock_open_stream(struct sock *s)
{
    int r = s->is_pipe ? uv_pipe_init(s->base.net->uv, &s->u.pipe, 0) : uv_tcp_init(s->base.net->uv, &s->u.tcp);
    s->u.handle.data = s;
    s->stream_live = r == 0;
    return r;
}

void sock_open_soon(struct sock *s)
{
    s->state = SOCK_ADOPTED;
    sock_arm(s, 0);
}

void sock_opened(struct sock *s)
{
    s->state = SOCK_OPEN;
    s->base.open = true;
    s->active_ms = clock_mono_ms();
    uv_timer_stop(&s->timer);
    if (!s->is_pipe)
        uv_tcp_nodelay(&s->u.tcp, 1); /* else a handshake stalls 40 ms */
    if (s->options.idle_ms > 0)
        sock_arm(s, s->options.idle_ms);
    if (s->base.events != NULL && s->base.events->on_open != NULL && !s->finishing)
        s->base.events->on_open(s->base.ctx, &s->base);
    if (s->state != SOCK_OPEN)
        return;
    if (!s->paused)
        op_resume(&s->base);
    pump(s);
    if (s->finishing && s->state == SOCK_OPEN) {
        s->finishing = false;
        op_finish(&s->base);
    }
}

/* ---- Who is there ------------------------------------------------------------------------------------------- */

/* The connection at the bottom, under any layers. */
static const struct sock *bottom(const struct conn *c)
{
    while (c->ops->below != NULL)
        c = c->ops->below((struct conn *)c);
    return (const struct sock *)c;
}

void conn_peer(const struct conn *c, char *out)
{
    const struct sock *s = bottom(c);
    snprintf(out, CONN_PEER_SIZE, "%s", s->is_pipe ? "unix" : "");
    struct sockaddr_storage address = {0};
    int size = sizeof address;
    if (s->is_pipe || !s->stream_live || uv_tcp_getpeername(&s->u.tcp, (struct sockaddr *)&address, &size) < 0)
        return;
    if (address.ss_family == AF_INET)
        uv_ip4_name((struct sockaddr_in *)&address, out, CONN_PEER_SIZE);
    else
        uv_ip6_name((struct sockaddr_in6 *)&address, out, CONN_PEER_SIZE);
}

int conn_peer_credentials(const struct conn *c, uid_t *uid, gid_t *gid, pid_t *pid, struct error *err)
{
    const struct sock *s = bottom(c);
    uv_os_fd_t fd = -1;
    struct ucred who;
    socklen_t size = sizeof who;
    if (!s->is_pipe || !s->stream_live || uv_fileno(&s->u.handle, &fd) < 0)
        return fail(err, "E_CONN_PEER", "not an open unix socket");
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
        return fail_errno(err, "E_CONN_PEER", errno, "SO_PEERCRED");
    *uid = who.uid;
    *gid = who.gid;
    *pid = who.pid;
    return 0;
}
