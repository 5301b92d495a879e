#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/unit/net/net_test.h"

/* One end of a connection under test. */
struct end {
    struct conn *conn;
    struct buf got;
    bool opened, closed, drained, ended, enough;
    size_t want; /* enough becomes true when got has so many */
    unsigned closes;
    struct error why; /* code "" if on_close had none */
};

static void on_open(void *ctx, struct conn *c)
{
    (void)c;
    ((struct end *)ctx)->opened = true;
}

static void on_data(void *ctx, struct conn *c, const uint8_t *data, size_t size)
{
    struct end *e = ctx;
    (void)c;
    assert_int_equal(buf_add(&e->got, data, size, NULL), 0);
    e->enough = e->got.size >= e->want;
}

static void on_drain(void *ctx, struct conn *c)
{
    (void)c;
    ((struct end *)ctx)->drained = true;
}

static void on_end(void *ctx, struct conn *c)
{
    ((struct end *)ctx)->ended = true;
    conn_finish(c);
}

static void on_close(void *ctx, struct conn *c, const struct error *err)
{
    struct end *e = ctx;
    (void)c;
    e->closes++;
    e->closed = true;
    e->conn = NULL;
    if (err != NULL)
        e->why = *err;
}

static const struct conn_events events = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_end = on_end, .on_close = on_close};

struct world {
    struct test_net t;
    struct listener *listener;
    struct end client, server;
};

static void on_accept(void *ctx, struct conn *c)
{
    struct world *w = ctx;
    w->server.conn = c;
    conn_set_events(c, &events, &w->server);
}

static void open_world(struct world *w, const struct conn_options *server_options)
{
    struct error err;
    memset(w, 0, sizeof *w);
    w->client.got = w->server.got = BUF(16 * 1024 * 1024);
    test_net_open(&w->t);
    struct listener_options options = {.on_accept = on_accept, .ctx = w};
    if (server_options != NULL)
        options.conn = *server_options;
    w->listener = listener_tcp(&w->t.net, "127.0.0.1", 0, &options, &err);
    assert_non_null(w->listener);
}

static void connect_world(struct world *w, const struct conn_options *options)
{
    struct error err;
    w->client.conn = conn_connect_tcp(&w->t.net, "127.0.0.1", listener_port(w->listener), options, &err);
    assert_non_null(w->client.conn);
    conn_set_events(w->client.conn, &events, &w->client);
}

static void close_world(struct world *w)
{
    if (w->client.conn != NULL)
        conn_close(w->client.conn);
    if (w->server.conn != NULL)
        conn_close(w->server.conn);
    listener_close(&w->listener);
    test_net_close(&w->t);
    buf_free(&w->client.got);
    buf_free(&w->server.got);
}

static void carries_bytes_both_ways_and_closes_once(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_world(&w, NULL);
    w.server.want = w.client.want = 5;
    assert_int_equal(conn_write(w.client.conn, "hello", 5, NULL), 0); /* before it is open */
    assert_true(run_until(&w.t, &w.server.enough));
    char peer[CONN_PEER_SIZE];
    conn_peer(w.server.conn, peer);
    assert_string_equal(peer, "127.0.0.1");
    assert_int_equal(conn_write(w.server.conn, "world", 5, NULL), 0);
    assert_true(run_until(&w.t, &w.client.enough));
    assert_memory_equal(w.client.got.data, "world", 5);
    conn_finish(w.client.conn);
    conn_finish(w.client.conn);
    assert_true(run_until(&w.t, &w.client.closed));
    assert_true(run_until(&w.t, &w.server.closed));
    assert_true(w.server.ended);
    assert_int_equal(w.client.closes, 1);
    assert_int_equal(w.server.closes, 1);
    assert_string_equal(w.client.why.code, "");
    assert_string_equal(w.server.why.code, "");
    close_world(&w);
}

