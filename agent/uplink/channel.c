#include "agent/uplink/channel.h"

#include "base/clock.h"
#include "net/loop/conn.h"
#include "net/tls/tls_conn.h"
#include "proto/message.h"

static void stop_timers(struct channel *c)
{
    if (c->beat != NULL)
        loop_timer_stop(c->beat);
    if (c->deadline != NULL)
        loop_timer_stop(c->deadline);
}

static void save_session(struct channel *c)
{
    const struct tls *engine = tls_conn_engine(ws_conn(c->ws));
    c->resumed = engine != NULL && tls_resumed(engine);
    struct tls_session *fresh = engine != NULL ? tls_session_save(engine) : NULL;
    if (fresh == NULL)
        return;
    tls_session_free(c->session);
    c->session = fresh;
}

static void on_ws_open(void *ctx, struct ws *w)
{
    struct channel *c = ctx;
    (void)w;
    save_session(c);
    c->open = true;
    c->events->on_open(c->ctx);
}

static void on_ws_message(void *ctx, struct ws *w, enum ws_kind kind, const uint8_t *data, size_t size)
{
    struct channel *c = ctx;
    (void)w;
    if (c->reason.code[0] != '\0') /* we are on the way out */
        return;
    if (kind == WS_TEXT)
        c->events->on_text(c->ctx, data, size);
    else
        c->events->on_binary(c->ctx);
}

static void on_ws_drain(void *ctx, struct ws *w)
{
    struct channel *c = ctx;
    (void)w;
    c->events->on_drain(c->ctx);
}

/* The plane's words are shown to people, so nothing but visible ASCII of it is. */
static void visible(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < size; n++)
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    out[n] = '\0';
}

static void describe(uint16_t code, const char *reason, int status, const struct error *err, struct error *why)
{
    char said[128];
    visible(reason != NULL ? reason : "", said, sizeof said);
    if (status != 0 && status != 101)
        fail(why, "E_PLANE_REFUSED", "the plane refused this host with HTTP status %d%s", status,
             status == 401 || status == 403 ? ": its certificate was revoked, or the server was removed" : "");
    else if (err != NULL)
        *why = *err;
    else
        fail(why, "E_PLANE_CLOSED", "the plane closed the connection (code %u)%s%s", (unsigned)code,
             said[0] != '\0' ? ": " : "", said);
}

static void on_ws_close(void *ctx, struct ws *w, uint16_t code, const char *reason, int status, const struct error *err)
{
    struct channel *c = ctx;
    (void)w;
    struct error why = c->reason;
    if (why.code[0] == '\0')
        describe(code, reason, status, err, &why);
    /* A session the plane stumbled over is not tried twice. */
    if (!c->open) {
        tls_session_free(c->session);
        c->session = NULL;
    }
    c->ws = NULL;
    c->open = false;
    stop_timers(c);
    c->events->on_closed(c->ctx, &why);
}

static const struct ws_events ws_events = {
    .on_open = on_ws_open, .on_message = on_ws_message, .on_drain = on_ws_drain, .on_close = on_ws_close};

static void on_no_welcome(void *ctx)
{
    struct channel *c = ctx;
    struct error why = {0};
    fail(&why, "E_PLANE_SILENT", "the plane did not answer this host's hello within %u seconds", CHANNEL_WELCOME_MS / 1000);
    channel_end(c, 1008, &why);
}

static void on_beat(void *ctx)
{
    struct channel *c = ctx;
    if (c->ws == NULL)
        return;
    bool alive = c->pinged_ms == 0 || ws_last_read_ms(c->ws) >= c->pinged_ms;
    c->misses = alive ? 0 : c->misses + 1;
    if (c->misses >= CHANNEL_MISSES) {
        fail(&c->reason, "E_PLANE_SILENT", "the plane has not answered %d pings, %u seconds apart", CHANNEL_MISSES,
             (unsigned)c->heartbeat_s);
        ws_abort(c->ws);
        return;
    }
    c->pinged_ms = clock_boot_ms();
    struct error err = {0};
    /* A ping that finds no room counts as missed next time, if until then nothing came in either. */
    if (ws_ping(c->ws, NULL, 0, &err) < 0)
        return;
}

