#include "proto/message.h"
#include "proto_test.h"

static void the_header_is_as_wire_md_draws_it(void **state)
{
    (void)state;
    const struct data_frame frame = {
        .handle = 0x01020304, .offset = UINT64_C(0x0005060708090a0b), .final = true};
    const uint8_t expected[] = {1, 1, 0, 0, 1, 2, 3, 4, 0, 5, 6, 7, 8, 9, 10, 11};
    uint8_t head[DATA_HEADER_SIZE];
    data_encode_header(&frame, head);
    assert_memory_equal(head, expected, sizeof expected);
}

static int try_data(struct bytes message, struct error *err)
{
    struct data_frame frame;
    int rc = data_decode(message, &frame, err);
    if (rc == 0 && frame.bytes.size > 0)
        assert_true(frame.bytes.data + frame.bytes.size == message.data + message.size);
    return rc;
}

static void reads_what_it_writes(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {0, 1, UINT32_MAX, DATA_OFFSET_MAX - 4};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct data_frame frame = {.handle = i == 0 ? 1 : MESSAGE_HANDLE_MAX,
                                   .offset = offsets[i],
                                   .final = i % 2 == 0},
                          again;
        uint8_t message[DATA_HEADER_SIZE + 4];
        data_encode_header(&frame, message);
        memcpy(message + DATA_HEADER_SIZE, "gzip", 4);
        assert_int_equal(data_decode((struct bytes){message, sizeof message}, &again, NULL), 0);
        assert_int_equal(again.handle, frame.handle);
        assert_true(again.offset == frame.offset);
        assert_int_equal(again.final, frame.final);
        assert_int_equal(again.bytes.size, 4);
        assert_memory_equal(again.bytes.data, "gzip", 4);
        assert_int_equal(data_decode((struct bytes){message, DATA_HEADER_SIZE}, &again, NULL), 0);
        assert_int_equal(again.bytes.size, 0);
    }
}

static void refuses_wrong_headers_and_sizes(void **state)
{
    (void)state;
    const struct data_frame frame = {.handle = 1, .offset = 0};
    uint8_t *message = calloc(1, DATA_HEADER_SIZE + DATA_BYTES_MAX + 1);
    struct error err;
    assert_non_null(message);
    data_encode_header(&frame, message);
    for (size_t n = 0; n < DATA_HEADER_SIZE; n++)
        assert_int_equal(try_copy(try_data, message, n, &err), -1);
    assert_string_equal(err.code, "E_DATA");
    assert_int_equal(try_copy(try_data, message, DATA_HEADER_SIZE + DATA_BYTES_MAX, &err), 0);
    assert_int_equal(try_copy(try_data, message, DATA_HEADER_SIZE + DATA_BYTES_MAX + 1, &err), -1);
    static const struct {
        int at;
        uint8_t value;
    } bad[] = {{0, 0},    {0, 2}, {1, 2},    {1, 0x81}, {2, 1},   {3, 1},
               {4, 0x80}, {7, 0}, {8, 0x80}, {8, 1},    {9, 0x20}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        data_encode_header(&frame, message);
        message[bad[i].at] = bad[i].value;
        assert_int_equal(try_copy(try_data, message, DATA_HEADER_SIZE + 4, &err), -1);
        assert_string_equal(err.code, "E_DATA");
    }
    /* The last byte must still have an offset that JSON can name. */
    data_encode_header(&(struct data_frame){.handle = 1, .offset = DATA_OFFSET_MAX - 3}, message);
    assert_int_equal(try_copy(try_data, message, DATA_HEADER_SIZE + 3, &err), 0);
    assert_int_equal(try_copy(try_data, message, DATA_HEADER_SIZE + 4, &err), -1);
    free(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_as_wire_md_draws_it),
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(refuses_wrong_headers_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
