#include "cli/cli.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void shows_text_and_hides_what_moves_a_terminal(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"a\033[31mb", "a\\x1b[31mb"},
        {"line\nbreak\r", "line\\x0abreak\\x0d"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
        {"abc\xe2\x80\xae" "def", "abc\\xe2\\x80\\xaedef"}, /* right-to-left override */
        {"\xc2\x9b" "31m", "\\xc2\\x9b31m"},                /* the one-byte CSI */
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[200];
        show_safe(cases[i][0], out, sizeof out);
        assert_string_equal(out, cases[i][1]);
    }
}

static void never_writes_past_its_room(void **state)
{
    (void)state;
    char text[300], out[64];
    memset(text, '\033', sizeof text);
    text[sizeof text - 1] = 0;
    for (size_t room = 8; room < sizeof out; room++) {
        memset(out, 'Z', sizeof out);
        show_safe(text, out, room);
        assert_true(strlen(out) < room);
        assert_int_equal(out[room], 'Z');
    }
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_text_and_hides_what_moves_a_terminal),
        cmocka_unit_test(never_writes_past_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
