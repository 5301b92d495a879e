#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent/journal.h"

static char folder[64];
static int dirfd_;

static int setup(void **unused)
{
    (void)unused;
    strcpy(folder, "/tmp/kly-journal-XXXXXX");
    assert_non_null(mkdtemp(folder));
    dirfd_ = open(folder, O_RDONLY | O_DIRECTORY);
    return dirfd_ < 0;
}

static int teardown(void **unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++)
        unlinkat(dirfd_, i == 0 ? "slot-a" : i == 1 ? "slot-b" : "generation", 0);
    close(dirfd_);
    return rmdir(folder);
}

static struct journal *open_ok(bool fresh)
{
    struct journal *j = NULL;
    struct error err = {0};
    if (journal_open(dirfd_, fresh, &j, &err) < 0)
        assert_string_equal(err.text, "");
    return j;
}

static void set_sequence(struct journal *j, uint64_t sequence)
{
    struct error err;
    journal_project(journal_state(j), "shop", true)->sequence = sequence;
    assert_int_equal(journal_commit(j, &err), 0);
}

/* Opens; gives the sequence found, or UINT64_MAX if refused. */
static uint64_t sequence_now(struct error *err)
{
    struct journal *j = NULL;
    if (journal_open(dirfd_, false, &j, err) < 0)
        return UINT64_MAX;
    struct journal_project *p = journal_project(journal_state(j), "shop", false);
    uint64_t found = p != NULL ? p->sequence : 0;
    journal_close(j);
    return found;
}

static void remembers_over_a_restart(void **unused)
{
    (void)unused;
    struct error err;
    struct journal *j = open_ok(true);
    for (uint64_t i = 1; i <= 5; i++)
        set_sequence(j, i);
    journal_close(j);
    assert_int_equal(sequence_now(&err), 5);
}

static void shows_again_what_is_durable_after_undo(void **unused)
{
    (void)unused;
    struct journal *j = open_ok(true);
    set_sequence(j, 3);
    journal_project(journal_state(j), "shop", false)->sequence = 9;
    journal_undo(j);
    assert_int_equal(journal_project(journal_state(j), "shop", false)->sequence, 3);
    journal_close(j);
}

static void refuses_lost_state_until_reset(void **unused)
{
    (void)unused;
    struct journal *j = NULL;
    struct error err;
    assert_int_equal(journal_open(dirfd_, false, &j, &err), -1);
    assert_string_equal(err.code, "E_STATE_LOST");
    assert_int_equal(journal_reset(dirfd_, &err), 0);
    assert_int_equal(sequence_now(&err), 0);
}

