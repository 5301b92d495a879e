#include "agent/uplink/held.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/names.h"
#include "ipc/sock.h"
#include "proto/json_check.h"

static void close_stream(struct held_stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct held_stream){.fd = -1};
}

void held_clear(struct held *h)
{
    h->ready = false;
    h->hello = (struct link_hello){0};
    h->project_count = 0;
    for (size_t i = 0; i < LINK_STREAMS_MAX; i++)
        close_stream(&h->streams[i]);
    stream_sender_init(&h->sender);
    buf_free(&h->status);
}

void held_init(struct held *h)
{
    *h = (struct held){.status = BUF(IPC_SEALED_MAX)};
    for (size_t i = 0; i < LINK_STREAMS_MAX; i++)
        h->streams[i].fd = -1;
    held_clear(h);
}

void held_free(struct held *h)
{
    held_clear(h);
}

const struct held_stream *held_stream(const struct held *h, const char *name)
{
    for (size_t i = 0; i < LINK_STREAMS_MAX; i++)
        if (h->streams[i].fd >= 0 && strcmp(h->streams[i].name, name) == 0)
            return &h->streams[i];
    return NULL;
}

static struct held_stream *by_id(struct held *h, uint32_t id)
{
    for (size_t i = 0; i < LINK_STREAMS_MAX; i++)
        if (h->streams[i].fd >= 0 && h->streams[i].id == id)
            return &h->streams[i];
    return NULL;
}

bool held_acked(struct held *h, const char *name, struct link_grown *body)
{
    const struct stream_out *o = stream_find(&h->sender, name);
    for (size_t i = 0; i < LINK_STREAMS_MAX && o != NULL; i++) {
        struct held_stream *s = &h->streams[i];
        if (s->fd < 0 || strcmp(s->name, name) != 0)
            continue;
        if (o->acked <= s->told && (!o->over || s->told_over))
            return false;
        s->told = o->acked > s->told ? o->acked : s->told;
        s->told_over = s->told_over || o->over;
        *body = (struct link_grown){.id = s->id, .closed = s->told_over, .end = s->told};
        return true;
    }
    return false;
}

static int malformed(const struct ipc_record *record, struct error *err)
{
    return fail(err, "E_LINK", "the agent sent a malformed record (verb %u, %u bytes)", (unsigned)record->head.verb,
                (unsigned)record->head.size);
}

static int take_hello(struct held *h, const struct ipc_record *record, struct error *err)
{
    const struct link_hello *body = ipc_body(record, sizeof *body);
    if (body == NULL || !IPC_TEXT_OK(body->server) || !IPC_TEXT_OK(body->version) || !name_is_server(body->server) ||
        body->version[0] == '\0' || body->box_level < 1 || body->box_level > 3)
        return malformed(record, err);
    held_clear(h);
    h->hello = *body;
    return 0;
}

static int take_project(struct held *h, const struct ipc_record *record, struct error *err)
{
    const struct link_project *body = ipc_body(record, sizeof *body);
    if (body == NULL || !IPC_TEXT_OK(body->project) || !name_is_project(body->project))
        return malformed(record, err);
    size_t i = 0;
    while (i < h->project_count && strcmp(h->projects[i].project, body->project) != 0)
        i++;
    if (body->removed) {
        if (i < h->project_count)
            h->projects[i] = h->projects[--h->project_count];
        return 0;
    }
    if (i == HELLO_PROJECTS_MAX)
        return fail(err, "E_LINK", "the agent has more than %d projects", HELLO_PROJECTS_MAX);
    if (i == h->project_count)
        h->project_count++;
    h->projects[i] = *body;
    return 0;
}

/* Adds the stream, and says whether the plane still has an older one of that name open, which only a hello ends. */
static int add_stream(struct held *h, const struct link_stream *body, int *fd, bool *reopened, struct error *err)
{
    const struct stream_out *old = stream_find(&h->sender, body->name);
    *reopened = old != NULL && old->handle != 0 && !old->over;
    if (held_stream(h, body->name) != NULL)
        close_stream(by_id(h, held_stream(h, body->name)->id));
    struct held_stream *place = NULL;
    for (size_t i = 0; i < LINK_STREAMS_MAX && place == NULL; i++)
        if (h->streams[i].fd < 0)
            place = &h->streams[i];
    if (place == NULL)
        return fail(err, "E_LINK", "the agent has more than %d streams", LINK_STREAMS_MAX);
    stream_remove(&h->sender, body->name);
    if (stream_add(&h->sender, body->name, body->base, body->end, body->closed != 0, err) < 0)
        return -1;
    *place = (struct held_stream){.id = body->id, .base = body->base, .told = body->base, .fd = take_fd(fd)};
    memcpy(place->name, body->name, strlen(body->name) + 1);
    return 0;
}

