#include "stream_test.h"

static struct stream_in at(uint64_t durable)
{
    struct stream_in in;
    stream_in_init(&in, durable, false);
    return in;
}

static void expect_append(struct stream_in *in, uint64_t offset, uint32_t size, bool final, uint32_t skip,
                          uint32_t count)
{
    struct stream_accept what;
    struct error err = {0};
    assert_int_equal(stream_accept(in, offset, size, final, &what, &err), 1);
    assert_int_equal(what.skip, skip);
    assert_int_equal(what.size, count);
    assert_int_equal(what.close, final);
}

static void expect_ignored(struct stream_in *in, uint64_t offset, uint32_t size, bool final)
{
    struct stream_accept what;
    struct error err = {0};
    assert_int_equal(stream_accept(in, offset, size, final, &what, &err), 0);
}

static void expect_refused(struct stream_in *in, uint64_t offset, uint32_t size, bool final, const char *code)
{
    struct stream_in before = *in;
    struct stream_accept what;
    struct error err = {0};
    assert_int_equal(stream_accept(in, offset, size, final, &what, &err), -1);
    assert_string_equal(err.code, code);
    assert_memory_equal(&before, in, sizeof before);
}

static void expect_ack(struct stream_in *in, uint64_t expected)
{
    uint64_t offset;
    assert_true(stream_ack_due(in, &offset));
    assert_int_equal(offset, expected);
}

static void expect_no_ack(struct stream_in *in)
{
    uint64_t offset;
    assert_false(stream_ack_due(in, &offset));
}

static void appends_at_its_end_and_acks_only_what_is_durable(void **state)
{
    (void)state;
    struct stream_in in = at(0);
    expect_append(&in, 0, 10, false, 0, 10);
    expect_append(&in, 10, 5, false, 0, 5);
    expect_no_ack(&in);
    stream_durable(&in, 10, false);
    expect_ack(&in, 10);
    expect_no_ack(&in);
    stream_durable(&in, 15, false);
    stream_durable(&in, 12, false); /* an older answer changes nothing */
    expect_ack(&in, 15);
    stream_durable(&in, 16, false); /* nor one about bytes that never came */
    expect_no_ack(&in);
}

static void ignores_what_it_has_and_takes_the_rest(void **state)
{
    (void)state;
    struct stream_in in = at(10);
    expect_ignored(&in, 0, 10, false);
    expect_ignored(&in, 3, 2, false);
    expect_no_ack(&in);
    expect_append(&in, 8, 5, false, 2, 3);
}

static void answers_a_gap_with_its_end_once(void **state)
{
    (void)state;
    struct stream_in in = at(10);
    expect_ignored(&in, 11, 5, false);
    expect_ack(&in, 10);
    expect_ignored(&in, 16, 5, false); /* still on its way from before */
    expect_no_ack(&in);
    expect_append(&in, 10, 1, false, 0, 1);
    expect_ignored(&in, 20, 5, false);
    expect_no_ack(&in); /* the byte before the gap is not durable yet */
    stream_durable(&in, 11, false);
    expect_ack(&in, 11);
    expect_ack(&in, 11); /* an ack that does not rise sends the sender back */
    expect_no_ack(&in);
}

static void acks_the_end_when_it_is_durable(void **state)
{
    (void)state;
    struct stream_in in = at(10);
    expect_append(&in, 10, 0, true, 0, 0);
    stream_durable(&in, 10, false);
    expect_no_ack(&in);
    stream_durable(&in, 10, true);
    expect_ack(&in, 10);
    expect_no_ack(&in);
    expect_ignored(&in, 10, 0, true); /* asked again: told again */
    expect_ack(&in, 10);
    expect_ignored(&in, 5, 5, true);
    expect_ack(&in, 10);
}

static void takes_an_end_that_comes_with_bytes(void **state)
{
    (void)state;
    struct stream_in in = at(10);
    expect_append(&in, 8, 7, true, 2, 5);
    stream_durable(&in, 15, true);
    expect_ack(&in, 15);
    expect_no_ack(&in);
}

static void refuses_what_contradicts_the_end(void **state)
{
    (void)state;
    struct stream_in in = at(10);
    expect_refused(&in, 5, 4, true, "E_STREAM_CLOSED"); /* an end before bytes that are here */
    expect_append(&in, 10, 5, true, 0, 5);
    expect_refused(&in, 15, 1, false, "E_STREAM_CLOSED");
    expect_refused(&in, 20, 1, false, "E_STREAM_CLOSED");
    expect_refused(&in, 16, 0, true, "E_STREAM_CLOSED");
    expect_refused(&in, 14, 0, true, "E_STREAM_CLOSED");
    expect_ignored(&in, 10, 5, false);
}

static void refuses_sizes_and_offsets_out_of_bounds(void **state)
{
    (void)state;
    struct stream_in in = at(STREAM_OFFSET_MAX - 10);
    expect_refused(&in, 0, STREAM_CHUNK_MAX + 1, false, "E_STREAM_CHUNK");
    expect_refused(&in, 0, 0, false, "E_STREAM_CHUNK");
    expect_refused(&in, STREAM_OFFSET_MAX - 10, 11, false, "E_STREAM_OFFSET");
    expect_refused(&in, UINT64_MAX, 1, false, "E_STREAM_OFFSET");
    expect_append(&in, STREAM_OFFSET_MAX - 10, 10, false, 0, 10);
}

