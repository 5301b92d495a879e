#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base_test.h"

struct place {
    char path[64];
    int fd;
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    strcpy(p->path, "/tmp/kly-durable-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(p->fd >= 0);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    DIR *dir = opendir(p->path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(p->fd, e->d_name, 0) < 0)
            unlinkat(p->fd, e->d_name, AT_REMOVEDIR);
    if (dir != NULL)
        closedir(dir);
    close(p->fd);
    rmdir(p->path);
    free(p);
    return 0;
}

static int entries(const struct place *p)
{
    int n = 0;
    DIR *dir = opendir(p->path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2;
}

static void replaces_a_file_as_a_whole(void **state)
{
    struct place *p = *state;
    struct error err;
    struct stat st;
    AUTO_BUF struct buf got = BUF(100);
    assert_int_equal(durable_replace(p->fd, "f", "first", 5, 0600, &err), 0);
    int old = openat(p->fd, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(durable_replace(p->fd, "f", "2nd", 3, 0640, &err), 0);
    assert_int_equal(durable_read(p->fd, "f", &got, &err), 0);
    assert_string_equal(buf_text(&got), "2nd");
    assert_int_equal(fstatat(p->fd, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    char text[6] = "";
    assert_int_equal(read(old, text, 5), 5); /* who had it open still reads the old one */
    assert_string_equal(text, "first");
    close(old);
    assert_int_equal(entries(p), 1); /* no temporary file stays */
}

static void a_failed_replacement_leaves_nothing_behind(void **state)
{
    struct place *p = *state;
    struct error err;
    assert_int_equal(mkdirat(p->fd, "folder", 0700), 0);
    assert_int_equal(durable_replace(p->fd, "folder", "x", 1, 0600, &err), -1);
    assert_string_equal(err.code, "E_WRITE");
    assert_int_equal(entries(p), 1);
    assert_int_equal(durable_replace(-1, "f", "x", 1, 0600, &err), -1);
    assert_int_equal(durable_replace(p->fd, "missing/f", "x", 1, 0600, &err), -1);
    assert_int_equal(entries(p), 1);
}

static void reading_is_bounded(void **state)
{
    struct place *p = *state;
    struct error err;
    static char data[40000];
    memset(data, 'd', sizeof data);
    assert_int_equal(durable_replace(p->fd, "f", data, sizeof data, 0600, &err), 0);
    for (size_t limit = sizeof data - 1; limit <= sizeof data + 1; limit++) {
        AUTO_BUF struct buf got = BUF(limit);
        int rc = durable_read(p->fd, "f", &got, &err);
        assert_int_equal(rc, limit >= sizeof data ? 0 : -1);
        if (rc < 0)
            assert_string_equal(err.code, "E_TOO_LARGE");
        else
            assert_int_equal(got.size, sizeof data);
    }
    AUTO_BUF struct buf none = BUF(0);
    assert_int_equal(durable_replace(p->fd, "empty", "", 0, 0600, &err), 0);
    assert_int_equal(durable_read(p->fd, "empty", &none, &err), 0);
}

static void reads_regular_files_only(void **state)
{
    struct place *p = *state;
    struct error err;
    AUTO_BUF struct buf got = BUF(100);
    assert_int_equal(durable_read(p->fd, "none", &got, &err), 1);
    assert_int_equal(durable_replace(p->fd, "f", "x", 1, 0600, &err), 0);
    assert_int_equal(symlinkat("f", p->fd, "link"), 0);
    assert_int_equal(durable_read(p->fd, "link", &got, &err), -1);
    assert_string_equal(err.code, "E_READ");
    assert_int_equal(mkfifoat(p->fd, "fifo", 0600), 0);
    assert_int_equal(durable_read(p->fd, "fifo", &got, &err), -1); /* and does not wait for a writer */
    assert_int_equal(mkdirat(p->fd, "folder", 0700), 0);
    assert_int_equal(durable_read(p->fd, "folder", &got, &err), -1);
    assert_int_equal(got.size, 0);
}

static void a_private_file_is_closed_to_others(void **state)
{
    struct place *p = *state;
    struct error err;
    static const mode_t open_modes[] = {0640, 0604, 0620, 0610, 0601};
    AUTO_BUF struct buf got = BUF(100);
    assert_int_equal(durable_replace(p->fd, "key", "secret", 6, 0600, &err), 0);
    assert_int_equal(durable_read_private(p->fd, "key", &got, &err), 0);
    assert_string_equal(buf_text(&got), "secret");
    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
        assert_int_equal(fchmodat(p->fd, "key", open_modes[i], 0), 0);
        assert_int_equal(durable_read_private(p->fd, "key", &got, &err), -1);
        assert_string_equal(err.code, "E_PERM");
    }
    assert_int_equal(durable_read_private(p->fd, "none", &got, &err), 1);
}

static void removing_twice_is_fine(void **state)
{
    struct place *p = *state;
    struct error err;
    assert_int_equal(durable_replace(p->fd, "f", "x", 1, 0600, &err), 0);
    assert_int_equal(durable_remove(p->fd, "f", &err), 0);
    assert_int_equal(durable_remove(p->fd, "f", &err), 0);
    assert_int_equal(entries(p), 0);
    assert_int_equal(mkdirat(p->fd, "folder", 0700), 0);
    assert_int_equal(durable_remove(p->fd, "folder", &err), -1);
    assert_string_equal(err.code, "E_WRITE");
}

static void makes_a_folder_once_and_follows_no_link(void **state)
{
    struct place *p = *state;
    struct error err;
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/d", p->path);
    for (int i = 0; i < 2; i++) {
        AUTO_CLOSE int fd = durable_dir(path, 0700, &err);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
    snprintf(path, sizeof path, "%s/link", p->path);
    assert_int_equal(symlinkat("d", p->fd, "link"), 0);
    assert_int_equal(durable_dir(path, 0700, &err), -1);
    snprintf(path, sizeof path, "%s/missing/d", p->path);
    assert_int_equal(durable_dir(path, 0700, &err), -1);
    assert_int_equal(durable_replace(p->fd, "file", "x", 1, 0600, &err), 0);
    snprintf(path, sizeof path, "%s/file", p->path);
    assert_int_equal(durable_dir(path, 0700, &err), -1);
}

static void writes_all_through_a_small_pipe(void **state)
{
    (void)state;
    int ends[2];
    static char data[4096];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write_all(ends[1], data, sizeof data), 0);
    assert_int_equal(read(ends[0], data, sizeof data), sizeof data);
    assert_int_equal(write_all(ends[0], data, 1), -1);
    assert_int_equal(errno, EBADF);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaces_a_file_as_a_whole, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_failed_replacement_leaves_nothing_behind, make_place, remove_place),
        cmocka_unit_test_setup_teardown(reading_is_bounded, make_place, remove_place),
        cmocka_unit_test_setup_teardown(reads_regular_files_only, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_private_file_is_closed_to_others, make_place, remove_place),
        cmocka_unit_test_setup_teardown(removing_twice_is_fine, make_place, remove_place),
        cmocka_unit_test_setup_teardown(makes_a_folder_once_and_follows_no_link, make_place, remove_place),
        cmocka_unit_test(writes_all_through_a_small_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
