/* Every interleaving of one small stream, both ends: all states that any order of events can reach are visited
 * (not only those up to some depth), in each the promises are checked, and from each the rest of the way must
 * lead to the end.
 *
 * Events: the host's bytes grow, end, are trimmed; the sender sends, the plane receives (also twice), commits
 * all or only the bytes, fails to commit, acknowledges; an ack arrives or is lost; the connection breaks;
 * either side crashes and comes back with what was durable; they connect anew, with a welcome that names the
 * stream or one that does not; the host says hello again on the connection it has, and waits for the welcome.
 */
#include "stream_test.h"

#define BYTES    3 /* length of the whole stream */
#define UP_MAX   3 /* messages on their way to the plane */
#define DOWN_MAX 4 /* acks and welcomes on their way to the host */

enum kind { DATA, OPEN, HELLO };
struct message {
    uint8_t kind;
    uint8_t offset, size, final;
};
#define WELCOME 0x80 /* in an ack's place: start at the rest */

struct world {
    /* the host: its files are base, end and closed of out; the rest is memory */
    struct stream_out out;
    uint8_t connected, deleted, handles, turn;
    uint8_t alive; /* there is a connection; connected: and it has said welcome */
    /* the plane: store[0, in.durable) and in.closed_durable survive, store[in.durable, in.end) is being written
     */
    struct stream_in in;
    uint8_t opened, store[BYTES];
    uint8_t promised; /* highest ack ever sent */
    /* between them */
    struct message up[UP_MAX];
    uint8_t up_count, down[DOWN_MAX], down_count;
    uint8_t ack_was_lost; /* on this connection: then only a new one need go on */
};

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(0xa0 + offset);
}

/* ---- the host ---- */

static struct stream_sender sender_of(const struct world *w)
{
    struct stream_sender s;
    stream_sender_init(&s);
    s.out[0] = w->out;
    s.connected = w->connected;
    s.handles = w->handles;
    s.turn = w->turn;
    return s;
}

static void keep_sender(struct world *w, const struct stream_sender *s)
{
    w->out = s->out[0];
    w->connected = s->connected;
    w->handles = (uint8_t)s->handles;
    w->turn = (uint8_t)s->turn;
}

static void clear_wire(struct world *w)
{
    memset(w->up, 0, sizeof w->up);
    memset(w->down, 0, sizeof w->down);
    w->up_count = w->down_count = w->opened = w->ack_was_lost = w->alive = 0;
}

static bool grow(struct world *w)
{
    if (w->deleted || w->out.closed || w->out.end == BYTES)
        return false;
    struct stream_sender s = sender_of(w);
    assert_int_equal(stream_grown(&s, LOG_A, w->out.end + 1, NULL), 0);
    keep_sender(w, &s);
    return true;
}

static bool finish(struct world *w)
{
    if (w->deleted || w->out.closed)
        return false;
    struct stream_sender s = sender_of(w);
    assert_int_equal(stream_closed(&s, LOG_A, w->out.end, NULL), 0);
    keep_sender(w, &s);
    return true;
}

static bool trim(struct world *w)
{
    if (w->deleted || w->out.base == w->out.acked)
        return false;
    struct stream_sender s = sender_of(w);
    assert_int_equal(stream_trimmed(&s, LOG_A, w->out.acked, NULL), 0);
    keep_sender(w, &s);
    return true;
}

static bool send_one(struct world *w)
{
    if (w->up_count == UP_MAX)
        return false;
    struct stream_sender s = sender_of(w);
    struct stream_next next = stream_next(&s);
    if (next.todo == STREAM_IDLE)
        return false;
    assert_int_equal(next.handle, 1);
    assert_true(next.offset >= w->out.base && next.offset + next.size <= w->out.end);
    w->up[w->up_count++] = (struct message){.kind = next.todo == STREAM_OPEN ? OPEN : DATA,
                                            .offset = (uint8_t)next.offset,
                                            .size = (uint8_t)next.size,
                                            .final = next.final};
    keep_sender(w, &s);
    return true;
}

