#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http/head_guard.h"
#include "net/http/http.h"

#include <cmocka.h> /* last: it defines fail() */

static int guard(const char *text, enum head_kind kind, struct error *err)
{
    *err = (struct error){0};
    return head_guard(text, strlen(text), kind, err);
}

static void takes_ordinary_heads(void **state)
{
    (void)state;
    static const char *const good[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%20b?x=1&y HTTP/1.1\r\nHost: example.org:8443\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: [::1]:80\r\ncontent-length: 12\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: tab\tand \xc3\xa9\r\n\r\n",
    };
    struct error err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (guard(good[i], HEAD_REQUEST, &err) != (int)strlen(good[i]))
            fail_msg("%s: %s", good[i], err.text);
    assert_int_equal(guard("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HEAD_RESPONSE, &err), 38);
    assert_int_equal(guard("HTTP/1.1 204\r\n\r\n", HEAD_RESPONSE, &err), 16);
}

/* PRO-26 */
static void refuses_what_two_parsers_could_read_in_two_ways(void **state)
{
    (void)state;
    static const struct {
        const char *code, *text;
    } bad[] = {
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"E_HTTP_LENGTH", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"},
        {"E_HTTP_HEAD", "POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"},
        {"E_HTTP_HEAD", "GET / HTTP/1.1\nHost: a\n\n"},
        {"E_HTTP_HEAD", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"},
        {"E_HTTP_HEAD", "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n"},
        {"E_HTTP_HEAD", "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n"},
        {"E_HTTP_HEAD", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
        {"E_HTTP_HEAD", "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"},
        {"E_HTTP_HEAD", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
        {"E_HTTP_HEAD", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_HEAD", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_HEAD", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_HEAD", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_HEAD", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_VERSION", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
        {"E_HTTP_VERSION", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
        {"E_HTTP_VERSION", "GET / http/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_VERSION", "GET /\r\nHost: a\r\n\r\n"},
        {"E_HTTP_METHOD", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_METHOD", "get / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"E_HTTP_HOST", "GET / HTTP/1.1\r\n\r\n"},
        {"E_HTTP_HOST", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
        {"E_HTTP_HOST", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
        {"E_HTTP_HOST", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
        {"E_HTTP_HOST", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
    };
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (guard(bad[i].text, HEAD_REQUEST, &err) != -1 || strcmp(err.code, bad[i].code) != 0)
            fail_msg("%s: got '%s', expected %s", bad[i].text, err.code, bad[i].code);
    assert_int_equal(head_guard("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 36, HEAD_REQUEST, &err), -1);
}

static void every_shorter_head_asks_for_more(void **state)
{
    (void)state;
    const char *head = "POST /x?y HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n\r\nabc";
    struct error err;
    for (size_t size = 0; size < strlen(head) - 3; size++)
        assert_int_equal(head_guard(head, size, HEAD_REQUEST, &err), 0);
    assert_int_equal(guard(head, HEAD_REQUEST, &err), strlen(head) - 3);
}

static void bounds_size_and_count(void **state)
{
    (void)state;
    static char big[HTTP_HEAD_MAX + 1000];
    struct error err;
    int n = snprintf(big, sizeof big, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(big + n, 'x', sizeof big - (size_t)n);
    assert_int_equal(head_guard(big, HTTP_HEAD_MAX - 1, HEAD_REQUEST, &err), 0);
    assert_int_equal(head_guard(big, HTTP_HEAD_MAX, HEAD_REQUEST, &err), -1);
    assert_string_equal(err.code, "E_HTTP_HEAD_SIZE");
    memcpy(big + sizeof big - 4, "\r\n\r\n", 4); /* a whole head, but too large */
    assert_int_equal(head_guard(big, sizeof big, HEAD_REQUEST, &err), -1);
    assert_string_equal(err.code, "E_HTTP_HEAD_SIZE");
    n = snprintf(big, sizeof big, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < HTTP_HEADERS_MAX; i++)
        n += snprintf(big + n, sizeof big - (size_t)n, "X: %d\r\n", i);
    snprintf(big + n, sizeof big - (size_t)n, "\r\n");
    assert_int_equal(guard(big, HEAD_REQUEST, &err), n + 2);
    snprintf(big + n, sizeof big - (size_t)n, "X: 64\r\n\r\n");
    assert_int_equal(guard(big, HEAD_REQUEST, &err), -1);
    assert_string_equal(err.code, "E_HTTP_HEAD_SIZE");
}

static void reads_what_it_accepted(void **state)
{
    (void)state;
    const char *text = "GET /a%20b/c?k=v%2B1+x&empty=&k=2 HTTP/1.1\r\nHost: h\r\nX-One: \t a b \t\r\nAccept: x, Y ,z\r\n\r\n";
    struct http_head head;
    struct error err;
    char value[16];
    assert_int_equal(http_head_read(&head, HEAD_REQUEST, text, strlen(text), &err), 0);
    assert_string_equal(head.method, "GET");
    assert_string_equal(head.path, "/a b/c");
    assert_string_equal(head.query, "k=v%2B1+x&empty=&k=2");
    assert_string_equal(http_header(&head, "x-one"), "a b");
    assert_true(http_header_has(&head, "accept", "y"));
    assert_true(http_header_has(&head, "accept", "z"));
    assert_false(http_header_has(&head, "accept", "xx"));
    assert_int_equal(http_query(head.query, "k", value, sizeof value), 5);
    assert_string_equal(value, "v+1 x");
    assert_int_equal(http_query(head.query, "empty", value, sizeof value), 0);
    assert_int_equal(http_query(head.query, "none", value, sizeof value), -1);
    assert_int_equal(http_query("k=%4", "k", value, sizeof value), -1);
    assert_int_equal(http_query("k=%00", "k", value, sizeof value), -1);
    assert_int_equal(http_query("k=%41", "k", value, sizeof value), 1);
    http_head_free(&head);
    text = "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_int_equal(http_head_read(&head, HEAD_REQUEST, text, strlen(text), &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_ordinary_heads),
        cmocka_unit_test(refuses_what_two_parsers_could_read_in_two_ways),
        cmocka_unit_test(every_shorter_head_asks_for_more),
        cmocka_unit_test(bounds_size_and_count),
        cmocka_unit_test(reads_what_it_accepted),
    };
    return cmocka_run_group_tests_name("net/http: head_guard", tests, NULL, NULL);
}
