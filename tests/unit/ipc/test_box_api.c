#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "ipc/box_api.h"

#include <cmocka.h>
#undef fail /* base/error.h has one, too */

static const char *const argv_two[] = {"npm", "ci", NULL}, *const env_two[] = {"A=1", "B=", NULL},
                         *const nothing[] = {NULL};

static void packed(struct buf *out)
{
    *out = BUF(BOX_COMMAND_MAX);
    assert_int_equal(box_command_pack("app", argv_two, env_two, out, NULL), 0);
}

static void a_command_comes_back_as_it_was(void **state)
{
    (void)state;
    struct buf text;
    struct box_command command;
    packed(&text);
    assert_int_equal(box_command_unpack(&text, &command, NULL), 0);
    assert_int_equal(text.size, 0);
    assert_string_equal(command.cwd, "app");
    assert_string_equal(command.argv[0], "npm");
    assert_string_equal(command.argv[1], "ci");
    assert_null(command.argv[2]);
    assert_string_equal(command.envp[1], "B=");
    assert_null(command.envp[2]);
    box_command_free(&command);
}

static void every_prefix_and_any_tail_is_refused(void **state)
{
    (void)state;
    struct buf whole;
    packed(&whole);
    for (size_t cut = 0; cut <= whole.size + 1; cut++) {
        struct buf text = BUF(BOX_COMMAND_MAX);
        struct box_command command;
        struct error err = {0};
        if (cut == whole.size)
            continue;
        assert_int_equal(buf_add(&text, whole.data, cut < whole.size ? cut : whole.size, NULL), 0);
        if (cut > whole.size)
            assert_int_equal(buf_add(&text, "", 1, NULL), 0);
        assert_int_equal(box_command_unpack(&text, &command, &err), -1);
        assert_string_equal(err.code, "E_BOX_COMMAND");
        box_command_free(&command);
    }
    buf_free(&whole);
}

static void counts_have_limits(void **state)
{
    (void)state;
    const char *many[BOX_ENV_MAX + 2] = {0};
    struct error err = {0};
    AUTO_BUF struct buf out = BUF(BOX_COMMAND_MAX), small = BUF(8);
    for (int i = 0; i < BOX_ENV_MAX + 1; i++)
        many[i] = "x";
    assert_int_equal(box_command_pack(".", nothing, nothing, &out, &err), -1);
    assert_int_equal(box_command_pack(".", argv_two, many, &out, &err), -1);
    many[BOX_ARGS_MAX + 1] = NULL;
    assert_int_equal(box_command_pack(".", many, nothing, &out, &err), -1);
    assert_string_equal(err.code, "E_BOX_COMMAND");
    assert_int_equal(box_command_pack(".", argv_two, nothing, &small, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    struct buf huge = BUF(64);
    struct box_command command;
    uint32_t counts[4] = {0xffffffffu, 0xffffffffu, 0, 0};
    assert_int_equal(buf_add(&huge, counts, sizeof counts, NULL), 0);
    assert_int_equal(box_command_unpack(&huge, &command, &err), -1);
    box_command_free(&command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_comes_back_as_it_was),
        cmocka_unit_test(every_prefix_and_any_tail_is_refused),
        cmocka_unit_test(counts_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