static void hear_ack(struct world *w, uint64_t offset)
{
    struct stream_sender s = sender_of(w);
    enum stream_heard heard = stream_acked(&s, LOG_A, offset);
    assert_true(heard == STREAM_KNOWN || heard == STREAM_BACK || heard == STREAM_OVER ||
                (heard == STREAM_UNKNOWN && (w->deleted || !w->connected)));
    if (heard == STREAM_OVER) {
        /* Deleted on the spot: so the plane must have it all, durably, the end too. */
        assert_int_equal(w->in.durable, w->out.end);
        assert_true(w->in.closed_durable && w->out.closed);
        stream_remove(&s, LOG_A);
        w->deleted = 1;
    }
    keep_sender(w, &s);
}

static void hear_welcome(struct world *w, uint64_t from, bool named)
{
    struct stream_sender s = sender_of(w);
    stream_connected(&s);
    if (named && !w->deleted)
        assert_int_equal(stream_start_at(&s, LOG_A, from), STREAM_KNOWN);
    keep_sender(w, &s);
}

static bool say_hello_again(struct world *w)
{
    if (!w->connected || w->up_count == UP_MAX)
        return false;
    struct stream_sender s = sender_of(w);
    stream_disconnected(&s); /* nothing is sent until welcome comes */
    keep_sender(w, &s);
    w->up[w->up_count++] = (struct message){.kind = HELLO};
    return true;
}

static void pop_ack(struct world *w)
{
    memmove(w->down, w->down + 1, (size_t)(w->down_count - 1));
    w->down[--w->down_count] = 0;
}

static bool deliver_ack(struct world *w)
{
    if (w->down_count == 0)
        return false;
    uint8_t said = w->down[0];
    pop_ack(w);
    if ((said & WELCOME) != 0)
        hear_welcome(w, said & (WELCOME - 1), true);
    else
        hear_ack(w, said);
    return true;
}

static bool lose_ack(struct world *w)
{
    if (w->down_count == 0 || (w->down[0] & WELCOME) != 0)
        return false;
    pop_ack(w);
    w->ack_was_lost = 1;
    return true;
}

/* ---- the plane ---- */

static struct stream_receiver receiver_of(const struct world *w)
{
    struct stream_receiver r;
    stream_receiver_init(&r);
    if (w->opened) {
        r.live[0].handle = 1;
        strcpy(r.live[0].name, LOG_A);
        r.live[0].in = w->in;
    }
    return r;
}

static void take_data(struct world *w, struct message m)
{
    struct stream_receiver r = receiver_of(w);
    const char *name = NULL;
    struct stream_in *in = stream_receiver_find(&r, 1, &name);
    assert_non_null(in);
    assert_string_equal(name, LOG_A);
    struct stream_accept what;
    uint64_t before = in->end;
    int rc = stream_accept(in, m.offset, m.size, m.final, &what, NULL);
    assert_true(rc >= 0);
    for (uint64_t i = 0; rc == 1 && i < what.size; i++)
        w->store[before + i] = byte_at(m.offset + what.skip + i);
    w->in = *in;
}

static bool duplicate(struct world *w)
{
    if (w->up_count == 0 || w->up_count == UP_MAX || w->up[0].kind != DATA)
        return false;
    w->up[w->up_count++] = w->up[0];
    return true;
}

static bool writing(const struct world *w)
{
    return w->in.end > w->in.durable || (w->in.closed && !w->in.closed_durable);
}

static bool commit(struct world *w)
{
    if (!writing(w))
        return false;
    stream_durable(&w->in, w->in.end, w->in.closed);
    return true;
}

static bool commit_bytes_only(struct world *w)
{
    if (w->in.end == w->in.durable)
        return false;
    stream_durable(&w->in, w->in.durable + 1, false);
    return true;
}

static void forget_writes(struct world *w)
{
    stream_in_init(&w->in, w->in.durable, w->in.closed_durable);
    memset(w->store + w->in.durable, 0, BYTES - w->in.durable);
}

static bool break_connection(struct world *w)
{
    if (!w->alive)
        return false;
    struct stream_sender s = sender_of(w);
    stream_disconnected(&s);
    keep_sender(w, &s);
    clear_wire(w);
    return true;
}

static bool acknowledge(struct world *w)
{
    uint64_t offset;
    if (!w->alive || !w->opened || w->down_count == DOWN_MAX || !stream_ack_due(&w->in, &offset))
        return false;
    w->down[w->down_count++] = (uint8_t)offset;
    if (offset > w->promised)
        w->promised = (uint8_t)offset;
    return true;
}