static int take_stream(struct held *h, struct ipc_record *record, enum held_change *change, struct error *err)
{
    const struct link_stream *body = ipc_body(record, sizeof *body);
    AUTO_CLOSE int fd = ipc_take_fd(record, 0);
    struct stat st;
    if (body == NULL || !IPC_TEXT_OK(body->name) || !stream_name_ok(body->name) || fd < 0 || fstat(fd, &st) < 0 ||
        !S_ISREG(st.st_mode) || (by_id(h, body->id) != NULL && strcmp(by_id(h, body->id)->name, body->name) != 0))
        return malformed(record, err);
    bool reopened;
    if (add_stream(h, body, &fd, &reopened, err) < 0)
        return -1;
    if (h->ready)
        *change = reopened ? HELD_HELLO : HELD_STREAMS;
    return 0;
}

static int take_grown(struct held *h, const struct ipc_record *record, enum held_change *change, struct error *err)
{
    const struct link_grown *body = ipc_body(record, sizeof *body);
    if (body == NULL)
        return malformed(record, err);
    const struct held_stream *s = by_id(h, body->id);
    if (s == NULL)
        return 0; /* it crossed a stream that is gone */
    *change = HELD_STREAMS;
    return body->closed ? stream_closed(&h->sender, s->name, body->end, err) : stream_grown(&h->sender, s->name, body->end, err);
}

/* The file goes; the machine keeps the name until the next hello if the plane may still have it open, so that a stream
 * of the same name is known to be another one. */
static int take_gone(struct held *h, const struct ipc_record *record, struct error *err)
{
    const struct link_id *body = ipc_body(record, sizeof *body);
    if (body == NULL)
        return malformed(record, err);
    struct held_stream *s = by_id(h, body->id);
    if (s == NULL)
        return 0;
    const struct stream_out *o = stream_find(&h->sender, s->name);
    if (o != NULL && o->handle != 0 && !o->over)
        stream_unreadable(&h->sender, s->name);
    else
        stream_remove(&h->sender, s->name);
    close_stream(s);
    return 0;
}

static int take_status(struct held *h, struct ipc_record *record, struct error *err)
{
    AUTO_CLOSE int fd = ipc_take_fd(record, 0);
    AUTO_BUF struct buf text = BUF(IPC_SEALED_MAX);
    struct json_limits limits = json_strict(IPC_SEALED_MAX);
    if (fd < 0)
        return malformed(record, err);
    if (memfd_read(fd, &text, err) < 0 || json_check(buf_view(&text), &limits, err) < 0)
        return fail_in(err, "the agent's status");
    buf_free(&h->status);
    h->status = text;
    text = BUF(0);
    return 0;
}

static int take_challenge(struct held *h, const struct ipc_record *record, struct error *err)
{
    const struct link_challenge *body = ipc_body(record, sizeof *body);
    if (body == NULL)
        return malformed(record, err);
    memcpy(h->hello.challenge, body->challenge, sizeof body->challenge);
    return 0;
}

static int check_want(const struct ipc_record *record, struct error *err)
{
    const struct link_want *body = ipc_body(record, sizeof *body);
    return body != NULL && body->kind >= LINK_TRUST && body->kind <= LINK_ENV ? 0 : malformed(record, err);
}

static int check_refused(const struct ipc_record *record, struct error *err)
{
    const struct link_refused *body = ipc_body(record, sizeof *body);
    return body != NULL && IPC_TEXT_OK(body->code) && IPC_TEXT_OK(body->text) && IPC_TEXT_OK(body->about)
               ? 0
               : malformed(record, err);
}

