/* Both roles over loopback, and the server against frames made by hand. */
#include <stdio.h>

#include "net/http/http_server.h"
#include "net/tls/tls_conn.h"
#include "net/ws/ws.h"
#include "tests/unit/net/test_pki.h"

struct side {
    struct ws *ws;
    struct buf text; /* messages, '|' after each */
    unsigned opened, messages, pongs, closes;
    size_t bytes, want;
    bool done, enough, drained;
    uint16_t code;
    int status;
    char reason[128];
    struct error why;
};

struct world {
    struct test_net t;
    struct listener *listener;
    struct http_server *server_http;
    struct side client, server;
    struct tls_context *server_tls;
    struct conn_options client_options;
    const struct ws_server_options *options;
    bool pause_server; /* it reads nothing once it is open */
};

static void on_open(void *ctx, struct ws *w)
{
    struct side *s = ctx;
    s->ws = w;
    s->opened++;
}

static void on_message(void *ctx, struct ws *w, enum ws_kind kind, const uint8_t *data, size_t size)
{
    struct side *s = ctx;
    (void)w;
    s->messages++;
    s->bytes += size;
    if (kind == WS_TEXT && size < 1000) {
        assert_int_equal(buf_add(&s->text, data, size, NULL), 0);
        assert_int_equal(buf_add(&s->text, "|", 1, NULL), 0);
    }
    s->enough = s->want > 0 && s->messages >= s->want;
}

static void on_pong(void *ctx, struct ws *w, const uint8_t *data, size_t size)
{
    struct side *s = ctx;
    (void)w;
    (void)data;
    (void)size;
    s->pongs++;
    s->enough = true;
}

static void on_drain(void *ctx, struct ws *w)
{
    (void)w;
    ((struct side *)ctx)->drained = true;
}

static void on_close(void *ctx, struct ws *w, uint16_t code, const char *reason, int status, const struct error *err)
{
    struct side *s = ctx;
    (void)w;
    s->ws = NULL;
    s->closes++;
    s->done = true;
    s->code = code;
    s->status = status;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    if (err != NULL)
        s->why = *err;
}

static const struct ws_events events = {.on_open = on_open, .on_message = on_message, .on_pong = on_pong, .on_drain = on_drain, .on_close = on_close};

static void on_request(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    struct error err;
    struct ws *ws = ws_server_accept(x, w->options, &events, &w->server, &err);
    if (ws != NULL)
        w->server.ws = ws;
}

static const struct http_handler handler = {.on_request = on_request};

static void on_accept(void *ctx, struct conn *c)
{
    struct world *w = ctx;
    if (w->server_tls != NULL)
        c = tls_conn_server(c, w->server_tls, 0, NULL);
    if (c != NULL)
        http_server_take(w->server_http, c);
}

static const char *const spoken[] = {"klystrr.agent.v1", NULL};
static const struct ws_server_options agent_options = {.protocols = spoken};

static void open_world(struct world *w)
{
    struct error err;
    memset(w, 0, sizeof *w);
    w->client.text = w->server.text = BUF(1 << 20);
    w->options = &agent_options;
    test_net_open(&w->t);
    w->server_http = http_server_new(&w->t.net, &handler, w, NULL, &err);
    struct listener_options l = {.on_accept = on_accept, .ctx = w};
    w->listener = listener_tcp(&w->t.net, "127.0.0.1", 0, &l, &err);
    assert_non_null(w->listener);
}

static void close_world(struct world *w)
{
    if (w->client.ws != NULL)
        ws_abort(w->client.ws);
    if (w->server.ws != NULL)
        ws_abort(w->server.ws);
    http_server_free(&w->server_http, NULL);
    listener_close(&w->listener);
    test_net_close(&w->t);
    buf_free(&w->client.text);
    buf_free(&w->server.text);
}

