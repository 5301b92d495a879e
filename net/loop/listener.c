/* Accepts connections and hands them on. The listener counts what it accepted, so its memory goes when it is closed and
 * its last connection is gone. */
#include "net/loop/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop/conn_sock.h"

#define BACKLOG     512
#define DEFAULT_MAX 4096

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    struct net_loop *net;
    struct listener_options options;
    uint32_t open;
    bool is_pipe, live; /* live: the handle is not closed yet */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* to unlink; "" if not ours */
};

static void free_if_done(struct listener *l)
{
    if (!l->live && l->open == 0)
        free(l);
}

static void on_conn_gone(void *owner)
{
    struct listener *l = owner;
    l->open--;
    free_if_done(l);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    l->live = false;
    free_if_done(l);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *l = server->data;
    if (status < 0)
        return; /* out of descriptors or the peer is gone already: libuv goes on listening */
    struct sock *s = sock_new(l->net, l->is_pipe, &l->options.conn);
    if (s == NULL)
        return;
    s->state = SOCK_ADOPTED;
    s->on_gone = on_conn_gone;
    s->owner = l;
    l->open++;
    if (sock_open_stream(s) < 0 || uv_accept(server, &s->u.stream) < 0 || l->open > l->options.max_open) {
        sock_close(s, NULL);
        return;
    }
    sock_open_soon(s);
    l->options.on_accept(l->options.ctx, &s->base);
}

static struct listener *new_listener(struct net_loop *net, bool is_pipe, const struct listener_options *options,
                                     struct error *err)
{
    struct listener *l = calloc(1, sizeof *l);
    if (l == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for a listener");
        return NULL;
    }
    l->net = net;
    l->options = *options;
    l->options.max_open = options->max_open > 0 ? options->max_open : DEFAULT_MAX;
    l->is_pipe = is_pipe;
    if (is_pipe)
        uv_pipe_init(net->uv, &l->u.pipe, 0);
    else
        uv_tcp_init(net->uv, &l->u.tcp);
    l->live = true;
    l->u.handle.data = l;
    return l;
}

/* Listens, or closes the listener and fails. */
static struct listener *start(struct listener *l, int before, const char *where, struct error *err)
{
    int r = before < 0 ? before : uv_listen(&l->u.stream, BACKLOG, on_connection);
    if (r == 0)
        return l;
    fail(err, "E_LISTEN", "listening on %s: %s", where, uv_strerror(r));
    listener_close(&l);
    return NULL;
}

struct listener *listener_tcp(struct net_loop *net, const char *address, uint16_t port, const struct listener_options *options,
                              struct error *err)
{
    struct sockaddr_storage where = {0};
    if (uv_ip4_addr(address, port, (struct sockaddr_in *)&where) < 0 &&
        uv_ip6_addr(address, port, (struct sockaddr_in6 *)&where) < 0) {
        fail(err, "E_LISTEN", "'%s' is no IP address", address);
        return NULL;
    }
    struct listener *l = new_listener(net, false, options, err);
    if (l == NULL)
        return NULL;
    char text[CONN_PEER_SIZE + 8];
    snprintf(text, sizeof text, "%s port %u", address, port);
    return start(l, uv_tcp_bind(&l->u.tcp, (const struct sockaddr *)&where, 0), text, err);
}

/* Somebody who answers there keeps his socket; what a dead process left behind is removed. */
static int clear_path(const struct sockaddr_un *where, struct error *err)
{
    struct stat st;
    if (lstat(where->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : fail_errno(err, "E_LISTEN", errno, "%s", where->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return fail(err, "E_LISTEN", "%s is there and is no socket", where->sun_path);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno(err, "E_LISTEN", errno, "socket");
    if (connect(fd, (const struct sockaddr *)where, sizeof *where) == 0 || errno == EAGAIN)
        return fail(err, "E_LISTEN", "somebody listens on %s already", where->sun_path);
    if (unlink(where->sun_path) < 0)
        return fail_errno(err, "E_LISTEN", errno, "removing %s", where->sun_path);
    return 0;
}

/* The mode is in force before anybody can connect: it is set between bind and listen. */
static int bind_unix(const struct sockaddr_un *where, mode_t mode, struct error *err)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)where, sizeof *where) < 0)
        return fail_errno(err, "E_LISTEN", errno, "binding %s", where->sun_path);
    if (chmod(where->sun_path, mode) < 0) {
        int why = errno;
        unlink(where->sun_path);
        return fail_errno(err, "E_LISTEN", why, "chmod %s", where->sun_path);
    }
    return take_fd(&fd);
}

struct listener *listener_unix(struct net_loop *net, const char *path, mode_t mode, const struct listener_options *options,
                               struct error *err)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof where.sun_path || path[0] == 0) {
        fail(err, "E_LISTEN", "the path '%s' is too long for a socket, or empty", path);
        return NULL;
    }
    memcpy(where.sun_path, path, strlen(path));
    if (clear_path(&where, err) < 0)
        return NULL;
    int fd = bind_unix(&where, mode, err);
    if (fd < 0)
        return NULL;
    struct listener *l = listener_fd(net, fd, options, err);
    if (l == NULL)
        unlink(path);
    else
        memcpy(l->path, where.sun_path, sizeof l->path);
    return l;
}

struct listener *listener_fd(struct net_loop *net, int fd, const struct listener_options *options, struct error *err)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        fail_errno(err, "E_LISTEN", errno, "descriptor %d", fd);
        close(fd);
        return NULL;
    }
    struct listener *l = new_listener(net, address.ss_family == AF_UNIX, options, err);
    if (l == NULL) {
        close(fd);
        return NULL;
    }
    int r = l->is_pipe ? uv_pipe_open(&l->u.pipe, fd) : uv_tcp_open(&l->u.tcp, fd);
    if (r < 0)
        close(fd);
    return start(l, r, "a socket that was given", err);
}

uint16_t listener_port(const struct listener *l)
{
    struct sockaddr_storage where = {0};
    int size = sizeof where;
    if (l->is_pipe || uv_tcp_getsockname(&l->u.tcp, (struct sockaddr *)&where, &size) < 0)
        return 0;
    return where.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&where)->sin_port)
                                      : ntohs(((struct sockaddr_in6 *)&where)->sin6_port);
}

uint32_t listener_open_count(const struct listener *l)
{
    return l->open;
}

void listener_close(struct listener **l)
{
    if (*l == NULL)
        return;
    if ((*l)->path[0] != 0)
        unlink((*l)->path);
    uv_close(&(*l)->u.handle, on_listener_closed);
    *l = NULL;
}
