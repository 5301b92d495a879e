/* One connection to the plane at a time: TCP, TLS with the host's certificate, WebSocket, heartbeat.
 *
 * Happy path: channel_use (who we are) → channel_connect → on_open → on_text … channel_send_* → channel_close → on_closed.
 * Failures: every one ends in on_closed, exactly once for each channel_connect that returned 0, with a sentence that says why;
 * the next channel_connect may follow from a timer. A plane that does not answer two pings in a row is given up.
 * The TLS session is kept in memory, so that the next connection can resume it; a new certificate drops it. */
#ifndef KLY_UPLINK_CHANNEL_H
#define KLY_UPLINK_CHANNEL_H

#include <stdbool.h>

#include "base/buf.h"
#include "net/loop/timer.h"
#include "net/tls/tls.h"
#include "net/ws/ws.h"

#define CHANNEL_WELCOME_MS 30000u /* from TCP connect to welcome, and from any hello to its welcome */
#define CHANNEL_MISSES     2
#define CHANNEL_HEARTBEAT_MAX 120u /* seconds; a plane that asks for fewer pings gets these, so that a dead one is noticed */

struct channel_events {
    void (*on_open)(void *ctx);
    void (*on_text)(void *ctx, const uint8_t *text, size_t size);
    void (*on_binary)(void *ctx);
    void (*on_drain)(void *ctx);
    void (*on_closed)(void *ctx, const struct error *why); /* never NULL: also an orderly end has a reason */
};

struct channel {
    struct net_loop *net;
    const struct channel_events *events;
    void *ctx;
    struct tls_context *tls; /* for connections to come and the one that is there */
    struct tls_session *session;
    struct ws *ws; /* NULL: no connection */
    struct loop_timer *beat;
    struct loop_timer *deadline; /* of a welcome */
    uint32_t heartbeat_s;
    int64_t pinged_ms; /* boot clock; 0: no ping is out */
    int misses;
    bool open, resumed;
    struct error reason; /* why we ended it ourselves; code "": we did not */
};

/* Zeroes c. E_MEMORY. */
int channel_init(struct channel *c, struct net_loop *net, const struct channel_events *events, void *ctx,
                 struct error *err) KLY_MUST_USE;
/* The end: as channel_end, and gives back what the loop holds; no channel_connect after it. */
void channel_retire(struct channel *c, uint16_t code, const struct error *why);
/* After channel_retire and on_closed. */
void channel_free(struct channel *c);
/* Who we are from the next connection on; drops the saved session. Only without a connection. E_TLS_CONFIG. */
int channel_use(struct channel *c, const struct tls_client_options *who, struct error *err) KLY_MUST_USE;
/* After channel_use, and only without a connection. authority: the Host header. */
int channel_connect(struct channel *c, const char *host, uint16_t port, const char *authority, struct error *err) KLY_MUST_USE;
bool channel_active(const struct channel *c); /* connecting, open or closing */
bool channel_open(const struct channel *c);

/* 0: sent or queued; 1: and wait for on_drain; -1: could not be sent: then the connection ends (on_closed comes). */
int channel_send_text(struct channel *c, const void *text, size_t size);
int channel_send_binary(struct channel *c, const void *data, size_t size);
/* A hello was sent: its welcome has to come in time. */
void channel_expect_welcome(struct channel *c);
/* It came: ping every heartbeat_s seconds from now on. */
void channel_welcomed(struct channel *c, uint32_t heartbeat_s);
/* Ends the connection with this reason; the peer is told the WebSocket close code. */
void channel_end(struct channel *c, uint16_t code, const struct error *why);

#endif
