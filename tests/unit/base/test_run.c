#include <fcntl.h>
#include <stdlib.h>

#include "base/durable.h"
#include "base/run.h"
#include "base_test.h"

static void status_and_output_come_back(void **state)
{
    (void)state;
    static const char *const argv[] = {"sh", "-c", "echo said; echo told >&2; exit 3", NULL};
    AUTO_BUF struct buf out = BUF(100);
    assert_int_equal(run(argv, &out, NULL), 3);
    assert_string_equal(buf_text(&out), "said\ntold\n");
    assert_int_equal(run(argv, NULL, NULL), 3);
}

static void output_beyond_the_limit_is_dropped(void **state)
{
    (void)state;
    static const char *const argv[] = {"head", "-c", "1000000", "/dev/zero", NULL};
    AUTO_BUF struct buf out = BUF(10);
    assert_int_equal(run(argv, &out, NULL), 0);
    assert_int_equal(out.size, 10);
}

static void the_environment_is_clean(void **state)
{
    (void)state;
    static const char *const argv[] = {"env", NULL};
    AUTO_BUF struct buf out = BUF(1000);
    assert_int_equal(setenv("LD_SOMETHING", "x", 1), 0);
    assert_int_equal(run(argv, &out, NULL), 0);
    assert_string_equal(buf_text(&out), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n");
}

static void what_is_missing_or_killed_is_an_error(void **state)
{
    (void)state;
    static const char *const missing[] = {"/nonexistent/program", NULL}, *const killed[] = {"sh", "-c",
                                                                                            "kill -9 $$", NULL};
    struct error err = {0};
    assert_int_equal(run(missing, NULL, &err), -1);
    assert_string_equal(err.code, "E_RUN");
    assert_int_equal(run(killed, NULL, &err), -1);
}

static void a_daemon_it_leaves_behind_is_not_waited_for(void **state)
{
    (void)state;
    static const char *const argv[] = {"sh", "-c", "sleep 5 & echo started", NULL};
    AUTO_BUF struct buf out = BUF(100);
    assert_int_equal(run(argv, &out, NULL), 0);
    assert_string_equal(buf_text(&out), "started\n");
}

static void a_kernel_file_is_read_as_text(void **state)
{
    (void)state;
    char text[8];
    assert_int_equal(read_text(AT_FDCWD, "/proc/self/status", text, sizeof text), 7);
    assert_memory_equal(text, "Name:\t", 6);
    assert_int_equal(text[7], 0);
    assert_int_equal(read_text(AT_FDCWD, "/proc/nothing", text, sizeof text), -1);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_and_output_come_back),
        cmocka_unit_test(output_beyond_the_limit_is_dropped),
        cmocka_unit_test(the_environment_is_clean),
        cmocka_unit_test(what_is_missing_or_killed_is_an_error),
        cmocka_unit_test(a_daemon_it_leaves_behind_is_not_waited_for),
        cmocka_unit_test(a_kernel_file_is_read_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
