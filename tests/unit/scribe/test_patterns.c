#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include "tests/unit/scribe/mask_lab.h"

static void secret(struct lab *lab, const char *value)
{
    assert_int_equal(patterns_add(&lab->list, value, strlen(value), NULL), 1);
}

static void check(const char *value, const char *input, const char *output)
{
    struct lab lab = {.list = PATTERNS};
    secret(&lab, value);
    lab_build(&lab);
    AUTO_BUF struct buf whole = lab_mask(&lab, input, strlen(input), 0, 4096);
    assert_string_equal(buf_text(&whole), output);
    AUTO_BUF struct buf bytewise = lab_mask(&lab, input, strlen(input), 0, 1);
    assert_string_equal(buf_text(&bytewise), output);
    lab_free(&lab);
}

static void short_values_are_reported_and_never_looked_for(void **state)
{
    (void)state;
    const char *const values[] = {"", " ", "a", "none", "12345", "  abc \n", "\"abc\"", "     \t    "};
    struct lab lab = {.list = PATTERNS};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_false(pattern_is_maskable(values[i], strlen(values[i])));
        assert_int_equal(patterns_add(&lab.list, values[i], strlen(values[i]), NULL), 0);
    }
    assert_int_equal(patterns_count(&lab.list), 0);
    lab_build(&lab);
    AUTO_BUF struct buf out = lab_mask(&lab, "a none 12345", 12, 0, 5);
    assert_string_equal(buf_text(&out), "a none 12345");
    lab_free(&lab);
    assert_true(pattern_is_maskable("123456", 6));
}

