#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/record.h"
#include "ipc/sock.h"

#include <cmocka.h>
#undef fail /* base/error.h has one, too */

static char folder[] = "/tmp/klystrr-sock-XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/s", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void a_listener_has_its_mode_and_gives_way_only_when_stale(void **state)
{
    (void)state;
    struct error err = {0};
    struct stat st;
    int fd = sock_listen(path, SOCK_SEQPACKET, 0600, getuid(), getgid(), &err);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(sock_listen(path, SOCK_SEQPACKET, 0600, getuid(), getgid(), &err), -1);
    assert_string_equal(err.code, "E_IPC_IN_USE");
    close(fd);
    fd = sock_listen(path, SOCK_SEQPACKET, 0600, getuid(), getgid(), &err);
    assert_true(fd >= 0);
    uid_t peer = 12345;
    assert_int_equal(sock_accept(fd, NULL, 0, &peer, &err), -2);
    int client = sock_connect(path, &err);
    assert_true(client >= 0);
    uid_t self = getuid();
    int conn = sock_accept(fd, &self, 1, &peer, &err);
    assert_true(conn >= 0);
    assert_int_equal(peer, self);
    close(conn);
    close(client);
    close(fd);
    unlink(path);
}

static void a_file_in_the_way_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(sock_listen(path, SOCK_SEQPACKET, 0600, getuid(), getgid(), &err), -1);
    assert_string_equal(err.code, "E_IPC_LISTEN");
    unlink(path);
    assert_int_equal(sock_connect(path, &err), -1);
    assert_string_equal(err.code, "E_IPC_CONNECT");
}

static void strangers_are_refused(void **state)
{
    (void)state;
    if (getuid() == 0)
        skip(); /* root is always welcome */
    struct error err = {0};
    int fd = sock_listen(path, SOCK_SEQPACKET, 0600, getuid(), getgid(), &err),
        client = sock_connect(path, &err);
    uid_t other = getuid() + 1;
    assert_int_equal(sock_accept(fd, &other, 1, NULL, &err), -1);
    assert_string_equal(err.code, "E_IPC_PEER");
    close(client);
    close(fd);
    unlink(path);
}

static void sealed_memory_is_read_whole_and_nothing_else_is_taken(void **state)
{
    (void)state;
    struct error err = {0};
    AUTO_BUF struct buf out = BUF(100), small = BUF(4);
    int fd = memfd_sealed("test", "some bytes", 10, &err);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(memfd_read(fd, &out, &err), 0);
    assert_int_equal(out.size, 10);
    assert_memory_equal(out.data, "some bytes", 10);
    assert_int_equal(memfd_read(fd, &small, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    close(fd);
    fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(memfd_read(fd, &out, &err), -1);
    assert_string_equal(err.code, "E_IPC_MEMFD");
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_int_equal(memfd_read(fd, &out, &err), -1); /* one seal is missing */
    close(fd);
    assert_int_equal(memfd_read(0, &out, &err), -1);
    fd = memfd_sealed("empty", "", 0, &err);
    assert_int_equal(memfd_read(fd, &out, &err), 0);
    close(fd);
}

static void passed_sockets_are_found_by_number_and_by_name(void **state)
{
    (void)state;
    struct error err = {0};
    char pid[24];
    int pair[2], kept[2] = {dup(3), dup(4)};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    int high[2] = {fcntl(pair[0], F_DUPFD_CLOEXEC, 20), fcntl(pair[1], F_DUPFD_CLOEXEC, 20)};
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(dup2(high[0], 3), 3);
    assert_int_equal(dup2(high[1], 4), 4);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_int_equal(sock_inherited(0, &err), -1);
    assert_string_equal(err.code, "E_IPC_LISTEN");
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_FDNAMES", "control:link", 1);
    assert_int_equal(sock_inherited(1, &err), 4);
    assert_int_equal(sock_inherited(2, &err), -1);
    assert_int_equal(sock_inherited_named("control", &err), 3);
    assert_int_equal(sock_inherited_named("link", &err), 4);
    assert_int_equal(sock_inherited_named("lin", &err), -1);
    setenv("LISTEN_PID", "1", 1);
    assert_int_equal(sock_inherited_named("link", &err), -1);
    unsetenv("LISTEN_PID");
    for (int i = 0; i < 2; i++) {
        close(high[i]);
        close(3 + i);
        if (kept[i] >= 0 && dup2(kept[i], 3 + i) >= 0)
            close(kept[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_has_its_mode_and_gives_way_only_when_stale),
        cmocka_unit_test(a_file_in_the_way_is_refused),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(sealed_memory_is_read_whole_and_nothing_else_is_taken),
        cmocka_unit_test(passed_sockets_are_found_by_number_and_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
