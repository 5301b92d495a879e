#include "stream/stream.h"

#include <string.h>

#include "base/names.h"

bool stream_name_ok(const char *name)
{
    static const char log[] = "log/";
    if (strcmp(name, STREAM_EVENTS) == 0)
        return true;
    return strlen(name) <= STREAM_NAME_MAX && strncmp(name, log, strlen(log)) == 0 &&
           name_is_deployment(name + strlen(log));
}

void stream_sender_init(struct stream_sender *s)
{
    *s = (struct stream_sender){0};
}

static struct stream_out *named(struct stream_sender *s, const char *name)
{
    if (name[0] == '\0')
        return NULL;
    for (size_t i = 0; i < STREAM_LIVE_MAX; i++)
        if (strcmp(s->out[i].name, name) == 0)
            return &s->out[i];
    return NULL;
}

const struct stream_out *stream_find(const struct stream_sender *s, const char *name)
{
    if (name[0] == '\0')
        return NULL;
    for (size_t i = 0; i < STREAM_LIVE_MAX; i++)
        if (strcmp(s->out[i].name, name) == 0)
            return &s->out[i];
    return NULL;
}

uint64_t stream_unacked(const struct stream_sender *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STREAM_LIVE_MAX; i++)
        sum += s->out[i].sent - s->out[i].acked;
    return sum;
}

int stream_add(struct stream_sender *s, const char *name, uint64_t base, uint64_t end, bool closed,
               struct error *err)
{
    if (!stream_name_ok(name))
        return fail(err, "E_STREAM_NAME", "'%.40s' is no stream: it must be events or log/<deployment>", name);
    if (base > end || end > STREAM_OFFSET_MAX)
        return fail(err, "E_STREAM_OFFSET", "stream %s cannot reach from %llu to %llu", name,
                    (unsigned long long)base, (unsigned long long)end);
    if (named(s, name) != NULL)
        return fail(err, "E_STREAM_EXISTS", "stream %s is there already", name);
    for (size_t i = 0; i < STREAM_LIVE_MAX; i++) {
        struct stream_out *o = &s->out[i];
        if (o->name[0] != '\0')
            continue;
        *o = (struct stream_out){.base = base, .end = end, .acked = base, .sent = base, .closed = closed};
        memcpy(o->name, name, strlen(name) + 1);
        return 0;
    }
    return fail(err, "E_STREAM_FULL", "%d streams are live already; %s must wait", STREAM_LIVE_MAX, name);
}

static int unknown(const char *name, struct error *err)
{
    return fail(err, "E_STREAM_UNKNOWN", "there is no stream '%.40s'", name);
}

int stream_grown(struct stream_sender *s, const char *name, uint64_t end, struct error *err)
{
    struct stream_out *o = named(s, name);
    if (o == NULL)
        return unknown(name, err);
    if (o->closed && end != o->end)
        return fail(err, "E_STREAM_CLOSED", "stream %s ended at %llu", name, (unsigned long long)o->end);
    if (end < o->end || end > STREAM_OFFSET_MAX)
        return fail(err, "E_STREAM_OFFSET", "stream %s cannot go from %llu to %llu", name,
                    (unsigned long long)o->end, (unsigned long long)end);
    o->end = end;
    return 0;
}

int stream_closed(struct stream_sender *s, const char *name, uint64_t end, struct error *err)
{
    if (stream_grown(s, name, end, err) < 0)
        return -1;
    named(s, name)->closed = true;
    return 0;
}

int stream_trimmed(struct stream_sender *s, const char *name, uint64_t base, struct error *err)
{
    struct stream_out *o = named(s, name);
    if (o == NULL)
        return unknown(name, err);
    if (base < o->base || base > o->acked)
        return fail(err, "E_STREAM_OFFSET", "stream %s: bytes up to %llu cannot go, acknowledged are %llu",
                    name, (unsigned long long)base, (unsigned long long)o->acked);
    o->base = base;
    return 0;
}

void stream_remove(struct stream_sender *s, const char *name)
{
    struct stream_out *o = named(s, name);
    if (o != NULL)
        *o = (struct stream_out){0};
}

/* The other side has everything before offset and nothing after it; what it had of the end is asked anew, as its
 * store may have been restored from a backup. */
