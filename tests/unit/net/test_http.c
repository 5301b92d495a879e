/* Server and client over loopback; and the server against raw bytes. */
#include <stdio.h>

#include "net/http/http_client.h"
#include "net/http/http_server.h"
#include "tests/unit/net/net_test.h"

enum { STREAM_SIZE = 3000000 };

struct world {
    struct test_net t;
    struct listener *listener;
    struct http_server *server;
    struct http_exchange *waiting; /* for /later */
    struct loop_timer *later;
    unsigned shown, gone, complete, requests;
    size_t streamed;
    bool server_freed;
    /* client */
    struct buf got;
    struct error why;
    int status;
    bool done;
    const char *until; /* raw: done when this text is there */
};

static void stream_more(struct world *w, struct http_exchange *x)
{
    static uint8_t block[40000];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)('a' + i % 26);
    while (w->streamed < STREAM_SIZE) {
        w->streamed += sizeof block;
        int r = http_send(x, block, sizeof block);
        if (r != 0)
            return; /* on_drain goes on, or it is over */
    }
    http_end(x);
}

static size_t on_head(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    w->shown++;
    if (strcmp(http_request(x)->path, "/early") == 0)
        http_respond_text(x, 403, "no");
    return strcmp(http_request(x)->path, "/big") == 0 ? 1000000 : 16;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    const struct http_head *head = http_request(x);
    w->requests++;
    if (strcmp(head->path, "/stream") == 0) {
        static const struct http_header headers[] = {{"Content-Type", "application/octet-stream"}, {NULL, NULL}};
        http_begin(x, 200, headers);
        stream_more(w, x);
    } else if (strcmp(head->path, "/large") == 0) {
        AUTO_FREE uint8_t *large = calloc(1, STREAM_SIZE);
        http_respond(x, 200, NULL, large, STREAM_SIZE);
    } else if (strcmp(head->path, "/later") == 0) {
        w->waiting = x;
        loop_timer_start(w->later, 5, 0);
    } else if (strcmp(head->path, "/never") == 0) {
        w->waiting = x;
    } else if (strcmp(head->path, "/abort") == 0) {
        http_begin(x, 200, NULL);
        assert_int_equal(http_send(x, "half", 4), 0);
        http_abort(x);
    } else if (strcmp(head->path, "/inject") == 0) {
        const struct http_header headers[] = {{"X", "a\r\nSet-Cookie: b"}, {NULL, NULL}};
        http_respond(x, 200, headers, "x", 1);
    } else {
        http_respond(x, 200, NULL, http_body(x).data, http_body(x).size);
        http_respond_text(x, 500, "a second answer is no answer");
    }
}

static void on_drain(void *ctx, struct http_exchange *x)
{
    stream_more(ctx, x);
}

static void on_gone(void *ctx, struct http_exchange *x, bool complete)
{
    struct world *w = ctx;
    w->gone++;
    w->complete += complete;
    if (w->waiting == x)
        w->waiting = NULL;
}

static const struct http_handler handler = {.on_head = on_head, .on_request = on_request, .on_drain = on_drain, .on_gone = on_gone};

static void on_accept(void *ctx, struct conn *c)
{
    http_server_take(((struct world *)ctx)->server, c);
}

static void on_later(void *ctx)
{
    struct world *w = ctx;
    if (w->waiting != NULL)
        http_respond_text(w->waiting, 200, "late");
}

static void open_world(struct world *w, const struct http_server_options *options)
{
    struct error err;
    memset(w, 0, sizeof *w);
    w->got = BUF(8 << 20);
    test_net_open(&w->t);
    w->server = http_server_new(&w->t.net, &handler, w, options, &err);
    w->later = loop_timer_new(&w->t.net, on_later, w);
    struct listener_options l = {.on_accept = on_accept, .ctx = w};
    w->listener = listener_tcp(&w->t.net, "127.0.0.1", 0, &l, &err);
    assert_non_null(w->listener);
}

static void on_freed(void *ctx)
{
    ((struct world *)ctx)->server_freed = true;
}

static void close_world(struct world *w)
{
    http_server_free(&w->server, on_freed);
    listener_close(&w->listener);
    loop_timer_free(&w->later);
    test_net_close(&w->t);
    assert_true(w->server_freed);
    assert_int_equal(w->shown, w->gone); /* every exchange ends exactly once */
    buf_free(&w->got);
}

/* ---- Raw bytes ------------------------------------------------------------------------------------------------ */

static void raw_data(void *ctx, struct conn *c, const uint8_t *data, size_t size)
{
    struct world *w = ctx;
    assert_int_equal(buf_add(&w->got, data, size, NULL), 0);
    if (w->until != NULL && strstr(buf_text(&w->got), w->until) != NULL) {
        w->until = NULL;
        conn_close(c);
    }
}

static void raw_close(void *ctx, struct conn *c, const struct error *err)
{
    struct world *w = ctx;
    (void)c;
    w->done = true;
    if (err != NULL)
        w->why = *err;
}

