/* One connection that carries bytes both ways: TCP, a unix socket, or TLS over either (net/tls/tls_conn.h).
 *
 * Happy path: conn_connect_*() or a listener gives a connection; conn_set_events() says who listens; on_open
 * comes once (also for accepted ones, from the loop, never from inside a call); then on_data as bytes come in
 * and conn_write() as they go out; conn_finish() sends what is queued and closes.
 * Failures: every one of them (resolving, connecting, a deadline, the peer, TLS) ends in on_close with an error.
 * Close: on_close comes exactly once, last, from the loop; the connection is freed when it returns.
 *
 * Error codes in on_close: E_CONN_RESOLVE, E_CONN_REFUSED, E_CONN_TIMEOUT, E_CONN_IDLE, E_CONN_RESET, E_CONN_FULL,
 * E_CONN_WRITE, those of TLS, or whatever conn_fail() was given. */
#ifndef KLY_NET_LOOP_CONN_H
#define KLY_NET_LOOP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/loop/loop.h"

struct conn;

/* Any of them may be NULL. ctx is what conn_set_events was given. data is borrowed for the call. */
struct conn_events {
    void (*on_open)(void *ctx, struct conn *c);
    void (*on_data)(void *ctx, struct conn *c, const uint8_t *data, size_t size);
    /* The peer has finished sending and said so (FIN; with TLS close_notify: a cut without it is E_TLS_CLOSED).
     * Writing is still possible. If NULL, the connection is finished (conn_finish) instead. */
    void (*on_end)(void *ctx, struct conn *c);
    /* The queue has fallen to the low mark after conn_write had returned 1. */
    void (*on_drain)(void *ctx, struct conn *c);
    /* err is NULL after conn_close(), and after conn_finish() if everything was sent. */
    void (*on_close)(void *ctx, struct conn *c, const struct error *err);
};

/* All zero means the defaults, which stand behind. */
struct conn_options {
    uint32_t connect_ms;  /* resolve and connect, all addresses together: 15000 */
    uint32_t idle_ms;     /* nothing read and nothing written for so long closes with E_CONN_IDLE; 0 is never */
    uint32_t finish_ms;   /* conn_finish() closes at last after: 5000 */
    size_t write_limit;   /* bytes queued at most, more is E_CONN_FULL: 1 MiB */
    size_t write_high;    /* conn_write returns 1 from here on: 256 KiB */
    size_t write_low;     /* on_drain from here down: 64 KiB */
};

/* host is a name or an address (IPv6 without brackets); all its addresses are tried one after the other.
 * options may be NULL. Returns an owned connection that is under way, or NULL (E_NO_MEMORY, E_CONN_*). */
struct conn *conn_connect_tcp(struct net_loop *net, const char *host, uint16_t port, const struct conn_options *options,
                              struct error *err) KLY_MUST_USE;
/* path at most 107 bytes. */
struct conn *conn_connect_unix(struct net_loop *net, const char *path, const struct conn_options *options,
                               struct error *err) KLY_MUST_USE;
/* Takes an open stream socket, also when it fails. */
struct conn *conn_adopt_fd(struct net_loop *net, int fd, const struct conn_options *options, struct error *err) KLY_MUST_USE;

/* events is borrowed and must be static. May be called again at any time to hand the connection over. */
void conn_set_events(struct conn *c, const struct conn_events *events, void *ctx);

/* Copies and queues all of data or nothing. 0: fine; 1: queued, but wait for on_drain before the next;
 * -1: E_CONN_FULL beyond the limit, E_CONN_CLOSED after conn_finish or conn_close. Before on_open it queues. */
int conn_write(struct conn *c, const void *data, size_t size, struct error *err) KLY_MUST_USE;
/* Bytes queued and not yet handed to the kernel. */
size_t conn_queued(const struct conn *c);
bool conn_is_open(const struct conn *c); /* on_open was, close was not asked for */

/* While paused no on_data comes (a TLS record's worth may still, from the call it happens in: no). They do not nest. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
void conn_set_idle(struct conn *c, uint32_t idle_ms);

/* Send what is queued, say goodbye (FIN, close_notify), close. Incoming bytes are dropped from here on. */
void conn_finish(struct conn *c);
/* Close now; what is queued is lost. Both may be called twice, and before on_open. */
void conn_close(struct conn *c);
/* As conn_close, and on_close gets this error (copied). The first reason given stays. */
void conn_fail(struct conn *c, const struct error *reason);

/* The peer as text: "192.0.2.1", "2001:db8::1", "unix". out takes CONN_PEER_SIZE bytes. */
#define CONN_PEER_SIZE 64
void conn_peer(const struct conn *c, char *out);
/* Who is at the other end of a unix socket (SO_PEERCRED). E_CONN_PEER for others. */
int conn_peer_credentials(const struct conn *c, uid_t *uid, gid_t *gid, pid_t *pid, struct error *err) KLY_MUST_USE;

struct net_loop *conn_loop(const struct conn *c);

/* ---- For those who put another layer on top (TLS) ---------------------------------------------------- */

struct conn_ops {
    int (*write)(struct conn *c, const void *data, size_t size, struct error *err);
    size_t (*queued)(const struct conn *c);
    void (*pause)(struct conn *c);
    void (*resume)(struct conn *c);
    void (*set_idle)(struct conn *c, uint32_t idle_ms);
    void (*finish)(struct conn *c);
    void (*close)(struct conn *c, const struct error *reason); /* reason may be NULL */
    struct conn *(*below)(struct conn *c); /* the connection underneath, or NULL */
};

/* The first member of every kind of connection. */
struct conn {
    const struct conn_ops *ops;
    struct net_loop *net;
    const struct conn_events *events;
    void *ctx;
    size_t write_limit; /* what conn_queued() may grow to */
    bool open, closing;
};

#endif
