/* klystrr-probe: does the app answer, and who is it that listens? Blocking, one try after the other until the time is over.
 * Asks 127.0.0.1 and, if nobody listens there, [::1]. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/probe/answer.h"
#include "agent/probe/listener.h"
#include "agent/probe/result.h"
#include "base/buf.h"
#include "base/clock.h"

#define TRY_MAX_MS    10000 /* one try: an app that hangs is asked again */
#define LISTENERS_MAX 4096
#define PORTS_SHOWN   16

struct wish {
    long port, status, timeout_ms, interval_ms, who, uid;
    const char *path, *host, *header;
};

static int wait_fd(int fd, short events, int64_t deadline)
{
    int64_t left = deadline - clock_mono_ms();
    struct pollfd p = {fd, events, 0};
    return left <= 0 ? 0 : poll(&p, 1, (int)left);
}

static int connect_to(const struct sockaddr *to, socklen_t size, int64_t deadline, struct error *err)
{
    AUTO_CLOSE int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int problem = 0;
    socklen_t length = sizeof problem;
    if (fd < 0)
        return fail_errno(err, "E_PROBE_REFUSED", errno, "no socket");
    if (connect(fd, to, size) < 0) {
        if (errno != EINPROGRESS)
            return fail_errno(err, "E_PROBE_REFUSED", errno, "nobody listens");
        if (wait_fd(fd, POLLOUT, deadline) <= 0)
            return fail(err, "E_PROBE_TIMEOUT", "the connection is not taken");
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &length) < 0 || problem != 0)
            return fail_errno(err, "E_PROBE_REFUSED", problem, "nobody listens");
    }
    return take_fd(&fd);
}

static int connect_loopback(uint16_t port, int64_t deadline, struct error *err)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = connect_to((struct sockaddr *)&four, sizeof four, deadline, err);
    if (fd < 0 && strcmp(err->code, "E_PROBE_REFUSED") == 0) {
        struct error second = {0};
        fd = connect_to((struct sockaddr *)&six, sizeof six, deadline, &second);
    }
    return fd;
}

