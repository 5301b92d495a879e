/* Our own rules on top of RFC 8259; test_json_suite.c holds the grammar. */
#include <time.h>

#include "proto/json_check.h"
#include "proto_test.h"

static int check(const char *text)
{
    struct json_limits l = json_strict(1 << 20);
    return json_check(text_bytes(text), &l, NULL);
}

static void sees_duplicates_behind_escapes(void **state)
{
    (void)state;
    assert_int_equal(check("{\"a\":1,\"b\":2}"), 0);
    assert_int_equal(check("{\"a\":1,\"\\u0061\":2}"), -1);
    assert_int_equal(check("{\"\xC3\xA9\":1,\"\\u00e9\":2}"), -1);
    assert_int_equal(check("{\"\xF0\x9D\x84\x9E\":1,\"\\uD834\\udd1e\":2}"), -1);
    assert_int_equal(check("{\"/\":1,\"\\/\":2}"), -1);
    assert_int_equal(check("{\"\":1,\"\":2}"), -1);
    assert_int_equal(check("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), 0);   /* different objects */
    assert_int_equal(check("{\"x\":{\"a\":1,\"b\":{},\"a\":2}}"), -1); /* around an inner one */
    assert_int_equal(check("[{\"a\":1},{\"a\":1}]"), 0);
    assert_int_equal(check("{\"a\":1,\"A\":2}"), 0);
}

static void bounds_size_depth_and_counts(void **state)
{
    (void)state;
    struct json_limits l = json_strict(8);
    struct error err;
    assert_int_equal(json_check(text_bytes("[1,2,34]"), &l, &err), 0);
    assert_int_equal(json_check(text_bytes("[1,2,345]"), &l, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(check("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"), 0); /* 16 */
    assert_int_equal(check("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"), -1);
    assert_int_equal(check("{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}"), -1);
    for (size_t count = 4; count <= 6; count++) {
        char *items = repeated(count, "\"%zu\":0"), text[128];
        l = json_strict(1000);
        l.members = 5;
        snprintf(text, sizeof text, "{%s}", items);
        assert_int_equal(json_check(text_bytes(text), &l, NULL), count <= 5 ? 0 : -1);
        l.members = 100;
        l.values = 6;
        assert_int_equal(json_check(text_bytes(text), &l, NULL),
                         count <= 5 ? 0 : -1); /* and the object itself */
        free(items);
    }
}

static void bounds_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
    } cases[] = {
        {"9007199254740991", 0},
        {"9007199254740992", -1},
        {"-9007199254740991", 0},
        {"-9007199254740992", -1},
        {"18446744073709551616", -1},
        {"01", -1},
        {"-", -1},
        {"+1", -1},
        {"1.", -1},
        {".5", -1},
        {"1e", -1},
        {"1e400", 0},
        {"0", 0},
        {"-0", 0},
        {"1.0", 0},
        {"1E3", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(check(cases[i].text), cases[i].rc);
    char *digits = letters(JSON_NUMBER_MAX + 1, '3');
    digits[1] = '.';
    assert_int_equal(check(digits), -1);
    digits[JSON_NUMBER_MAX] = 0;
    assert_int_equal(check(digits), 0);
    free(digits);
}

static void tells_canonical_integers_from_other_numbers(void **state)
{
    (void)state;
    struct json_limits l = json_strict(1000);
    AUTO_BUF struct buf kinds = BUF(100);
    assert_int_equal(
        json_check_numbers(text_bytes("[0,-1,{\"a\":1.0,\"b\":[7,1e3]},-0,9007199254740991,\"5\"]"), &l, &kinds,
                           NULL),
        0);
    const uint8_t expected[] = {1, 1, 0, 1, 0, 0, 1};
    assert_int_equal(kinds.size, sizeof expected);
    assert_memory_equal(kinds.data, expected, sizeof expected);
}

static void refuses_what_utf8_forbids(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"\xC0\x80\"",
                                      "\"\xC1\xBF\"",
                                      "\"\xE0\x9F\xBF\"",
                                      "\"\xED\xA0\x80\"",
                                      "\"\xF0\x8F\xBF\xBF\"",
                                      "\"\xF4\x90\x80\x80\"",
                                      "\"\xF5\x80\x80\x80\"",
                                      "\"\x80\"",
                                      "\"\xC2\"",
                                      "\"\xE1\x80\"",
                                      "\"\xF1\x80\x80\"",
                                      "\"\xFF\"",
                                      "\xEF\xBB\xBF{}",
                                      "\"\x1f\"",
                                      "\"\\u0000\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\u12g4\"",
                                      "\"\\x41\"",
                                      "{} {}",
                                      "",
                                      " "};
    static const char *const good[] = {"\"\xC2\x80\"",     "\"\xE0\xA0\x80\"",     "\"\xED\x9F\xBF\"",
                                       "\"\xEE\x80\x80\"", "\"\xF0\x90\x80\x80\"", "\"\xF4\x8F\xBF\xBF\"",
                                       "\"\x7f\"",         "\"\\ud834\\udd1e\"",   " {} \n",
                                       "\"\\u0001\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (check(bad[i]) == 0)
            fail_msg("bad[%zu] was accepted", i);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (check(good[i]) != 0)
            fail_msg("good[%zu] was refused", i);
}

static void names_the_byte_that_is_wrong(void **state)
{
    (void)state;
    struct json_limits l = json_strict(100);
    struct error err;
    assert_int_equal(json_check(text_bytes("{\"a\":tru}"), &l, &err), -1);
    assert_string_equal(err.code, "E_JSON");
    assert_string_equal(err.text, "not a JSON value at byte 6");
}

/* A quadratic check would need minutes for this. */
static void stays_fast_with_many_members(void **state)
{
    (void)state;
    struct json_limits l = json_strict(4 << 20);
    l.members = l.values = 200000;
    char *items = repeated(100000, "\"\\u0061member%zu\":0");
    AUTO_BUF struct buf text = BUF(4 << 20);
    assert_int_equal(buf_addf(&text, NULL, "{%s}", items), 0);
    free(items);
    clock_t start = clock();
    assert_int_equal(json_check(buf_view(&text), &l, NULL), 0);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 5.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_duplicates_behind_escapes),
        cmocka_unit_test(bounds_size_depth_and_counts),
        cmocka_unit_test(bounds_integers),
        cmocka_unit_test(tells_canonical_integers_from_other_numbers),
        cmocka_unit_test(refuses_what_utf8_forbids),
        cmocka_unit_test(names_the_byte_that_is_wrong),
        cmocka_unit_test(stays_fast_with_many_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