int held_record(struct held *h, struct ipc_record *record, enum held_change *change, struct error *err)
{
    *change = HELD_NOTHING;
    if (record->head.verb != LINK_HELLO && h->hello.server[0] == '\0')
        return fail(err, "E_LINK", "the agent did not begin with its hello");
    switch (record->head.verb) {
    case LINK_HELLO:
        return take_hello(h, record, err);
    case LINK_PROJECT:
        return take_project(h, record, err);
    case LINK_STREAM:
        return take_stream(h, record, change, err);
    case LINK_GROWN:
        return take_grown(h, record, change, err);
    case LINK_STREAM_GONE:
        return take_gone(h, record, err);
    case LINK_STATUS:
        *change = HELD_STATUS;
        return take_status(h, record, err);
    case LINK_READY:
        h->ready = true;
        *change = HELD_HELLO;
        return 0;
    case LINK_CHALLENGE:
        *change = h->ready ? HELD_HELLO : HELD_NOTHING;
        return take_challenge(h, record, err);
    case LINK_WANT:
        *change = HELD_WANT;
        return check_want(record, err);
    case LINK_REFUSED:
        *change = HELD_REFUSED;
        return check_refused(record, err);
    default:
        return fail(err, "E_LINK", "the agent sent a record of unknown verb %u", (unsigned)record->head.verb);
    }
}

int held_read(const struct held *h, const char *name, uint64_t offset, void *out, size_t size, struct error *err)
{
    const struct held_stream *s = held_stream(h, name);
    if (s == NULL || offset < s->base)
        return fail(err, "E_SPOOL", "stream %s: its bytes from %llu are not here any more", name, (unsigned long long)offset);
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(s->fd, (char *)out + done, size - done, (off_t)(offset - s->base + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "E_SPOOL", errno, "stream %s could not be read at %llu", name, (unsigned long long)offset);
        if (n == 0)
            return fail(err, "E_SPOOL", "stream %s is shorter than the agent said: nothing at %llu", name,
                        (unsigned long long)(offset + done));
        done += (size_t)n;
    }
    return 0;
}

static void tell_projects(const struct held *h, struct message_hello *hello)
{
    for (size_t i = 0; i < h->project_count; i++) {
        const struct link_project *from = &h->projects[i];
        struct hello_project *to = &hello->projects[hello->project_count++];
        snprintf(to->project, sizeof to->project, "%.*s", NAME_PROJECT_MAX, from->project);
        to->manifest.version = from->manifest_version;
        to->env.version = from->env_version;
        memcpy(to->manifest.digest, from->manifest_digest, sizeof to->manifest.digest);
        memcpy(to->env.digest, from->env_digest, sizeof to->env.digest);
        to->sequence = from->sequence;
    }
}

static void tell_streams(const struct held *h, struct message_hello *hello)
{
    for (size_t i = 0; i < LINK_STREAMS_MAX; i++) {
        const struct stream_out *o = h->streams[i].fd >= 0 ? stream_find(&h->sender, h->streams[i].name) : NULL;
        if (o == NULL)
            continue;
        struct hello_stream *to = &hello->streams[hello->stream_count++];
        memcpy(to->name, o->name, sizeof to->name);
        to->base = o->base;
        to->end = o->end;
        to->closed = o->closed;
    }
}

void held_restart(struct held *h)
{
    char name[STREAM_NAME_MAX + 1];
    stream_disconnected(&h->sender);
    for (size_t i = 0; i < STREAM_LIVE_MAX; i++) {
        memcpy(name, h->sender.out[i].name, sizeof name);
        if (held_stream(h, name) == NULL)
            stream_remove(&h->sender, name);
    }
}

int held_say_hello(const struct held *h, int64_t wall_ms, struct buf *out, struct error *err)
{
    if (!h->ready)
        return fail(err, "E_LINK", "the agent has not said yet what it has");
    struct message m = {.type = MESSAGE_HELLO};
    struct message_hello *hello = &m.as.hello;
    snprintf(hello->server, sizeof hello->server, "%.*s", ID_TEXT_SIZE - 1, h->hello.server);
    snprintf(hello->version, sizeof hello->version, "%s", h->hello.version);
    hello->box_level = (int)h->hello.box_level;
    memcpy(hello->challenge, h->hello.challenge, sizeof hello->challenge);
    memcpy(hello->seal, h->hello.seal, sizeof hello->seal);
    hello->wall = wall_ms;
    hello->trust = h->hello.trust_version;
    tell_projects(h, hello);
    tell_streams(h, hello);
    return message_encode(&m, out, err);
}
