#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct parsed {
    struct cli cli;
    const char *value;
    bool flag;
    struct option_list list;
    const char *words[4];
    int rc;
};

static struct parsed parse(int argc, const char **argv)
{
    struct parsed p = {0};
    const struct option_spec specs[] = {{.name = "value", .value = &p.value}, {.name = "flag", .letter = 'f', .flag = &p.flag}, {.name = "item", .list = &p.list}};
    p.rc = options_parse(&p.cli, argc, (char **)(uintptr_t)argv, specs, 3, p.words, 2);
    return p;
}
#define PARSE(...) parse((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]){__VA_ARGS__})

static void takes_values_flags_lists_and_words(void **state)
{
    (void)state;
    struct parsed p = PARSE("cmd", "--value", "a", "one", "-f", "--item=x", "--item", "y", "--json", "--", "--flag");
    assert_int_equal(p.rc, 0);
    assert_string_equal(p.value, "a");
    assert_true(p.flag && p.cli.json);
    assert_int_equal(p.list.count, 2);
    assert_string_equal(p.list.items[1], "y");
    assert_string_equal(p.words[0], "one");
    assert_string_equal(p.words[1], "--flag");
    assert_null(p.words[2]);
}

static void refuses_what_it_does_not_know(void **state)
{
    (void)state;
    assert_int_equal(PARSE("cmd", "--nope").rc, -1);
    assert_int_equal(PARSE("cmd", "-x").rc, -1);
    assert_int_equal(PARSE("cmd", "--value").rc, -1);
    assert_int_equal(PARSE("cmd", "--flag=1").rc, -1);
    assert_int_equal(PARSE("cmd", "--val", "a").rc, -1);
    assert_int_equal(PARSE("cmd", "a", "b", "c").rc, -1);
}

static void numbers_have_limits(void **state)
{
    (void)state;
    int64_t n = 0;
    assert_int_equal(option_number("n", "5", 1, 10, &n), 0);
    assert_int_equal(n, 5);
    static const char *const bad[] = {"0", "11", "", "5x", "99999999999999999999", "1.5"};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(option_number("n", bad[i], 1, 10, &n), -1);
}

static void an_option_list_ends(void **state)
{
    (void)state;
    const char *argv[1 + 2 * (OPTION_LIST_MAX + 1)] = {"cmd"};
    for (int i = 0; i <= OPTION_LIST_MAX; i++) {
        argv[1 + 2 * i] = "--item";
        argv[2 + 2 * i] = "x";
    }
    assert_int_equal(parse(1 + 2 * OPTION_LIST_MAX, argv).rc, 0);
    assert_int_equal(parse(1 + 2 * (OPTION_LIST_MAX + 1), argv).rc, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_values_flags_lists_and_words),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(numbers_have_limits),
        cmocka_unit_test(an_option_list_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
