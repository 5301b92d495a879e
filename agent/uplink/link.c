#include "agent/uplink/link.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "ipc/sock.h"
#include "net/loop/timer.h"

#define RECORDS_A_TURN 64 /* then the loop gets to look at the plane again */

/* One connection. Freed when libuv has let go of it. */
struct line {
    uv_poll_t poll;
    int fd;
    struct link *link; /* NULL once it is closing */
};

struct waiting {
    struct waiting *next;
    int fd;
    uint16_t verb;
    size_t size;
    uint8_t body[];
};

struct link {
    struct net_loop *net;
    const char *path;
    const struct link_events *events;
    void *ctx;
    struct line *line; /* NULL: not connected */
    struct loop_timer *turn; /* the next attempt, or the end of a connection that link_send found broken */
    bool broken;
    struct waiting *first, **last;
    unsigned waiting;
    struct ipc_record record;
};

static void on_ready(uv_poll_t *poll, int status, int events);

static void on_line_closed(uv_handle_t *handle)
{
    struct line *line = handle->data;
    close(line->fd);
    free(line);
}

static void forget_waiting(struct link *l)
{
    while (l->first != NULL) {
        struct waiting *w = l->first;
        l->first = w->next;
        if (w->fd >= 0)
            close(w->fd);
        free(w);
    }
    l->last = &l->first;
    l->waiting = 0;
}

/* The one door out of being connected. */
static void drop_line(struct link *l)
{
    struct line *line = take_pointer(&l->line);
    if (line == NULL)
        return;
    line->link = NULL;
    uv_close((uv_handle_t *)&line->poll, on_line_closed);
    forget_waiting(l);
}

static void lose(struct link *l, const struct error *why)
{
    if (l->line == NULL)
        return;
    drop_line(l);
    loop_timer_start(l->turn, LINK_RETRY_MS, 0);
    l->events->on_lost(l->ctx, why);
}

static int watch(struct link *l)
{
    return uv_poll_start(&l->line->poll, UV_READABLE | (l->first != NULL ? UV_WRITABLE : 0), on_ready);
}

static int attach(struct link *l, int fd)
{
    struct line *line = calloc(1, sizeof *line);
    if (line == NULL || uv_poll_init(l->net->uv, &line->poll, fd) != 0) {
        free(line);
        close(fd);
        return -1;
    }
    line->poll.data = line;
    line->fd = fd;
    line->link = l;
    l->line = line;
    l->broken = false;
    if (watch(l) == 0)
        return 0;
    drop_line(l);
    return -1;
}

static void on_turn(void *ctx)
{
    struct link *l = ctx;
    if (l->line != NULL && l->broken) {
        struct error err = {0};
        fail(&err, "E_IPC_SEND", "the agent does not take what it is told, starting over with it");
        lose(l, &err);
        return;
    }
    if (l->line != NULL)
        return;
    int fd = sock_connect_now(l->path, NULL);
    if (fd < 0 || attach(l, fd) < 0)
        loop_timer_start(l->turn, LINK_RETRY_MS, 0);
}

static void receive(struct link *l)
{
    for (int i = 0; i < RECORDS_A_TURN && l->line != NULL; i++) {
        struct error err = {0};
        switch (ipc_recv(l->line->fd, &l->record, &err)) {
        case IPC_AGAIN:
            return;
        case IPC_CLOSED:
            lose(l, NULL);
            return;
        case IPC_ERROR:
            lose(l, &err);
            return;
        case IPC_OK:
            break;
        }
        int rc = l->events->on_record(l->ctx, &l->record, &err);
        ipc_close_fds(&l->record);
        if (rc < 0)
            lose(l, &err);
    }
}

/* IPC_OK once nothing waits any more. */
static enum ipc_result flush(struct link *l, struct error *err)
{
    while (l->first != NULL) {
        struct waiting *w = l->first;
        enum ipc_result rc = ipc_send(l->line->fd, w->verb, 0, w->body, w->size, &w->fd, w->fd >= 0 ? 1 : 0, err);
        if (rc != IPC_OK)
            return rc;
        l->first = w->next;
        if (l->first == NULL)
            l->last = &l->first;
        l->waiting--;
        if (w->fd >= 0)
            close(w->fd);
        free(w);
    }
    return IPC_OK;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct line *line = poll->data;
    struct link *l = line->link;
    if (l == NULL)
        return;
    struct error err = {0};
    if (status < 0) {
        fail(&err, "E_IPC_RECORD", "the connection to the agent broke: %s", uv_strerror(status));
        lose(l, &err);
        return;
    }
    enum ipc_result rc = flush(l, &err);
    if (rc != IPC_OK && rc != IPC_AGAIN) {
        lose(l, rc == IPC_CLOSED ? NULL : &err);
        return;
    }
    if ((events & (UV_READABLE | UV_DISCONNECT)) != 0)
        receive(l);
    if (l->line != NULL && watch(l) < 0)
        lose(l, NULL);
}

struct link *link_open(struct net_loop *net, const char *path, const struct link_events *events, void *ctx,
                       struct error *err)
{
    struct link *l = calloc(1, sizeof *l);
    if (l != NULL) {
        *l = (struct link){.net = net, .path = path, .events = events, .ctx = ctx};
        l->last = &l->first;
        l->turn = loop_timer_new(net, on_turn, l);
    }
    if (l == NULL || l->turn == NULL) {
        free(l);
        fail(err, "E_MEMORY", "no memory for the connection to the agent");
        return NULL;
    }
    loop_timer_start(l->turn, 0, 0);
    return l;
}

void link_close(struct link **l)
{
    struct link *gone = take_pointer(l);
    if (gone == NULL)
        return;
    drop_line(gone);
    loop_timer_free(&gone->turn);
    free(gone);
}

bool link_connected(const struct link *l)
{
    return l->line != NULL;
}

unsigned link_waiting(const struct link *l)
{
    return l->waiting;
}

static int enqueue(struct link *l, uint16_t verb, const void *body, size_t size, int fd)
{
    struct waiting *w = l->waiting < LINK_QUEUE_MAX ? malloc(sizeof *w + size) : NULL;
    if (w == NULL)
        return -1;
    *w = (struct waiting){.fd = fd, .verb = verb, .size = size};
    if (size > 0)
        memcpy(w->body, body, size);
    *l->last = w;
    l->last = &w->next;
    l->waiting++;
    return watch(l);
}

/* Sent, queued, or the connection is to end: from the loop, callers are not called back from here. */
void link_send(struct link *l, uint16_t verb, const void *body, size_t size, int fd)
{
    enum ipc_result rc = IPC_AGAIN;
    if (l->line == NULL || l->broken) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (l->first == NULL)
        rc = ipc_send(l->line->fd, verb, 0, body, size, &fd, fd >= 0 ? 1 : 0, NULL);
    if (rc == IPC_AGAIN) {
        unsigned before = l->waiting;
        rc = enqueue(l, verb, body, size, fd) == 0 ? IPC_OK : IPC_ERROR;
        if (l->waiting > before)
            fd = -1;
    }
    if (fd >= 0)
        close(fd);
    if (rc != IPC_OK) {
        l->broken = true;
        loop_timer_start(l->turn, 0, 0);
    }
}