static void go_to(struct stream_out *o, uint64_t offset)
{
    o->acked = offset;
    o->sent = offset;
    o->final_sent = false;
    o->over = false;
}

static enum stream_heard lose(struct stream_out *o)
{
    go_to(o, o->acked);
    o->lost = true;
    return STREAM_LOST;
}

/* Nothing of the connection before counts in this one. */
static void begin(struct stream_sender *s, bool connected)
{
    s->connected = connected;
    s->handles = 0;
    for (size_t i = 0; i < STREAM_LIVE_MAX; i++) {
        struct stream_out *o = &s->out[i];
        o->handle = 0;
        o->lost = false;
        go_to(o, connected ? o->base : o->acked);
    }
}

void stream_connected(struct stream_sender *s)
{
    begin(s, true);
}

void stream_disconnected(struct stream_sender *s)
{
    begin(s, false);
}

enum stream_heard stream_start_at(struct stream_sender *s, const char *name, uint64_t from)
{
    struct stream_out *o = named(s, name);
    if (o == NULL || !s->connected)
        return STREAM_UNKNOWN;
    if (from < o->base || from > o->end)
        return lose(o);
    go_to(o, from);
    return STREAM_KNOWN;
}

enum stream_heard stream_acked(struct stream_sender *s, const char *name, uint64_t offset)
{
    struct stream_out *o = named(s, name);
    if (o == NULL || !s->connected)
        return STREAM_UNKNOWN;
    if (o->over || o->lost)
        return STREAM_KNOWN;
    if (offset < o->base || offset > o->end)
        return lose(o);
    /* Acks only rise. One that does not, while later bytes are on their way: the other side is behind. */
    if (offset < o->acked || (offset == o->acked && o->sent > offset)) {
        go_to(o, offset);
        return STREAM_BACK;
    }
    o->acked = offset;
    if (o->sent < offset)
        o->sent = offset;
    o->over = o->final_sent && offset == o->end;
    return o->over ? STREAM_OVER : STREAM_KNOWN;
}

void stream_unreadable(struct stream_sender *s, const char *name)
{
    struct stream_out *o = named(s, name);
    if (o != NULL)
        (void)lose(o);
}

static bool has_work(const struct stream_out *o)
{
    if (o->name[0] == '\0' || o->over || o->lost)
        return false;
    if (o->sent < o->end)
        return true;
    return o->closed && !o->final_sent && o->acked == o->end; /* see "The ack of an end" */
}

static struct stream_out *whose_turn(struct stream_sender *s)
{
    struct stream_out *events = named(s, STREAM_EVENTS);
    if (events != NULL && has_work(events))
        return events;
    for (uint32_t i = 0; i < STREAM_LIVE_MAX; i++) {
        struct stream_out *o = &s->out[(s->turn + i) % STREAM_LIVE_MAX];
        if (has_work(o))
            return o;
    }
    return NULL;
}

static struct stream_next open_one(struct stream_sender *s, struct stream_out *o)
{
    o->handle = ++s->handles;
    return (struct stream_next){.todo = STREAM_OPEN, .name = o->name, .handle = o->handle, .offset = o->sent};
}

struct stream_next stream_next(struct stream_sender *s)
{
    struct stream_next idle = {.todo = STREAM_IDLE};
    struct stream_out *o = s->connected ? whose_turn(s) : NULL;
    if (o == NULL || (o->handle == 0 && s->handles == STREAM_HANDLE_MAX))
        return idle;
    if (o->handle == 0)
        return open_one(s, o);
    uint64_t size = o->end - o->sent;
    if (size > STREAM_CHUNK_MAX)
        size = STREAM_CHUNK_MAX;
    /* Whole chunks or nothing: a few bytes are not worth a message, and who comes first waits. */
    if (stream_unacked(s) + size > STREAM_WINDOW_MAX)
        return idle;
    struct stream_next next = {
        .todo = STREAM_DATA, .name = o->name, .handle = o->handle, .offset = o->sent, .size = (uint32_t)size};
    o->sent += size;
    next.final = size == 0;
    o->final_sent = next.final;
    s->turn = (uint32_t)(o - s->out) + 1;
    return next;
}
