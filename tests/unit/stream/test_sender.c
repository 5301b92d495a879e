#include "stream_test.h"

static struct stream_sender connected_sender(void)
{
    struct stream_sender s;
    stream_sender_init(&s);
    stream_connected(&s);
    return s;
}

static void add(struct stream_sender *s, const char *name, uint64_t base, uint64_t end)
{
    struct error err = {0};
    assert_int_equal(stream_add(s, name, base, end, false, &err), 0);
}

static void expect_open(struct stream_sender *s, const char *name, uint64_t from)
{
    struct stream_next next = stream_next(s);
    assert_int_equal(next.todo, STREAM_OPEN);
    assert_string_equal(next.name, name);
    assert_int_equal(next.offset, from);
}

static void expect_data(struct stream_sender *s, const char *name, uint64_t offset, uint64_t size, bool final)
{
    struct stream_next next = stream_next(s);
    assert_int_equal(next.todo, STREAM_DATA);
    assert_string_equal(next.name, name);
    assert_int_equal(next.offset, offset);
    assert_int_equal(next.size, size);
    assert_int_equal(next.final, final);
}

static void expect_idle(struct stream_sender *s)
{
    assert_int_equal(stream_next(s).todo, STREAM_IDLE);
}

static void sends_nothing_before_welcome(void **state)
{
    (void)state;
    struct stream_sender s;
    stream_sender_init(&s);
    add(&s, STREAM_EVENTS, 0, 10);
    expect_idle(&s);
    assert_int_equal(stream_start_at(&s, STREAM_EVENTS, 5), STREAM_UNKNOWN);
    assert_int_equal(stream_acked(&s, STREAM_EVENTS, 5), STREAM_UNKNOWN);
    stream_connected(&s);
    expect_open(&s, STREAM_EVENTS, 0);
    expect_data(&s, STREAM_EVENTS, 0, 10, false);
    expect_idle(&s);
}

static void starts_where_welcome_says_and_at_its_base_otherwise(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    add(&s, LOG_A, 3, 10);
    add(&s, LOG_B, 2, 10);
    stream_connected(&s);
    assert_int_equal(stream_start_at(&s, LOG_A, 7), STREAM_KNOWN);
    assert_int_equal(stream_start_at(&s, "log/dep_00000000000000cc", 7), STREAM_UNKNOWN);
    expect_open(&s, LOG_A, 7);
    expect_data(&s, LOG_A, 7, 3, false);
    expect_open(&s, LOG_B, 2);
    expect_data(&s, LOG_B, 2, 8, false);
    expect_idle(&s);
}

static void sends_in_chunks_within_one_window_for_all(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    add(&s, LOG_A, 0, 10 * STREAM_CHUNK_MAX);
    add(&s, LOG_B, 0, 10 * STREAM_CHUNK_MAX);
    expect_open(&s, LOG_A, 0);
    expect_data(&s, LOG_A, 0, STREAM_CHUNK_MAX, false);
    expect_open(&s, LOG_B, 0);
    expect_data(&s, LOG_B, 0, STREAM_CHUNK_MAX, false);
    expect_data(&s, LOG_A, STREAM_CHUNK_MAX, STREAM_CHUNK_MAX, false);
    expect_data(&s, LOG_B, STREAM_CHUNK_MAX, STREAM_CHUNK_MAX, false);
    expect_idle(&s);
    assert_int_equal(stream_unacked(&s), STREAM_WINDOW_MAX);
    assert_int_equal(stream_acked(&s, LOG_A, STREAM_CHUNK_MAX - 1), STREAM_KNOWN);
    expect_idle(&s); /* a whole chunk does not fit yet */
    assert_int_equal(stream_acked(&s, LOG_A, STREAM_CHUNK_MAX), STREAM_KNOWN);
    expect_data(&s, LOG_A, 2 * STREAM_CHUNK_MAX, STREAM_CHUNK_MAX, false);
    expect_idle(&s);
}

static void sends_events_before_all_others(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    add(&s, LOG_A, 0, 10 * STREAM_CHUNK_MAX);
    add(&s, STREAM_EVENTS, 0, 5);
    expect_open(&s, STREAM_EVENTS, 0);
    expect_data(&s, STREAM_EVENTS, 0, 5, false);
    expect_open(&s, LOG_A, 0);
    expect_data(&s, LOG_A, 0, STREAM_CHUNK_MAX, false);
    struct error err = {0};
    assert_int_equal(stream_grown(&s, STREAM_EVENTS, 9, &err), 0);
    expect_data(&s, STREAM_EVENTS, 5, 4, false);
    expect_data(&s, LOG_A, STREAM_CHUNK_MAX, STREAM_CHUNK_MAX, false);
}

