/* TLS between a connection and whoever uses it.
 *
 * Happy path: the connection below opens → handshake turns (step) → opened → on_below_data → deliver → on_data, and
 * op_write → engine → conn_write below → op_finish says close_notify and finishes below.
 * Failures: whatever the engine refuses sends its alert and finishes below; the reason is kept for on_close.
 * Close: always by the connection below; its on_close is ours, and the memory goes with it. */
#include "net/tls/tls_conn.h"

#include <stdlib.h>

#include "net/loop/timer.h"

#define HANDSHAKE_MS 10000
/* A record's head, nonce and tag, generously, for each 16 KiB begun. */
#define RECORD_SIZE     16384
#define RECORD_OVERHEAD 64

struct tls_conn {
    struct conn base;
    struct conn *below;
    struct tls *tls;
    struct loop_timer *timer; /* before open: the handshake's deadline or first turn; after: a resume that waits */
    struct buf early;         /* written before open */
    struct error *reason;
    uint32_t handshake_ms;
    bool paused, finishing, peer_ended, started;
};

static struct tls_conn *of(struct conn *c)
{
    return (struct tls_conn *)c;
}

/* ---- Closing -------------------------------------------------------------------------------------------------- */

static void keep_reason(struct tls_conn *t, const struct error *reason)
{
    if (reason == NULL || t->reason != NULL)
        return;
    t->reason = malloc(sizeof *t->reason);
    if (t->reason != NULL)
        *t->reason = *reason;
}

static int flush(struct tls_conn *t, struct error *err)
{
    struct buf *out = tls_output(t->tls);
    int r = out->size > 0 ? conn_write(t->below, out->data, out->size, err) : 0;
    buf_free(out); /* an idle connection holds no buffer */
    return r;
}

/* The engine gave up: the peer gets its alert, the user the reason. */
static void give_up(struct tls_conn *t, const struct error *reason)
{
    if (t->base.closing)
        return;
    keep_reason(t, reason);
    t->base.closing = true;
    if (flush(t, NULL) < 0)
        conn_close(t->below);
    else
        conn_finish(t->below);
}

static void on_below_close(void *ctx, struct conn *below, const struct error *err)
{
    struct tls_conn *t = ctx;
    (void)below;
    t->base.closing = true;
    keep_reason(t, err);
    if (t->base.events != NULL && t->base.events->on_close != NULL)
        t->base.events->on_close(t->base.ctx, &t->base, t->reason);
    loop_timer_free(&t->timer);
    tls_free(t->tls);
    buf_wipe_free(&t->early);
    free(t->reason);
    free(t);
}

static void op_close(struct conn *c, const struct error *reason)
{
    struct tls_conn *t = of(c);
    keep_reason(t, reason);
    c->closing = true;
    conn_close(t->below);
}

static void op_finish(struct conn *c)
{
    struct tls_conn *t = of(c);
    t->finishing = true;
    if (!c->open)
        return; /* opened() goes on */
    tls_say_goodbye(t->tls);
    if (flush(t, NULL) < 0)
        conn_close(t->below);
    else
        conn_finish(t->below);
}

/* ---- Reading -------------------------------------------------------------------------------------------------- */

static void peer_ended(struct tls_conn *t)
{
    t->peer_ended = true;
    if (t->base.events != NULL && t->base.events->on_end != NULL)
        t->base.events->on_end(t->base.ctx, &t->base);
    else
        conn_finish(&t->base);
}

static bool may_deliver(const struct tls_conn *t)
{
    return t->base.open && !t->base.closing && !t->paused && !t->finishing && !t->peer_ended;
}

/* What the engine has, up to the user. The buffer is the loop's: never called from inside a user's call. */
static void deliver(struct tls_conn *t)
{
    struct error err;
    uint8_t *plain = t->base.net->plain;
    while (may_deliver(t)) {
        ssize_t size = tls_read(t->tls, plain, NET_PLAIN_SIZE, &err);
        if (size == 0)
            break;
        if (size == TLS_END)
            peer_ended(t);
        else if (size < 0)
            give_up(t, &err);
        else if (t->base.events != NULL && t->base.events->on_data != NULL)
            t->base.events->on_data(t->base.ctx, &t->base, plain, (size_t)size);
    }
}

static void opened(struct tls_conn *t)
{
    struct error err;
    loop_timer_stop(t->timer);
    t->base.open = true;
    if (t->paused)
        conn_pause(t->below);
    int r = tls_write(t->tls, t->early.data, t->early.size, &err);
    buf_wipe_free(&t->early);
    if (r < 0 || flush(t, &err) < 0) {
        give_up(t, &err);
        return;
    }
    if (t->finishing) {
        op_finish(&t->base);
        return;
    }
    if (t->base.events != NULL && t->base.events->on_open != NULL)
        t->base.events->on_open(t->base.ctx, &t->base);
    deliver(t);
}

static void step(struct tls_conn *t)
{
    struct error err;
    if (t->base.closing)
        return;
    if (t->base.open) {
        deliver(t);
        return;
    }
    int r = tls_handshake(t->tls, &err);
    if (r < 0) {
        give_up(t, &err);
        return;
    }
    if (flush(t, &err) < 0)
        give_up(t, &err);
    else if (r == 1)
        opened(t);
}

