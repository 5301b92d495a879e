#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/probe/listener.h"

static const char table[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:4E31 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 31337 1 0000 100 0 0 10 0\n"
    "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18446744073709551615 1 0\n"
    "   2: 0A00000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 7 1 0000 100 0 0 10 0\n"
    "   3: 0100007F:4E31 0100007F:9999 01 00000000:00000000 00:00000000 00000000   998        0 31338 1 0000 20 4 30 10 -1\n"
    "nonsense\n"
    "   4: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 99 1 0\n";

static void takes_listening_sockets_only(void **state)
{
    (void)state;
    struct listener found[8];
    assert_int_equal(listeners_parse(table, found, 8), 4);
    assert_int_equal(found[0].port, 0x4e31);
    assert_int_equal(found[0].uid, 998);
    assert_int_equal(found[0].inode, 31337);
    assert_true(found[0].reachable);
    assert_true(found[1].reachable);
    assert_false(found[2].reachable); /* another address of this machine */
    assert_int_equal(found[3].port, 3000);
    assert_true(found[3].reachable);
}

static void stops_at_the_room_given(void **state)
{
    (void)state;
    struct listener found[1];
    assert_int_equal(listeners_parse(table, found, 1), 1);
    assert_int_equal(listeners_parse("", found, 1), 0);
}

static void finds_a_socket_of_this_process(void **state)
{
    (void)state;
    static struct listener all[4096];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    size_t count = listeners_read(all, 4096), hits = 0;
    for (size_t i = 0; i < count; i++)
        hits += all[i].port == ntohs(at.sin_port) && all[i].uid == getuid() && all[i].reachable;
    close(fd);
    assert_int_equal(hits, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_listening_sockets_only),
        cmocka_unit_test(stops_at_the_room_given),
        cmocka_unit_test(finds_a_socket_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