static void sends_the_end_alone_when_all_bytes_are_acknowledged(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    struct error err = {0};
    add(&s, LOG_A, 0, 5);
    expect_open(&s, LOG_A, 0);
    assert_int_equal(stream_closed(&s, LOG_A, 8, &err), 0);
    expect_data(&s, LOG_A, 0, 8, false);
    expect_idle(&s);
    assert_int_equal(stream_acked(&s, LOG_A, 8), STREAM_KNOWN);
    expect_data(&s, LOG_A, 8, 0, true);
    expect_idle(&s);
    assert_int_equal(stream_acked(&s, LOG_A, 8), STREAM_OVER);
    assert_true(stream_find(&s, LOG_A)->over);
    expect_idle(&s);
    stream_remove(&s, LOG_A);
    assert_null(stream_find(&s, LOG_A));
}

static void sends_the_end_again_after_a_disconnect(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    struct error err = {0};
    assert_int_equal(stream_add(&s, LOG_A, 0, 0, true, &err), 0); /* an empty stream ends, too */
    expect_open(&s, LOG_A, 0);
    expect_data(&s, LOG_A, 0, 0, true);
    stream_disconnected(&s);
    expect_idle(&s);
    stream_connected(&s);
    expect_open(&s, LOG_A, 0);
    expect_data(&s, LOG_A, 0, 0, true);
    assert_int_equal(stream_acked(&s, LOG_A, 0), STREAM_OVER);
}

/* The other side was restored from a backup of before. */
static void sends_what_was_over_again_to_one_that_lost_it(void **state)
{
    (void)state;
    struct stream_sender s;
    struct error err = {0};
    stream_sender_init(&s);
    assert_int_equal(stream_add(&s, LOG_A, 0, 100, true, &err), 0);
    stream_connected(&s);
    expect_open(&s, LOG_A, 0);
    expect_data(&s, LOG_A, 0, 100, false);
    assert_int_equal(stream_acked(&s, LOG_A, 100), STREAM_KNOWN);
    expect_data(&s, LOG_A, 100, 0, true);
    assert_int_equal(stream_acked(&s, LOG_A, 100), STREAM_OVER);
    stream_disconnected(&s);
    stream_connected(&s);
    assert_false(stream_find(&s, LOG_A)->over);
    assert_int_equal(stream_start_at(&s, LOG_A, 60), STREAM_KNOWN);
    expect_open(&s, LOG_A, 60);
    expect_data(&s, LOG_A, 60, 40, false);
    assert_int_equal(stream_acked(&s, LOG_A, 100), STREAM_KNOWN);
    expect_data(&s, LOG_A, 100, 0, true);
    assert_int_equal(stream_acked(&s, LOG_A, 100), STREAM_OVER);
}

static void goes_back_when_the_other_side_is_behind(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    add(&s, LOG_A, 0, 30);
    expect_open(&s, LOG_A, 0);
    expect_data(&s, LOG_A, 0, 30, false);
    assert_int_equal(stream_acked(&s, LOG_A, 20), STREAM_KNOWN);
    expect_idle(&s);
    assert_int_equal(stream_acked(&s, LOG_A, 20),
                     STREAM_BACK); /* says the same again: it is behind what was sent */
    expect_data(&s, LOG_A, 20, 10, false);
    assert_int_equal(stream_acked(&s, LOG_A, 30), STREAM_KNOWN);
    assert_int_equal(stream_acked(&s, LOG_A, 10), STREAM_BACK); /* restored from a backup */
    expect_data(&s, LOG_A, 10, 20, false);
    assert_int_equal(stream_find(&s, LOG_A)->acked, 10);
}

static void skips_what_is_there_already(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    add(&s, LOG_A, 0, 30);
    expect_open(&s, LOG_A, 0);
    assert_int_equal(stream_acked(&s, LOG_A, 20), STREAM_KNOWN);
    expect_data(&s, LOG_A, 20, 10, false);
}

static void stops_a_stream_whose_other_end_is_out_of_reach(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    add(&s, LOG_A, 10, 30);
    add(&s, LOG_B, 10, 30);
    stream_connected(&s);
    assert_int_equal(stream_start_at(&s, LOG_A, 9), STREAM_LOST);
    assert_int_equal(stream_start_at(&s, LOG_B, 31), STREAM_LOST);
    expect_idle(&s);
    stream_connected(&s);
    expect_open(&s, LOG_A, 10);
    expect_data(&s, LOG_A, 10, 20, false);
    assert_int_equal(stream_acked(&s, LOG_A, 31), STREAM_LOST);
    assert_int_equal(stream_unacked(&s), 0);
    assert_int_equal(stream_acked(&s, LOG_A, 15), STREAM_KNOWN); /* said once */
    expect_open(&s, LOG_B, 10);
    expect_data(&s, LOG_B, 10, 20, false);
    stream_unreadable(&s, LOG_B);
    assert_int_equal(stream_unacked(&s), 0);
    expect_idle(&s);
}

