#include <errno.h>

#include "base/error.h"
#include "base_test.h"
#undef fail /* cmocka.h has a macro of this name */

static void fills_code_and_text(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fail(&err, "E_NAME", "project '%s' number %d", "shop", 7), -1);
    assert_string_equal(err.code, "E_NAME");
    assert_string_equal(err.text, "project 'shop' number 7");
    assert_int_equal(fail_errno(&err, "E_READ", ENOENT, "'%s'", "x"), -1);
    assert_string_equal(err.text, "'x': No such file or directory");
}

static void context_goes_in_front_and_the_code_stays(void **state)
{
    (void)state;
    struct error err;
    fail(&err, "E_NAME", "inner");
    assert_int_equal(fail_in(&err, "apps[%d]", 1), -1);
    assert_int_equal(fail_in(&err, "manifest"), -1);
    assert_string_equal(err.code, "E_NAME");
    assert_string_equal(err.text, "manifest: apps[1]: inner");
}

static void long_texts_are_cut_and_end(void **state)
{
    (void)state;
    struct {
        struct error err;
        char guard[8];
    } box;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memcpy(box.guard, "guarded", 8);
    fail(&box.err, text, "%s", text);
    assert_int_equal(strlen(box.err.code), sizeof box.err.code - 1);
    assert_int_equal(strlen(box.err.text), sizeof box.err.text - 1);
    fail_in(&box.err, "%s", text);
    assert_int_equal(strlen(box.err.text), sizeof box.err.text - 1);
    fail_errno(&box.err, "E", EIO, "%s", text);
    assert_int_equal(strlen(box.err.text), sizeof box.err.text - 1);
    assert_string_equal(box.guard, "guarded");
}

static void nobody_needs_to_listen(void **state)
{
    (void)state;
    assert_int_equal(fail(NULL, "E", "x"), -1);
    assert_int_equal(fail_errno(NULL, "E", EIO, "x"), -1);
    assert_int_equal(fail_in(NULL, "x"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_code_and_text),
        cmocka_unit_test(context_goes_in_front_and_the_code_stays),
        cmocka_unit_test(long_texts_are_cut_and_end),
        cmocka_unit_test(nobody_needs_to_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
