#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include "agent/scribe/stamp.h"

#define T0 1795308114123 /* 2026-11-22T00:41:54.123Z */
#define P  "2026-11-22T00:41:54.123Z build out │ "

static int collect(void *context, const uint8_t *line, size_t size, struct error *err)
{
    return buf_add(context, line, size, err);
}

static void check_bytes(const void *input, size_t size, const char *output)
{
    for (size_t piece = 1; piece <= size + 1; piece++) {
        AUTO_BUF struct buf out = BUF(1u << 20);
        struct stamp stamp;
        stamp_open(&stamp, "build", "out", collect, &out);
        for (size_t at = 0; at < size; at += piece)
            assert_int_equal(stamp_write(&stamp, (const char *)input + at, size - at < piece ? size - at : piece, T0,
                                         NULL), 0);
        assert_int_equal(stamp_finish(&stamp, T0, NULL), 0);
        stamp_free(&stamp);
        assert_string_equal(buf_text(&out), output);
    }
}

static void check(const char *input, const char *output)
{
    check_bytes(input, strlen(input), output);
}

static void stamps_each_line(void **state)
{
    (void)state;
    check("", "");
    check("one\ntwo\n", P "one\n" P "two\n");
    check("one\r\n\r\ntwo", P "one\n" P "\n" P "two\n");
    check("a\tb", P "a\tb\n");
}

static void a_line_carries_the_time_of_its_first_byte(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(1000);
    struct stamp stamp;
    stamp_open(&stamp, "web", "err", collect, &out);
    assert_int_equal(stamp_write(&stamp, "o", 1, T0, NULL), 0);
    assert_int_equal(stamp_write(&stamp, "ne\n", 3, T0 + 5000, NULL), 0);
    assert_string_equal(buf_text(&out), "2026-11-22T00:41:54.123Z web err │ one\n");
    stamp_free(&stamp);
}

static void keeps_colours_and_ends_them_with_the_line(void **state)
{
    (void)state;
    check("\033[1;32mok\033[0m done\n", P "\033[1;32mok\033[0m done\n");
    check("\033[31mred\nplain\n", P "\033[31mred\033[0m\n" P "plain\n");
    check("\033[38:5:1mx\033[m\n", P "\033[38:5:1mx\033[m\n");
}

static void shows_every_other_sequence_as_what_it_is(void **state)
{
    (void)state;
    check("\033[2J\033]0;title\007x\n", P "\\x1b[2J\\x1b]0;title\\x07x\n");
    check("a\bb\177\n", P "a\\x08b\\x7f\n");
    check("\033\033[1mx\033[\n", P "\\x1b\033[1mx\\x1b[\033[0m\n");
    check("end\033[3", P "end\\x1b[3\n");
    check("\033[?25l\033[1;31Hx\n", P "\\x1b[?25l\\x1b[1;31Hx\n");
    check_bytes("nul\0x\n", 6, P "nul\\x00x\n");
}

static void shows_bytes_that_are_no_utf8(void **state)
{
    (void)state;
    check("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\x80\n", P "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\x80\n");
    check("\xff\xc3(\xe2\x82\xf0\x9f\x9a\n", P "\\xff\\xc3(\\xe2\\x82\\xf0\\x9f\\x9a\n");
    check("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80\n", P "\\xc0\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80\n");
    check("cut \xe2\x82", P "cut \\xe2\\x82\n");
}

static void shows_letters_that_hide_or_reorder_others(void **state)
{
    (void)state;
    check("a\xe2\x80\xae" "b\xc2\x9b" "c\xef\xbb\xbf\n", P "a\\u202eb\\u009bc\\ufeff\n");
    check("\xf3\xa0\x81\x81\n", P "\\U000e0041\n");
}

static void of_a_progress_line_the_last_state_stays(void **state)
{
    (void)state;
    check("10%\r", P "10%\n");
    AUTO_BUF struct buf out = BUF(1000);
    struct stamp stamp;
    stamp_open(&stamp, "build", "out", collect, &out);
    for (int i = 0; i < 100; i++) {
        char text[16] = "\r.%";
        text[1] = (char)('0' + i % 10);
        assert_int_equal(stamp_write(&stamp, text, 3, T0 + i, NULL), 0);
    }
    assert_int_equal(stamp_write(&stamp, "\rdone\r\n", 7, T0 + 100, NULL), 0);
    assert_int_equal(stamp.lines, 2); /* one rewrite within the second, and the last state */
    assert_non_null(strstr(buf_text(&out), "│ 0%\n"));
    assert_non_null(strstr(buf_text(&out), "│ done\n"));
    stamp_free(&stamp);
}

static void cuts_long_lines_between_letters_and_says_so(void **state)
{
    (void)state;
    AUTO_BUF struct buf in = BUF(20000);
    AUTO_BUF struct buf out = BUF(20000);
    for (int i = 0; i < 8191; i++)
        assert_int_equal(buf_add_text(&in, "x", NULL), 0);
    assert_int_equal(buf_add_text(&in, "\xc3\xbcyyy\033[31mz\nnext\n", NULL), 0);
    struct stamp stamp;
    stamp_open(&stamp, "build", "out", collect, &out);
    assert_int_equal(stamp_write(&stamp, in.data, in.size, T0, NULL), 0);
    stamp_free(&stamp);
    assert_int_equal(out.size, strlen(P) + 8191 + strlen(" … [6 more bytes cut]\n") + strlen(P "next\n"));
    assert_non_null(strstr(buf_text(&out), "xxx … [6 more bytes cut]\n" P "next\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_each_line),
        cmocka_unit_test(a_line_carries_the_time_of_its_first_byte),
        cmocka_unit_test(keeps_colours_and_ends_them_with_the_line),
        cmocka_unit_test(shows_every_other_sequence_as_what_it_is),
        cmocka_unit_test(shows_bytes_that_are_no_utf8),
        cmocka_unit_test(shows_letters_that_hide_or_reorder_others),
        cmocka_unit_test(of_a_progress_line_the_last_state_stays),
        cmocka_unit_test(cuts_long_lines_between_letters_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