static void copy_file(const char *from, const char *to)
{
    int in = openat(dirfd_, from, O_RDONLY), out = openat(dirfd_, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    char block[8192];
    for (ssize_t n; (n = read(in, block, sizeof block)) > 0;)
        assert_int_equal(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

static void flip(const char *name, off_t at, uint8_t with)
{
    int fd = openat(dirfd_, name, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= with;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static off_t size_of(const char *name)
{
    struct stat st;
    assert_int_equal(fstatat(dirfd_, name, &st, 0), 0);
    return st.st_size;
}

/* Generations alternate a, b: after `open fresh` (two writes) and five commits the newest, 7, is in slot-b. */
static void never_goes_backwards_whatever_byte_of_the_newest_slot_is_flipped(void **unused)
{
    (void)unused;
    struct error err;
    struct journal *j = open_ok(true);
    for (uint64_t i = 1; i <= 5; i++)
        set_sequence(j, i);
    journal_close(j);
    off_t size = size_of("slot-b");
    for (off_t at = 0; at < size; at += at < 600 ? 1 : 1021) {
        flip("slot-b", at, 0x40);
        assert_int_equal(sequence_now(&err), UINT64_MAX);
        assert_string_equal(err.code, "E_STATE_OLD");
        flip("slot-b", at, 0x40);
    }
    for (off_t at = 0; at < size; at += 2039) { /* the older slot may rot: nothing is lost */
        flip("slot-a", at, 1);
        assert_int_equal(sequence_now(&err), 5);
        flip("slot-a", at, 1);
    }
    for (off_t at = 0; at < size_of("generation"); at++) {
        flip("generation", at, 1);
        assert_int_equal(sequence_now(&err), 5);
        flip("generation", at, 1);
    }
}

static void refuses_every_truncation_of_the_newest_slot(void **unused)
{
    (void)unused;
    struct error err;
    struct journal *j = open_ok(true);
    for (uint64_t i = 1; i <= 5; i++)
        set_sequence(j, i);
    journal_close(j);
    copy_file("slot-b", "whole");
    off_t size = size_of("slot-b");
    for (off_t cut = 0; cut < size; cut += cut < 64 ? 1 : 4099) {
        copy_file("whole", "slot-b");
        int fd = openat(dirfd_, "slot-b", O_RDWR);
        assert_int_equal(ftruncate(fd, cut), 0);
        close(fd);
        assert_int_equal(sequence_now(&err), UINT64_MAX);
        assert_string_equal(err.code, "E_STATE_OLD");
    }
    unlinkat(dirfd_, "whole", 0);
}

static void accepts_a_slot_torn_before_it_was_ever_believed(void **unused)
{
    (void)unused;
    struct error err;
    struct journal *j = open_ok(true);
    set_sequence(j, 1);
    copy_file("generation", "before");
    copy_file("slot-a", "old-a");
    set_sequence(j, 2); /* into slot-a; the power goes while it is written, so the witness is still the old one */
    journal_close(j);
    copy_file("before", "generation");
    flip("slot-a", size_of("slot-a") / 2, 0xff);
    assert_int_equal(sequence_now(&err), 1);
    unlinkat(dirfd_, "before", 0);
    unlinkat(dirfd_, "old-a", 0);
}

static void refuses_an_older_pair_of_slots(void **unused)
{
    (void)unused;
    struct error err;
    struct journal *j = open_ok(true);
    set_sequence(j, 1);
    copy_file("slot-a", "old-a");
    copy_file("slot-b", "old-b");
    set_sequence(j, 2);
    set_sequence(j, 3);
    journal_close(j);
    copy_file("old-a", "slot-a");
    copy_file("old-b", "slot-b");
    assert_int_equal(sequence_now(&err), UINT64_MAX);
    assert_string_equal(err.code, "E_STATE_OLD");
    assert_int_equal(journal_reset(dirfd_, &err), 0);
    assert_int_equal(sequence_now(&err), 1);
    unlinkat(dirfd_, "old-a", 0);
    unlinkat(dirfd_, "old-b", 0);
}

static void refuses_when_nothing_can_be_read(void **unused)
{
    (void)unused;
    struct error err;
    struct journal *j = open_ok(true);
    set_sequence(j, 1);
    journal_close(j);
    flip("slot-a", 100, 1);
    flip("slot-b", 100, 1);
    assert_int_equal(sequence_now(&err), UINT64_MAX);
    assert_string_equal(err.code, "E_STATE_CORRUPT");
    assert_int_equal(journal_reset(dirfd_, &err), 0);
    assert_int_equal(sequence_now(&err), 0);
}

static void refuses_a_journal_that_others_may_read(void **unused)
{
    (void)unused;
    struct error err;
    struct journal *j = open_ok(true);
    journal_close(j);
    assert_int_equal(fchmodat(dirfd_, "slot-a", 0644, 0), 0);
    assert_int_equal(sequence_now(&err), UINT64_MAX);
    assert_string_equal(err.code, "E_PERM");
}

static void keeps_releases_in_order(void **unused)
{
    (void)unused;
    static struct journal_project p;
    memset(&p, 0, sizeof p);
    for (int i = 0; i < JOURNAL_RELEASES_MAX; i++) {
        struct journal_release r = {0};
        snprintf(r.name, sizeof r.name, "%d-aaaaaaaaaaaa", i + 1);
        assert_true(journal_add_release(&p, &r));
    }
    assert_false(journal_add_release(&p, &p.releases[0]));
    journal_drop_release(&p, "1-aaaaaaaaaaaa");
    journal_drop_release(&p, "none");
    assert_int_equal(p.release_count, JOURNAL_RELEASES_MAX - 1);
    assert_string_equal(p.releases[0].name, "2-aaaaaaaaaaaa");
    assert_null(journal_release(&p, "1-aaaaaaaaaaaa"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(remembers_over_a_restart),
        TEST(shows_again_what_is_durable_after_undo),
        TEST(refuses_lost_state_until_reset),
        TEST(never_goes_backwards_whatever_byte_of_the_newest_slot_is_flipped),
        TEST(refuses_every_truncation_of_the_newest_slot),
        TEST(accepts_a_slot_torn_before_it_was_ever_believed),
        TEST(refuses_an_older_pair_of_slots),
        TEST(refuses_when_nothing_can_be_read),
        TEST(refuses_a_journal_that_others_may_read),
        TEST(keeps_releases_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