static struct conn *dial(struct world *w)
{
    struct error err;
    struct conn *c = conn_connect_tcp(&w->t.net, "127.0.0.1", listener_port(w->listener), &w->client_options, &err);
    assert_non_null(c);
    return c;
}

static void connect_client(struct world *w, struct conn *c, const struct ws_client_options *options)
{
    struct error err;
    w->client.ws = ws_client_start(c, options, &events, &w->client, &err);
    assert_non_null(w->client.ws);
}

static const struct ws_client_options usual = {.host = "plane", .target = "/agent/v1", .protocols = spoken};

static void open_both(struct world *w, struct conn *c)
{
    connect_client(w, c, &usual);
    for (int i = 0; i < 2000 && (w->client.opened == 0 || w->server.opened == 0); i++)
        uv_run(&w->t.uv, UV_RUN_ONCE);
    assert_int_equal(w->client.opened, 1);
    assert_int_equal(w->server.opened, 1);
}

static void messages_go_both_ways_and_both_say_goodbye(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    open_both(&w, dial(&w));
    assert_string_equal(ws_protocol(w.client.ws), "klystrr.agent.v1");
    assert_string_equal(ws_protocol(w.server.ws), "klystrr.agent.v1");
    w.server.want = 3;
    assert_int_equal(ws_send_text(w.client.ws, "one", 3, NULL), 0);
    assert_int_equal(ws_send_text(w.client.ws, "", 0, NULL), 0);
    assert_int_equal(ws_send_text(w.client.ws, "zw\xc3\xb6lf", 6, NULL), 0);
    assert_true(run_until(&w.t, &w.server.enough));
    assert_string_equal(buf_text(&w.server.text), "one||zw\xc3\xb6lf|");
    w.client.want = 1;
    assert_int_equal(ws_send_text(w.server.ws, "back", 4, NULL), 0);
    assert_true(run_until(&w.t, &w.client.enough));
    w.client.enough = false;
    assert_int_equal(ws_ping(w.client.ws, "p", 1, NULL), 0);
    assert_true(run_until(&w.t, &w.client.enough));
    assert_int_equal(w.client.pongs, 1);
    ws_close(w.client.ws, 1001, "restarting");
    assert_int_equal(ws_send_text(w.client.ws, "x", 1, NULL), -1);
    assert_true(run_until(&w.t, &w.client.done));
    assert_true(run_until(&w.t, &w.server.done));
    assert_int_equal(w.server.code, 1001);
    assert_string_equal(w.server.reason, "restarting");
    assert_string_equal(w.server.why.code, "");
    assert_string_equal(w.client.why.code, "");
    assert_int_equal(w.client.closes, 1);
    assert_int_equal(w.server.closes, 1);
    close_world(&w);
}