static void too_long_values_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct patterns list = PATTERNS;
    struct error err = {0};
    char *value = malloc(SECRET_MAX + 1);
    assert_non_null(value);
    memset(value, 'x', SECRET_MAX + 1);
    assert_int_equal(patterns_add(&list, value, SECRET_MAX + 1, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(patterns_count(&list), 0);
    assert_int_equal(patterns_add(&list, value, SECRET_MAX, &err), 1);
    patterns_free(&list);
    free(value);
}

static void blanks_and_quotes_around_a_value_do_not_matter(void **state)
{
    (void)state;
    check("hunter2-x\n", "is hunter2-x\nnext", "is [MASKED]\nnext");
    check(" \"hunter2-x\" ", "is hunter2-x, 'hunter2-x'", "is [MASKED], '[MASKED]'");
}

static void finds_base64_at_any_alignment(void **state)
{
    (void)state;
    /* echo -n 'x:s3cr3t-value' | base64, and so on: made by base64(1) */
    check("s3cr3t-value", "czNjcjN0LXZhbHVl", "[MASKED]");
    check("s3cr3t-value", "OnMzY3IzdC12YWx1ZQ==", "On[MASKED]==");     /* ":" before */
    check("s3cr3t-value", "YTpzM2NyM3QtdmFsdWU=", "YTp[MASKED]=");     /* "a:" */
    check("s3cr3t-value", "YWI6czNjcjN0LXZhbHVl", "YWI6[MASKED]");     /* "ab:" */
    check("s3cr3t-value", "YTpzM2NyM3QtdmFsdWV8eQ==", "YTp[MASKED]V8eQ=="); /* "a:" and "|y" around */
}

static void finds_the_url_safe_alphabet(void **state)
{
    (void)state;
    check("\xff\xfe\xfd?>~~\xfb", "//79Pz5+fvs=", "[MASKED]=");
    check("\xff\xfe\xfd?>~~\xfb", "__79Pz5-fvs", "[MASKED]");
}

static void finds_wrapped_base64(void **state)
{
    (void)state;
    check("0123456789012345678901234567890123456789012345678901234567890123456789",
          "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2\nNzg5MDEyMzQ1Njc4OQ==\n",
          "[MASKED]==\n");
}

static void finds_hex(void **state)
{
    (void)state;
    check("kl\xc3\xb6-secret", "6b6cc3b62d736563726574", "[MASKED]");
    check("kl\xc3\xb6-secret", "6B6CC3B62D736563726574", "[MASKED]");
}

static void finds_percent_encoding(void **state)
{
    (void)state;
    check("p@ss w\xc3\xb6rd/1", "p%40ss%20w%C3%B6rd%2F1", "[MASKED]");
    check("p@ss w\xc3\xb6rd/1", "p%40ss%20w%c3%b6rd%2f1", "[MASKED]");
    check("p@ss w\xc3\xb6rd/1", "p%40ss+w%C3%B6rd%2F1&x", "[MASKED]&x");
    check("it's!(p@ss)", "it's!(p%40ss)", "[MASKED]");
    check("a b/c?d=\"e\"", "a%20b/c?d=%22e%22", "[MASKED]");
}

static void finds_json_escapes(void **state)
{
    (void)state;
    check("a\"b\\c/d\te", "\"a\\\"b\\\\c/d\\te\"", "\"[MASKED]\"");
    check("a\"b\\c/d\te", "a\\\"b\\\\c\\/d\\te", "[MASKED]");
    check("a\"b\\c/d\te", "a\\u0022b\\u005cc/d\\u0009e", "[MASKED]");
    check("a\"b\\c/d\te", "a\\u0022b\\u005Cc/d\\u0009e", "[MASKED]");
    check("p\xc3\xa4ss\xf0\x9f\x94\x91!", "p\\u00e4ss\\ud83d\\udd11!", "[MASKED]");
    check("p\xc3\xa4ss\xf0\x9f\x94\x91!", "p\\u00E4ss\\uD83D\\uDD11!", "[MASKED]");
    check("a<b>&cde", "a\\u003cb\\u003e\\u0026cde", "[MASKED]");
    check("a\"bcdef", "{\\\"x\\\":\\\"a\\\\\\\"bcdef\\\"}", "{\\\"x\\\":\\\"[MASKED]\\\"}");
    check("it's-a-\\x", "'it\\'s-a-\\\\x'", "'[MASKED]'");
}

static void finds_shell_quoting(void **state)
{
    (void)state;
    check("it's $HOME", "'it'\\''s $HOME'", "'[MASKED]'");
    check("it's $HOME", "'it'\"'\"'s $HOME'", "'[MASKED]'");
    check("it's $HOME", "it\\'s\\ \\$HOME", "[MASKED]");
    check("it's $HOME", "\"it's \\$HOME\"", "\"[MASKED]\"");
}

static void finds_xml_and_html(void **state)
{
    (void)state;
    check("a<b>\"c'&d", "a&lt;b&gt;\"c'&amp;d", "[MASKED]");
    check("a<b>\"c'&d", "a&lt;b&gt;&quot;c&#39;&amp;d", "[MASKED]");
    check("a<b>\"c'&d", "a&lt;b&gt;&quot;c&apos;&amp;d", "[MASKED]");
    check("a<b>\"c'&d", "a&lt;b&gt;&#34;c&#39;&amp;d", "[MASKED]");
    check("a<b>\"c'&d", "a&lt;b&gt;&quot;c&#x27;&amp;d", "[MASKED]");
}

#define PEM "-----BEGIN X-----\nMIIBVgIBADANBgkq\nhkiG9w0B\nAQEF\n-----END X-----\n"
static void finds_many_lines_whole_and_each_for_itself(void **state)
{
    (void)state;
    check(PEM, "k: -----BEGIN X-----\nMIIBVgIBADANBgkq\nhkiG9w0B\nAQEF\n-----END X-----\nend", "k: [MASKED]\nend");
    check(PEM, "-----BEGIN X-----\r\nMIIBVgIBADANBgkq\r\nhkiG9w0B\r\nAQEF\r\n-----END X-----", "[MASKED]");
    check(PEM, "-----BEGIN X-----\r\r\nMIIBVgIBADANBgkq\r\r\nhkiG9w0B\r\r\nAQEF\r\r\n-----END X-----", "[MASKED]");
    check(PEM, "-----BEGIN X----- MIIBVgIBADANBgkq hkiG9w0B AQEF -----END X-----", "[MASKED]");
    check(PEM, "-----BEGIN X-----\\nMIIBVgIBADANBgkq\\nhkiG9w0B\\nAQEF\\n-----END X-----", "[MASKED]");
    check(PEM, "line: MIIBVgIBADANBgkq.", "line: [MASKED].");
    check(PEM, "line: hkiG9w0B AQEF", "line: [MASKED] AQEF");
}

static void finds_the_strings_of_a_json_value(void **state)
{
    (void)state;
    const char *json = "{\"token\":\"b1946ac92492\",\"a\":{\"key\":[\"line\\none-x\",\"x\"]},\"user_name\":\"ab\"}";
    check(json, "{\n  \"a\": {\"key\": \"line\\none-x\"},\n  \"token\": \"b1946ac92492\"\n}",
          "{\n  \"a\": {\"key\": \"[MASKED]\"},\n  \"token\": \"[MASKED]\"\n}");
    check(json, "user_name token { } line\none-x", "user_name token { } [MASKED]");
    check("{\"x\":\"\\u0070\\u00e4ss\\ud83d\\udd11-1\"}", "p\xc3\xa4ss\xf0\x9f\x94\x91-1", "[MASKED]");
}

static void finds_the_password_of_a_url(void **state)
{
    (void)state;
    check("postgres://shop:tr0ub4dor@db.example.org/shop", "password tr0ub4dor was refused for shop",
          "password [MASKED] was refused for shop");
    check("postgres://postgres:postgres@db/shop", "the postgres server", "the postgres server");
    check("https://example.org/a:b@c/d?e", "a:b@c is no password", "a:b@c is no password");
}

static void any_bytes_can_be_a_secret(void **state)
{
    (void)state;
    check("\xff\xfe\x80\x81\xc3(", "a\xff\xfe\x80\x81\xc3(b", "a[MASKED]b");
    check("\xc3\xbf\xc3\xbf\xc3\xbf", "\xc3\xbf\xc3\xbf\xc3\xbf", "[MASKED]");
}

/* For random secrets in every spelling, cut anywhere: no eight bytes of the spelling are left. */
static void no_window_of_eight_bytes_survives(void **state)
{
    (void)state;
    uint32_t x = 12345;
    for (int round = 0; round < 60; round++) {
        uint8_t value[40];
        size_t size = 8 + (size_t)round % 32;
        for (size_t i = 0; i < size; i++) {
            x = x * 1664525u + 1013904223u;
            value[i] = (uint8_t)(33 + (x >> 24) % 94);
        }
        struct lab lab = {.list = PATTERNS};
        assert_int_equal(patterns_add(&lab.list, value, size, NULL), 1);
        lab_build(&lab);
        for (size_t p = 0; p < patterns_count(&lab.list); p++) {
            struct bytes spelling = patterns_at(&lab.list, p);
            AUTO_BUF struct buf text = BUF(100000);
            assert_int_equal(buf_addf(&text, NULL, "before %.*s after", (int)spelling.size,
                                      (const char *)spelling.data), 0);
            for (size_t piece = 1; piece < 9; piece++) {
                AUTO_BUF struct buf out = lab_mask(&lab, text.data, text.size, p % 7, piece);
                for (size_t w = 0; w + 8 <= spelling.size; w++)
                    assert_null(memmem(out.data, out.size, spelling.data + w, 8));
            }
        }
        lab_free(&lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_values_are_reported_and_never_looked_for),
        cmocka_unit_test(too_long_values_are_refused_and_change_nothing),
        cmocka_unit_test(blanks_and_quotes_around_a_value_do_not_matter),
        cmocka_unit_test(finds_base64_at_any_alignment),
        cmocka_unit_test(finds_the_url_safe_alphabet),
        cmocka_unit_test(finds_wrapped_base64),
        cmocka_unit_test(finds_hex),
        cmocka_unit_test(finds_percent_encoding),
        cmocka_unit_test(finds_json_escapes),
        cmocka_unit_test(finds_shell_quoting),
        cmocka_unit_test(finds_xml_and_html),
        cmocka_unit_test(finds_many_lines_whole_and_each_for_itself),
        cmocka_unit_test(finds_the_strings_of_a_json_value),
        cmocka_unit_test(finds_the_password_of_a_url),
        cmocka_unit_test(any_bytes_can_be_a_secret),
        cmocka_unit_test(no_window_of_eight_bytes_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
