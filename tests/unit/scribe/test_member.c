#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/scribe/member.h"

static int spool_file(void)
{
    char path[] = "/tmp/klystrr-member-XXXXXX";
    int fd = mkostemp(path, O_APPEND);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static uint64_t size_of(int fd)
{
    struct stat is;
    assert_int_equal(fstat(fd, &is), 0);
    return (uint64_t)is.st_size;
}

/* What zcat would print; zlib's own reader of many members. */
static struct buf unpack(int fd)
{
    struct buf out = BUF(10u << 20);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    gzFile file = gzdopen(dup(fd), "rb");
    char some[4096];
    for (int got; (got = gzread(file, some, sizeof some)) > 0;)
        assert_int_equal(buf_add(&out, some, (size_t)got, NULL), 0);
    gzclose(file);
    return out;
}

static uint64_t write_one(int fd, const char *text)
{
    struct member *m;
    uint64_t end = 0;
    assert_int_equal(member_new(&m, NULL), 0);
    assert_int_equal(member_add(m, text, strlen(text), 0, NULL), 0);
    assert_int_equal(member_write(m, fd, &end, NULL), 0);
    member_free(m);
    return end;
}

static void members_follow_each_other_and_read_as_one(void **state)
{
    (void)state;
    int fd = spool_file();
    struct member *m;
    uint64_t first = 0, second = 0;
    assert_int_equal(member_new(&m, NULL), 0);
    assert_int_equal(member_write(m, fd, &first, NULL), 0);
    assert_int_equal(size_of(fd), 0);
    assert_int_equal(member_add(m, "one\n", 4, 0, NULL), 0);
    assert_int_equal(member_write(m, fd, &first, NULL), 0);
    assert_int_equal(member_add(m, "two\n", 4, 0, NULL), 0);
    assert_int_equal(member_write(m, fd, &second, NULL), 0);
    assert_true(first > 0 && second > first);
    assert_int_equal(size_of(fd), second);
    AUTO_BUF struct buf text = unpack(fd);
    assert_string_equal(buf_text(&text), "one\ntwo\n");
    member_free(m);
    close(fd);
}

static void a_member_is_due_by_age_or_size(void **state)
{
    (void)state;
    struct member *m;
    assert_int_equal(member_new(&m, NULL), 0);
    assert_false(member_is_due(m, 1000000));
    assert_int_equal(member_wait(m, 1000000), -1);
    assert_int_equal(member_add(m, "x\n", 2, 5000, NULL), 0);
    assert_false(member_is_due(m, 5999));
    assert_int_equal(member_wait(m, 5400), 600);
    assert_true(member_is_due(m, 6000));
    char line[1024];
    memset(line, 'y', sizeof line);
    for (int i = 0; i < 256; i++)
        assert_int_equal(member_add(m, line, sizeof line, 5000, NULL), 0);
    assert_true(member_is_due(m, 5000));
    member_free(m);
}

static void random_bytes_fit_too(void **state)
{
    (void)state;
    int fd = spool_file();
    struct member *m;
    uint64_t end;
    unsigned char noise[16384];
    uint32_t x = 1;
    assert_int_equal(member_new(&m, NULL), 0);
    for (int i = 0; i < 17; i++) {
        for (size_t k = 0; k < sizeof noise; k++) {
            x = x * 1664525u + 1013904223u;
            noise[k] = (unsigned char)(x >> 24);
        }
        assert_int_equal(member_add(m, noise, sizeof noise, 0, NULL), 0);
    }
    assert_int_equal(member_write(m, fd, &end, NULL), 0);
    AUTO_BUF struct buf text = unpack(fd);
    assert_int_equal(text.size, 17 * 16384);
    member_free(m);
    close(fd);
}

/* A limit on file size stands for a full disk: the write is taken back and can be repeated. */
static void a_full_disk_leaves_whole_members_and_loses_nothing(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    int fd = spool_file();
    uint64_t before = write_one(fd, "before\n"), end = 0;
    struct member *m;
    struct error err = {0};
    assert_int_equal(member_new(&m, NULL), 0);
    assert_int_equal(member_add(m, "after\n", 6, 0, NULL), 0);
    struct rlimit limit, was;
    getrlimit(RLIMIT_FSIZE, &was);
    limit = was;
    limit.rlim_cur = before + 5;
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(member_write(m, fd, &end, &err), -1);
    assert_string_equal(err.code, "E_SPOOL_WRITE");
    assert_int_equal(size_of(fd), before);
    assert_true(member_is_due(m, 0));
    assert_int_equal(member_add(m, "x\n", 2, 0, &err), -1);
    assert_string_equal(err.code, "E_MEMBER");
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(member_write(m, fd, &end, &err), 0);
    AUTO_BUF struct buf text = unpack(fd);
    assert_string_equal(buf_text(&text), "before\nafter\n");
    member_free(m);
    close(fd);
}

static void repair_cuts_a_tear_at_any_byte(void **state)
{
    (void)state;
    int fd = spool_file();
    uint64_t one = write_one(fd, "one\n"), two = write_one(fd, "two\n");
    uint8_t whole[256];
    assert_int_equal(pread(fd, whole, sizeof whole, 0), two);
    for (uint64_t cut = 0; cut <= two; cut++) {
        uint64_t end, lost;
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(write(fd, whole, cut), cut);
        assert_int_equal(spool_repair(fd, 0, &end, &lost, NULL), 0);
        assert_int_equal(end, cut >= two ? two : cut >= one ? one : 0);
        assert_int_equal(lost, cut - end);
        assert_int_equal(size_of(fd), end);
        if (cut < one)
            continue;
        assert_int_equal(spool_repair(fd, one, &end, &lost, NULL), 0);
        assert_int_equal(end, cut >= two ? two : one);
    }
    close(fd);
}

static void repair_cuts_garbage_and_broken_members(void **state)
{
    (void)state;
    int fd = spool_file();
    uint64_t one = write_one(fd, "one\n"), end, lost;
    assert_int_equal(write(fd, "garbage", 7), 7);
    assert_int_equal(spool_repair(fd, 0, &end, &lost, NULL), 0);
    assert_int_equal(end, one);
    assert_int_equal(lost, 7);
    (void)write_one(fd, "a line whose checksum is then broken\n");
    uint8_t flipped = 0;
    assert_int_equal(pread(fd, &flipped, 1, (off_t)size_of(fd) - 8), 1);
    flipped ^= 1;
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags & ~O_APPEND);
    assert_int_equal(pwrite(fd, &flipped, 1, (off_t)size_of(fd) - 8), 1);
    assert_int_equal(spool_repair(fd, 0, &end, &lost, NULL), 0);
    assert_int_equal(end, one);
    close(fd);
}

static void repair_refuses_a_spool_that_lost_synced_bytes(void **state)
{
    (void)state;
    int fd = spool_file();
    uint64_t one = write_one(fd, "one\n"), end, lost;
    struct error err = {0};
    assert_int_equal(spool_repair(fd, one + 1, &end, &lost, &err), -1);
    assert_string_equal(err.code, "E_SPOOL_READ");
    assert_int_equal(size_of(fd), one);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_follow_each_other_and_read_as_one),
        cmocka_unit_test(a_member_is_due_by_age_or_size),
        cmocka_unit_test(random_bytes_fit_too),
        cmocka_unit_test(a_full_disk_leaves_whole_members_and_loses_nothing),
        cmocka_unit_test(repair_cuts_a_tear_at_any_byte),
        cmocka_unit_test(repair_cuts_garbage_and_broken_members),
        cmocka_unit_test(repair_refuses_a_spool_that_lost_synced_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