static bool fail_to_commit(struct world *w)
{
    if (!writing(w) || w->down_count > DOWN_MAX - 2)
        return false;
    bool go_on = stream_dropped(&w->in);
    memset(w->store + w->in.durable, 0, BYTES - w->in.durable);
    if (!go_on)
        break_connection(w);
    while (acknowledge(w)) /* at once, as stream_dropped asks */
        continue;
    return true;
}

/* What is on its way into the store goes there first, and its acks out, before the host may begin anew. */
static void welcome_again(struct world *w)
{
    commit(w);
    while (acknowledge(w))
        continue;
    w->opened = 0;
    w->down[w->down_count++] = (uint8_t)(WELCOME | w->in.durable);
}

static bool deliver(struct world *w)
{
    if (w->up_count == 0 || (w->up[0].kind == HELLO && w->down_count > DOWN_MAX - 3))
        return false;
    struct message m = w->up[0];
    memmove(w->up, w->up + 1, sizeof *w->up * (size_t)(w->up_count - 1));
    w->up[--w->up_count] = (struct message){0};
    if (m.kind == HELLO) {
        welcome_again(w);
        return true;
    }
    if (m.kind == DATA) {
        if (w->opened) /* else it is a second copy from before the hello, to a handle that is gone */
            take_data(w, m);
        return true;
    }
    struct stream_receiver r = receiver_of(w);
    assert_int_equal(stream_receiver_open(&r, 1, LOG_A, m.offset, w->in.durable, w->in.closed_durable, NULL),
                     0);
    w->in = r.live[0].in;
    w->opened = 1;
    return true;
}

/* ---- both ---- */

static bool crash_host(struct world *w)
{
    struct stream_sender s;
    stream_sender_init(&s);
    if (!w->deleted)
        assert_int_equal(stream_add(&s, LOG_A, w->out.base, w->out.end, w->out.closed, NULL), 0);
    keep_sender(w, &s);
    clear_wire(w);
    return true;
}

static bool crash_plane(struct world *w)
{
    break_connection(w);
    forget_writes(w);
    return true;
}

static bool connect_anew(struct world *w, bool named)
{
    if (w->alive)
        return false;
    w->alive = 1;
    forget_writes(w);
    uint64_t gap;
    uint64_t from = stream_welcome_from(w->in.durable, w->out.base, &gap);
    assert_int_equal(gap, 0); /* only acknowledged bytes are ever trimmed */
    hear_welcome(w, from, named);
    return true;
}

static bool connect_named(struct world *w)
{
    return connect_anew(w, true);
}

static bool connect_unnamed(struct world *w)
{
    return connect_anew(w, false);
}

typedef bool (*event)(struct world *w); /* false: impossible in this state */
static const event events[] = {
    grow,
    finish,
    trim,
    send_one,
    deliver,
    duplicate,
    commit,
    commit_bytes_only,
    fail_to_commit,
    acknowledge,
    deliver_ack,
    lose_ack,
    break_connection,
    crash_host,
    crash_plane,
    connect_named,
    connect_unnamed,
    say_hello_again,
};
#define EVENTS (sizeof events / sizeof *events)

static void check_promises(const struct world *w)
{
    for (uint64_t i = 0; i < w->in.end; i++)
        assert_int_equal(w->store[i], byte_at(i)); /* a prefix of what was sent */
    assert_true(w->promised <= w->in.durable);     /* nothing acknowledged is lost */
    assert_true(w->out.acked <= w->in.durable || w->deleted);
    assert_true(w->out.base <= w->in.durable || w->deleted);
    if (w->deleted)
        assert_true(w->in.closed_durable);
    assert_false(w->out.lost);
    struct stream_sender s = sender_of(w);
    assert_true(stream_unacked(&s) <= STREAM_WINDOW_MAX);
    assert_true(w->out.base <= w->out.acked && w->out.acked <= w->out.sent && w->out.sent <= w->out.end);
}

