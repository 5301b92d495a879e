/* How a connection comes to be: a name is resolved, its addresses are tried one after the other, each with its share of
 * the time that is left; or a socket is taken that somebody else opened.
 *
 * Happy path: conn_connect_tcp → on_resolved → try_next → on_connected → sock_opened.
 * Failures: an address that fails is closed and the next one tried; after the last, its error closes the connection.
 * Close: connect_abandon cancels the resolver; its callback still comes and is one of the parts waited for. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop/conn_sock.h"

#define ADDRESSES_MAX 8
#define HOST_MAX      253

struct resolving {
    uv_getaddrinfo_t resolver;
    uv_connect_t connect;
    char host[HOST_MAX + 1]; /* or a unix path */
    struct sockaddr_storage addresses[ADDRESSES_MAX];
    size_t count, next;
    int64_t deadline;
    int last_error; /* libuv's */
};

static void try_next(struct sock *s);

static void give_up(struct sock *s, const char *code, const char *doing, int uv_error)
{
    struct error why;
    fail(&why, code, "%s %s: %s", doing, s->resolving->host, uv_strerror(uv_error));
    sock_close(s, &why);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct sock *s = handle->data;
    s->stream_live = false;
    if (s->state == SOCK_CLOSING) {
        sock_part_ended(s);
        return;
    }
    s->parts--;
    try_next(s);
}

static void attempt_failed(struct sock *s, int uv_error)
{
    s->resolving->last_error = uv_error;
    s->parts++;
    uv_close(&s->u.handle, on_attempt_closed);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct sock *s = request->data;
    if (s->state == SOCK_CLOSING || uv_is_closing(&s->u.handle))
        return;
    if (status < 0) {
        attempt_failed(s, status);
        return;
    }
    free(s->resolving);
    s->resolving = NULL;
    sock_opened(s);
}

static int start_attempt(struct sock *s)
{
    struct resolving *r = s->resolving;
    const struct sockaddr *address = (const struct sockaddr *)&r->addresses[r->next++];
    if (!s->is_pipe)
        return uv_tcp_connect(&r->connect, &s->u.tcp, address, on_connected);
    uv_pipe_connect(&r->connect, &s->u.pipe, r->host, on_connected); /* its errors come in the callback */
    return 0;
}

static void try_next(struct sock *s)
{
    struct resolving *r = s->resolving;
    if (r->next == r->count) {
        give_up(s, r->last_error == UV_ETIMEDOUT ? "E_CONN_TIMEOUT" : "E_CONN_REFUSED", "connecting to", r->last_error);
        return;
    }
    int opened = sock_open_stream(s);
    if (opened < 0) {
        give_up(s, "E_CONN_REFUSED", "opening a socket for", opened);
        return;
    }
    s->state = SOCK_CONNECTING;
    int64_t left = r->deadline - clock_mono_ms();
    sock_arm(s, left > 0 ? (uint64_t)left / (r->count - r->next) : 0);
    r->connect.data = s;
    int started = start_attempt(s);
    if (started < 0)
        attempt_failed(s, started);
}

void connect_deadline(struct sock *s)
{
    if (s->state == SOCK_RESOLVING && s->resolving->count > 0)
        try_next(s); /* the first turn: the address was known */
    else if (s->state == SOCK_RESOLVING)
        give_up(s, "E_CONN_RESOLVE", "resolving", UV_ETIMEDOUT);
    else if (s->stream_live && !uv_is_closing(&s->u.handle))
        attempt_failed(s, UV_ETIMEDOUT);
}

void connect_abandon(struct sock *s)
{
    /* A resolver that already runs cannot be cancelled; either way its callback comes. */
    if (s->state == SOCK_RESOLVING && s->resolving->count == 0)
        uv_cancel((uv_req_t *)&s->resolving->resolver);
}

static void take_addresses(struct resolving *r, const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL && r->count < ADDRESSES_MAX; a = a->ai_next)
        if (a->ai_addrlen <= sizeof r->addresses[0])
            memcpy(&r->addresses[r->count++], a->ai_addr, a->ai_addrlen);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct sock *s = request->data;
    if (s->state != SOCK_CLOSING) {
        s->parts--;
        take_addresses(s->resolving, list);
        if (status < 0 || s->resolving->count == 0)
            give_up(s, "E_CONN_RESOLVE", "resolving", status < 0 ? status : UV_EAI_NONAME);
        else
            try_next(s);
    } else {
        sock_part_ended(s);
    }
    uv_freeaddrinfo(list);
}

