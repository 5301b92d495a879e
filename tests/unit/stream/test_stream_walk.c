/* Random walks over several streams of real sizes: what the interleavings of one small stream cannot show, the
 * shared window, the turns, and events before all others. Each walk is its own number: a failure names it. */
#include "stream_test.h"

#define STREAMS  4
#define WALKS    200
#define STEPS    2000
#define LONGEST  (700 * 1024)
#define WIRE_MAX 64

static const char *const names[STREAMS] = {LOG_A, STREAM_EVENTS, LOG_B, "log/dep_00000000000000cc"};

struct wire_message {
    bool open, final;
    uint32_t handle, size;
    uint64_t offset;
    int stream;
};
struct wire_ack {
    int stream;
    uint64_t offset;
};
struct plane_stream {
    uint64_t durable, promised;
    bool closed;
};
static struct {
    struct stream_sender sender;
    struct {
        uint64_t base, end;
        bool closed, deleted;
    } file[STREAMS];
    struct stream_receiver receiver;
    struct plane_stream stored[STREAMS];
    struct wire_message up[WIRE_MAX];
    struct wire_ack down[WIRE_MAX];
    size_t up_count, down_count;
    uint64_t random;
} w;

static uint64_t any(uint64_t below)
{
    w.random ^= w.random << 13;
    w.random ^= w.random >> 7;
    w.random ^= w.random << 17;
    return w.random % below;
}

