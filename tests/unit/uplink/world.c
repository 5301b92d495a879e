#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "ipc/sock.h"
#include "net/tls/x509.h"

#include <cmocka.h> /* last: it defines fail() */

#define DAY_MS (INT64_C(86400) * 1000)
#define PYTHON "/usr/bin/python3"

static void must(int rc, const struct error *err)
{
    if (rc < 0)
        fail_msg("%s: %s", err->code, err->text);
}

static void path_of(const struct world *w, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", w->folder, name);
}

/* Waits until fd has something (or is closed); false at the deadline (boot clock). */
static bool wait_for(int fd, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - clock_boot_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

const char *world_missing(void)
{
    if (access(PYTHON, X_OK) != 0 || system(PYTHON " -c 'import websockets.server' 2>/dev/null") != 0)
        return "python3-websockets is not installed";
    if (system("openssl version >/dev/null 2>&1") != 0)
        return "openssl is not installed";
    return NULL;
}

/* ---- files ---- */

void world_write(struct world *w, const char *name, const char *text, mode_t mode)
{
    char path[128];
    path_of(w, name, path, sizeof path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

void world_read(struct world *w, const char *name, struct buf *out)
{
    uint8_t bytes[4096];
    AUTO_CLOSE int fd = world_open_file(w, name);
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
        assert_int_equal(buf_add(out, bytes, (size_t)n, NULL), 0);
}

bool world_has(struct world *w, const char *name)
{
    char path[128];
    path_of(w, name, path, sizeof path);
    return access(path, F_OK) == 0;
}

void world_remove(struct world *w, const char *name)
{
    char path[128];
    path_of(w, name, path, sizeof path);
    assert_int_equal(unlink(path), 0);
}

int world_open_file(struct world *w, const char *name)
{
    char path[128];
    path_of(w, name, path, sizeof path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

void world_grow(struct world *w, const char *name, size_t size)
{
    char path[128];
    uint8_t bytes[4096];
    path_of(w, name, path, sizeof path);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    for (size_t n; size > 0; size -= n) {
        n = size < sizeof bytes ? size : sizeof bytes;
        assert_int_equal(getrandom(bytes, n, 0), (ssize_t)n);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
    }
    assert_int_equal(fclose(f), 0);
}

bool world_same_files(struct world *w, const char *a, const char *b)
{
    char command[400];
    snprintf(command, sizeof command, "cmp %s/%s %s/%s", w->folder, a, w->folder, b);
    return system(command) == 0;
}

/* ---- begin and end ---- */

static void make_certificates(struct world *w)
{
    struct error err = {0};
    int64_t now = clock_wall_ms();
    AUTO_BUF struct buf key = BUF(X509_PEM_MAX), csr = BUF(X509_PEM_MAX), cert = BUF(X509_PEM_MAX);
    must(x509_make_key(&w->ca_key, &err), &err);
    must(x509_make_ca(buf_text(&w->ca_key), "test plane CA", now - DAY_MS, now + 900 * DAY_MS, &w->ca_pem, &err), &err);
    must(x509_make_key(&key, &err), &err);
    must(x509_make_csr(buf_text(&key), "test plane", &csr, &err), &err);
    const struct x509_issue what = {.ca_cert_pem = buf_text(&w->ca_pem), .ca_key_pem = buf_text(&w->ca_key),
                                    .csr_pem = buf_text(&csr), .common_name = "test plane", .use = X509_SERVER,
                                    .names = {"127.0.0.1"}, .not_before_ms = now - DAY_MS, .not_after_ms = now + 90 * DAY_MS};
    must(x509_issue(&what, &cert, &err), &err);
    world_write(w, "ca.pem", buf_text(&w->ca_pem), 0600);
    world_write(w, "ca.key", buf_text(&w->ca_key), 0600);
    world_write(w, "server.pem", buf_text(&cert), 0600);
    world_write(w, "server.key", buf_text(&key), 0600);
}

char *world_envelope(const char *type, const void *payload, size_t size)
{
    char *base64 = malloc(BASE64_SIZE(size)), *out = NULL;
    uint8_t sig[64];
    char sig64[BASE64_SIZE(sizeof sig)];
    assert_non_null(base64);
    memset(sig, 7, sizeof sig);
    base64_encode(payload, size, base64);
    base64_encode(sig, sizeof sig, sig64);
    assert_true(asprintf(&out,
                         "{\"payloadType\":\"application/vnd.klystrr.%s.v1+json\",\"payload\":\"%s\",\"signatures\":[{\"keyid\":\"%s\","
                         "\"sig\":\"%s\"}]}",
                         type, base64, WORLD_TOKEN, sig64) > 0);
    free(base64);
    return out;
}

void world_open(struct world *w)
{
    char path[128];
    struct error err = {0};
    *w = (struct world){.plane_in = -1, .plane_out = -1, .link_listener = -1, .api_listener = -1, .link = -1,
                        .lines = BUF(1 << 24), .ca_key = BUF(X509_PEM_MAX), .ca_pem = BUF(X509_PEM_MAX)};
    signal(SIGPIPE, SIG_IGN);
    snprintf(w->folder, sizeof w->folder, "/tmp/kly-uplink-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    make_certificates(w);
    char *trust = world_envelope("trust", "{\"type\":\"trust\"}", 16);
    world_write(w, "trust.json", trust, 0600);
    free(trust);
    path_of(w, "identity", path, sizeof path);
    assert_int_equal(mkdir(path, 0700), 0);
    world_write(w, "identity/token", WORLD_TOKEN "\n", 0600);
    world_write(w, "token.sha256", WORLD_TOKEN_SHA256, 0600);
    path_of(w, "link.sock", path, sizeof path);
    w->link_listener = sock_listen(path, SOCK_SEQPACKET, 0600, geteuid(), getegid(), &err);
    must(w->link_listener, &err);
    path_of(w, "agent.sock", path, sizeof path);
    w->api_listener = sock_listen(path, SOCK_STREAM, 0600, geteuid(), getegid(), &err);
    must(w->api_listener, &err);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void world_close(struct world *w)
{
    char command[128];
    world_uplink_kill(w, SIGKILL);
    world_plane_stop(w);
    world_agent_drop(w);
    close_fd(&w->link_listener);
    close_fd(&w->api_listener);
    buf_free(&w->lines);
    buf_wipe_free(&w->ca_key);
    buf_free(&w->ca_pem);
    snprintf(command, sizeof command, "rm -rf '%s'", w->folder);
    assert_int_equal(system(command), 0);
}

/* ---- the plane ---- */

void world_set_agent_json(struct world *w, const char *ca_hex)
{
    char text[1024], hex[65];
    struct x509_info info;
    assert_int_equal(x509_read(buf_text(&w->ca_pem), &info, NULL), 0);
    hex_encode(info.sha256, sizeof info.sha256, hex);
    snprintf(text, sizeof text,
             "{\"server\":\"" WORLD_SERVER "\",\"plane\":\"https://127.0.0.1:%d\",\"ca\":\"%s\",\"trust\":\"" WORLD_TOKEN
             "\",\"mode\":\"direct\"}",
             w->port, ca_hex != NULL ? ca_hex : hex);
    world_write(w, "agent.json", text, 0644);
}

/* Reads what the plane said so far; false at the deadline or its end. */
static bool read_plane(struct world *w, int64_t deadline)
{
    uint8_t bytes[65536];
    if (!wait_for(w->plane_out, deadline))
        return false;
    ssize_t n = read(w->plane_out, bytes, sizeof bytes);
    return n > 0 && buf_add(&w->lines, bytes, (size_t)n, NULL) == 0;
}

/* Takes one whole line into w->line. */
static bool next_line(struct world *w, int64_t deadline)
{
    uint8_t *end;
    while (w->lines.size == 0 || (end = memchr(w->lines.data, '\n', w->lines.size)) == NULL)
        if (!read_plane(w, deadline))
            return false;
    size_t size = (size_t)(end - w->lines.data);
    snprintf(w->line, sizeof w->line, "%.*s", (int)size, (const char *)w->lines.data);
    buf_drop_front(&w->lines, size + 1);
    return true;
}

void world_plane_start(struct world *w)
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    w->plane = fork();
    assert_true(w->plane >= 0);
    if (w->plane == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(PYTHON, PYTHON, KLY_SOURCE_DIR "/tests/unit/uplink/plane.py", w->folder, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    w->plane_in = in[1];
    w->plane_out = out[0];
    w->lines.size = 0;
    if (!next_line(w, clock_boot_ms() + WORLD_WAIT_MS))
        fail_msg("the test plane did not start");
    w->port = atoi(w->line);
    assert_in_range(w->port, 1, 65535);
    world_set_agent_json(w, NULL);
}

void world_plane_stop(struct world *w)
{
    close_fd(&w->plane_in);
    close_fd(&w->plane_out);
    if (w->plane > 0) {
        kill(w->plane, SIGKILL);
        waitpid(w->plane, NULL, 0);
    }
    w->plane = 0;
}

void world_tell_plane(struct world *w, const char *command)
{
    assert_int_equal(dprintf(w->plane_in, "%s\n", command), (int)strlen(command) + 1);
}

const char *world_expect_plane(struct world *w, const char *a, const char *b)
{
    int64_t deadline = clock_boot_ms() + WORLD_WAIT_MS;
    while (next_line(w, deadline)) {
        if (strstr(w->line, a) != NULL && (b == NULL || strstr(w->line, b) != NULL))
            return w->line;
        if (strstr(w->line, "\"breach\"") != NULL)
            fail_msg("the plane says: %s", w->line);
    }
    fail_msg("the plane did not say: %s %s", a, b != NULL ? b : "");
    return NULL;
}

bool world_plane_did_not_say(struct world *w, const char *a)
{
    int64_t deadline = clock_boot_ms() + WORLD_WAIT_MS;
    world_tell_plane(w, "ping");
    while (next_line(w, deadline)) {
        if (strstr(w->line, a) != NULL)
            return false;
        if (strstr(w->line, "\"pong\"") != NULL)
            return true;
    }
    fail_msg("the plane does not answer");
    return false;
}

/* ---- the uplink ---- */

/* In the child: descriptor 3 is agent.sock, and LISTEN_PID is ours. */
static void become_uplink(const struct world *w)
{
    char config[128], state[128], link[128], pid[24];
    path_of(w, "agent.json", config, sizeof config);
    path_of(w, "identity", state, sizeof state);
    path_of(w, "link.sock", link, sizeof link);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    if (geteuid() != 0) /* the leak checker wants to trace the process, which it forbids to all but root */
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    if (w->api_listener == 3)
        fcntl(3, F_SETFD, 0);
    else
        dup2(w->api_listener, 3);
    execl(KLY_UPLINK_PROGRAM, "klystrr-uplink", "--config", config, "--state", state, "--link", link, (char *)NULL);
    _exit(127);
}

void world_uplink_start(struct world *w)
{
    w->uplink = fork();
    assert_true(w->uplink >= 0);
    if (w->uplink == 0)
        become_uplink(w);
}

void world_uplink_kill(struct world *w, int signal)
{
    int status = 0;
    if (w->uplink <= 0)
        return;
    kill(w->uplink, signal);
    int64_t deadline = clock_boot_ms() + WORLD_WAIT_MS;
    while (waitpid(w->uplink, &status, WNOHANG) == 0) {
        if (clock_boot_ms() > deadline)
            fail_msg("the uplink does not end on signal %d", signal);
        poll(NULL, 0, 5);
    }
    w->uplink = 0;
    if (signal == SIGTERM) /* with the sanitizers that is also: nothing leaked */
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

bool world_uplink_lives(struct world *w)
{
    return waitpid(w->uplink, NULL, WNOHANG) == 0;
}

/* ---- the agent ---- */

void world_agent_accept(struct world *w)
{
    struct error err = {0};
    assert_int_equal(w->link, -1);
    if (!wait_for(w->link_listener, clock_boot_ms() + WORLD_WAIT_MS))
        fail_msg("the uplink does not come to the agent");
    uid_t self = geteuid();
    w->link = sock_accept(w->link_listener, &self, 1, NULL, &err);
    must(w->link, &err);
}

void world_agent_drop(struct world *w)
{
    close_fd(&w->link);
}

void world_agent_send(struct world *w, uint16_t verb, const void *body, size_t size, int fd)
{
    struct error err = {0};
    enum ipc_result rc;
    while ((rc = ipc_send(w->link, verb, 0, body, size, &fd, fd >= 0 ? 1 : 0, &err)) == IPC_AGAIN)
        poll(&(struct pollfd){.fd = w->link, .events = POLLOUT}, 1, 100);
    if (fd >= 0)
        close(fd);
    (void)rc; /* an uplink that was just killed is noticed by those who expect something of it */
}

void world_agent_begin(struct world *w)
{
    struct link_hello hello = {.server = WORLD_SERVER, .version = "0.1.0", .box_level = 2};
    memset(hello.challenge, 5, sizeof hello.challenge);
    memset(hello.seal, 9, sizeof hello.seal);
    hello.seal[0] = 4;
    world_agent_send(w, LINK_HELLO, &hello, sizeof hello, -1);
}

void world_agent_ready(struct world *w)
{
    static const char status[] = "{\"version\":\"0.1.0\",\"server\":\"" WORLD_SERVER
                                 "\",\"link\":{\"online\":false},\"projects\":[{\"project\":\"shop\",\"live\":\"1-0123456789ab\"}]}";
    world_agent_send(w, LINK_STATUS, NULL, 0, memfd_sealed("status", status, strlen(status), NULL));
    world_agent_send(w, LINK_READY, NULL, 0, -1);
}

void world_agent_hello(struct world *w)
{
    world_agent_begin(w);
    struct link_project project = {.project = "shop", .manifest_version = 3, .sequence = 12};
    memset(project.manifest_digest, 0xaa, sizeof project.manifest_digest);
    world_agent_send(w, LINK_PROJECT, &project, sizeof project, -1);
    world_agent_ready(w);
}

const struct ipc_record *world_agent_expect(struct world *w, uint16_t verb)
{
    struct error err = {0};
    int64_t deadline = clock_boot_ms() + WORLD_WAIT_MS;
    while (wait_for(w->link, deadline)) {
        enum ipc_result rc = ipc_recv(w->link, &w->record, &err);
        if (rc == IPC_AGAIN)
            continue;
        if (rc != IPC_OK)
            fail_msg("the uplink left while record %u was expected: %s", (unsigned)verb, err.text);
        if (w->record.head.verb == verb)
            return &w->record;
        ipc_close_fds(&w->record);
    }
    fail_msg("the uplink did not send record %u", (unsigned)verb);
    return NULL;
}

const struct link_online *world_expect_online(struct world *w, bool online)
{
    for (;;) {
        const struct link_online *body = ipc_body(world_agent_expect(w, LINK_ONLINE), sizeof *body);
        assert_non_null(body);
        assert_true(IPC_TEXT_OK(body->text) && IPC_TEXT_OK(body->plane));
        if ((body->online != 0) == online)
            return body;
    }
}

/* ---- people ---- */

int world_reach(struct world *w)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    path_of(w, "agent.sock", to.sun_path, sizeof to.sun_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

char *world_ask(struct world *w, const char *request)
{
    AUTO_CLOSE int fd = world_reach(w);
    struct buf answer = BUF(1 << 22);
    uint8_t bytes[65536];
    ssize_t n;
    (void)send(fd, request, strlen(request), MSG_NOSIGNAL); /* refused before it is read: the answer tells */
    int64_t deadline = clock_boot_ms() + WORLD_WAIT_MS;
    do {
        if (!wait_for(fd, deadline))
            fail_msg("agent.sock does not answer");
        n = read(fd, bytes, sizeof bytes);
        if (n > 0)
            assert_int_equal(buf_add(&answer, bytes, (size_t)n, NULL), 0);
    } while (n > 0);
    return answer.data != NULL ? (char *)answer.data : strdup("");
}
