#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/probe/ask.h"
#include "base/clock.h"

/* A server process that answers every connection with these bytes, in two writes, then closes. */
struct server {
    pid_t pid;
    uint16_t port;
};

static int listening(int family, uint16_t *port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t size = family == AF_INET ? sizeof v4 : sizeof v6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, address, size) < 0 || listen(fd, 8) < 0 || getsockname(fd, address, &size) < 0)
        return -1;
    *port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
    return fd;
}

static void serve(int fd, const char *answer, size_t size, unsigned stall)
{
    for (;;) {
        char request[4096];
        int client = accept(fd, NULL, NULL);
        ssize_t got = recv(client, request, sizeof request, 0);
        if (got > 0 && send(client, answer, size / 2, MSG_NOSIGNAL) >= 0)
            (void)!send(client, answer + size / 2, size - size / 2, MSG_NOSIGNAL);
        if (stall > 0)
            sleep(stall);
        close(client);
    }
}

static struct server start(int family, const char *answer, unsigned stall)
{
    struct server s;
    int fd = listening(family, &s.port);
    assert_true(fd >= 0);
    s.pid = fork();
    if (s.pid == 0)
        serve(fd, answer, strlen(answer), stall);
    close(fd);
    return s;
}

static void stop(const struct server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}

/* Returns the status, or 0 with err. */
static unsigned ask_for(const struct server *s, const char *header, int64_t ms, struct answer *answer, struct error *err)
{
    struct ask ask = {.port = s->port, .host = "shop.example.org", .path = "/healthz", .header = header,
                      .until_ms = clock_mono_ms() + ms};
    return ask_once(&ask, answer, err) == 0 ? answer->status : 0;
}

static unsigned status_of(const char *text)
{
    struct server s = start(AF_INET, text, 0);
    struct answer answer;
    struct error err = {0};
    unsigned status = ask_for(&s, NULL, 10000, &answer, &err);
    stop(&s);
    if (status == 0)
        assert_string_equal(err.code, "E_PROBE_PROTOCOL");
    return status;
}

static void tells_the_status(void **state)
{
    (void)state;
    assert_int_equal(status_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200);
    assert_int_equal(status_of("HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"), 500);
    assert_int_equal(status_of("HTTP/1.1 204 No Content\r\n\r\n"), 204);
    assert_int_equal(status_of("HTTP/1.0 200 OK\r\n\r\nuntil the end"), 200);
    assert_int_equal(status_of("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
                     404);
    assert_int_equal(status_of("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut"), 200);
}

static void refuses_what_is_not_http(void **state)
{
    (void)state;
    assert_int_equal(status_of("SSH-2.0-OpenSSH_9.2\r\n"), 0);
    assert_int_equal(status_of("HTTP/1.1 200"), 0);
    assert_int_equal(status_of("HTTP/9.9 200 OK\r\n\r\n"), 0);
    assert_int_equal(status_of("HTTP/1.1 103 Early Hints\r\n\r\n"), 0);
    assert_int_equal(status_of("\r"), 0);
}

static void tells_the_header_that_is_asked_for(void **state)
{
    (void)state;
    struct answer answer;
    struct error err = {0};
    struct server s = start(AF_INET, "HTTP/1.1 200 OK\r\nA: b\r\nx-klystrr-release: 12-0123456789ab\r\nC: d\r\nContent-Length: 0\r\n\r\n", 0);
    assert_int_equal(ask_for(&s, "X-Klystrr-Release", 10000, &answer, &err), 200);
    assert_string_equal(answer.header, "12-0123456789ab");
    assert_int_equal(ask_for(&s, "X-Other", 10000, &answer, &err), 200);
    assert_string_equal(answer.header, "");
    stop(&s);
}

static void asks_the_other_family_when_the_first_refuses(void **state)
{
    (void)state;
    uint16_t port;
    int fd = listening(AF_INET6, &port);
    if (fd < 0)
        skip();
    close(fd);
    struct answer answer;
    struct error err = {0};
    struct server s = start(AF_INET6, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    assert_int_equal(ask_for(&s, NULL, 10000, &answer, &err), 200);
    stop(&s);
}

static void says_that_nobody_listens(void **state)
{
    (void)state;
    struct server s = {0};
    struct answer answer;
    struct error err = {0};
    int fd = listening(AF_INET, &s.port);
    close(fd);
    assert_int_equal(ask_for(&s, NULL, 10000, &answer, &err), 0);
    assert_string_equal(err.code, "E_PROBE_REFUSED");
}

static void waits_no_longer_than_it_may(void **state)
{
    (void)state;
    struct answer answer;
    struct error err = {0};
    struct server s = start(AF_INET, "H", 60);
    int64_t began = clock_mono_ms();
    assert_int_equal(ask_for(&s, NULL, 200, &answer, &err), 0);
    assert_string_equal(err.code, "E_PROBE_TIMEOUT");
    assert_true(clock_mono_ms() - began < 10000);
    stop(&s);
}

static void reads_no_endless_answer(void **state)
{
    (void)state;
    char *text = malloc(400001);
    struct answer answer;
    struct error err = {0};
    assert_non_null(text);
    memset(text, 'x', 400000);
    text[400000] = '\0';
    memcpy(text, "HTTP/1.1 200 OK\r\n\r\n", 19);
    assert_int_equal(status_of(text), 200); /* a body: enough of it was read */
    memcpy(text, "HTTP/1.1 200 OK\r\nA: ", 20);
    struct server s = start(AF_INET, text, 0);
    assert_int_equal(ask_for(&s, NULL, 10000, &answer, &err), 0);
    assert_string_equal(err.code, "E_PROBE_PROTOCOL");
    stop(&s);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_status),
        cmocka_unit_test(refuses_what_is_not_http),
        cmocka_unit_test(tells_the_header_that_is_asked_for),
        cmocka_unit_test(asks_the_other_family_when_the_first_refuses),
        cmocka_unit_test(says_that_nobody_listens),
        cmocka_unit_test(waits_no_longer_than_it_may),
        cmocka_unit_test(reads_no_endless_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
