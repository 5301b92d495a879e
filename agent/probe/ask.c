#include "agent/probe/ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <llhttp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static int wait_for(int fd, short events, int64_t until_ms, struct error *err)
{
    for (;;) {
        int64_t left = until_ms - clock_mono_ms();
        struct pollfd wait = {.fd = fd, .events = events};
        int ready = left > 0 ? poll(&wait, 1, left > 60000 ? 60000 : (int)left) : 0;
        if (ready > 0)
            return 0;
        if (ready == 0 && clock_mono_ms() >= until_ms)
            return fail(err, "E_PROBE_TIMEOUT", "the app takes the connection but does not answer in time");
        if (ready < 0 && errno != EINTR)
            return fail_errno(err, "E_PROBE_PROTOCOL", errno, "poll failed");
    }
}

/* ---- the connection ---- */

static int connect_to(const struct sockaddr *address, socklen_t size, int64_t until_ms, struct error *err)
{
    AUTO_CLOSE int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int why = fd < 0 ? errno : 0;
    socklen_t length = sizeof why;
    if (fd >= 0 && connect(fd, address, size) < 0) {
        why = errno;
        if (why == EINPROGRESS && wait_for(fd, POLLOUT, until_ms, err) < 0)
            return -1;
        if (why == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &length) < 0)
            why = errno;
    }
    return why == 0 ? take_fd(&fd) : fail_errno(err, "E_PROBE_REFUSED", why, "no connection");
}

static int open_connection(const struct ask *ask, struct error *err)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(ask->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(ask->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = connect_to((const struct sockaddr *)&v4, sizeof v4, ask->until_ms, err);
    if (fd >= 0 || strcmp(err->code, "E_PROBE_REFUSED") != 0)
        return fd;
    fd = connect_to((const struct sockaddr *)&v6, sizeof v6, ask->until_ms, err);
    if (fd >= 0 || strcmp(err->code, "E_PROBE_REFUSED") != 0)
        return fd;
    return fail(err, "E_PROBE_REFUSED", "nobody listens on 127.0.0.1:%u or [::1]:%u", ask->port, ask->port);
}

static int send_request(int fd, const struct ask *ask, struct error *err)
{
    AUTO_BUF struct buf text = BUF(4096);
    if (buf_addf(&text, err, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: klystrr-probe\r\nAccept: */*\r\n"
                             "Connection: close\r\n\r\n", ask->path, ask->host) < 0)
        return -1;
    for (size_t sent = 0; sent < text.size;) {
        ssize_t now = send(fd, text.data + sent, text.size - sent, MSG_NOSIGNAL);
        if (now < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (wait_for(fd, POLLOUT, ask->until_ms, err) < 0)
                return -1;
            continue;
        }
        if (now < 0)
            return fail_errno(err, "E_PROBE_PROTOCOL", errno, "the app closed the connection");
        sent += (size_t)now;
    }
    return 0;
}

/* ---- the answer ---- */

struct reading {
    const char *wanted;
    struct answer *answer;
    char name[128];
    size_t name_size, value_size, body, head;
    bool in_value, head_done, done;
};

static struct reading *of(llhttp_t *parser)
{
    return parser->data;
}

static int on_name(llhttp_t *parser, const char *data, size_t size)
{
    struct reading *r = of(parser);
    if (r->in_value)
        r->name_size = 0;
    r->in_value = false;
    for (size_t i = 0; i < size && r->name_size < sizeof r->name - 1; i++)
        r->name[r->name_size++] = data[i];
    r->name[r->name_size] = '\0';
    return 0;
}

static int on_value(llhttp_t *parser, const char *data, size_t size)
{
    struct reading *r = of(parser);
    bool begins = !r->in_value;
    r->in_value = true;
    if (r->wanted == NULL || strcasecmp(r->name, r->wanted) != 0)
        return 0;
    if (begins)
        r->value_size = 0;
    for (size_t i = 0; i < size && r->value_size < sizeof r->answer->header - 1; i++)
        r->answer->header[r->value_size++] = data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '?';
    r->answer->header[r->value_size] = '\0';
    return 0;
}

static int on_head(llhttp_t *parser)
{
    struct reading *r = of(parser);
    r->answer->status = (unsigned)parser->status_code;
    r->head_done = parser->status_code >= 200; /* 1xx are not the answer */
    return 0;
}

static int on_body(llhttp_t *parser, const char *data, size_t size)
{
    (void)data;
    struct reading *r = of(parser);
    r->body += size;
    r->done = r->done || r->body >= ASK_BODY_MAX;
    return 0;
}

static int on_end(llhttp_t *parser)
{
    of(parser)->done = of(parser)->done || of(parser)->head_done;
    return 0;
}

static int bad_answer(struct error *err, const char *why)
{
    return fail(err, "E_PROBE_PROTOCOL", "what listens there does not speak HTTP: %s", why);
}

/* The head decides; a body is only read so that the app can finish its sentence. */
static int feed(llhttp_t *parser, struct reading *r, const char *data, size_t size, struct error *err)
{
    enum llhttp_errno result = llhttp_execute(parser, data, size);
    r->head += r->head_done ? 0 : size;
    if (r->head_done && (result != HPE_OK || size == 0))
        r->done = true;
    if (r->head_done)
        return 0;
    if (result != HPE_OK)
        return bad_answer(err, llhttp_errno_name(result));
    return r->head > ASK_HEAD_MAX ? bad_answer(err, "its head has no end") : 0;
}

static int read_answer(int fd, const struct ask *ask, struct answer *out, struct error *err)
{
    struct reading r = {.wanted = ask->header, .answer = out};
    llhttp_settings_t settings;
    llhttp_t parser;
    char some[4096];
    llhttp_settings_init(&settings);
    settings.on_header_field = on_name;
    settings.on_header_value = on_value;
    settings.on_headers_complete = on_head;
    settings.on_body = on_body;
    settings.on_message_complete = on_end;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = &r;
    while (!r.done) {
        ssize_t got = recv(fd, some, sizeof some, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (wait_for(fd, POLLIN, ask->until_ms, err) < 0)
                return r.head_done ? 0 : -1;
            continue;
        }
        if (got <= 0)
            return r.head_done ? 0 : bad_answer(err, "it closes the connection without an answer");
        if (feed(&parser, &r, some, (size_t)got, err) < 0)
            return -1;
    }
    return 0;
}

int ask_once(const struct ask *ask, struct answer *out, struct error *err)
{
    *out = (struct answer){0};
    AUTO_CLOSE int fd = open_connection(ask, err);
    if (fd < 0 || send_request(fd, ask, err) < 0)
        return -1;
    return read_answer(fd, ask, out, err);
}