/* Numeric addresses need no resolver, and so no thread. */
static bool read_numeric(struct resolving *r, uint16_t port)
{
    struct sockaddr *first = (struct sockaddr *)&r->addresses[0];
    if (uv_ip4_addr(r->host, port, (struct sockaddr_in *)first) == 0 ||
        uv_ip6_addr(r->host, port, (struct sockaddr_in6 *)first) == 0)
        r->count = 1;
    return r->count == 1;
}

static int start_resolver(struct sock *s, uint16_t port, struct error *err)
{
    struct resolving *r = s->resolving;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    r->resolver.data = s;
    int started = uv_getaddrinfo(s->base.net->uv, &r->resolver, on_resolved, r->host, service, &hints);
    if (started < 0)
        return fail(err, "E_CONN_RESOLVE", "resolving %s: %s", r->host, uv_strerror(started));
    s->parts++;
    return 0;
}

/* A socket under way, its target written down; NULL with an error. */
static struct sock *new_connecting(struct net_loop *net, bool is_pipe, const char *target, const struct conn_options *options,
                                   struct error *err)
{
    if (strlen(target) > (is_pipe ? sizeof(((struct sockaddr_un *)0)->sun_path) - 1 : HOST_MAX) || target[0] == 0) {
        fail(err, is_pipe ? "E_CONN_REFUSED" : "E_CONN_RESOLVE", "'%.300s' is no place to connect to", target);
        return NULL;
    }
    struct resolving *r = calloc(1, sizeof *r);
    struct sock *s = r != NULL ? sock_new(net, is_pipe, options) : NULL;
    if (s == NULL) {
        free(r);
        fail(err, "E_NO_MEMORY", "no memory for a connection");
        return NULL;
    }
    snprintf(r->host, sizeof r->host, "%s", target);
    r->deadline = clock_mono_ms() + s->options.connect_ms;
    s->resolving = r;
    s->state = SOCK_RESOLVING;
    return s;
}

struct conn *conn_connect_tcp(struct net_loop *net, const char *host, uint16_t port, const struct conn_options *options,
                              struct error *err)
{
    struct sock *s = new_connecting(net, false, host, options, err);
    if (s == NULL)
        return NULL;
    if (read_numeric(s->resolving, port)) {
        sock_arm(s, 0); /* from the loop: the caller has not set its events yet */
        return &s->base;
    }
    if (start_resolver(s, port, err) < 0) {
        s->resolving->count = 1; /* nothing to cancel */
        sock_close(s, NULL);
        return NULL;
    }
    sock_arm(s, s->options.connect_ms);
    return &s->base;
}

struct conn *conn_connect_unix(struct net_loop *net, const char *path, const struct conn_options *options, struct error *err)
{
    struct sock *s = new_connecting(net, true, path, options, err);
    if (s == NULL)
        return NULL;
    s->resolving->count = 1;
    sock_arm(s, 0);
    return &s->base;
}

static int adopt(struct sock *s, int fd)
{
    int r = sock_open_stream(s);
    if (r == 0)
        r = s->is_pipe ? uv_pipe_open(&s->u.pipe, fd) : uv_tcp_open(&s->u.tcp, fd);
    return r;
}

struct conn *conn_adopt_fd(struct net_loop *net, int fd, const struct conn_options *options, struct error *err)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    int r = getsockname(fd, (struct sockaddr *)&address, &size) < 0 ? -errno : 0;
    struct sock *s = r == 0 ? sock_new(net, address.ss_family == AF_UNIX, options) : NULL;
    if (s != NULL)
        r = adopt(s, fd);
    if (s != NULL && r == 0) {
        sock_open_soon(s);
        return &s->base;
    }
    close(fd);
    if (s != NULL) {
        s->state = SOCK_ADOPTED;
        sock_close(s, NULL);
    }
    fail(err, "E_CONN_REFUSED", "taking over a socket: %s", uv_strerror(r < 0 ? r : UV_ENOMEM));
    return NULL;
}
