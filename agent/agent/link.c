#include "agent/agent/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/record.h"
#include "ipc/sock.h"

struct out_record {
    struct out_record *next;
    uint16_t verb;
    size_t size;
    int fd;
    uint8_t body[];
};

struct link {
    uv_poll_t listen_poll, *peer_poll;
    int listener, peer;
    uid_t uid;
    const struct link_events *events;
    void *ctx;
    struct out_record *first, **last;
    unsigned waiting;
};

static void on_peer(uv_poll_t *poll, int status, int what);

static void freed(uv_handle_t *handle)
{
    free(handle);
}

static void drop_out(struct link *l)
{
    while (l->first != NULL) {
        struct out_record *gone = l->first;
        l->first = gone->next;
        if (gone->fd >= 0)
            close(gone->fd);
        free(gone);
    }
    l->last = &l->first;
    l->waiting = 0;
}

static void hang_up(struct link *l)
{
    if (l->peer < 0)
        return;
    uv_poll_stop(l->peer_poll);
    uv_close((uv_handle_t *)l->peer_poll, freed);
    close(l->peer);
    l->peer = -1;
    drop_out(l);
}

bool link_connected(const struct link *l)
{
    return l->peer >= 0;
}

static void want(struct link *l)
{
    uv_poll_start(l->peer_poll, UV_READABLE | (l->first != NULL ? UV_WRITABLE : 0), on_peer);
}

static void flush_out(struct link *l)
{
    while (l->first != NULL) {
        struct out_record *r = l->first;
        enum ipc_result sent = ipc_send(l->peer, r->verb, 0, r->body, r->size, &r->fd, r->fd >= 0 ? 1 : 0, NULL);
        if (sent == IPC_AGAIN)
            break;
        if (sent != IPC_OK) {
            hang_up(l);
            return;
        }
        l->first = r->next;
        if (l->first == NULL)
            l->last = &l->first;
        if (r->fd >= 0)
            close(r->fd);
        free(r);
        l->waiting--;
    }
    want(l);
}

void link_send(struct link *l, uint16_t verb, const void *body, size_t size, int fd)
{
    struct out_record *r = l->peer >= 0 && l->waiting < LINK_OUT_MAX ? malloc(sizeof *r + size) : NULL;
    if (r == NULL) {
        if (fd >= 0)
            close(fd);
        hang_up(l); /* it would miss something: it must ask for everything again */
        return;
    }
    *r = (struct out_record){.verb = verb, .size = size, .fd = fd};
    if (size > 0)
        memcpy(r->body, body, size);
    *l->last = r;
    l->last = &r->next;
    l->waiting++;
    flush_out(l);
}

static int take_document(struct link *l, struct ipc_record *record)
{
    const struct link_document *d = ipc_body(record, sizeof *d);
    struct envelope_signature signatures[ENVELOPE_SIGNATURES_MAX] = {0};
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    AUTO_CLOSE int fd = ipc_take_fd(record, 0);
    if (d == NULL || fd < 0 || d->kind < LINK_TRUST || d->kind > LINK_ORDER || d->signature_count > LINK_SIGNATURES_MAX ||
        memfd_read(fd, &payload, NULL) < 0)
        return -1;
    for (uint32_t i = 0; i < d->signature_count; i++) {
        signatures[i].has_keyid = d->signatures[i].has_keyid != 0;
        memcpy(signatures[i].keyid, d->signatures[i].keyid, sizeof signatures[i].keyid);
        memcpy(signatures[i].sig, d->signatures[i].sig, sizeof signatures[i].sig);
    }
    struct signed_bytes document = {(enum document_type)d->kind, buf_view(&payload), signatures, d->signature_count};
    l->events->on_document(l->ctx, &document);
    return 0;
}

static int take_record(struct link *l, struct ipc_record *record)
{
    const struct link_grown *acked = ipc_body(record, sizeof *acked);
    const struct link_online *online = ipc_body(record, sizeof *online);
    switch (record->head.verb) {
    case LINK_DOCUMENT:
        return take_document(l, record);
    case LINK_ACKED:
        if (acked == NULL)
            return -1;
        l->events->on_acked(l->ctx, acked);
        return 0;
    case LINK_NEED_CHALLENGE:
        l->events->on_need_challenge(l->ctx);
        return 0;
    case LINK_ONLINE:
        if (online == NULL || !IPC_TEXT_OK(online->plane) || !IPC_TEXT_OK(online->text))
            return -1;
        l->events->on_online(l->ctx, online);
        return 0;
    default:
        return -1;
    }
}

static void on_peer(uv_poll_t *poll, int status, int what)
{
    struct link *l = poll->data;
    struct ipc_record record;
    if (status < 0) {
        hang_up(l);
        return;
    }
    if ((what & UV_WRITABLE) != 0)
        flush_out(l);
    if ((what & UV_READABLE) == 0 || l->peer < 0)
        return;
    int peer = l->peer;
    enum ipc_result got = ipc_recv(peer, &record, NULL);
    if (got == IPC_AGAIN)
        return;
    int rc = got == IPC_OK ? take_record(l, &record) : -1;
    if (got == IPC_OK)
        ipc_close_fds(&record);
    if (rc < 0 && l->peer == peer)
        hang_up(l);
}

static void on_listen(uv_poll_t *poll, int status, int what)
{
    struct link *l = poll->data;
    struct error err;
    (void)what;
    int fd = status < 0 ? -1 : sock_accept(l->listener, &l->uid, 1, NULL, &err);
    uv_poll_t *made = fd >= 0 ? calloc(1, sizeof *made) : NULL;
    if (made == NULL || uv_poll_init(poll->loop, made, fd) < 0) {
        free(made);
        if (fd >= 0)
            close(fd);
        return;
    }
    hang_up(l);
    l->peer = fd;
    l->peer_poll = made;
    made->data = l;
    want(l);
    l->events->on_connected(l->ctx);
}

int link_open(uv_loop_t *loop, int listener, uid_t peer, const struct link_events *events, void *ctx, struct link **out,
              struct error *err)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    *l = (struct link){.listener = listener, .peer = -1, .uid = peer, .events = events, .ctx = ctx};
    l->last = &l->first;
    l->listen_poll.data = l;
    if (uv_poll_init(loop, &l->listen_poll, listener) < 0 || uv_poll_start(&l->listen_poll, UV_READABLE, on_listen) < 0) {
        free(l);
        return fail(err, "E_IPC_LISTEN", "link.sock cannot be watched");
    }
    *out = l;
    return 0;
}
