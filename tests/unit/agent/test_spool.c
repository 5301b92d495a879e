#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent/spool.h"

#define DEP "dep_0000000000000001"

static char folder[64];
static int dirfd_;
static struct spool s;
static struct error err;

static void ok(int rc)
{
    assert_string_equal(rc < 0 ? err.text : "", "");
}

static int setup(void **unused)
{
    (void)unused;
    strcpy(folder, "/tmp/kly-spool-XXXXXX");
    assert_non_null(mkdtemp(folder));
    dirfd_ = open(folder, O_RDONLY | O_DIRECTORY);
    ok(spool_open(&s, dirfd_, &err));
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    spool_close(&s);
    DIR *dir = fdopendir(dirfd_);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            unlinkat(dirfd_, e->d_name, 0);
    closedir(dir);
    return rmdir(folder);
}

static void reopen(void)
{
    spool_close(&s);
    ok(spool_open(&s, dirfd_, &err));
}

static void put(const char *line)
{
    ok(spool_event(&s, (struct bytes){(const uint8_t *)line, strlen(line)}, &err));
}

static void keeps_events_and_their_offsets_over_a_restart(void **unused)
{
    (void)unused;
    put("{\"a\":1}\n");
    put("{\"b\":2}\n");
    assert_int_equal(s.events.end, 16);
    reopen();
    assert_int_equal(s.events.base, 0);
    assert_int_equal(s.events.end, 16);
}

static void cuts_a_torn_line_off(void **unused)
{
    (void)unused;
    put("{\"a\":1}\n");
    assert_int_equal(write(s.events.fd, "{\"torn", 6), 6);
    reopen();
    assert_int_equal(s.events.end, 8);
    put("{\"b\":2}\n");
    assert_int_equal(s.events.end, 16);
}

static void drops_acknowledged_events_and_no_others(void **unused)
{
    (void)unused;
    static char line[4096];
    uint32_t gone, id = s.events.id;
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    while (s.events.end < SPOOL_ROTATE + 20000)
        put(line);
    uint64_t end = s.events.end, keep = end - (sizeof line - 1);
    assert_null(spool_acked(&s, id, 100, false, &gone));
    assert_int_equal(gone, 0);
    struct spool_stream *anew = spool_acked(&s, id, keep, false, &gone);
    assert_non_null(anew);
    assert_int_equal(gone, id);
    assert_int_not_equal(anew->id, id);
    assert_int_equal(anew->base, keep);
    assert_int_equal(anew->end, end);
    reopen();
    assert_int_equal(s.events.base, keep);
    assert_int_equal(s.events.end, end);
    put(line);
    assert_int_equal(s.events.end, end + sizeof line - 1);
}

static void ignores_acknowledgements_that_cannot_be(void **unused)
{
    (void)unused;
    uint32_t gone;
    put("{\"a\":1}\n");
    assert_null(spool_acked(&s, s.events.id, 9, false, &gone));
    assert_int_equal(s.events.acked, 0);
    assert_null(spool_acked(&s, 77, 1, true, &gone));
    assert_int_equal(gone, 0);
}

static void a_log_is_kept_until_it_is_complete_and_acknowledged_whole(void **unused)
{
    (void)unused;
    uint32_t gone;
    struct spool_stream *log = spool_log(&s, DEP, &err);
    assert_non_null(log);
    assert_ptr_equal(log, spool_log(&s, DEP, &err));
    assert_int_equal(write(log->fd, "0123456789torn", 14), 14);
    log->end = 10;
    assert_null(spool_acked(&s, log->id, 10, false, &gone));
    assert_int_equal(gone, 0);
    ok(spool_log_done(&s, log, 10, &err));
    reopen();
    log = spool_find_log(&s, DEP);
    assert_non_null(log);
    assert_true(log->closed);
    assert_int_equal(log->end, 10);
    assert_null(spool_acked(&s, log->id, 10, true, &gone));
    assert_int_not_equal(gone, 0);
    assert_null(spool_find_log(&s, DEP));
    reopen();
    assert_null(spool_find_log(&s, DEP));
    int fd = spool_log_reader(&s, DEP, &err);
    assert_true(fd >= 0);
    close(fd);
}

static void gives_readers_no_way_to_write(void **unused)
{
    (void)unused;
    put("{\"a\":1}\n");
    int fd = spool_reader(&s, &s.events, &err);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    char block[16];
    assert_int_equal(read(fd, block, sizeof block), 8);
    close(fd);
    assert_int_equal(spool_log_reader(&s, "../journal", &err), -1);
    assert_string_equal(err.code, "E_NOT_FOUND");
}

static void refuses_more_logs_than_can_be_streamed(void **unused)
{
    (void)unused;
    char name[24];
    for (int i = 0; i < SPOOL_LOGS; i++) {
        snprintf(name, sizeof name, "dep_%016x", i);
        assert_non_null(spool_log(&s, name, &err));
    }
    assert_null(spool_log(&s, "dep_ffffffffffffffff", &err));
    assert_string_equal(err.code, "E_SPOOL_FULL");
}

static void a_log_left_open_has_no_end_until_it_is_mended(void **unused)
{
    (void)unused;
    struct spool_stream *log = spool_log(&s, DEP, &err);
    assert_non_null(log);
    assert_false(log->unsure); /* new and empty: its end is known */
    assert_int_equal(write(log->fd, "bytes", 5), 5);
    reopen();
    log = spool_find_log(&s, DEP);
    assert_non_null(log);
    assert_true(log->unsure);
    ok(spool_log_done(&s, log, 3, &err));
    assert_false(log->unsure);
    assert_int_equal(log->end, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_events_and_their_offsets_over_a_restart),
        TEST(cuts_a_torn_line_off),
        TEST(drops_acknowledged_events_and_no_others),
        TEST(ignores_acknowledgements_that_cannot_be),
        TEST(a_log_is_kept_until_it_is_complete_and_acknowledged_whole),
        TEST(a_log_left_open_has_no_end_until_it_is_mended),
        TEST(gives_readers_no_way_to_write),
        TEST(refuses_more_logs_than_can_be_streamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
