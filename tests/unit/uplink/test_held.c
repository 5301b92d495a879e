#include "sink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/sock.h"

#include <cmocka.h> /* last: it defines fail() */

#define LOG "log/dep_0123456789abcdef"

static int set_up(void **state)
{
    *state = sink_new();
    return 0;
}

static int tear_down(void **state)
{
    sink_free(*state);
    return 0;
}

static void hello_text(struct sink *s, struct message *m)
{
    AUTO_BUF struct buf text = BUF(MESSAGE_MAX);
    struct error err = {0};
    if (held_say_hello(&s->reconcile.held, 1000, &text, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(message_decode(buf_view(&text), m, NULL), 0);
}

static void nothing_is_said_before_the_agent_is_ready(void **state)
{
    struct sink *s = *state;
    AUTO_BUF struct buf text = BUF(MESSAGE_MAX);
    struct error err = {0};
    assert_int_equal(sink_ready(s), -1); /* and it begins with its hello */
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(held_say_hello(&s->reconcile.held, 1000, &text, &err), -1);
    assert_string_equal(err.code, "E_LINK");
}

static void hello_says_what_the_agent_has(void **state)
{
    struct sink *s = *state;
    AUTO_MESSAGE struct message m = {0};
    struct link_project shop = {.project = "shop", .manifest_version = 2, .sequence = 9}, blog = {.project = "blog"};
    shop.manifest_digest[31] = 0xee;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_record(s, LINK_PROJECT, &shop, sizeof shop, -1, NULL), 0);
    assert_int_equal(sink_record(s, LINK_PROJECT, &blog, sizeof blog, -1, NULL), 0);
    assert_int_equal(sink_stream(s, 4, LOG, 100, "0123456789", 10, true), 0);
    assert_int_equal(sink_ready(s), 0);
    hello_text(s, &m);
    assert_string_equal(m.as.hello.server, "srv_0123456789abcdef");
    assert_int_equal(m.as.hello.wall, 1000);
    assert_int_equal(m.as.hello.project_count, 2);
    assert_int_equal(m.as.hello.projects[0].manifest.version, 2);
    assert_int_equal(m.as.hello.projects[0].manifest.digest[31], 0xee);
    assert_int_equal(m.as.hello.projects[0].env.version, 0);
    assert_int_equal(m.as.hello.stream_count, 1);
    assert_int_equal(m.as.hello.streams[0].base, 100);
    assert_int_equal(m.as.hello.streams[0].end, 110);
    assert_true(m.as.hello.streams[0].closed);
}

static void projects_change_and_go(void **state)
{
    struct sink *s = *state;
    AUTO_MESSAGE struct message m = {0};
    struct link_project shop = {.project = "shop", .sequence = 1}, blog = {.project = "blog", .sequence = 2};
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_record(s, LINK_PROJECT, &shop, sizeof shop, -1, NULL), 0);
    assert_int_equal(sink_record(s, LINK_PROJECT, &blog, sizeof blog, -1, NULL), 0);
    blog.sequence = 3;
    assert_int_equal(sink_record(s, LINK_PROJECT, &blog, sizeof blog, -1, NULL), 0);
    shop.removed = 1;
    assert_int_equal(sink_record(s, LINK_PROJECT, &shop, sizeof shop, -1, NULL), 0);
    assert_int_equal(sink_record(s, LINK_PROJECT, &shop, sizeof shop, -1, NULL), 0);
    assert_int_equal(sink_ready(s), 0);
    hello_text(s, &m);
    assert_int_equal(m.as.hello.project_count, 1);
    assert_string_equal(m.as.hello.projects[0].project, "blog");
    assert_int_equal(m.as.hello.projects[0].sequence, 3);
}

static void too_many_projects_or_streams_end_the_link(void **state)
{
    struct sink *s = *state;
    struct link_project p = {.sequence = 1};
    char name[40];
    assert_int_equal(sink_hello(s), 0);
    for (int i = 0; i <= HELLO_PROJECTS_MAX; i++) {
        snprintf(p.project, sizeof p.project, "p%d", i);
        assert_int_equal(sink_record(s, LINK_PROJECT, &p, sizeof p, -1, NULL), i < HELLO_PROJECTS_MAX ? 0 : -1);
        memset(p.project, 0, sizeof p.project);
    }
    for (int i = 0; i <= LINK_STREAMS_MAX; i++) {
        snprintf(name, sizeof name, "log/dep_%016d", i);
        assert_int_equal(sink_stream(s, (uint32_t)i, name, 0, "x", 1, false), i < LINK_STREAMS_MAX ? 0 : -1);
    }
}