/* Nothing goes wrong any more: it must come to an end, on the connection there is, unless that lost an ack. */
static void check_that_it_ends(struct world w)
{
    static const event helpful[] = {grow, finish, send_one, deliver, commit, acknowledge, deliver_ack};
    if (w.ack_was_lost)
        break_connection(&w);
    connect_named(&w);
    for (int steps = 0; steps < 200 && !w.deleted; steps++)
        for (size_t i = 0; i < sizeof helpful / sizeof *helpful; i++)
            helpful[i](&w);
    assert_true(w.deleted && w.in.closed_durable);
    check_promises(&w);
}

/* ---- all states ---- */

#define SEEN_BITS 24
static uint64_t *seen;
static size_t seen_count;

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value + UINT64_C(0x9e3779b97f4a7c15) + (hash << 6) + (hash >> 2);
    hash ^= hash >> 31;
    hash *= UINT64_C(0xbf58476d1ce4e5b9);
    return hash ^ (hash >> 29);
}

static uint64_t hash_of(const struct world *w)
{
    const struct stream_out *o = &w->out;
    const struct stream_in *in = &w->in;
    uint64_t h = mix(1, o->base | o->end << 8 | o->acked << 16 | o->sent << 24 | (uint64_t)o->handle << 32);
    h = mix(h, (uint64_t)o->closed | (uint64_t)o->final_sent << 1 | (uint64_t)o->over << 2 |
                   (uint64_t)o->lost << 3 | (uint64_t)(o->name[0] != 0) << 4);
    h = mix(h, (uint64_t)w->connected | (uint64_t)w->deleted << 8 | (uint64_t)w->handles << 16 |
                   (uint64_t)w->turn << 24 | (uint64_t)w->opened << 32 | (uint64_t)w->alive << 33 |
                   (uint64_t)w->promised << 40 | (uint64_t)w->ack_was_lost << 48);
    h = mix(h, in->end | in->durable << 8 | in->told << 16 | (uint64_t)in->closed << 24 |
                   (uint64_t)in->closed_durable << 25 | (uint64_t)in->closed_told << 26 |
                   (uint64_t)in->behind << 27 | (uint64_t)in->behind_told << 28);
    for (size_t i = 0; i < BYTES; i++)
        h = mix(h, w->store[i]);
    for (size_t i = 0; i < UP_MAX; i++)
        h = mix(h, (uint64_t)w->up[i].kind | (uint64_t)w->up[i].offset << 8 | (uint64_t)w->up[i].size << 16 |
                       (uint64_t)w->up[i].final << 24);
    for (size_t i = 0; i < DOWN_MAX; i++)
        h = mix(h, w->down[i]);
    h = mix(h, (uint64_t)w->up_count << 8 | w->down_count);
    return h == 0 ? 1 : h;
}

/* True the first time. */
static bool first_visit(const struct world *w)
{
    uint64_t hash = hash_of(w);
    size_t mask = ((size_t)1 << SEEN_BITS) - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        if (seen[at] == hash)
            return false;
        if (seen[at] == 0) {
            seen[at] = hash;
            seen_count++;
            assert_true(seen_count < mask / 4 * 3);
            return true;
        }
    }
}

static void keeps_its_promises_in_every_order_of_events(void **state)
{
    (void)state;
    seen = calloc((size_t)1 << SEEN_BITS, sizeof *seen);
    size_t room = 1024, todo = 0;
    struct world *stack = malloc(room * sizeof *stack);
    assert_non_null(seen);
    assert_non_null(stack);
    struct world start;
    memset(&start, 0, sizeof start);
    crash_host(&start); /* begins as after a crash: with an empty stream */
    first_visit(&start);
    stack[todo++] = start;
    size_t ended = 0;
    while (todo > 0) {
        struct world now = stack[--todo];
        check_promises(&now);
        check_that_it_ends(now);
        ended += now.deleted;
        for (size_t i = 0; i < EVENTS; i++) {
            struct world next = now;
            if (!events[i](&next) || !first_visit(&next))
                continue;
            if (todo == room) {
                room *= 2;
                stack = realloc(stack, room * sizeof *stack);
                assert_non_null(stack);
            }
            stack[todo++] = next;
        }
    }
    print_message("%zu states, in %zu of them the stream is over\n", seen_count, ended);
    assert_true(seen_count > 10000 && ended > 0);
    free(stack);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_its_promises_in_every_order_of_events)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
