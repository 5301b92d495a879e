#include "proto/json.h"
#include "proto/json_write.h"
#include "proto_test.h"

static void writes_every_kind_of_value(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(4096);
    struct json_writer w = json_writer(&out, NULL);
    json_open(&w, NULL, '{');
    json_put_text(&w, "text", "a");
    json_put_text(&w, "none", NULL);
    json_put_int(&w, "int", -5);
    json_put_number(&w, "number", 9007199254740991u);
    json_put_bool(&w, "bool", true);
    json_put_null(&w, "null");
    json_put_hex(&w, "hex", "\x00\xff", 2);
    json_put_base64(&w, "base64", "\x00\xff", 2);
    json_put_base64(&w, "empty", "", 0);
    json_put_time(&w, "time", INT64_C(1795308114000));
    json_put_time(&w, "ms", INT64_C(1795308114120));
    json_put_raw(&w, "raw", text_bytes("{\"x\":[]}"));
    json_open(&w, "list", '[');
    json_put_int(&w, NULL, 1);
    json_open(&w, NULL, '[');
    json_close(&w, ']');
    json_put_int(&w, NULL, 2);
    json_close(&w, ']');
    json_close(&w, '}');
    assert_int_equal(json_done(&w), 0);
    assert_string_equal(
        buf_text(&out),
        "{\"text\":\"a\",\"none\":null,\"int\":-5,\"number\":9007199254740991,\"bool\":true,\"null\":null,"
        "\"hex\":\"00ff\",\"base64\":\"AP8=\",\"empty\":\"\",\"time\":\"2026-11-22T00:41:54Z\","
        "\"ms\":\"2026-11-22T00:41:54.120Z\",\"raw\":{\"x\":[]},\"list\":[1,[],2]}");
}

/* Every byte, and bytes that are no UTF-8: what is written passes the strict check and means the same. */
static void writes_valid_json_whatever_the_text(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 2000; seed++) {
        uint8_t text[64];
        unsigned x = seed * 2654435761u + 1;
        size_t n = seed % sizeof text;
        bool ascii = seed % 2 == 0;
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525u + 1013904223u;
            text[i] = (uint8_t)(x >> 24 & (ascii ? 0x7f : 0xff));
            if (ascii && text[i] == 0)
                text[i] = 1;
        }
        AUTO_BUF struct buf out = BUF(4096);
        struct json_writer w = json_writer(&out, NULL);
        struct json_limits l = json_strict(4096);
        AUTO_JSON cJSON *tree = NULL;
        struct error err;
        json_put_bytes(&w, NULL, (struct bytes){text, n});
        assert_int_equal(json_done(&w), 0);
        if (json_parse(buf_view(&out), &l, &tree, &err) < 0)
            fail_msg("%s: %s", buf_text(&out), err.text);
        if (ascii) {
            assert_int_equal(strlen(tree->valuestring), n);
            assert_memory_equal(tree->valuestring, text, n);
        }
    }
}

static void keeps_utf8_and_replaces_what_is_not(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9E", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9E\""},
        {"a\xC3", "\"a\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\"\\\n\x01\x7f/", "\"\\\"\\\\\\n\\u0001\\u007f/\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUF struct buf out = BUF(100);
        struct json_writer w = json_writer(&out, NULL);
        json_put_text(&w, NULL, cases[i][0]);
        assert_int_equal(json_done(&w), 0);
        assert_string_equal(buf_text(&out), cases[i][1]);
    }
}

static void leaves_the_buffer_as_it_was_on_failure(void **state)
{
    (void)state;
    struct error err;
    for (size_t limit = 6; limit < 40; limit++) {
        AUTO_BUF struct buf out = BUF(limit);
        assert_int_equal(buf_add_text(&out, "before", &err), 0);
        struct json_writer w = json_writer(&out, &err);
        json_open(&w, NULL, '{');
        json_put_hex(&w, "hex", "12345678", 8);
        json_put_text(&w, "t", "some text");
        json_close(&w, '}');
        assert_int_equal(json_done(&w), -1);
        assert_string_equal(err.code, "E_TOO_LARGE");
        assert_string_equal(buf_text(&out), "before");
    }
}

static void refuses_numbers_that_others_would_round(void **state)
{
    (void)state;
    struct error err;
    AUTO_BUF struct buf out = BUF(100);
    struct json_writer w = json_writer(&out, &err);
    json_put_number(&w, NULL, UINT64_C(9007199254740992));
    assert_int_equal(json_done(&w), -1);
    assert_string_equal(err.code, "E_MEMBER");
    w = json_writer(&out, &err);
    json_put_int(&w, NULL, -INT64_C(9007199254740992));
    assert_int_equal(json_done(&w), -1);
    assert_int_equal(out.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_kind_of_value),
        cmocka_unit_test(writes_valid_json_whatever_the_text),
        cmocka_unit_test(keeps_utf8_and_replaces_what_is_not),
        cmocka_unit_test(leaves_the_buffer_as_it_was_on_failure),
        cmocka_unit_test(refuses_numbers_that_others_would_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
