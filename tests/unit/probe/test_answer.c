#include "agent/probe/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>


static const char good[] = "HTTP/1.1 204 No Content\r\nX-Other: a\r\nX-Klystrr-Slot: green\r\nX-Last: b\r\n\r\n";

static void reads_status_and_header_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof good - 1; cut++) {
        struct answer a;
        struct error err = {0};
        answer_init(&a, "x-klystrr-slot");
        assert_int_equal(answer_feed(&a, good, cut, &err), 0);
        assert_int_equal(answer_feed(&a, good + cut, sizeof good - 1 - cut, &err), 0);
        assert_true(a.head_done);
        assert_int_equal(answer_status(&a), 204);
        assert_string_equal(a.value, "green");
    }
}

static void refuses_what_is_not_http(void **state)
{
    (void)state;
    static const char *const bad[] = {"SSH-2.0-OpenSSH_9.2\r\n", "\x16\x03\x01\x02", "HTTP/1.1 abc\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < 4; i++) {
        struct answer a;
        struct error err = {0};
        answer_init(&a, NULL);
        assert_int_equal(answer_feed(&a, bad[i], strlen(bad[i]), &err), -1);
        assert_string_equal(err.code, "E_PROBE_PROTOCOL");
    }
}

static void refuses_a_head_without_end(void **state)
{
    (void)state;
    struct answer a;
    struct error err = {0};
    char line[1024];
    memset(line, 'a', sizeof line);
    memcpy(line, "X-", 2);
    memcpy(line + 100, ": ", 2);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    answer_init(&a, NULL);
    assert_int_equal(answer_feed(&a, "HTTP/1.1 200 OK\r\n", 17, &err), 0);
    int rc = 0;
    for (int i = 0; i < 200 && rc == 0; i++)
        rc = answer_feed(&a, line, sizeof line, &err);
    assert_int_equal(rc, -1);
    assert_string_equal(err.code, "E_PROBE_PROTOCOL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_status_and_header_however_it_is_cut),
        cmocka_unit_test(refuses_what_is_not_http),
        cmocka_unit_test(refuses_a_head_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