static void goes_back_to_what_is_durable_when_appending_fails(void **state)
{
    (void)state;
    struct stream_in in = at(0);
    expect_append(&in, 0, 10, false, 0, 10);
    expect_append(&in, 10, 10, true, 0, 10);
    stream_durable(&in, 10, false);
    assert_true(stream_dropped(&in));
    expect_ack(&in, 10); /* what was written */
    expect_ack(&in, 10); /* and: come back */
    expect_no_ack(&in);
    expect_append(&in, 10, 10, true, 0, 10);
    stream_durable(&in, 20, true);
    expect_ack(&in, 20);
}

static void asks_for_a_new_connection_when_only_the_end_was_lost(void **state)
{
    (void)state;
    struct stream_in in = at(10);
    expect_append(&in, 10, 0, true, 0, 0);
    assert_false(stream_dropped(&in));
    expect_no_ack(&in);
    assert_false(in.closed);
}

static void welcomes_a_host_where_both_can_go_on(void **state)
{
    (void)state;
    uint64_t gap;
    assert_int_equal(stream_welcome_from(10, 0, &gap), 10);
    assert_int_equal(gap, 0);
    assert_int_equal(stream_welcome_from(10, 10, &gap), 10);
    assert_int_equal(gap, 0);
    assert_int_equal(stream_welcome_from(10, 25, &gap),
                     25); /* the store lost what the host has deleted since */
    assert_int_equal(gap, 15);
}

static void keeps_streams_by_handle(void **state)
{
    (void)state;
    static struct stream_receiver r;
    stream_receiver_init(&r);
    struct error err = {0};
    const char *name = NULL;
    assert_null(stream_receiver_find(&r, 0, &name));
    assert_null(stream_receiver_find(&r, 7, &name));
    assert_int_equal(stream_receiver_open(&r, 7, LOG_A, 10, 10, false, &err), 0);
    assert_ptr_equal(stream_receiver_find(&r, 7, &name), stream_receiver_named(&r, LOG_A));
    assert_string_equal(name, LOG_A);
    assert_int_equal(stream_receiver_open(&r, 7, LOG_B, 0, 0, false, &err), -1);
    assert_string_equal(err.code, "E_STREAM_HANDLE");
    assert_int_equal(stream_receiver_open(&r, 0, LOG_B, 0, 0, false, &err), -1);
    assert_string_equal(err.code, "E_STREAM_HANDLE");
    assert_int_equal(stream_receiver_open(&r, UINT32_MAX, LOG_B, 0, 0, false, &err), -1);
    assert_string_equal(err.code, "E_STREAM_HANDLE");
    assert_int_equal(stream_receiver_open(&r, 8, "log/x", 0, 0, false, &err), -1);
    assert_string_equal(err.code, "E_STREAM_NAME");
    assert_int_equal(stream_receiver_open(&r, 8, LOG_B, UINT64_MAX, 0, false, &err), -1);
    assert_string_equal(err.code, "E_STREAM_OFFSET");
    stream_receiver_done(&r, 7);
    assert_null(stream_receiver_named(&r, LOG_A));
}

static void tells_a_host_that_begins_too_early_what_is_there(void **state)
{
    (void)state;
    static struct stream_receiver r;
    stream_receiver_init(&r);
    struct error err = {0};
    assert_int_equal(stream_receiver_open(&r, 1, LOG_A, 4, 10, false, &err), 0);
    expect_ack(stream_receiver_find(&r, 1, NULL), 10);
    expect_no_ack(stream_receiver_find(&r, 1, NULL));
    /* Opened anew under another handle: the same stream, told again. */
    assert_int_equal(stream_receiver_open(&r, 2, LOG_A, 0, 0, false, &err), 0);
    assert_null(stream_receiver_find(&r, 1, NULL));
    expect_ack(stream_receiver_find(&r, 2, NULL), 10);
}

static void has_room_for_64_streams(void **state)
{
    (void)state;
    static struct stream_receiver r;
    stream_receiver_init(&r);
    struct error err = {0};
    for (unsigned i = 0; i <= STREAM_LIVE_MAX; i++) {
        char name[STREAM_NAME_MAX + 1];
        snprintf(name, sizeof name, "log/dep_%016x", i);
        assert_int_equal(stream_receiver_open(&r, i + 1, name, 0, 0, false, &err),
                         i < STREAM_LIVE_MAX ? 0 : -1);
    }
    assert_string_equal(err.code, "E_STREAM_FULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_at_its_end_and_acks_only_what_is_durable),
        cmocka_unit_test(ignores_what_it_has_and_takes_the_rest),
        cmocka_unit_test(answers_a_gap_with_its_end_once),
        cmocka_unit_test(acks_the_end_when_it_is_durable),
        cmocka_unit_test(takes_an_end_that_comes_with_bytes),
        cmocka_unit_test(refuses_what_contradicts_the_end),
        cmocka_unit_test(refuses_sizes_and_offsets_out_of_bounds),
        cmocka_unit_test(goes_back_to_what_is_durable_when_appending_fails),
        cmocka_unit_test(asks_for_a_new_connection_when_only_the_end_was_lost),
        cmocka_unit_test(welcomes_a_host_where_both_can_go_on),
        cmocka_unit_test(keeps_streams_by_handle),
        cmocka_unit_test(tells_a_host_that_begins_too_early_what_is_there),
        cmocka_unit_test(has_room_for_64_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
