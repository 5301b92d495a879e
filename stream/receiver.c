#include "stream/stream.h"

#include <string.h>

void stream_in_init(struct stream_in *in, uint64_t durable, bool closed)
{
    *in = (struct stream_in){.end = durable,
                             .durable = durable,
                             .told = durable,
                             .closed = closed,
                             .closed_durable = closed,
                             .closed_told = closed};
}

uint64_t stream_welcome_from(uint64_t durable, uint64_t base, uint64_t *gap)
{
    *gap = base > durable ? base - durable : 0;
    return durable + *gap;
}

/* Bytes after the end, or another end. */
static bool contradicts_end(const struct stream_in *in, uint64_t last, bool final)
{
    return (in->closed && (last > in->end || (final && last != in->end))) || (final && last < in->end);
}

int stream_accept(struct stream_in *in, uint64_t offset, uint32_t size, bool final, struct stream_accept *out,
                  struct error *err)
{
    *out = (struct stream_accept){0};
    if (size > STREAM_CHUNK_MAX || (size == 0 && !final))
        return fail(err, "E_STREAM_CHUNK", "a data message has 1 to %d bytes, not %u", STREAM_CHUNK_MAX, size);
    if (offset > STREAM_OFFSET_MAX - size)
        return fail(err, "E_STREAM_OFFSET", "offset %llu is too large", (unsigned long long)offset);
    uint64_t last = offset + size;
    if (contradicts_end(in, last, final))
        return fail(err, "E_STREAM_CLOSED", "the stream ends at %llu, not at %llu", (unsigned long long)in->end,
                    (unsigned long long)last);
    if (offset > in->end) {
        in->behind = true;
        return 0;
    }
    bool close = final && !in->closed;
    if (last <= in->end && !close) {
        /* Only the end is worth a second ack: the sender deletes its copy when it hears of it. */
        if (final)
            in->closed_told = false;
        return 0;
    }
    *out = (struct stream_accept){
        .skip = (uint32_t)(in->end - offset), .size = (uint32_t)(last - in->end), .close = close};
    in->end = last;
    in->closed = in->closed || close;
    in->behind = false;
    in->behind_told = false;
    return 1;
}

void stream_durable(struct stream_in *in, uint64_t offset, bool closed)
{
    if (offset > in->durable && offset <= in->end)
        in->durable = offset;
    if (closed && in->closed && in->durable == in->end)
        in->closed_durable = true;
}

bool stream_dropped(struct stream_in *in)
{
    bool end_only = in->end == in->durable && in->closed && !in->closed_durable;
    in->end = in->durable;
    in->closed = in->closed_durable;
    in->behind = !end_only;
    in->behind_told = false;
    return !end_only;
}

bool stream_ack_due(struct stream_in *in, uint64_t *offset)
{
    *offset = in->durable;
    if (in->durable > in->told) {
        in->told = in->durable;
        in->closed_told = in->closed_durable;
        return true;
    }
    if (in->closed_durable && !in->closed_told) {
        in->closed_told = true;
        return true;
    }
    /* "You are ahead of me" is an ack that does not rise, so it must come after all those that do. */
    if (in->behind && !in->behind_told && in->durable == in->end) {
        in->behind_told = true;
        return true;
    }
    return false;
}

void stream_receiver_init(struct stream_receiver *r)
{
    memset(r, 0, sizeof *r);
}

static size_t place(const struct stream_receiver *r, const char *name)
{
    size_t free_place = STREAM_LIVE_MAX;
    for (size_t i = STREAM_LIVE_MAX; i-- > 0;) {
        if (r->live[i].handle == 0)
            free_place = i;
        else if (strcmp(r->live[i].name, name) == 0)
            return i;
    }
    return free_place;
}

int stream_receiver_open(struct stream_receiver *r, uint32_t handle, const char *name, uint64_t from,
                         uint64_t durable, bool closed, struct error *err)
{
    if (!stream_name_ok(name))
        return fail(err, "E_STREAM_NAME", "'%.40s' is no stream: it must be events or log/<deployment>", name);
    if (handle == 0 || handle > STREAM_HANDLE_MAX || stream_receiver_find(r, handle, NULL) != NULL)
        return fail(err, "E_STREAM_HANDLE", "handle %u is in use or out of range", handle);
    if (durable > STREAM_OFFSET_MAX || from > STREAM_OFFSET_MAX)
        return fail(err, "E_STREAM_OFFSET", "offset %llu is too large", (unsigned long long)from);
    size_t i = place(r, name);
    if (i == STREAM_LIVE_MAX)
        return fail(err, "E_STREAM_FULL", "%d streams are open already on this connection", STREAM_LIVE_MAX);
    if (r->live[i].handle == 0) {
        memcpy(r->live[i].name, name, strlen(name) + 1);
        stream_in_init(&r->live[i].in, durable, closed);
    }
    r->live[i].handle = handle;
    if (from < r->live[i].in.told)
        r->live[i].in.told = from;
    return 0;
}

struct stream_in *stream_receiver_find(struct stream_receiver *r, uint32_t handle, const char **name)
{
    for (size_t i = 0; i < STREAM_LIVE_MAX && handle != 0; i++) {
        if (r->live[i].handle != handle)
            continue;
        if (name != NULL)
            *name = r->live[i].name;
        return &r->live[i].in;
    }
    return NULL;
}

struct stream_in *stream_receiver_named(struct stream_receiver *r, const char *name)
{
    for (size_t i = 0; i < STREAM_LIVE_MAX; i++)
        if (r->live[i].handle != 0 && strcmp(r->live[i].name, name) == 0)
            return &r->live[i].in;
    return NULL;
}

void stream_receiver_done(struct stream_receiver *r, uint32_t handle)
{
    for (size_t i = 0; i < STREAM_LIVE_MAX && handle != 0; i++)
        if (r->live[i].handle == handle)
            memset(&r->live[i], 0, sizeof r->live[i]);
}