static void malformed_records_are_refused(void **state)
{
    struct sink *s = *state;
    struct error err = {0};
    struct link_hello hello = {.server = "srv_x", .version = "0.1.0", .box_level = 2};
    struct link_stream stream = {.id = 1, .name = LOG, .base = 5, .end = 4};
    struct link_want want = {.kind = LINK_ORDER};
    struct link_refused refused = {.code = "E_X"};
    assert_int_equal(sink_record(s, LINK_HELLO, &hello, sizeof hello, -1, &err), -1);
    assert_string_equal(err.code, "E_LINK");
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_record(s, LINK_HELLO, &hello, sizeof hello - 1, -1, &err), -1);
    assert_int_equal(sink_record(s, LINK_STREAM, &stream, sizeof stream, memfd_create("x", 0), &err), -1);
    assert_string_equal(err.code, "E_STREAM_OFFSET");
    stream.end = 6;
    assert_int_equal(sink_record(s, LINK_STREAM, &stream, sizeof stream, -1, &err), -1);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    close(pipes[1]);
    assert_int_equal(sink_record(s, LINK_STREAM, &stream, sizeof stream, pipes[0], &err), -1); /* no file */
    memcpy(stream.name, "log/../../../etc/shadow", 24);
    assert_int_equal(sink_record(s, LINK_STREAM, &stream, sizeof stream, memfd_create("x", 0), &err), -1);
    assert_int_equal(sink_record(s, LINK_WANT, &want, sizeof want, -1, &err), -1);
    memset(refused.text, 'x', sizeof refused.text);
    assert_int_equal(sink_record(s, LINK_REFUSED, &refused, sizeof refused, -1, &err), -1);
    assert_int_equal(sink_record(s, LINK_DOCUMENT, NULL, 0, -1, &err), -1); /* ours to send */
    assert_int_equal(sink_record(s, 999, NULL, 0, -1, &err), -1);
    assert_int_equal(sink_record(s, LINK_STATUS, NULL, 0, memfd_create("x", 0), &err), -1); /* not sealed */
}

static void a_status_must_be_strict_json(void **state)
{
    struct sink *s = *state;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_record(s, LINK_STATUS, NULL, 0, memfd_sealed("s", "{\"a\":1}", 7, NULL), NULL), 0);
    assert_string_equal(buf_text(&s->reconcile.held.status), "{\"a\":1}");
    assert_int_equal(sink_record(s, LINK_STATUS, NULL, 0, memfd_sealed("s", "{\"a\":1,}", 8, NULL), NULL), -1);
    assert_string_equal(buf_text(&s->reconcile.held.status), "{\"a\":1}");
}

static unsigned open_files(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void no_descriptor_stays_behind(void **state)
{
    struct sink *s = *state;
    unsigned before = open_files();
    struct link_id gone = {.id = 1};
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, "x", 1, false), 0);
    assert_int_equal(open_files(), before + 1);
    assert_int_equal(sink_stream(s, 2, LOG, 1, "y", 1, false), 0); /* replaced */
    assert_int_equal(sink_stream(s, 2, "events", 0, "y", 1, false), -1); /* the number is taken */
    assert_int_equal(open_files(), before + 1);
    assert_int_equal(sink_record(s, LINK_STREAM_GONE, &gone, sizeof gone, -1, NULL), 0); /* the old number: nothing */
    assert_int_equal(open_files(), before + 1);
    gone.id = 2;
    assert_int_equal(sink_record(s, LINK_STREAM_GONE, &gone, sizeof gone, -1, NULL), 0);
    assert_int_equal(open_files(), before);
    assert_int_equal(sink_stream(s, 3, LOG, 0, "x", 1, false), 0);
    assert_int_equal(sink_hello(s), 0); /* a new beginning */
    assert_int_equal(open_files(), before);
    assert_int_equal(sink_record(s, LINK_READY, NULL, 0, open("/dev/null", O_RDONLY), NULL), 0); /* not asked for */
    assert_int_equal(open_files(), before);
}

static void growing_backwards_or_after_the_end_is_refused(void **state)
{
    struct sink *s = *state;
    struct error err = {0};
    struct link_grown grown = {.id = 1, .end = 5, .closed = 1};
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, "0123", 4, false), 0);
    assert_int_equal(sink_record(s, LINK_GROWN, &grown, sizeof grown, -1, &err), 0);
    grown = (struct link_grown){.id = 1, .end = 6};
    assert_int_equal(sink_record(s, LINK_GROWN, &grown, sizeof grown, -1, &err), -1);
    assert_string_equal(err.code, "E_STREAM_CLOSED");
    grown = (struct link_grown){.id = 77, .end = 6}; /* it crossed a stream that is gone */
    assert_int_equal(sink_record(s, LINK_GROWN, &grown, sizeof grown, -1, &err), 0);
}

int main(void)
{
#define WITH_SINK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SINK(nothing_is_said_before_the_agent_is_ready),
        WITH_SINK(hello_says_what_the_agent_has),
        WITH_SINK(projects_change_and_go),
        WITH_SINK(too_many_projects_or_streams_end_the_link),
        WITH_SINK(malformed_records_are_refused),
        WITH_SINK(a_status_must_be_strict_json),
        WITH_SINK(no_descriptor_stays_behind),
        WITH_SINK(growing_backwards_or_after_the_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