static void on_below_data(void *ctx, struct conn *below, const uint8_t *data, size_t size)
{
    struct tls_conn *t = ctx;
    struct error err;
    (void)below;
    if (t->base.closing || t->peer_ended)
        return;
    if (tls_feed(t->tls, data, size, &err) < 0)
        give_up(t, &err);
    else
        step(t);
}

static void on_below_end(void *ctx, struct conn *below)
{
    struct tls_conn *t = ctx;
    (void)below;
    tls_feed_end(t->tls);
    if (!t->peer_ended)
        step(t);
}

static void on_below_drain(void *ctx, struct conn *below)
{
    struct tls_conn *t = ctx;
    (void)below;
    if (!t->base.closing && t->base.events != NULL && t->base.events->on_drain != NULL)
        t->base.events->on_drain(t->base.ctx, &t->base);
}

static void start(struct tls_conn *t)
{
    t->started = true;
    loop_timer_start(t->timer, t->handshake_ms, 0);
    conn_resume(t->below); /* a pause asked for meanwhile is about plain bytes */
    step(t);
}

static void on_below_open(void *ctx, struct conn *below)
{
    (void)below;
    start(ctx);
}

static void on_timer(void *ctx)
{
    struct tls_conn *t = ctx;
    if (t->base.closing)
        return;
    if (!t->started) {
        start(t); /* the connection below was open already */
    } else if (t->base.open) {
        deliver(t); /* resumed */
        if (!t->paused && !t->base.closing)
            conn_resume(t->below);
    } else {
        struct error err;
        fail(&err, "E_CONN_TIMEOUT", "the TLS handshake took longer than %u ms", t->handshake_ms);
        op_close(&t->base, &err);
    }
}

static const struct conn_events below_events = {
    .on_open = on_below_open,
    .on_data = on_below_data,
    .on_end = on_below_end,
    .on_drain = on_below_drain,
    .on_close = on_below_close,
};

/* ---- What conn.h asks for -------------------------------------------------------------------------------------- */

static size_t op_queued(const struct conn *c)
{
    const struct tls_conn *t = (const struct tls_conn *)c;
    return t->early.size + conn_queued(t->below);
}

static int op_write(struct conn *c, const void *data, size_t size, struct error *err)
{
    struct tls_conn *t = of(c);
    if (t->finishing)
        return fail(err, "E_CONN_CLOSED", "the connection is finished");
    size_t room = c->write_limit, queued = op_queued(c);
    size_t overhead = (size / RECORD_SIZE + 1) * RECORD_OVERHEAD;
    if (size > room || overhead > room - size || queued > room - size - overhead)
        return fail(err, "E_CONN_FULL", "%zu bytes are queued, %zu more are over the limit of %zu", queued, size, room);
    if (!c->open)
        return buf_add(&t->early, data, size, err);
    int r = tls_write(t->tls, data, size, err);
    if (r == 0)
        r = flush(t, err);
    if (r < 0) /* part of a record may be lost: nothing sensible can follow it */
        op_close(c, err);
    return r;
}

static void op_pause(struct conn *c)
{
    struct tls_conn *t = of(c);
    t->paused = true;
    if (c->open)
        conn_pause(t->below);
}

static void op_resume(struct conn *c)
{
    struct tls_conn *t = of(c);
    if (!t->paused)
        return;
    t->paused = false;
    if (c->open)
        loop_timer_start(t->timer, 0, 0); /* the engine may hold bytes; they come from the loop */
}

static void op_set_idle(struct conn *c, uint32_t idle_ms)
{
    conn_set_idle(of(c)->below, idle_ms);
}

static struct conn *op_below(struct conn *c)
{
    return of(c)->below;
}

static const struct conn_ops tls_ops = {
    .write = op_write,
    .queued = op_queued,
    .pause = op_pause,
    .resume = op_resume,
    .set_idle = op_set_idle,
    .finish = op_finish,
    .close = op_close,
    .below = op_below,
};

static struct conn *wrap(struct conn *below, struct tls *tls, uint32_t handshake_ms, struct error *err)
{
    struct tls_conn *t = tls != NULL ? calloc(1, sizeof *t) : NULL;
    if (t != NULL)
        t->timer = loop_timer_new(below->net, on_timer, t);
    if (t == NULL || t->timer == NULL) {
        if (tls != NULL)
            fail(err, "E_NO_MEMORY", "no memory for a TLS connection");
        free(t);
        tls_free(tls);
        conn_set_events(below, NULL, NULL);
        conn_close(below);
        return NULL;
    }
    t->base = (struct conn){.ops = &tls_ops, .net = below->net, .write_limit = below->write_limit};
    t->below = below;
    t->tls = tls;
    t->early = BUF(below->write_limit);
    t->handshake_ms = handshake_ms > 0 ? handshake_ms : HANDSHAKE_MS;
    conn_set_events(below, &below_events, t);
    if (conn_is_open(below))
        loop_timer_start(t->timer, 0, 0);
    return &t->base;
}

struct conn *tls_conn_client(struct conn *below, struct tls_context *context, const char *host,
                             const struct tls_session *session, uint32_t handshake_ms, struct error *err)
{
    return wrap(below, tls_new_client(context, host, session, err), handshake_ms, err);
}

struct conn *tls_conn_server(struct conn *below, struct tls_context *context, uint32_t handshake_ms, struct error *err)
{
    return wrap(below, tls_new_server(context, err), handshake_ms, err);
}

const struct tls *tls_conn_engine(const struct conn *c)
{
    return c->ops == &tls_ops ? ((const struct tls_conn *)c)->tls : NULL;
}
