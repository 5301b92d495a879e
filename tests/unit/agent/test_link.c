#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent/control.h"
#include "agent/agent/link.h"
#include "ipc/record.h"
#include "ipc/sock.h"

static char folder[64], path[96];
static uv_loop_t loop;
static struct link *l;
static struct control *control;
static unsigned connected, documents, requests;
static size_t payload_size;
static struct error err;

static void on_connected(void *ctx)
{
    (void)ctx;
    connected++;
}
static void on_document(void *ctx, const struct signed_bytes *document)
{
    (void)ctx;
    documents++;
    payload_size = document->payload.size;
}
static void on_acked(void *ctx, const struct link_grown *acked)
{
    (void)ctx;
    (void)acked;
}
static void on_need_challenge(void *ctx)
{
    (void)ctx;
}
static void on_online(void *ctx, const struct link_online *online)
{
    (void)ctx;
    (void)online;
}
static void on_request(void *ctx, struct control_client *client, enum control_verb verb, const struct control_target *target,
                       const struct control_watch *watch)
{
    (void)ctx;
    (void)target;
    (void)watch;
    requests++;
    if (verb == CONTROL_WATCH)
        control_follow(client, watch->deployment);
    else
        control_say(client, CONTROL_DONE, NULL, 0, -1);
}

