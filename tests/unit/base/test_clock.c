#include <time.h>

#include "base/clock.h"
#include "base_test.h"

static void formats_and_parses_the_same_instant(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {INT64_C(1795308114123), "2026-11-22T00:41:54.123Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t back = -1;
        clock_format(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(clock_parse(text, &back, NULL), 0);
        assert_true(back == cases[i].ms);
    }
}

static void what_cannot_be_written_is_the_nearest_that_can(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    clock_format(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void the_time_zone_of_the_machine_does_not_matter(void **state)
{
    (void)state;
    int64_t ms;
    assert_int_equal(setenv("TZ", "Pacific/Auckland", 1), 0);
    tzset();
    assert_int_equal(clock_parse("2026-11-22T00:41:54Z", &ms, NULL), 0);
    assert_true(ms == INT64_C(1795308114000));
    unsetenv("TZ");
    tzset();
}

static void refuses_every_other_form(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2026-11-22",
                                      "2026-11-22T00:41:54",
                                      "2026-11-22T00:41:54+00:00",
                                      "2026-11-22 00:41:54Z",
                                      "2026-11-22t00:41:54z",
                                      "2026-11-22T00:41:54.1Z",
                                      "2026-11-22T00:41:54.1234Z",
                                      "2026-11-22T00:41:54,123Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "2100-02-29T00:00:00Z",
                                      "2026-04-31T00:00:00Z",
                                      "2026-01-00T00:00:00Z",
                                      "2026-01-32T00:00:00Z",
                                      "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:60:00Z",
                                      "2026-01-01T00:00:60Z",
                                      "1969-12-31T23:59:59Z",
                                      "+026-01-01T00:00:00Z",
                                      "2026-01-01T00:00:0 Z",
                                      "2026-1-01T00:00:000Z",
                                      "2026-11-22T00:41:54.1-3Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err;
        int64_t ms = 42;
        if (clock_parse(bad[i], &ms, &err) == 0)
            fail_msg("%s was accepted", bad[i]);
        assert_string_equal(err.code, "E_TIME");
        assert_true(ms == 42);
    }
}

static void clocks_run_forward(void **state)
{
    (void)state;
    int64_t boot = clock_boot_ms(), mono = clock_mono_ms();
    assert_true(clock_wall_ms() > INT64_C(1577836800000)); /* after 2020 */
    assert_true(boot > 0 && mono > 0);
    assert_true(clock_boot_ms() >= boot);
    assert_true(clock_mono_ms() >= mono);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_parses_the_same_instant),
        cmocka_unit_test(what_cannot_be_written_is_the_nearest_that_can),
        cmocka_unit_test(the_time_zone_of_the_machine_does_not_matter),
        cmocka_unit_test(refuses_every_other_form),
        cmocka_unit_test(clocks_run_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