static int send_request(int fd, const struct wish *w, int64_t deadline, struct error *err)
{
    AUTO_BUF struct buf text = BUF(8192);
    if (buf_addf(&text, err, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: klystrr-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n", w->path, w->host) < 0)
        return -1;
    for (size_t done = 0; done < text.size;) {
        ssize_t n = send(fd, text.data + done, text.size - done, MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            return fail_errno(err, "E_PROBE_PROTOCOL", errno, "it closed the connection");
        else if (wait_fd(fd, POLLOUT, deadline) <= 0)
            return fail(err, "E_PROBE_TIMEOUT", "it does not read the request");
    }
    return 0;
}

/* Until the head is there and the body is over, too long or slow: the status alone decides. */
static int read_answer(int fd, struct answer *a, int64_t deadline, struct error *err)
{
    while (!a->complete && a->body_bytes < ANSWER_BODY_MAX) {
        char chunk[16384];
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n > 0) {
            if (answer_feed(a, chunk, (size_t)n, err) < 0)
                return -1;
        } else if (n == 0) {
            return a->head_done ? 0 : fail(err, "E_PROBE_PROTOCOL", "it closed the connection before it answered");
        } else if (errno != EAGAIN && errno != EINTR) {
            return a->head_done ? 0 : fail_errno(err, "E_PROBE_PROTOCOL", errno, "it broke the connection off");
        } else if (a->head_done || wait_fd(fd, POLLIN, deadline) <= 0) {
            return a->head_done ? 0 : fail(err, "E_PROBE_TIMEOUT", "it takes the connection and does not answer");
        }
    }
    return 0;
}

static int try_once(const struct wish *w, struct answer *a, int64_t deadline, struct error *err)
{
    int64_t until = clock_mono_ms() + TRY_MAX_MS;
    if (until > deadline)
        until = deadline;
    AUTO_CLOSE int fd = connect_loopback((uint16_t)w->port, until, err);
    answer_init(a, w->header);
    if (fd < 0 || send_request(fd, w, until, err) < 0 || read_answer(fd, a, until, err) < 0)
        return -1;
    if (answer_status(a) != w->status)
        return fail(err, "E_PROBE_STATUS", "it answers %s with status %d, and %ld was asked for", w->path, answer_status(a), w->status);
    return 0;
}

static void print_escaped(const char *text)
{
    if (*text == 0)
        putchar('-');
    for (; *text != 0; text++)
        if ((unsigned char)*text > ' ' && (unsigned char)*text < 0x7f && *text != '\\')
            putchar(*text);
        else
            printf("\\x%02x", (unsigned char)*text);
}

static int probe(const struct wish *w)
{
    struct answer a;
    struct error err = {0};
    int64_t deadline = clock_mono_ms() + w->timeout_ms;
    for (;;) {
        if (try_once(w, &a, deadline, &err) == 0) {
            printf("status %d header ", answer_status(&a));
            print_escaped(a.value);
            putchar('\n');
            return PROBE_EXIT_OK;
        }
        int64_t left = deadline - clock_mono_ms();
        if (left <= w->interval_ms)
            break;
        nanosleep(&(struct timespec){w->interval_ms / 1000, w->interval_ms % 1000 * 1000000}, NULL);
    }
    fprintf(stderr, "klystrr-probe: %s port %ld: %s\n", err.code, w->port, err.text);
    return PROBE_EXIT_FAILED;
}

static int who(const struct wish *w)
{
    static struct listener all[LISTENERS_MAX];
    size_t count = listeners_read(all, LISTENERS_MAX), shown = 0;
    for (size_t i = 0; i < count && shown < PORTS_SHOWN; i++) {
        if (w->who > 0 && all[i].port == w->who && all[i].reachable) {
            printf("uid %u inode %llu\n", all[i].uid, (unsigned long long)all[i].inode);
            return PROBE_EXIT_OK;
        }
        if (w->uid >= 0 && all[i].uid == (uint32_t)w->uid) {
            printf("port %u\n", all[i].port);
            shown++;
        }
    }
    if (shown > 0)
        return PROBE_EXIT_OK;
    fprintf(stderr, "klystrr-probe: E_PROBE_REFUSED nobody listens there\n");
    return PROBE_EXIT_FAILED;
}

static int number(const char *text, long low, long high, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    return *text == 0 || *end != 0 || errno != 0 || *out < low || *out > high ? -1 : 0;
}

static int usage(void)
{
    fprintf(stderr, "klystrr-probe: E_USAGE --port N [--path P] [--host H] [--status S] [--timeout MS] [--interval MS] [--header NAME], "
                    "or --who PORT, or --listens UID\n");
    return PROBE_EXIT_USAGE;
}

static bool line_safe(const char *text)
{
    for (; *text != 0; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"port", 1, NULL, 'p'},     {"path", 1, NULL, 'a'},   {"host", 1, NULL, 'h'},
                                            {"status", 1, NULL, 's'},   {"timeout", 1, NULL, 't'}, {"interval", 1, NULL, 'i'},
                                            {"header", 1, NULL, 'e'},   {"who", 1, NULL, 'w'},     {"listens", 1, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    struct wish w = {.status = 200, .timeout_ms = 5000, .interval_ms = 200, .uid = -1, .path = "/", .host = "localhost"};
    int option, bad = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p': bad |= number(optarg, 1, 65535, &w.port); break;
        case 'a': w.path = optarg; break;
        case 'h': w.host = optarg; break;
        case 's': bad |= number(optarg, 100, 599, &w.status); break;
        case 't': bad |= number(optarg, 1, 600000, &w.timeout_ms); break;
        case 'i': bad |= number(optarg, 10, 60000, &w.interval_ms); break;
        case 'e': w.header = optarg; break;
        case 'w': bad |= number(optarg, 1, 65535, &w.who); break;
        case 'l': bad |= number(optarg, 0, 0x7fffffff, &w.uid); break;
        default: bad = -1; break;
        }
    }
    int asked = (w.port > 0) + (w.who > 0) + (w.uid >= 0);
    if (bad < 0 || optind != argc || asked != 1 || w.path[0] != '/' || strlen(w.path) > 4096 || strlen(w.host) > 300 || !line_safe(w.path) || !line_safe(w.host))
        return usage();
    return w.port > 0 ? probe(&w) : who(&w);
}