static void finish_sends_all_that_is_queued(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_world(&w, NULL);
    enum { SIZE = 1000000 };
    AUTO_FREE uint8_t *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 31);
    assert_true(conn_write(w.client.conn, data, SIZE, NULL) >= 0);
    conn_finish(w.client.conn);
    assert_true(run_until(&w.t, &w.server.closed));
    assert_int_equal(w.server.got.size, SIZE);
    assert_memory_equal(w.server.got.data, data, SIZE);
    assert_true(run_until(&w.t, &w.client.closed));
    assert_string_equal(w.client.why.code, "");
    close_world(&w);
}

static void signals_back_pressure_and_refuses_beyond_the_limit(void **state)
{
    (void)state;
    static const struct conn_options small = {.write_limit = 4 << 20, .write_high = 1 << 16, .write_low = 1 << 12};
    static uint8_t block[65536];
    struct world w;
    struct error err;
    open_world(&w, NULL);
    connect_world(&w, &small);
    assert_true(run_until(&w.t, &w.client.opened));
    assert_true(run_until(&w.t, &w.server.opened));
    conn_pause(w.server.conn);
    int r = 0, times = 0;
    bool full = false;
    size_t sent = 0;
    for (; !full && times < 1000; times++) {
        r = conn_write(w.client.conn, block, sizeof block, &err);
        full = r < 0;
        sent += full ? 0 : sizeof block;
        assert_true(conn_queued(w.client.conn) <= small.write_limit);
    }
    assert_true(full);
    assert_string_equal(err.code, "E_CONN_FULL");
    assert_false(w.client.drained);
    conn_resume(w.server.conn);
    w.server.want = sent;
    assert_true(run_until(&w.t, &w.server.enough));
    assert_true(run_until(&w.t, &w.client.drained));
    assert_int_equal(w.server.got.size, sent); /* all of what was taken, nothing of what was refused */
    close_world(&w);
}

static void a_paused_connection_gives_no_bytes(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_world(&w, NULL);
    assert_true(run_until(&w.t, &w.server.opened));
    conn_pause(w.server.conn);
    assert_int_equal(conn_write(w.client.conn, "x", 1, NULL), 0);
    for (int i = 0; i < 20; i++) /* a turn is enough for bytes over loopback to come in, if they are let */
        uv_run(&w.t.uv, UV_RUN_NOWAIT);
    assert_int_equal(w.server.got.size, 0);
    w.server.want = 1;
    conn_resume(w.server.conn);
    assert_true(run_until(&w.t, &w.server.enough));
    close_world(&w);
}

static void names_a_refused_connection(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_world(&w, NULL);
    listener_close(&w.listener); /* its port is free now, and nobody is there */
    assert_true(run_until(&w.t, &w.client.closed));
    assert_true(strcmp(w.client.why.code, "E_CONN_REFUSED") == 0 || strcmp(w.client.why.code, "E_CONN_RESET") == 0);
    assert_int_equal(w.client.closes, 1);
    close_world(&w);
}

static void names_a_host_that_does_not_exist(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    open_world(&w, NULL);
    w.client.conn = conn_connect_tcp(&w.t.net, "nobody.invalid", 1, NULL, &err);
    assert_non_null(w.client.conn);
    conn_set_events(w.client.conn, &events, &w.client);
    assert_true(run_until(&w.t, &w.client.closed));
    assert_string_equal(w.client.why.code, "E_CONN_RESOLVE");
    close_world(&w);
}

static void can_be_closed_while_it_resolves_or_connects(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    open_world(&w, NULL);
    w.client.conn = conn_connect_tcp(&w.t.net, "localhost", listener_port(w.listener), NULL, &err);
    assert_non_null(w.client.conn);
    conn_set_events(w.client.conn, &events, &w.client);
    conn_close(w.client.conn);
    assert_false(w.client.closed); /* never from inside the call */
    assert_true(run_until(&w.t, &w.client.closed));
    memset(&w.client, 0, sizeof w.client);
    connect_world(&w, NULL);
    uv_run(&w.t.uv, UV_RUN_NOWAIT);
    if (w.client.conn != NULL)
        conn_close(w.client.conn);
    assert_true(run_until(&w.t, &w.client.closed));
    assert_int_equal(w.client.closes, 1);
    close_world(&w);
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    static const struct conn_options idle = {.idle_ms = 30};
    struct world w;
    open_world(&w, &idle);
    connect_world(&w, NULL);
    assert_true(run_until(&w.t, &w.server.closed));
    assert_string_equal(w.server.why.code, "E_CONN_IDLE");
    close_world(&w);
}