static const struct conn_events raw_events = {.on_data = raw_data, .on_close = raw_close};

/* What the server says to text, until it closes or said until. */
static const char *say(struct world *w, const void *text, size_t size, const char *until)
{
    struct error err;
    struct conn *c = conn_connect_tcp(&w->t.net, "127.0.0.1", listener_port(w->listener), NULL, &err);
    buf_free(&w->got);
    w->done = false;
    w->until = until;
    conn_set_events(c, &raw_events, w);
    assert_true(conn_write(c, text, size, &err) >= 0);
    assert_true(run_until(&w->t, &w->done));
    return buf_text(&w->got);
}

static const char *say_text(struct world *w, const char *text, const char *until)
{
    return say(w, text, strlen(text), until);
}

static void refuses_in_http_words(void **state)
{
    (void)state;
    static const struct {
        const char *status, *text;
    } bad[] = {
        {"HTTP/1.1 400 ", "GET / HTTP/1.1\r\n\r\n"},
        {"HTTP/1.1 400 ", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"},
        {"HTTP/1.1 501 ", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"HTTP/1.1 505 ", "GET / HTTP/3.0\r\nHost: a\r\n\r\n"},
        {"HTTP/1.1 413 ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n"},
        {"HTTP/1.1 413 ", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n01234567890123456789012345678901\r\n"},
        {"HTTP/1.1 400 ", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
        {"HTTP/1.1 403 ", "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"},
    };
    struct world w;
    open_world(&w, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *answer = say(&w, bad[i].text, strlen(bad[i].text), NULL);
        if (strncmp(answer, bad[i].status, 13) != 0 || strstr(answer, "Connection: close\r\n") == NULL)
            fail_msg("%s: %s", bad[i].text, answer);
    }
    assert_int_equal(w.requests, 0);
    close_world(&w);
}

static void a_thousand_requests_in_one_write(void **state)
{
    (void)state;
    struct world w;
    AUTO_BUF struct buf all = BUF(1 << 20);
    for (int i = 0; i < 999; i++)
        assert_int_equal(buf_addf(&all, NULL, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d", i), 0);
    assert_int_equal(buf_addf(&all, NULL, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast"), 0);
    open_world(&w, NULL);
    const char *at = say(&w, all.data, all.size, NULL);
    assert_int_equal(w.requests, 1000);
    for (int i = 0; i < 999; i++) {
        char want[16];
        snprintf(want, sizeof want, "\r\n\r\n%04d", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
    assert_non_null(strstr(at, "\r\n\r\nlast"));
    assert_int_equal(w.complete, 1000);
    close_world(&w);
}

static void a_late_answer_keeps_the_order(void **state)
{
    (void)state;
    static const char text[] = "GET /later HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnext";
    struct world w;
    open_world(&w, NULL);
    const char *late = strstr(say(&w, text, sizeof text - 1, NULL), "\r\n\r\nlate");
    assert_non_null(late);
    assert_non_null(strstr(late, "\r\n\r\nnext"));
    close_world(&w);
}

static void old_clients_and_head_get_what_they_can_read(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    const char *answer = say_text(&w, "HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", NULL);
    assert_non_null(strstr(answer, "Content-Length: 0\r\n"));
    answer = say_text(&w, "GET /stream HTTP/1.0\r\n\r\n", NULL);
    assert_null(strstr(answer, "chunked"));
    assert_int_equal(w.got.size - (size_t)(strstr(answer, "\r\n\r\n") + 4 - answer), STREAM_SIZE);
    answer = say_text(&w, "POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", "Continue\r\n\r\n");
    assert_memory_equal(answer, "HTTP/1.1 100 ", 13);
    close_world(&w);
}

static void slow_heads_bodies_and_idlers_are_sent_away(void **state)
{
    (void)state;
    static const struct http_server_options quick = {.head_ms = 40, .body_ms = 40, .idle_ms = 40, .write_ms = 40};
    struct world w;
    open_world(&w, &quick);
    assert_memory_equal(say_text(&w, "GET / HT", NULL), "HTTP/1.1 408 ", 13);
    const char *body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    assert_memory_equal(say(&w, body, strlen(body), NULL), "HTTP/1.1 408 ", 13);
    assert_string_equal(say_text(&w, "", NULL), "");
    close_world(&w);
}

static void a_half_answer_does_not_look_whole(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    const char *answer = say_text(&w, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_null(strstr(answer, "\r\n0\r\n"));
    answer = say_text(&w, "GET /inject HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_null(strstr(answer, "Set-Cookie"));
    assert_int_equal(w.complete, 0);
    close_world(&w);
}

static void too_many_connections_are_told_so(void **state)
{
    (void)state;
    static const struct http_server_options few = {.max_connections = 1};
    struct world w;
    struct error err;
    const char *never = "GET /never HTTP/1.1\r\nHost: a\r\n\r\n";
    open_world(&w, &few);
    struct conn *first = conn_connect_tcp(&w.t.net, "127.0.0.1", listener_port(w.listener), NULL, &err);
    assert_int_equal(conn_write(first, never, strlen(never), &err), 0);
    bool there = false;
    for (int i = 0; i < 1000 && !there; i++) {
        uv_run(&w.t.uv, UV_RUN_NOWAIT);
        there = w.waiting != NULL;
    }
    assert_memory_equal(say_text(&w, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL), "HTTP/1.1 503 ", 13);
    conn_close(first);
    close_world(&w);
}

/* ---- The client ----------------------------------------------------------------------------------------------- */

static void on_done(void *ctx, struct http_client *h, const struct error *err)
{
    struct world *w = ctx;
    w->done = true;
    w->status = err == NULL ? http_client_head(h)->status : 0;
    w->why = err != NULL ? *err : (struct error){0};
    buf_free(&w->got);
    assert_int_equal(buf_add(&w->got, http_client_body(h).data, http_client_body(h).size, NULL), 0);
}

static const struct http_client_events client_events = {.on_done = on_done};

static void ask(struct world *w, const struct http_client_request *request)
{
    struct error err;
    struct conn *c = conn_connect_tcp(&w->t.net, "127.0.0.1", listener_port(w->listener), NULL, &err);
    w->done = false;
    assert_non_null(http_client_start(c, request, &client_events, w, &err));
    assert_true(run_until(&w->t, &w->done));
}

static void client_and_server_understand_each_other(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    ask(&w, &(struct http_client_request){.method = "POST", .target = "/echo?x", .host = "a", .body = "some body", .body_size = 9});
    assert_int_equal(w.status, 200);
    assert_string_equal(buf_text(&w.got), "some body");
    ask(&w, &(struct http_client_request){.method = "GET", .target = "/stream", .host = "a", .body_cap = STREAM_SIZE});
    assert_int_equal(w.status, 200);
    assert_int_equal(w.got.size, STREAM_SIZE);
    assert_int_equal(w.got.data[STREAM_SIZE - 1], 'a' + 39999 % 26);
    ask(&w, &(struct http_client_request){.method = "GET", .target = "/large", .host = "a", .body_cap = STREAM_SIZE});
    assert_int_equal(w.status, 200); /* larger than the connection's queue may be */
    assert_int_equal(w.got.size, STREAM_SIZE);
    close_world(&w);
}

static void the_client_says_what_went_wrong(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    open_world(&w, NULL);
    ask(&w, &(struct http_client_request){.method = "GET", .target = "/stream", .host = "a", .body_cap = 1000});
    assert_string_equal(w.why.code, "E_HTTP_BODY_SIZE");
    ask(&w, &(struct http_client_request){.method = "GET", .target = "/abort", .host = "a"});
    assert_true(strcmp(w.why.code, "E_HTTP_CUT") == 0 || strcmp(w.why.code, "E_CONN_RESET") == 0);
    ask(&w, &(struct http_client_request){.method = "GET", .target = "/never", .host = "a", .head_ms = 30});
    assert_string_equal(w.why.code, "E_HTTP_TIMEOUT");
    struct conn *c = conn_connect_tcp(&w.t.net, "127.0.0.1", listener_port(w.listener), NULL, &err);
    const struct http_header evil[] = {{"X", "a\r\nY: b"}, {NULL, NULL}};
    assert_null(http_client_start(c, &(struct http_client_request){.method = "GET", .target = "/", .host = "a", .headers = evil},
                                  &client_events, &w, &err));
    assert_string_equal(err.code, "E_HTTP_HEADER");
    close_world(&w);
}

static void draining_lets_the_last_answer_out(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    open_world(&w, NULL);
    struct conn *c = conn_connect_tcp(&w.t.net, "127.0.0.1", listener_port(w.listener), NULL, &err);
    struct http_client_request later = {.method = "GET", .target = "/later", .host = "a"};
    assert_non_null(http_client_start(c, &later, &client_events, &w, &err));
    for (int i = 0; i < 1000 && w.waiting == NULL; i++)
        uv_run(&w.t.uv, UV_RUN_NOWAIT);
    http_server_drain(w.server);
    assert_true(run_until(&w.t, &w.done));
    assert_int_equal(w.status, 200);
    assert_string_equal(buf_text(&w.got), "late");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_in_http_words),
        cmocka_unit_test(a_thousand_requests_in_one_write),
        cmocka_unit_test(a_late_answer_keeps_the_order),
        cmocka_unit_test(old_clients_and_head_get_what_they_can_read),
        cmocka_unit_test(slow_heads_bodies_and_idlers_are_sent_away),
        cmocka_unit_test(a_half_answer_does_not_look_whole),
        cmocka_unit_test(too_many_connections_are_told_so),
        cmocka_unit_test(client_and_server_understand_each_other),
        cmocka_unit_test(the_client_says_what_went_wrong),
        cmocka_unit_test(draining_lets_the_last_answer_out),
    };
    return cmocka_run_group_tests_name("net/http: server and client", tests, NULL, NULL);
}
