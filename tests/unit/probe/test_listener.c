#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/probe/listener.h"

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

static void reads_what_listens(void **state)
{
    (void)state;
    struct listener out[LISTENERS_MAX];
    size_t count = listener_read(HEAD
        "   0: 0100007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 34567 1 0000000000000000 100 0 0 10 0\n"
        "   1: 0100007F:4E21 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1002        0 99999 1 0000000000000000 20 4 30 10 -1\n"
        "   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000000000000000 100 0 0 10 0\n"
        "  13: 0200A8C0:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 222 1 0000000000000000 100 0 0 10 0\n",
        false, out, 0);
    assert_int_equal(count, 3);
    assert_int_equal(out[0].port, 20001);
    assert_int_equal(out[0].uid, 1001);
    assert_int_equal(out[0].inode, 34567);
    assert_true(out[0].loopback && !out[0].v6);
    assert_int_equal(out[1].port, 22);
    assert_true(out[1].loopback);
    assert_int_equal(out[2].port, 80);
    assert_false(out[2].loopback);
}

static void reads_the_table_of_version_six(void **state)
{
    (void)state;
    struct listener out[LISTENERS_MAX] = {{.port = 1}};
    size_t count = listener_read(HEAD
        "   0: 00000000000000000000000000000000:4E21 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 1 1 0 100 0 0 10 0\n"
        "   1: 00000000000000000000000001000000:4E22 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 100 0 0 10 0\n"
        "   2: 0000000000000000FFFF00000100007F:4E23 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 100 0 0 10 0\n"
        "   3: B80D0120000000000000000001000000:4E24 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4 1 0 100 0 0 10 0\n",
        true, out, 1);
    assert_int_equal(count, 5);
    assert_true(out[1].v6 && out[1].loopback && out[2].loopback && out[3].loopback);
    assert_false(out[4].loopback);
}

static void passes_over_what_is_no_table(void **state)
{
    (void)state;
    struct listener out[LISTENERS_MAX];
    static const char *const texts[] = {"", "\n\n", HEAD, "garbage", "0: 0100007F:4E21", "   0: 0100007F:0000 00000000:0000 0A",
        "   0: 01007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 34567 1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(listener_read(texts[i], false, out, 0), 0);
    char *wide = malloc(5000);
    assert_non_null(wide);
    memset(wide, 'A', 4999);
    wide[4999] = '\0';
    assert_int_equal(listener_read(wide, false, out, 0), 0);
    free(wide);
}

static void stops_at_its_limit(void **state)
{
    (void)state;
    static char text[LISTENERS_MAX * 2 * 140];
    static struct listener out[LISTENERS_MAX];
    for (size_t i = 0; i < LISTENERS_MAX * 2; i++)
        strcat(text, "   0: 0100007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 34567 1\n");
    assert_int_equal(listener_read(text, false, out, 0), LISTENERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_listens),
        cmocka_unit_test(reads_the_table_of_version_six),
        cmocka_unit_test(passes_over_what_is_no_table),
        cmocka_unit_test(stops_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
