/* The accepting side. */
#ifndef KLY_NET_LOOP_LISTENER_H
#define KLY_NET_LOOP_LISTENER_H

#include "net/loop/conn.h"

struct listener;

struct listener_options {
    struct conn_options conn; /* for every accepted connection */
    uint32_t max_open;        /* more are closed at once; 0: 4096 */
    /* Gives an owned connection: call conn_set_events (or wrap it in TLS and do so) before returning. */
    void (*on_accept)(void *ctx, struct conn *c);
    void *ctx;
};

/* address is a numeric one ("127.0.0.1", "::"); port 0 takes a free one. E_LISTEN. */
struct listener *listener_tcp(struct net_loop *net, const char *address, uint16_t port, const struct listener_options *options,
                              struct error *err) KLY_MUST_USE;
/* Replaces a stale socket at path (only a socket, and only if nobody answers there); mode as given. E_LISTEN. */
struct listener *listener_unix(struct net_loop *net, const char *path, mode_t mode, const struct listener_options *options,
                               struct error *err) KLY_MUST_USE;
/* A listening socket that somebody else made (systemd). Takes fd, also when it fails. */
struct listener *listener_fd(struct net_loop *net, int fd, const struct listener_options *options, struct error *err) KLY_MUST_USE;

uint16_t listener_port(const struct listener *l); /* 0 for unix */
uint32_t listener_open_count(const struct listener *l);
/* Accepts no more; accepted connections live on. *l becomes NULL. A unix path made here is unlinked. */
void listener_close(struct listener **l);

#endif
