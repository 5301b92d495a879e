/* Inside net/loop: a connection over a socket, shared by conn_sock.c (bytes and closing), conn_connect.c (how it comes
 * to be) and listener.c. */
#ifndef KLY_NET_LOOP_CONN_SOCK_H
#define KLY_NET_LOOP_CONN_SOCK_H

#include <netdb.h>

#include "base/buf.h"
#include "net/loop/conn.h"

enum sock_state { SOCK_RESOLVING, SOCK_CONNECTING, SOCK_ADOPTED, SOCK_OPEN, SOCK_CLOSING };

struct resolving; /* conn_connect.c */

struct sock {
    struct conn base;
    enum sock_state state;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    uv_timer_t timer; /* one for all: connecting, first turn, idle, finishing; see on_timer */
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct buf flying, pending; /* with the kernel now; to go next */
    struct conn_options options;
    struct resolving *resolving; /* only while connecting */
    struct error *reason;        /* why it closes; owned, NULL: no error */
    int64_t active_ms;
    size_t finish_queued; /* queue at the last look while finishing */
    uint8_t finish_rounds;
    uint8_t parts; /* handles and requests that must end before the memory may go */
    bool is_pipe, stream_live, paused, reading, want_drain, finishing, shut, peer_ended, write_broken;
    void (*on_gone)(void *owner); /* the listener counts */
    void *owner;
};

/* A connection without a stream yet; its timer runs. NULL: no memory. */
struct sock *sock_new(struct net_loop *net, bool is_pipe, const struct conn_options *options);
int sock_open_stream(struct sock *s); /* the uv handle; libuv's error number */
void sock_opened(struct sock *s);     /* connected: tell it, read, send what waits */
void sock_open_soon(struct sock *s);  /* the same, from the loop */
void sock_arm(struct sock *s, uint64_t ms);
void sock_close(struct sock *s, const struct error *reason);
void sock_part_ended(struct sock *s);
void connect_deadline(struct sock *s); /* conn_connect.c */
void connect_abandon(struct sock *s);

#endif