static void trims_acknowledged_bytes_only(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    struct error err = {0};
    add(&s, LOG_A, 5, 30);
    expect_open(&s, LOG_A, 5);
    expect_data(&s, LOG_A, 5, 25, false);
    assert_int_equal(stream_acked(&s, LOG_A, 20), STREAM_KNOWN);
    assert_int_equal(stream_trimmed(&s, LOG_A, 21, &err), -1);
    assert_string_equal(err.code, "E_STREAM_OFFSET");
    assert_int_equal(stream_trimmed(&s, LOG_A, 4, &err), -1);
    assert_int_equal(stream_trimmed(&s, LOG_A, 20, &err), 0);
    assert_int_equal(stream_find(&s, LOG_A)->base, 20);
}

static void refuses_ends_that_contradict(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    struct error err = {0};
    add(&s, LOG_A, 0, 10);
    assert_int_equal(stream_grown(&s, LOG_A, 9, &err), -1);
    assert_string_equal(err.code, "E_STREAM_OFFSET");
    assert_int_equal(stream_grown(&s, LOG_A, STREAM_OFFSET_MAX + 1, &err), -1);
    assert_string_equal(err.code, "E_STREAM_OFFSET");
    assert_int_equal(stream_grown(&s, LOG_B, 9, &err), -1);
    assert_string_equal(err.code, "E_STREAM_UNKNOWN");
    assert_int_equal(stream_closed(&s, LOG_A, 12, &err), 0);
    assert_int_equal(stream_closed(&s, LOG_A, 12, &err), 0);
    assert_int_equal(stream_grown(&s, LOG_A, 13, &err), -1);
    assert_string_equal(err.code, "E_STREAM_CLOSED");
    assert_int_equal(stream_add(&s, LOG_B, 11, 10, false, &err), -1);
    assert_string_equal(err.code, "E_STREAM_OFFSET");
    assert_int_equal(stream_add(&s, LOG_A, 0, 10, false, &err), -1);
    assert_string_equal(err.code, "E_STREAM_EXISTS");
}

static void takes_names_of_the_protocol_only(void **state)
{
    (void)state;
    assert_true(stream_name_ok("events"));
    assert_true(stream_name_ok(LOG_A));
    static const char *const bad[] = {"",
                                      "event",
                                      "events2",
                                      "log/",
                                      "log/dep_",
                                      "log/dep_00000000000000a",
                                      "log/dep_00000000000000aaa",
                                      "log/dep_00000000000000AA",
                                      "log/../etc/passwd",
                                      "/log/dep_00000000000000aa"};
    struct stream_sender s = connected_sender();
    struct error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(stream_name_ok(bad[i]));
        assert_int_equal(stream_add(&s, bad[i], 0, 0, false, &err), -1);
        assert_string_equal(err.code, "E_STREAM_NAME");
    }
}

static void has_room_for_64_streams_and_again_for_those_that_left(void **state)
{
    (void)state;
    struct stream_sender s = connected_sender();
    struct error err = {0};
    char name[STREAM_NAME_MAX + 1];
    for (unsigned i = 0; i <= STREAM_LIVE_MAX; i++) {
        snprintf(name, sizeof name, "log/dep_%016x", i);
        assert_int_equal(stream_add(&s, name, 0, 1, false, &err), i < STREAM_LIVE_MAX ? 0 : -1);
    }
    assert_string_equal(err.code, "E_STREAM_FULL");
    unsigned opened = 0, data = 0;
    for (struct stream_next next; (next = stream_next(&s)).todo != STREAM_IDLE;)
        *(next.todo == STREAM_OPEN ? &opened : &data) += 1;
    assert_int_equal(opened, STREAM_LIVE_MAX);
    assert_int_equal(data, STREAM_LIVE_MAX);
    stream_remove(&s, "log/dep_0000000000000005");
    assert_int_equal(stream_add(&s, name, 0, 1, false, &err), 0);
    struct stream_next next = stream_next(&s);
    assert_int_equal(next.todo, STREAM_OPEN);
    assert_int_equal(next.handle, STREAM_LIVE_MAX + 1); /* never one that was used on this connection */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_nothing_before_welcome),
        cmocka_unit_test(starts_where_welcome_says_and_at_its_base_otherwise),
        cmocka_unit_test(sends_in_chunks_within_one_window_for_all),
        cmocka_unit_test(sends_events_before_all_others),
        cmocka_unit_test(sends_the_end_alone_when_all_bytes_are_acknowledged),
        cmocka_unit_test(sends_the_end_again_after_a_disconnect),
        cmocka_unit_test(sends_what_was_over_again_to_one_that_lost_it),
        cmocka_unit_test(goes_back_when_the_other_side_is_behind),
        cmocka_unit_test(skips_what_is_there_already),
        cmocka_unit_test(stops_a_stream_whose_other_end_is_out_of_reach),
        cmocka_unit_test(trims_acknowledged_bytes_only),
        cmocka_unit_test(refuses_ends_that_contradict),
        cmocka_unit_test(takes_names_of_the_protocol_only),
        cmocka_unit_test(has_room_for_64_streams_and_again_for_those_that_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
