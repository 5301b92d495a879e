/* A stranger at the other end of a stream, either end: whatever it says, our side keeps its bounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at, *end;
};

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* Small and large numbers alike: a mantissa and a shift. */
static uint64_t number(struct input *in)
{
    uint64_t n = byte(in);
    n = n << 8 | byte(in);
    return n << (byte(in) & 63);
}

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void check_sender(const struct stream_sender *s)
{
    must(stream_unacked(s) <= STREAM_WINDOW_MAX);
    for (int i = 0; i < STREAM_LIVE_MAX; i++) {
        const struct stream_out *o = &s->out[i];
        must(o->base <= o->acked && o->acked <= o->sent && o->sent <= o->end && o->end <= STREAM_OFFSET_MAX);
        must(!o->over || (o->closed && o->acked == o->end));
    }
}

static void sender_step(struct stream_sender *s, struct input *in)
{
    char name[STREAM_NAME_MAX + 1] = STREAM_EVENTS;
    uint8_t op = byte(in), which = byte(in);
    if ((which & 7) != 0)
        snprintf(name, sizeof name, "log/dep_%016x", which & 7);
    struct error err;
    switch (op % 10) {
    case 0: {
        uint64_t base = number(in);
        (void)!stream_add(s, name, base, base + number(in), (which & 8) != 0, &err);
        break;
    }
    case 1:
        (void)!stream_grown(s, name, number(in), &err);
        break;
    case 2:
        (void)!stream_closed(s, name, number(in), &err);
        break;
    case 3:
        (void)!stream_trimmed(s, name, number(in), &err);
        break;
    case 4:
        stream_remove(s, name);
        break;
    case 5:
        stream_connected(s);
        break;
    case 6:
        stream_disconnected(s);
        break;
    case 7:
        (void)stream_start_at(s, name, number(in));
        break;
    case 8:
        (void)stream_acked(s, name, number(in));
        break;
    default:
        for (int i = 0; i < 8; i++) {
            struct stream_next next = stream_next(s);
            must(next.todo != STREAM_DATA || next.size <= STREAM_CHUNK_MAX);
            must(next.todo != STREAM_DATA || (next.size == 0) == next.final);
        }
    }
}

static void receiver_step(struct stream_receiver *r, struct input *in)
{
    char name[STREAM_NAME_MAX + 1];
    uint8_t op = byte(in), which = byte(in);
    snprintf(name, sizeof name, "log/dep_%016x", which & 7);
    struct error err;
    struct stream_in *stream = stream_receiver_find(r, which & 15, NULL);
    uint64_t offset;
    if (op % 6 == 0)
        (void)!stream_receiver_open(r, which & 15, name, number(in), number(in), (which & 32) != 0, &err);
    if (stream == NULL)
        return;
    struct stream_in before = *stream;
    struct stream_accept what;
    switch (op % 6) {
    case 1: {
        uint64_t from = number(in);
        uint32_t count = (uint32_t)number(in);
        int rc = stream_accept(stream, from, count, (which & 64) != 0, &what, &err);
        must(stream->end >= before.end && (rc == 1 || stream->end == before.end));
        must(rc != 1 || (from + what.skip == before.end && what.skip + what.size == count &&
                         stream->end - before.end == what.size));
        break;
    }
    case 2:
        stream_durable(stream, number(in), (which & 64) != 0);
        break;
    case 3:
        (void)!stream_dropped(stream);
        must(stream->end == before.durable);
        break;
    case 4:
        for (int acks = 0; stream_ack_due(stream, &offset); acks++)
            must(acks < 3 && offset == stream->durable);
        break;
    case 5:
        stream_receiver_done(r, which & 15);
        return;
    default:
        return;
    }
    must(stream->durable >= before.durable && stream->durable <= stream->end &&
         stream->told <= stream->durable);
    must(!stream->closed_durable || (stream->closed && stream->durable == stream->end));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stream_sender s;
    static struct stream_receiver r;
    struct input in = {data, data + size};
    stream_sender_init(&s);
    stream_receiver_init(&r);
    while (in.at < in.end) {
        sender_step(&s, &in);
        check_sender(&s);
        receiver_step(&r, &in);
    }
    return 0;
}
