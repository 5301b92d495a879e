#include "net/http/http_message.h"
#include "tests/unit/net/net_test.h"

struct reader {
    struct http_message m;
    struct buf bodies; /* all of them, '|' after each */
    unsigned complete;
};

static int on_body(void *ctx, const uint8_t *data, size_t size, struct error *err)
{
    return buf_add(&((struct reader *)ctx)->bodies, data, size, err);
}

static void next_message(struct reader *r)
{
    http_message_free(&r->m);
    http_message_init(&r->m, HEAD_REQUEST);
    r->m.on_body = on_body;
    r->m.ctx = r;
}

static void open_reader(struct reader *r)
{
    memset(r, 0, sizeof *r);
    r->bodies = BUF(1 << 20);
    next_message(r);
}

static void close_reader(struct reader *r)
{
    http_message_free(&r->m);
    buf_free(&r->bodies);
}

static int feed(struct reader *r, const void *data, size_t size, struct error *err)
{
    const uint8_t *at = data;
    for (;;) {
        size_t used = 0;
        int p = http_message_feed(&r->m, at, size, &used, err);
        at += used;
        size -= used;
        if (p < 0)
            return -1;
        if (p == HTTP_COMPLETE) {
            r->complete++;
            assert_int_equal(buf_add(&r->bodies, "|", 1, NULL), 0);
            next_message(r);
        }
        if (p == HTTP_MORE && size == 0)
            return 0;
    }
}

static int feed_text(struct reader *r, const char *text, struct error *err)
{
    return feed(r, text, strlen(text), err);
}

static const char three[] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
                            "GET /two HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
                            "PUT /three HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3;x=y\r\nthi\r\n2\r\nrd\r\n0\r\nTrailer: t\r\n\r\n";

/* PRO-06 */
static void every_split_gives_the_same_messages(void **state)
{
    (void)state;
    struct error err;
    size_t size = sizeof three - 1;
    for (size_t split = 0; split <= size; split++) {
        struct reader r;
        open_reader(&r);
        if (feed(&r, three, split, &err) < 0 || feed(&r, three + split, size - split, &err) < 0)
            fail_msg("split at %zu: %s", split, err.text);
        assert_int_equal(r.complete, 3);
        assert_string_equal(buf_text(&r.bodies), "first||third|");
        close_reader(&r);
    }
}

static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    struct reader r;
    open_reader(&r);
    for (size_t i = 0; i < sizeof three - 1; i++)
        assert_int_equal(feed(&r, three + i, 1, NULL), 0);
    assert_int_equal(r.complete, 3);
    close_reader(&r);
}

/* PRO-07 */
static void a_thousand_messages_in_one_read(void **state)
{
    (void)state;
    struct reader r;
    AUTO_BUF struct buf all = BUF(1 << 20);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_add_text(&all, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", NULL), 0);
    open_reader(&r);
    assert_int_equal(feed(&r, all.data, all.size, NULL), 0);
    assert_int_equal(r.complete, 1000);
    assert_int_equal(r.bodies.size, 2000);
    close_reader(&r);
}

/* PRO-10 */
static void lengths_that_lie_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"zz\r\n", "-1\r\n", "\r\n", "FFFFFFFFFFFFFFFFF\r\n", "3\r\nabcd\r\n", "3 \r\nabc\r\n", "3\nabc\r\n", "0x3\r\nabc\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct reader r;
        struct error err = {0};
        open_reader(&r);
        assert_int_equal(feed_text(&r, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &err), 0);
        if (feed(&r, bad[i], strlen(bad[i]), &err) != -1 || r.complete != 0)
            fail_msg("chunk '%s' was taken", bad[i]);
        assert_string_equal(err.code, "E_HTTP_BODY");
        close_reader(&r);
    }
}

static void trailers_have_a_bound(void **state)
{
    (void)state;
    struct reader r;
    struct error err = {0};
    open_reader(&r);
    assert_int_equal(feed_text(&r, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", &err), 0);
    int result = 0;
    for (int i = 0; i < 10000 && result == 0; i++)
        result = feed_text(&r, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", &err);
    assert_int_equal(result, -1);
    assert_string_equal(err.code, "E_HTTP_BODY");
    close_reader(&r);
}

static int response(const char *text, bool head_only, bool end)
{
    struct http_message m;
    size_t used = 0, size = strlen(text), at = 0;
    int p;
    http_message_init(&m, HEAD_RESPONSE);
    m.no_body = head_only;
    do {
        p = http_message_feed(&m, (const uint8_t *)text + at, size - at, &used, NULL);
        at += used;
    } while (p == HTTP_HEAD_READ || (p == HTTP_MORE && at < size));
    if (p == HTTP_MORE && end)
        p = http_message_end(&m, NULL) == 0 ? HTTP_COMPLETE : -1;
    http_message_free(&m);
    return p;
}

static void responses_end_where_they_should(void **state)
{
    (void)state;
    assert_int_equal(response("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", false, false), HTTP_COMPLETE);
    assert_int_equal(response("HTTP/1.1 204 No Content\r\n\r\n", false, false), HTTP_COMPLETE);
    assert_int_equal(response("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, false), HTTP_COMPLETE);
    assert_int_equal(response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, false), HTTP_COMPLETE);
    assert_int_equal(response("HTTP/1.1 200 OK\r\n\r\nuntil the end", false, false), HTTP_MORE);
    assert_int_equal(response("HTTP/1.1 200 OK\r\n\r\nuntil the end", false, true), HTTP_COMPLETE);
    assert_int_equal(response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", false, true), -1);
    assert_int_equal(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", false, true), -1);
    assert_int_equal(response("HTTP/1.1 200", false, true), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_gives_the_same_messages), cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(a_thousand_messages_in_one_read),     cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(trailers_have_a_bound),               cmocka_unit_test(responses_end_where_they_should),
    };
    return cmocka_run_group_tests_name("net/http: http_message", tests, NULL, NULL);
}