static int setup(void **unused)
{
    static const struct link_events link_events = {on_connected, on_document, on_acked, on_need_challenge, on_online};
    static const struct control_events control_events = {on_request};
    (void)unused;
    strcpy(folder, "/tmp/kly-link-XXXXXX");
    assert_non_null(mkdtemp(folder));
    connected = documents = requests = 0;
    uv_loop_init(&loop);
    snprintf(path, sizeof path, "%s/link.sock", folder);
    int fd = sock_listen(path, SOCK_SEQPACKET, 0600, geteuid(), getegid(), &err);
    assert_int_equal(link_open(&loop, fd, geteuid(), &link_events, NULL, &l, &err), 0);
    snprintf(path, sizeof path, "%s/control.sock", folder);
    fd = sock_listen(path, SOCK_SEQPACKET, 0600, geteuid(), getegid(), &err);
    assert_int_equal(control_open(&loop, fd, &control_events, NULL, &control, &err), 0);
    return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* The structs live as long as the agent does; here they end with the test. */
static int teardown(void **unused)
{
    (void)unused;
    uv_walk(&loop, close_handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    free(l);
    free(control);
    snprintf(path, sizeof path, "%s/link.sock", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/control.sock", folder);
    unlink(path);
    return rmdir(folder);
}

static void turn(void)
{
    for (int i = 0; i < 8; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static int dial(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = sock_connect(path, &err);
    assert_true(fd >= 0);
    turn();
    return fd;
}

static bool is_closed(int fd)
{
    char block[16];
    turn();
    return recv(fd, block, sizeof block, MSG_DONTWAIT) == 0;
}

static void takes_a_document(void **unused)
{
    (void)unused;
    int fd = dial("link.sock");
    assert_int_equal(connected, 1);
    struct link_document d = {.kind = LINK_ORDER, .signature_count = 1};
    int payload = memfd_sealed("x", "{}", 2, &err);
    assert_int_equal(ipc_send(fd, LINK_DOCUMENT, 0, &d, sizeof d, &payload, 1, &err), IPC_OK);
    turn();
    assert_int_equal(documents, 1);
    assert_int_equal(payload_size, 2);
    close(payload);
    close(fd);
    turn();
    assert_false(link_connected(l));
}

static void hangs_up_on_every_malformed_record(void **unused)
{
    (void)unused;
    int payload = memfd_sealed("x", "{}", 2, &err), null = dup(0);
    struct link_document good = {.kind = LINK_ORDER, .signature_count = 1}, kind = {.kind = 9}, many = good;
    many.signature_count = LINK_SIGNATURES_MAX + 1;
    struct link_online online;
    memset(&online, 'x', sizeof online);
    const struct {
        uint16_t verb;
        const void *body;
        size_t size;
        int fd;
    } wrong[] = {
        {LINK_DOCUMENT, &good, sizeof good - 1, payload}, {LINK_DOCUMENT, &good, sizeof good, -1},
        {LINK_DOCUMENT, &good, sizeof good, null},        {LINK_DOCUMENT, &kind, sizeof kind, payload},
        {LINK_DOCUMENT, &many, sizeof many, payload},     {LINK_ACKED, &good, 3, -1},
        {LINK_ONLINE, &online, sizeof online, -1},        {LINK_HELLO, NULL, 0, -1},
        {LINK_VERBS, NULL, 0, -1},                        {0xffff, NULL, 0, -1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int fd = dial("link.sock");
        assert_int_equal(ipc_send(fd, wrong[i].verb, 0, wrong[i].body, wrong[i].size, &wrong[i].fd, wrong[i].fd >= 0 ? 1 : 0, &err), IPC_OK);
        assert_true(is_closed(fd));
        close(fd);
        turn();
    }
    assert_int_equal(documents, 0);
    close(payload);
    close(null);
}

static void the_newest_uplink_wins(void **unused)
{
    (void)unused;
    int first = dial("link.sock"), second = dial("link.sock");
    assert_true(is_closed(first));
    link_send(l, LINK_READY, NULL, 0, -1);
    struct ipc_record record;
    assert_int_equal(ipc_recv(second, &record, &err), IPC_OK);
    assert_int_equal(record.head.verb, LINK_READY);
    close(first);
    close(second);
    turn();
}

static void drops_an_uplink_that_does_not_read(void **unused)
{
    (void)unused;
    int fd = dial("link.sock");
    struct link_refused body = {0};
    for (int i = 0; i < 4 * LINK_OUT_MAX && link_connected(l); i++)
        link_send(l, LINK_REFUSED, &body, sizeof body, -1);
    assert_false(link_connected(l));
    close(fd);
    turn();
}

static void answers_root_and_refuses_malformed_requests(void **unused)
{
    (void)unused;
    int fd = dial("control.sock");
    struct control_target target = {.project = "shop"};
    struct ipc_record record;
    assert_int_equal(ipc_send(fd, CONTROL_STOP, 5, &target, sizeof target, NULL, 0, &err), IPC_OK);
    turn();
    assert_int_equal(ipc_recv(fd, &record, &err), IPC_OK);
    assert_int_equal(record.head.verb, CONTROL_DONE);
    assert_int_equal(record.head.serial, 5);
    memset(target.project, 'x', sizeof target.project);
    const struct {
        uint16_t verb;
        size_t size;
    } wrong[] = {{CONTROL_STOP, sizeof target}, {CONTROL_STOP, sizeof target - 1}, {CONTROL_WATCH, 3}, {99, 0}, {CONTROL_TEXT, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(ipc_send(fd, wrong[i].verb, 6, &target, wrong[i].size, NULL, 0, &err), IPC_OK);
        turn();
        assert_int_equal(ipc_recv(fd, &record, &err), IPC_OK);
        assert_int_equal(ipc_check_error(&record, &err), -1);
        assert_string_equal(err.code, "E_CONTROL");
    }
    assert_int_equal(requests, 1);
    close(fd);
    turn();
}

static void tells_followers_their_deployments_events_and_the_end(void **unused)
{
    (void)unused;
    int fd = dial("control.sock");
    struct control_watch watch = {.deployment = "dep_0000000000000001"};
    struct ipc_record record;
    assert_int_equal(ipc_send(fd, CONTROL_WATCH, 1, &watch, sizeof watch, NULL, 0, &err), IPC_OK);
    turn();
    control_event(control, "dep_0000000000000002", (struct bytes){(const uint8_t *)"{}\n", 3}, true);
    control_event(control, "dep_0000000000000001", (struct bytes){(const uint8_t *)"{\"a\":1}\n", 8}, true);
    assert_int_equal(ipc_recv(fd, &record, &err), IPC_OK);
    assert_int_equal(record.head.verb, CONTROL_EVENT);
    AUTO_BUF struct buf text = BUF(64);
    assert_int_equal(memfd_read(record.fds[0], &text, &err), 0);
    assert_string_equal(buf_text(&text), "{\"a\":1}\n");
    ipc_close_fds(&record);
    assert_int_equal(ipc_recv(fd, &record, &err), IPC_OK);
    assert_int_equal(record.head.verb, CONTROL_DONE);
    close(fd);
    turn();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_a_document),
        TEST(hangs_up_on_every_malformed_record),
        TEST(the_newest_uplink_wins),
        TEST(drops_an_uplink_that_does_not_read),
        TEST(answers_root_and_refuses_malformed_requests),
        TEST(tells_followers_their_deployments_events_and_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