int channel_init(struct channel *c, struct net_loop *net, const struct channel_events *events, void *ctx, struct error *err)
{
    *c = (struct channel){.net = net, .events = events, .ctx = ctx};
    c->beat = loop_timer_new(net, on_beat, c);
    c->deadline = loop_timer_new(net, on_no_welcome, c);
    if (c->beat != NULL && c->deadline != NULL)
        return 0;
    return fail(err, "E_MEMORY", "no memory for the connection to the plane");
}

void channel_retire(struct channel *c, uint16_t code, const struct error *why)
{
    channel_end(c, code, why);
    loop_timer_free(&c->beat);
    loop_timer_free(&c->deadline);
}

void channel_free(struct channel *c)
{
    tls_session_free(c->session);
    tls_context_free(c->tls);
    c->session = NULL;
    c->tls = NULL;
}

int channel_use(struct channel *c, const struct tls_client_options *who, struct error *err)
{
    struct tls_context *fresh = tls_context_client(who, err);
    if (fresh == NULL)
        return -1;
    tls_session_free(c->session);
    tls_context_free(c->tls);
    c->session = NULL;
    c->tls = fresh;
    return 0;
}

int channel_connect(struct channel *c, const char *host, uint16_t port, const char *authority, struct error *err)
{
    static const char *const protocols[] = {MESSAGE_SUBPROTOCOL, NULL};
    const struct ws_client_options options = {.host = authority, .target = MESSAGE_PATH, .protocols = protocols};
    c->reason = (struct error){0};
    c->pinged_ms = 0;
    c->misses = 0;
    c->resumed = false;
    struct conn *below = conn_connect_tcp(c->net, host, port, NULL, err);
    if (below != NULL)
        below = tls_conn_client(below, c->tls, host, c->session, 0, err);
    c->ws = below != NULL ? ws_client_start(below, &options, &ws_events, c, err) : NULL;
    return c->ws != NULL ? 0 : -1;
}

bool channel_active(const struct channel *c)
{
    return c->ws != NULL;
}

bool channel_open(const struct channel *c)
{
    return c->ws != NULL && c->open && c->reason.code[0] == '\0';
}

/* What cannot be sent must not be missing in the middle of a stream: the connection ends, and the next one reconciles. */
static int sent(struct channel *c, int rc, const struct error *err)
{
    if (rc < 0)
        channel_end(c, 1011, err);
    return rc;
}

int channel_send_text(struct channel *c, const void *text, size_t size)
{
    struct error err = {0};
    if (!channel_open(c))
        return -1;
    return sent(c, ws_send_text(c->ws, text, size, &err), &err);
}

int channel_send_binary(struct channel *c, const void *data, size_t size)
{
    struct error err = {0};
    if (!channel_open(c))
        return -1;
    return sent(c, ws_send_binary(c->ws, data, size, &err), &err);
}

void channel_expect_welcome(struct channel *c)
{
    loop_timer_start(c->deadline, CHANNEL_WELCOME_MS, 0);
}

void channel_welcomed(struct channel *c, uint32_t heartbeat_s)
{
    loop_timer_stop(c->deadline);
    if (heartbeat_s > CHANNEL_HEARTBEAT_MAX)
        heartbeat_s = CHANNEL_HEARTBEAT_MAX;
    if (c->heartbeat_s == heartbeat_s && c->pinged_ms != 0)
        return; /* a later welcome on the same connection: the beat goes on */
    c->heartbeat_s = heartbeat_s;
    loop_timer_start(c->beat, (uint64_t)heartbeat_s * 1000, (uint64_t)heartbeat_s * 1000);
}

void channel_end(struct channel *c, uint16_t code, const struct error *why)
{
    if (c->ws == NULL || c->reason.code[0] != '\0')
        return;
    c->reason = *why;
    stop_timers(c);
    ws_close(c->ws, code, why->code);
}
