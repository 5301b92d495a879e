#include "plane_fixture.h"

#include "plane/resolve.h"

static void reads_the_tip_and_nothing_that_looks_like_one(void **state)
{
    (void)state;
    char out[65];
    assert_int_equal(resolve_parse_output("connecting\ntip aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", out),
                     0);
    assert_string_equal(out, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_int_equal(resolve_parse_output("tip AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", out), -1);
    assert_int_equal(resolve_parse_output("tip aaaa\n", out), -1);
    assert_int_equal(resolve_parse_output("tip aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", out), -1);
    assert_int_equal(resolve_parse_output("a tip aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", out), -1);
    assert_int_equal(resolve_parse_output("", out), -1);
}

static void takes_the_last_error_line_and_makes_its_bytes_harmless(void **state)
{
    (void)state;
    struct error err;
    resolve_parse_error("progress\nklystrr-fetch: E_OLD before\nklystrr-fetch: E_GIT_AUTH not\taccepted\n",
                        &err);
    assert_string_equal(err.code, "E_GIT_AUTH");
    assert_string_equal(err.text, "not?accepted");
    resolve_parse_error("Segmentation fault\n", &err);
    assert_string_equal(err.code, "E_GIT_FETCH");
    resolve_parse_error("x klystrr-fetch: E_NOT_AT_LINE_START hello\n", &err);
    assert_string_equal(err.code, "E_GIT_FETCH");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_tip_and_nothing_that_looks_like_one),
        cmocka_unit_test(takes_the_last_error_line_and_makes_its_bytes_harmless),
    };
    return cmocka_run_group_tests_name("plane/resolve", tests, NULL, NULL);
}