static void a_reset_is_an_error_and_not_an_end(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_world(&w, NULL);
    assert_true(run_until(&w.t, &w.server.opened));
    assert_int_equal(conn_write(w.server.conn, "unread", 6, NULL), 0);
    conn_pause(w.client.conn);
    conn_close(w.client.conn); /* with bytes unread: the kernel sends RST */
    assert_true(run_until(&w.t, &w.server.closed));
    assert_int_equal(w.server.closes, 1);
    close_world(&w);
}

static void unix_sockets_tell_who_is_there(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    char folder[] = "/tmp/kly-net-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    open_world(&w, NULL);
    struct listener_options options = {.on_accept = on_accept, .ctx = &w};
    struct listener *l = listener_unix(&w.t.net, path, 0600, &options, &err);
    assert_non_null(l);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    w.client.conn = conn_connect_unix(&w.t.net, path, NULL, &err);
    assert_non_null(w.client.conn);
    conn_set_events(w.client.conn, &events, &w.client);
    assert_true(run_until(&w.t, &w.server.opened));
    uid_t uid;
    gid_t gid;
    pid_t pid;
    assert_int_equal(conn_peer_credentials(w.server.conn, &uid, &gid, &pid, &err), 0);
    assert_int_equal(uid, getuid());
    assert_int_equal(pid, getpid());
    assert_null(listener_unix(&w.t.net, path, 0600, &options, &err)); /* somebody answers there */
    assert_string_equal(err.code, "E_LISTEN");
    listener_close(&l);
    assert_int_not_equal(access(path, F_OK), 0);
    rmdir(folder);
    close_world(&w);
}

static void connections_over_the_cap_are_turned_away(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    open_world(&w, NULL);
    struct listener_options options = {.on_accept = on_accept, .ctx = &w, .max_open = 1};
    struct listener *l = listener_tcp(&w.t.net, "127.0.0.1", 0, &options, &err);
    struct end first = {.got = BUF(16)}, second = {.got = BUF(16)};
    first.conn = conn_connect_tcp(&w.t.net, "127.0.0.1", listener_port(l), NULL, &err);
    conn_set_events(first.conn, &events, &first);
    assert_true(run_until(&w.t, &w.server.opened));
    second.conn = conn_connect_tcp(&w.t.net, "127.0.0.1", listener_port(l), NULL, &err);
    conn_set_events(second.conn, &events, &second);
    assert_true(run_until(&w.t, &second.closed));
    assert_false(first.closed);
    assert_int_equal(listener_open_count(l), 1);
    conn_close(first.conn);
    listener_close(&l);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_bytes_both_ways_and_closes_once),
        cmocka_unit_test(finish_sends_all_that_is_queued),
        cmocka_unit_test(signals_back_pressure_and_refuses_beyond_the_limit),
        cmocka_unit_test(a_paused_connection_gives_no_bytes),
        cmocka_unit_test(names_a_refused_connection),
        cmocka_unit_test(names_a_host_that_does_not_exist),
        cmocka_unit_test(can_be_closed_while_it_resolves_or_connects),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(a_reset_is_an_error_and_not_an_end),
        cmocka_unit_test(unix_sockets_tell_who_is_there),
        cmocka_unit_test(connections_over_the_cap_are_turned_away),
    };
    return cmocka_run_group_tests_name("net/loop: conn", tests, NULL, NULL);
}
