#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/record.h"

#include <cmocka.h>
#undef fail /* base/error.h has one, too */

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int teardown(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void brings_body_and_descriptors(void **state)
{
    (void)state;
    struct ipc_record record;
    struct error err = {0};
    int fds[2] = {0, 1};
    assert_int_equal(ipc_send(pair[0], 7, 42, "body", 4, fds, 2, &err), IPC_OK);
    assert_int_equal(ipc_recv(pair[1], &record, &err), IPC_OK);
    assert_int_equal(record.head.verb, 7);
    assert_int_equal(record.head.serial, 42);
    assert_int_equal(record.fd_count, 2);
    assert_int_equal(fcntl(record.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_memory_equal(ipc_body(&record, 4), "body", 4);
    assert_null(ipc_body(&record, 5));
    int taken = ipc_take_fd(&record, 1);
    assert_true(taken >= 0);
    assert_int_equal(ipc_take_fd(&record, 2), -1);
    ipc_close_fds(&record);
    assert_int_equal(close(taken), 0);
}

static void refuses_what_is_no_record_and_closes_what_came_with_it(void **state)
{
    (void)state;
    struct ipc_header good = {IPC_MAGIC, IPC_VERSION, 1, 4, 0};
    uint8_t bytes[sizeof good + 4] = {0};
    memcpy(bytes, &good, sizeof good);
    for (size_t cut = 1; cut < sizeof bytes; cut++) {
        struct ipc_record record;
        assert_int_equal(send(pair[0], bytes, cut, 0), cut);
        assert_int_equal(ipc_recv(pair[1], &record, NULL), IPC_ERROR);
    }
    for (size_t bit = 0; bit < 8 * sizeof good; bit++) {
        bool free_choice = bit / 8 == 6 || bit / 8 == 7 || bit / 8 >= 12; /* verb and serial */
        uint8_t flipped[sizeof bytes];
        struct ipc_record record;
        struct error err = {0};
        memcpy(flipped, bytes, sizeof bytes);
        flipped[bit / 8] = (uint8_t)(flipped[bit / 8] ^ (1u << bit % 8));
        assert_int_equal(send(pair[0], flipped, sizeof flipped, 0), sizeof flipped);
        assert_int_equal(ipc_recv(pair[1], &record, &err), free_choice ? IPC_OK : IPC_ERROR);
        if (!free_choice)
            assert_string_equal(err.code, "E_IPC_RECORD");
    }
    int before = open_descriptors();
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {bytes, 3};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    int zero = 0;
    memcpy(CMSG_DATA(c), &zero, sizeof zero);
    struct ipc_record record;
    assert_int_equal(sendmsg(pair[0], &message, 0), 3);
    assert_int_equal(ipc_recv(pair[1], &record, NULL), IPC_ERROR);
    assert_int_equal(open_descriptors(), before);
}

static void limits_what_is_sent(void **state)
{
    (void)state;
    static uint8_t large[IPC_BODY_MAX + 1];
    int fds[IPC_FDS_MAX + 1] = {0};
    struct error err = {0};
    assert_int_equal(ipc_send(pair[0], 1, 1, large, sizeof large, NULL, 0, &err), IPC_ERROR);
    assert_string_equal(err.code, "E_IPC_SEND");
    assert_int_equal(ipc_send(pair[0], 1, 1, large, 1, fds, IPC_FDS_MAX + 1, &err), IPC_ERROR);
    assert_int_equal(ipc_send(pair[0], 1, 1, large, IPC_BODY_MAX, NULL, 0, &err), IPC_OK);
    struct ipc_record record;
    assert_int_equal(ipc_recv(pair[1], &record, &err), IPC_OK);
    assert_int_equal(record.head.size, IPC_BODY_MAX);
}

static void tells_full_from_closed(void **state)
{
    (void)state;
    struct ipc_record record;
    uint8_t body[1024] = {0};
    enum ipc_result last = IPC_OK;
    assert_int_equal(ipc_recv(pair[1], &record, NULL), IPC_AGAIN);
    for (int i = 0; i < 10000 && last == IPC_OK; i++)
        last = ipc_send(pair[0], 1, 1, body, sizeof body, NULL, 0, NULL);
    assert_int_equal(last, IPC_AGAIN);
    while (ipc_recv(pair[1], &record, NULL) == IPC_OK)
        continue;
    close(pair[1]);
    assert_int_equal(ipc_recv(pair[0], &record, NULL), IPC_CLOSED);
    assert_int_equal(ipc_send(pair[0], 1, 1, body, 1, NULL, 0, NULL), IPC_CLOSED);
    ipc_tell(pair[0], 1, 1, body, 1); /* nothing happens */
    pair[1] = dup(pair[0]);
}

static void refusals_come_back_as_errors(void **state)
{
    (void)state;
    struct error said = {0}, heard = {0};
    struct ipc_record record;
    fail(&said, "E_SOMETHING", "what and where");
    ipc_tell_error(pair[0], 9, &said);
    assert_int_equal(ipc_recv(pair[1], &record, NULL), IPC_OK);
    assert_int_equal(record.head.serial, 9);
    assert_int_equal(ipc_check_error(&record, &heard), -1);
    assert_string_equal(heard.code, "E_SOMETHING");
    assert_string_equal(heard.text, "what and where");
    memset(record.body, 'x', sizeof record.body);
    assert_int_equal(ipc_check_error(&record, &heard), -1);
    assert_string_equal(heard.code, "E_IPC_RECORD");
    record.head.verb = 3;
    assert_int_equal(ipc_check_error(&record, &heard), 0);
}

static void text_ends_within_its_array_and_is_zero_behind(void **state)
{
    (void)state;
    char name[8] = "shop";
    assert_true(IPC_TEXT_OK(name));
    name[6] = 'x';
    assert_false(IPC_TEXT_OK(name));
    memset(name, 'a', sizeof name);
    assert_false(IPC_TEXT_OK(name));
    memset(name, 0, sizeof name);
    assert_true(IPC_TEXT_OK(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(brings_body_and_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_record_and_closes_what_came_with_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(limits_what_is_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_full_from_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_come_back_as_errors, setup, teardown),
        cmocka_unit_test(text_ends_within_its_array_and_is_zero_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