static void the_largest_message_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    open_world(&w);
    open_both(&w, dial(&w));
    static uint8_t big[WS_MESSAGE_MAX + 1];
    w.server.want = 1;
    assert_true(ws_send_binary(w.client.ws, big, WS_MESSAGE_MAX, &err) >= 0);
    assert_true(run_until(&w.t, &w.server.enough));
    assert_int_equal(w.server.bytes, WS_MESSAGE_MAX);
    assert_int_equal(ws_send_binary(w.client.ws, big, WS_MESSAGE_MAX + 1, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    close_world(&w);
}

static void a_refused_handshake_tells_its_status(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    static const char *const other[] = {"something.else", NULL};
    connect_client(&w, dial(&w), &(struct ws_client_options){.host = "a", .target = "/", .protocols = other});
    assert_true(run_until(&w.t, &w.client.done));
    assert_string_equal(w.client.why.code, "E_WS_HANDSHAKE");
    assert_int_equal(w.client.status, 400);
    assert_int_equal(w.client.code, 0);
    w.client.done = false;
    static const struct http_header origin[] = {{"Origin", "https://evil.example.org"}, {NULL, NULL}};
    connect_client(&w, dial(&w), &(struct ws_client_options){.host = "a", .target = "/", .protocols = spoken, .headers = origin});
    assert_true(run_until(&w.t, &w.client.done));
    assert_int_equal(w.client.status, 403);
    assert_int_equal(w.server.opened, 0);
    close_world(&w);
}

/* ---- Frames made by hand: what the server answers -------------------------------------------------------------- */

struct raw {
    struct buf got;
    bool done, upgraded;
    struct conn *conn;
};

static void raw_data(void *ctx, struct conn *c, const uint8_t *data, size_t size)
{
    struct raw *r = ctx;
    (void)c;
    assert_int_equal(buf_add(&r->got, data, size, NULL), 0);
    char *end = r->upgraded ? NULL : strstr((char *)r->got.data, "\r\n\r\n");
    if (end != NULL) {
        r->upgraded = true;
        buf_drop_front(&r->got, (size_t)(end + 4 - (char *)r->got.data));
    }
}

static void raw_close(void *ctx, struct conn *c, const struct error *err)
{
    struct raw *r = ctx;
    (void)c;
    (void)err;
    r->done = true;
    r->conn = NULL;
}

static const struct conn_events raw_events = {.on_data = raw_data, .on_close = raw_close};

static const char upgrade[] = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: x, klystrr.agent.v1\r\n\r\n";

static void raw_open(struct world *w, struct raw *r)
{
    *r = (struct raw){.got = BUF(1 << 26), .conn = dial(w)};
    conn_set_events(r->conn, &raw_events, r);
    assert_int_equal(conn_write(r->conn, upgrade, sizeof upgrade - 1, NULL), 0);
}

/* A frame as a client sends it, under a mask of zeros, so that the payload reads as it is. */
static void add_frame(struct buf *out, uint8_t first, const void *data, size_t size)
{
    uint8_t head[14] = {first, 0x80};
    size_t n = 2;
    if (size < 126) {
        head[1] |= (uint8_t)size;
    } else {
        head[1] |= 126;
        head[2] = (uint8_t)(size >> 8);
        head[3] = (uint8_t)size;
        n = 4;
    }
    assert_int_equal(buf_add(out, head, n + 4, NULL), 0);
    assert_int_equal(buf_add(out, data, size, NULL), 0);
}

static void expect_close(const void *frames, size_t size, uint16_t code, const char *what)
{
    struct world w;
    struct raw r;
    open_world(&w);
    raw_open(&w, &r);
    assert_int_equal(conn_write(r.conn, frames, size, NULL), 0);
    assert_true(run_until(&w.t, &r.done));
    if (r.got.size < 4 || r.got.data[0] != 0x88 || r.got.data[2] != code >> 8 || r.got.data[3] != (code & 0xff))
        fail_msg("%s: no close frame with %u, but %zu bytes (%02x %02x %02x %02x)", what, code, r.got.size, buf_text(&r.got)[0], buf_text(&r.got)[1], buf_text(&r.got)[2], buf_text(&r.got)[3]);
    assert_int_equal(w.server.closes, 1);
    assert_string_not_equal(w.server.why.code, "");
    assert_int_equal(w.server.messages, 0);
    buf_free(&r.got);
    close_world(&w);
}

#define FRAMES(text) text, sizeof text - 1

/* PRO-10 and the rules of RFC 6455 section 5. */
static void what_breaks_the_protocol_is_told_why(void **state)
{
    (void)state;
    expect_close(FRAMES("\x81\x01x"), 1002, "an unmasked frame");
    expect_close(FRAMES("\xc1\x81\0\0\0\0x"), 1002, "a reserved bit");
    expect_close(FRAMES("\x83\x81\0\0\0\0x"), 1002, "a reserved opcode");
    expect_close(FRAMES("\x80\x81\0\0\0\0x"), 1002, "a continuation of nothing");
    expect_close(FRAMES("\x01\x81\0\0\0\0x\x81\x81\0\0\0\0y"), 1002, "a message inside a message");
    expect_close(FRAMES("\x09\x80\0\0\0\0"), 1002, "a ping in pieces");
    expect_close(FRAMES("\x89\xfe\0\x7e\0\0\0\0"), 1002, "a ping of 126 bytes");
    expect_close(FRAMES("\x81\xfe\0\x01\0\0\0\0x"), 1002, "a length in a longer form than it needs");
    expect_close(FRAMES("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x"), 1002, "a length with its top bit set");
    expect_close(FRAMES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x"), 1009, "a length beyond everything");
    expect_close(FRAMES("\x82\xff\0\0\0\0\0\x08\0\x01\0\0\0\0x"), 1009, "one byte over the limit");
    expect_close(FRAMES("\x81\x82\0\0\0\0\xc3\x28"), 1007, "text that is no UTF-8");
    expect_close(FRAMES("\x81\x81\0\0\0\0\xc3"), 1007, "text that ends in the middle of a letter");
}

/* PRO-27 */
static void sixty_thousand_fragments_are_one_message(void **state)
{
    (void)state;
    struct world w;
    struct raw r;
    open_world(&w);
    raw_open(&w, &r);
    AUTO_BUF struct buf all = BUF(1 << 20);
    for (int i = 0; i < 60000; i++)
        add_frame(&all, i == 0 ? 0x02 : i == 59999 ? 0x80 : 0x00, "x", 1);
    w.server.want = 1;
    assert_true(conn_write(r.conn, all.data, all.size, NULL) >= 0);
    assert_true(run_until(&w.t, &w.server.enough));
    assert_int_equal(w.server.bytes, 60000);
    conn_close(r.conn);
    assert_true(run_until(&w.t, &w.server.done));
    assert_int_equal(w.server.code, 1006);
    assert_string_equal(w.server.why.code, "E_WS_CUT");
    buf_free(&r.got);
    close_world(&w);
}

static void fragments_without_end_are_not_taken(void **state)
{
    (void)state;
    struct world w;
    struct raw r;
    open_world(&w);
    raw_open(&w, &r);
    AUTO_BUF struct buf all = BUF(1 << 20);
    for (int i = 0; i <= WS_FRAGMENTS_MAX; i++)
        add_frame(&all, i == 0 ? 0x02 : 0x00, "", 0);
    assert_true(conn_write(r.conn, all.data, all.size, NULL) >= 0);
    assert_true(run_until(&w.t, &r.done));
    assert_int_equal(r.got.data[0], 0x88);
    assert_string_equal(w.server.why.code, "E_TOO_LARGE");
    buf_free(&r.got);
    close_world(&w);
}

/* PRO-27: 20,000 pings to a server that cannot write; what it holds stays bounded, and the last ping is answered. */
static void pings_to_a_blocked_server_do_not_pile_up(void **state)
{
    (void)state;
    struct world w;
    struct raw r;
    open_world(&w);
    raw_open(&w, &r);
    for (int i = 0; i < 2000 && w.server.opened == 0; i++)
        uv_run(&w.t.uv, UV_RUN_ONCE);
    assert_int_equal(w.server.opened, 1);
    conn_pause(r.conn);
    static uint8_t block[65536];
    int sent = 0;
    while (ws_queued(w.server.ws) < 300000 && sent++ < 1000)
        if (ws_send_binary(w.server.ws, block, sizeof block, NULL) < 0)
            break;
    size_t before = ws_queued(w.server.ws);
    assert_true(before >= 300000);
    char payload[32];
    for (int part = 0; part < 20; part++) {
        AUTO_BUF struct buf pings = BUF(1 << 20);
        for (int i = 0; i < 1000; i++) {
            int n = snprintf(payload, sizeof payload, "ping %d", part * 1000 + i);
            add_frame(&pings, 0x89, payload, (size_t)n);
        }
        assert_true(conn_write(r.conn, pings.data, pings.size, NULL) >= 0);
        for (int i = 0; i < 50; i++)
            uv_run(&w.t.uv, UV_RUN_NOWAIT);
    }
    assert_true(ws_queued(w.server.ws) <= before + 200);
    conn_resume(r.conn);
    bool found = false;
    for (int i = 0; i < 20000 && !found; i++) {
        uv_run(&w.t.uv, UV_RUN_NOWAIT);
        size_t n = strlen("ping 19999");
        found = r.got.size > n && memcmp(r.got.data + r.got.size - n, "ping 19999", n) == 0;
    }
    assert_true(found);
    conn_close(r.conn);
    assert_true(run_until(&w.t, &w.server.done));
    buf_free(&r.got);
    close_world(&w);
}

/* PRO-06: three messages and a ping between their pieces, cut in two anywhere. */
static void every_split_gives_the_same_messages(void **state)
{
    (void)state;
    AUTO_BUF struct buf all = BUF(4096);
    char middle[200];
    memset(middle, 'm', sizeof middle);
    add_frame(&all, 0x81, "first", 5);
    add_frame(&all, 0x01, "sec", 3);
    add_frame(&all, 0x89, "p", 1);
    add_frame(&all, 0x80, "ond", 3);
    add_frame(&all, 0x81, middle, sizeof middle);
    for (size_t split = 1; split < all.size; split++) {
        struct world w;
        struct raw r;
        open_world(&w);
        raw_open(&w, &r);
        w.server.want = 3;
        assert_int_equal(conn_write(r.conn, all.data, split, NULL), 0);
        for (int i = 0; i < 2000 && w.server.opened == 0; i++)
            uv_run(&w.t.uv, UV_RUN_ONCE);
        uv_run(&w.t.uv, UV_RUN_NOWAIT);
        assert_int_equal(conn_write(r.conn, all.data + split, all.size - split, NULL), 0);
        assert_true(run_until(&w.t, &w.server.enough));
        assert_memory_equal(buf_text(&w.server.text), "first|second|mmm", 16);
        assert_int_equal(w.server.messages, 3);
        conn_close(r.conn);
        assert_true(run_until(&w.t, &w.server.done));
        buf_free(&r.got);
        close_world(&w);
    }
}

/* PRO-07: the handshake and a thousand messages in one write. */
static void a_thousand_messages_with_the_handshake(void **state)
{
    (void)state;
    struct world w;
    struct raw r = {.got = BUF(1 << 26)};
    AUTO_BUF struct buf all = BUF(1 << 20);
    assert_int_equal(buf_add(&all, upgrade, sizeof upgrade - 1, NULL), 0);
    for (int i = 0; i < 1000; i++)
        add_frame(&all, 0x81, "message", 7);
    open_world(&w);
    r.conn = dial(&w);
    conn_set_events(r.conn, &raw_events, &r);
    w.server.want = 1000;
    assert_true(conn_write(r.conn, all.data, all.size, NULL) >= 0);
    assert_true(run_until(&w.t, &w.server.enough));
    assert_int_equal(w.server.bytes, 7000);
    conn_close(r.conn);
    assert_true(run_until(&w.t, &w.server.done));
    buf_free(&r.got);
    close_world(&w);
}

static void back_pressure_reaches_the_application(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    open_world(&w);
    open_both(&w, dial(&w));
    conn_pause(ws_conn(w.server.ws));
    static uint8_t block[65536];
    unsigned sent = 0;
    int r = 0;
    while (sent < 10000 && (r = ws_send_binary(w.client.ws, block, sizeof block, &err)) >= 0)
        sent++;
    assert_int_equal(r, -1);
    assert_string_equal(err.code, "E_CONN_FULL");
    w.server.want = sent;
    conn_resume(ws_conn(w.server.ws));
    assert_true(run_until(&w.t, &w.client.drained));
    assert_true(run_until(&w.t, &w.server.enough));
    assert_int_equal(w.server.messages, sent); /* what was refused left no half frame behind */
    assert_int_equal(ws_send_binary(w.client.ws, block, 10, &err), 0);
    close_world(&w);
}

static void works_over_tls_and_says_who_is_there(void **state)
{
    (void)state;
    struct test_pki pki;
    struct world w;
    struct error err;
    test_pki_open(&pki);
    open_world(&w);
    struct tls_server_options so = {.cert_pem = buf_text(&pki.server), .key_pem = buf_text(&pki.server_key),
                                    .client_cert = TLS_CLIENT_CERT_REQUIRED, .client_ca_pem = buf_text(&pki.ca)};
    struct tls_client_options co = {.ca_pem = buf_text(&pki.ca), .cert_pem = buf_text(&pki.client), .key_pem = buf_text(&pki.client_key)};
    w.server_tls = tls_context_server(&so, &err);
    struct tls_context *client_tls = tls_context_client(&co, &err);
    open_both(&w, tls_conn_client(dial(&w), client_tls, "127.0.0.1", NULL, 0, &err));
    const struct tls_peer *peer = tls_peer(tls_conn_engine(ws_conn(w.server.ws)));
    assert_non_null(peer);
    assert_string_equal(peer->common_name, "srv_0123456789abcdef");
    static uint8_t block[300000];
    w.server.want = 3;
    for (int i = 0; i < 3; i++)
        assert_true(ws_send_binary(w.client.ws, block, sizeof block, &err) >= 0);
    assert_true(run_until(&w.t, &w.server.enough));
    assert_int_equal(w.server.bytes, 3 * sizeof block);
    ws_close(w.server.ws, 1000, NULL);
    assert_true(run_until(&w.t, &w.client.done));
    assert_int_equal(w.client.code, 1000);
    assert_string_equal(w.client.why.code, "");
    assert_true(run_until(&w.t, &w.server.done));

    /* Without its certificate the host is turned away, and is told so. */
    tls_context_free(client_tls);
    client_tls = tls_context_client(&(struct tls_client_options){.ca_pem = buf_text(&pki.ca)}, &err);
    w.client.done = false;
    connect_client(&w, tls_conn_client(dial(&w), client_tls, "127.0.0.1", NULL, 0, &err), &usual);
    assert_true(run_until(&w.t, &w.client.done));
    assert_string_equal(w.client.why.code, "E_TLS_REFUSED");
    /* And a server that is not the one asked for is left before a byte is said. */
    w.client.done = false;
    w.client.why = (struct error){0};
    connect_client(&w, tls_conn_client(dial(&w), client_tls, "other.example.org", NULL, 0, &err), &usual);
    assert_true(run_until(&w.t, &w.client.done));
    assert_string_equal(w.client.why.code, "E_TLS_NAME");
    close_world(&w);
    tls_context_free(client_tls);
    tls_context_free(w.server_tls);
    test_pki_close(&pki);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_both_ways_and_both_say_goodbye),
        cmocka_unit_test(the_largest_message_passes_and_one_byte_more_does_not),
        cmocka_unit_test(a_refused_handshake_tells_its_status),
        cmocka_unit_test(what_breaks_the_protocol_is_told_why),
        cmocka_unit_test(sixty_thousand_fragments_are_one_message),
        cmocka_unit_test(fragments_without_end_are_not_taken),
        cmocka_unit_test(pings_to_a_blocked_server_do_not_pile_up),
        cmocka_unit_test(every_split_gives_the_same_messages),
        cmocka_unit_test(a_thousand_messages_with_the_handshake),
        cmocka_unit_test(back_pressure_reaches_the_application),
        cmocka_unit_test(works_over_tls_and_says_who_is_there),
    };
    return cmocka_run_group_tests_name("net/ws: ws", tests, NULL, NULL);
}