static int number_of(const char *name)
{
    for (int i = 0; i < STREAMS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static void start_sender(void)
{
    struct error err = {0};
    stream_sender_init(&w.sender);
    for (int i = 0; i < STREAMS; i++)
        if (!w.file[i].deleted)
            assert_int_equal(
                stream_add(&w.sender, names[i], w.file[i].base, w.file[i].end, w.file[i].closed, &err), 0);
}

static void disconnect(void)
{
    stream_disconnected(&w.sender);
    w.up_count = w.down_count = 0;
    stream_receiver_init(&w.receiver); /* appends that were not durable are gone */
}

static void connect_anew(void)
{
    if (w.sender.connected)
        return;
    stream_connected(&w.sender);
    for (int i = 0; i < STREAMS; i++)
        if (!w.file[i].deleted && any(4) > 0) /* sometimes welcome does not name it */
            assert_int_equal(stream_start_at(&w.sender, names[i], w.stored[i].durable), STREAM_KNOWN);
}

static void grow(int i)
{
    if (w.file[i].closed || w.file[i].end > LONGEST)
        return;
    w.file[i].end += any(100 * 1024);
    assert_int_equal(stream_grown(&w.sender, names[i], w.file[i].end, NULL), 0);
}

static void finish(int i)
{
    if (w.file[i].closed)
        return;
    w.file[i].closed = true;
    assert_int_equal(stream_closed(&w.sender, names[i], w.file[i].end, NULL), 0);
}

static void trim(int i)
{
    const struct stream_out *o = stream_find(&w.sender, names[i]);
    if (o == NULL || !w.sender.connected)
        return;
    w.file[i].base = o->acked;
    assert_int_equal(stream_trimmed(&w.sender, names[i], o->acked, NULL), 0);
}

static bool events_have_bytes(void)
{
    const struct stream_out *o = stream_find(&w.sender, STREAM_EVENTS);
    return o != NULL && o->sent < o->end;
}

static void send_one(void)
{
    if (w.up_count == WIRE_MAX)
        return;
    bool events_wait = events_have_bytes();
    struct stream_next next = stream_next(&w.sender);
    assert_true(stream_unacked(&w.sender) <= STREAM_WINDOW_MAX);
    if (next.todo == STREAM_IDLE)
        return;
    int i = number_of(next.name);
    assert_true(i == 1 || !events_wait);
    assert_true(next.offset >= w.file[i].base && next.offset + next.size <= w.file[i].end);
    assert_true(next.size <= STREAM_CHUNK_MAX);
    w.up[w.up_count++] =
        (struct wire_message){next.todo == STREAM_OPEN, next.final, next.handle, next.size, next.offset, i};
}

static void commit(struct stream_in *in, int i, uint64_t offset)
{
    stream_durable(in, offset, in->closed);
    w.stored[i].durable = in->durable;
    w.stored[i].closed = in->closed_durable;
}

static void acknowledge(struct stream_in *in, int i)
{
    uint64_t offset;
    while (w.down_count < WIRE_MAX && stream_ack_due(in, &offset)) {
        assert_true(offset <= w.stored[i].durable);
        w.down[w.down_count++] = (struct wire_ack){i, offset};
        if (offset > w.stored[i].promised)
            w.stored[i].promised = offset;
    }
}

static void deliver(void)
{
    if (w.up_count == 0)
        return;
    struct wire_message m = w.up[0];
    memmove(w.up, w.up + 1, --w.up_count * sizeof *w.up);
    if (m.open) {
        assert_int_equal(stream_receiver_open(&w.receiver, m.handle, names[m.stream], m.offset,
                                              w.stored[m.stream].durable, w.stored[m.stream].closed, NULL),
                         0);
        return;
    }
    const char *name = NULL;
    struct stream_in *in = stream_receiver_find(&w.receiver, m.handle, &name);
    assert_non_null(in);
    assert_string_equal(name, names[m.stream]);
    struct stream_accept what;
    for (uint64_t times = 1 + any(8) / 7; times > 0; times--) { /* sometimes twice */
        uint64_t before = in->end;
        int rc = stream_accept(in, m.offset, m.size, m.final, &what, NULL);
        assert_true(rc >= 0);
        /* Byte for byte what the sender has at this place: the message's byte `skip` is the stream's byte
         * `before`. */
        assert_true(rc == 0 || m.offset + what.skip == before);
        assert_true(rc == 0 || what.skip + what.size == m.size);
    }
}

static void write_something(int i)
{
    struct stream_in *in = stream_receiver_named(&w.receiver, names[i]);
    if (in == NULL)
        return;
    if (any(16) == 0 && (in->end > in->durable || (in->closed && !in->closed_durable))) {
        if (!stream_dropped(in)) {
            disconnect();
            return;
        }
    } else {
        commit(in, i, in->durable + any(in->end - in->durable + 1));
    }
    acknowledge(in, i);
}

static void hear(void)
{
    if (w.down_count == 0)
        return;
    struct wire_ack a = w.down[0];
    memmove(w.down, w.down + 1, --w.down_count * sizeof *w.down);
    enum stream_heard heard = stream_acked(&w.sender, names[a.stream], a.offset);
    assert_true(heard != STREAM_LOST);
    if (heard != STREAM_OVER)
        return;
    assert_true(w.stored[a.stream].closed && w.stored[a.stream].durable == w.file[a.stream].end);
    w.file[a.stream].deleted = true;
    stream_remove(&w.sender, names[a.stream]);
}

static void step(void)
{
    int i = (int)any(STREAMS);
    switch (any(100)) {
    case 0:
        disconnect();
        break;
    case 1:
        disconnect();
        start_sender();
        break;
    case 2:
        finish(i);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        grow(i);
        break;
    case 8:
    case 9:
        trim(i);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        connect_anew();
        break;
    default:
        switch (any(4)) {
        case 0:
            send_one();
            break;
        case 1:
            deliver();
            break;
        case 2:
            write_something(i);
            break;
        default:
            hear();
        }
    }
    for (int j = 0; j < STREAMS; j++)
        assert_true(w.stored[j].promised <= w.stored[j].durable && w.stored[j].durable <= w.file[j].end);
}

/* From wherever the walk led, without further trouble, all must arrive. */
static void finish_well(void)
{
    disconnect();
    connect_anew();
    for (int i = 0; i < STREAMS; i++)
        finish(i);
    for (int rounds = 0; rounds < 1000; rounds++) {
        send_one();
        deliver();
        for (int i = 0; i < STREAMS; i++) {
            struct stream_in *in = stream_receiver_named(&w.receiver, names[i]);
            if (in == NULL)
                continue;
            commit(in, i, in->end);
            acknowledge(in, i);
        }
        hear();
    }
    for (int i = 0; i < STREAMS; i++) {
        assert_true(w.file[i].deleted && w.stored[i].closed);
        assert_int_equal(w.stored[i].durable, w.file[i].end);
    }
}

static void walks_end_with_every_byte_in_place(void **state)
{
    (void)state;
    for (uint64_t walk = 1; walk <= WALKS; walk++) {
        memset(&w, 0, sizeof w);
        w.random = walk * UINT64_C(0x9e3779b97f4a7c15);
        start_sender();
        for (int i = 0; i < STEPS; i++)
            step();
        finish_well();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(walks_end_with_every_byte_in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
