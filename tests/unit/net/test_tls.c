/* The engine against itself, through memory: every byte between the two passes through the test. */
#include "net/tls/ticket.h"
#include "net/tls/tls.h"
#include "tests/unit/net/test_pki.h"

struct pair {
    struct tls *client, *server;
    struct error client_err, server_err;
    int client_done, server_done; /* as tls_handshake says */
};

static struct test_pki pki;

static int open_pki(void **state)
{
    (void)state;
    test_pki_open(&pki);
    return 0;
}

static int close_pki(void **state)
{
    (void)state;
    test_pki_close(&pki);
    return 0;
}

static struct tls_context *client_context(const char *ca, const struct buf *cert, const struct buf *key)
{
    struct error err;
    struct tls_client_options o = {.ca_pem = ca, .cert_pem = cert ? buf_text(cert) : NULL, .key_pem = key ? buf_text(key) : NULL};
    struct tls_context *context = tls_context_client(&o, &err);
    assert_non_null(context);
    return context;
}

static struct tls_context *server_context(enum tls_client_cert mode, struct tls_tickets *tickets)
{
    struct error err;
    struct tls_server_options o = {.cert_pem = buf_text(&pki.server), .key_pem = buf_text(&pki.server_key), .client_cert = mode,
                                   .client_ca_pem = buf_text(&pki.ca), .tickets = tickets};
    struct tls_context *context = tls_context_server(&o, &err);
    assert_non_null(context);
    return context;
}

/* All of from's output into to, step bytes at a time. */
static void carry(struct tls *from, struct tls *to, size_t step)
{
    struct buf *out = tls_output(from);
    while (out->size > 0) {
        size_t n = out->size < step ? out->size : step;
        assert_int_equal(tls_feed(to, out->data, n, NULL), 0);
        buf_drop_front(out, n);
    }
}

static void shake(struct pair *p)
{
    for (int i = 0; i < 20 && (p->client_done == 0 || p->server_done == 0); i++) {
        if (p->client_done == 0)
            p->client_done = tls_handshake(p->client, &p->client_err);
        carry(p->client, p->server, SIZE_MAX);
        if (p->server_done == 0)
            p->server_done = tls_handshake(p->server, &p->server_err);
        carry(p->server, p->client, SIZE_MAX);
    }
}

static void open_pair(struct pair *p, struct tls_context *c, struct tls_context *s, const char *host, const struct tls_session *session)
{
    struct error err;
    memset(p, 0, sizeof *p);
    p->client = tls_new_client(c, host, session, &err);
    p->server = tls_new_server(s, &err);
    assert_non_null(p->client);
    assert_non_null(p->server);
    shake(p);
}

static void close_pair(struct pair *p)
{
    tls_free(p->client);
    tls_free(p->server);
}

static void both_sides_learn_who_is_there(void **state)
{
    (void)state;
    struct tls_context *c = client_context(buf_text(&pki.ca), &pki.client, &pki.client_key);
    struct tls_context *s = server_context(TLS_CLIENT_CERT_REQUIRED, NULL);
    struct pair p;
    struct x509_info info;
    open_pair(&p, c, s, "plane.example.org", NULL);
    assert_int_equal(p.client_done, 1);
    assert_int_equal(p.server_done, 1);
    assert_int_equal(x509_read(buf_text(&pki.client), &info, NULL), 0);
    const struct tls_peer *peer = tls_peer(p.server);
    assert_non_null(peer);
    assert_memory_equal(peer->sha256, info.sha256, 32);
    assert_string_equal(peer->serial, info.serial);
    assert_string_equal(peer->common_name, "srv_0123456789abcdef");
    assert_true(peer->not_after_ms == info.not_after_ms);
    assert_false(peer->resumed);
    assert_non_null(strstr(tls_cipher(p.client), "ECDHE-ECDSA"));
    assert_non_null(strstr(tls_cipher(p.client), "GCM"));
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
}

static void expect_client_failure(const char *ca, const char *host, const char *code)
{
    struct tls_context *c = client_context(ca, NULL, NULL), *s = server_context(TLS_CLIENT_CERT_NONE, NULL);
    struct pair p;
    open_pair(&p, c, s, host, NULL);
    assert_int_equal(p.client_done, -1);
    assert_string_equal(p.client_err.code, code);
    assert_null(tls_peer(p.client));
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
}

static void names_are_demanded_and_matched(void **state)
{
    (void)state;
    struct tls_context *c = client_context(buf_text(&pki.ca), NULL, NULL), *s = server_context(TLS_CLIENT_CERT_NONE, NULL);
    struct pair p;
    static const char *const good[] = {"plane.example.org", "PLANE.example.ORG", "127.0.0.1"};
    for (size_t i = 0; i < 3; i++) {
        open_pair(&p, c, s, good[i], NULL);
        assert_int_equal(p.client_done, 1);
        close_pair(&p);
    }
    tls_context_free(c);
    tls_context_free(s);
    expect_client_failure(buf_text(&pki.ca), "other.example.org", "E_TLS_NAME");
    expect_client_failure(buf_text(&pki.ca), "127.0.0.2", "E_TLS_NAME");
    expect_client_failure(buf_text(&pki.ca), "::1", "E_TLS_NAME");
    expect_client_failure(buf_text(&pki.ca), "plane", "E_TLS_NAME"); /* only its common name */
}

static void a_context_without_a_name_is_no_client(void **state)
{
    (void)state;
    struct error err;
    struct tls_context *c = client_context(buf_text(&pki.ca), NULL, NULL);
    assert_null(tls_new_client(c, NULL, NULL, &err));
    assert_string_equal(err.code, "E_TLS_CONFIG");
    assert_null(tls_new_client(c, "", NULL, &err));
    tls_context_free(c);
}

static void unknown_cas_are_refused(void **state)
{
    (void)state;
    struct test_pki other;
    test_pki_open(&other);
    expect_client_failure(buf_text(&other.ca), "plane.example.org", "E_TLS_CA");
    test_pki_close(&other);
}

static void expired_certificates_are_named_as_such(void **state)
{
    (void)state;
    struct buf cert = pki.server;
    int64_t now = clock_wall_ms();
    pki.server = BUF(X509_PEM_MAX);
    test_issue(&pki, &pki.server_key, &pki.server, "plane", X509_SERVER, "plane.example.org", NULL, now - 3 * DAY_MS, now - 2 * DAY_MS);
    expect_client_failure(buf_text(&pki.ca), "plane.example.org", "E_TLS_EXPIRED");
    buf_free(&pki.server);
    test_issue(&pki, &pki.server_key, &pki.server, "plane", X509_SERVER, "plane.example.org", NULL, now + 2 * DAY_MS, now + 3 * DAY_MS);
    expect_client_failure(buf_text(&pki.ca), "plane.example.org", "E_TLS_EXPIRED");
    buf_free(&pki.server);
    pki.server = cert;
}

static void a_clients_certificate_is_none_for_a_server(void **state)
{
    (void)state;
    struct error err;
    struct tls_server_options o = {.cert_pem = buf_text(&pki.client), .key_pem = buf_text(&pki.client_key)};
    assert_null(tls_context_server(&o, &err));
    assert_string_equal(err.code, "E_TLS_CONFIG");
    o.key_pem = buf_text(&pki.server_key);
    o.cert_pem = buf_text(&pki.ca);
    assert_null(tls_context_server(&o, &err)); /* nor is a key that belongs to another */
    assert_string_equal(err.code, "E_TLS_CONFIG");
}

static void expect_server_failure(enum tls_client_cert mode, const struct buf *cert, const struct buf *key, const char *code)
{
    struct tls_context *c = client_context(buf_text(&pki.ca), cert, key), *s = server_context(mode, NULL);
    struct pair p;
    open_pair(&p, c, s, "127.0.0.1", NULL);
    assert_int_equal(p.server_done, -1);
    assert_string_equal(p.server_err.code, code);
    assert_null(tls_peer(p.server));
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
}

static void bad_client_certificates_are_refused_also_when_none_is_needed(void **state)
{
    (void)state;
    struct test_pki other;
    int64_t now = clock_wall_ms();
    AUTO_BUF struct buf old = BUF(X509_PEM_MAX);
    test_pki_open(&other);
    test_issue(&pki, &pki.client_key, &old, "srv", X509_CLIENT, NULL, NULL, now - 3 * DAY_MS, now - 2 * DAY_MS);
    expect_server_failure(TLS_CLIENT_CERT_REQUIRED, NULL, NULL, "E_TLS_NO_CERT");
    expect_server_failure(TLS_CLIENT_CERT_REQUIRED, &other.client, &other.client_key, "E_TLS_CA");
    expect_server_failure(TLS_CLIENT_CERT_OPTIONAL, &other.client, &other.client_key, "E_TLS_CA");
    expect_server_failure(TLS_CLIENT_CERT_OPTIONAL, &old, &pki.client_key, "E_TLS_EXPIRED");
    expect_server_failure(TLS_CLIENT_CERT_REQUIRED, &pki.server, &pki.server_key, "E_TLS_CA"); /* wrong use */
    struct tls_context *c = client_context(buf_text(&pki.ca), NULL, NULL), *s = server_context(TLS_CLIENT_CERT_OPTIONAL, NULL);
    struct pair p;
    open_pair(&p, c, s, "127.0.0.1", NULL);
    assert_int_equal(p.server_done, 1);
    assert_null(tls_peer(p.server));
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
    test_pki_close(&other);
}

/* PRO-05 */
static void a_cut_is_no_end(void **state)
{
    (void)state;
    struct tls_context *c = client_context(buf_text(&pki.ca), NULL, NULL), *s = server_context(TLS_CLIENT_CERT_NONE, NULL);
    struct pair p;
    struct error err;
    char got[64];
    open_pair(&p, c, s, "127.0.0.1", NULL);
    assert_int_equal(tls_write(p.server, "half of it", 10, &err), 0);
    carry(p.server, p.client, SIZE_MAX);
    tls_feed_end(p.client);
    assert_int_equal(tls_read(p.client, got, sizeof got, &err), 10);
    assert_int_equal(tls_read(p.client, got, sizeof got, &err), -1);
    assert_string_equal(err.code, "E_TLS_CLOSED");
    close_pair(&p);

    open_pair(&p, c, s, "127.0.0.1", NULL);
    assert_int_equal(tls_write(p.server, "all of it", 9, &err), 0);
    tls_say_goodbye(p.server);
    carry(p.server, p.client, SIZE_MAX);
    tls_feed_end(p.client);
    assert_int_equal(tls_read(p.client, got, sizeof got, &err), 9);
    assert_int_equal(tls_read(p.client, got, sizeof got, &err), TLS_END);
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
}

static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    struct tls_context *c = client_context(buf_text(&pki.ca), NULL, NULL), *s = server_context(TLS_CLIENT_CERT_NONE, NULL);
    struct error err;
    struct pair p = {.client = tls_new_client(c, "127.0.0.1", NULL, &err), .server = tls_new_server(s, &err)};
    for (int i = 0; i < 20 && (p.client_done == 0 || p.server_done == 0); i++) {
        for (int side = 0; side < 2; side++) {
            struct tls *from = side == 0 ? p.client : p.server, *to = side == 0 ? p.server : p.client;
            int *from_done = side == 0 ? &p.client_done : &p.server_done, *to_done = side == 0 ? &p.server_done : &p.client_done;
            *from_done = tls_handshake(from, &err);
            struct buf *out = tls_output(from);
            while (out->size > 0) {
                assert_int_equal(tls_feed(to, out->data, 1, NULL), 0);
                buf_drop_front(out, 1);
                *to_done = tls_handshake(to, &err);
                assert_true(*to_done >= 0);
            }
        }
    }
    assert_int_equal(p.client_done, 1);
    assert_int_equal(p.server_done, 1);
    static uint8_t data[100000], back[100000];
    size_t got = 0;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    assert_int_equal(tls_write(p.client, data, sizeof data, &err), 0);
    struct buf *out = tls_output(p.client);
    while (out->size > 0) {
        size_t n = out->size < 777 ? out->size : 777;
        assert_int_equal(tls_feed(p.server, out->data, n, NULL), 0);
        buf_drop_front(out, n);
        for (ssize_t r; (r = tls_read(p.server, back + got, sizeof back - got, &err)) > 0;)
            got += (size_t)r;
    }
    assert_int_equal(got, sizeof data);
    assert_memory_equal(back, data, sizeof data);
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
}

static void a_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct tls_context *c = client_context(buf_text(&pki.ca), NULL, NULL), *s = server_context(TLS_CLIENT_CERT_NONE, NULL);
    struct pair p;
    struct error err;
    char got[64];
    open_pair(&p, c, s, "127.0.0.1", NULL);
    assert_int_equal(tls_write(p.server, "payload", 7, &err), 0);
    tls_output(p.server)->data[tls_output(p.server)->size - 20] ^= 1;
    carry(p.server, p.client, SIZE_MAX);
    assert_int_equal(tls_read(p.client, got, sizeof got, &err), -1);
    assert_string_equal(err.code, "E_TLS_PROTOCOL");
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
}

static struct tls_session *first_session(struct tls_context *c, struct tls_context *s)
{
    struct pair p;
    open_pair(&p, c, s, "127.0.0.1", NULL);
    assert_int_equal(p.client_done, 1);
    assert_false(tls_resumed(p.client));
    struct tls_session *session = tls_session_save(p.client);
    close_pair(&p);
    return session;
}

static void a_resumed_session_still_says_who_is_there(void **state)
{
    (void)state;
    struct tls_tickets *tickets = tls_tickets_new(3600, NULL);
    struct tls_context *c = client_context(buf_text(&pki.ca), &pki.client, &pki.client_key);
    struct tls_context *s = server_context(TLS_CLIENT_CERT_REQUIRED, tickets);
    struct tls_session *session = first_session(c, s);
    struct x509_info info;
    struct pair p;
    assert_non_null(session);
    open_pair(&p, c, s, "127.0.0.1", session);
    assert_int_equal(p.server_done, 1);
    assert_true(tls_resumed(p.client));
    assert_true(tls_resumed(p.server));
    assert_int_equal(x509_read(buf_text(&pki.client), &info, NULL), 0);
    assert_non_null(tls_peer(p.server));
    assert_true(tls_peer(p.server)->resumed);
    assert_memory_equal(tls_peer(p.server)->sha256, info.sha256, 32);
    assert_string_equal(tls_peer(p.server)->serial, info.serial);
    close_pair(&p);

    open_pair(&p, c, s, "plane.example.org", session); /* another name: not for this session */
    assert_false(tls_resumed(p.client));
    close_pair(&p);

    assert_int_equal(tls_tickets_rotate(tickets, NULL), 0); /* the key before is still taken … */
    open_pair(&p, c, s, "127.0.0.1", session);
    assert_true(tls_resumed(p.client));
    close_pair(&p);
    for (int i = 0; i < TICKET_KEYS_MAX; i++) /* … but not for ever, and then it is a full handshake, no failure */
        assert_int_equal(tls_tickets_rotate(tickets, NULL), 0);
    open_pair(&p, c, s, "127.0.0.1", session);
    assert_int_equal(p.server_done, 1);
    assert_false(tls_resumed(p.client));
    assert_false(tls_resumed(p.server));
    close_pair(&p);
    tls_session_free(session);
    tls_context_free(c);
    tls_context_free(s);
    tls_tickets_free(tickets);
}

static void a_resumed_client_is_checked_again(void **state)
{
    (void)state;
    struct test_pki other;
    struct tls_tickets *tickets = tls_tickets_new(3600, NULL);
    struct tls_context *c = client_context(buf_text(&pki.ca), &pki.client, &pki.client_key);
    struct tls_context *s = server_context(TLS_CLIENT_CERT_REQUIRED, tickets);
    struct tls_session *session = first_session(c, s);
    struct error err;
    struct pair p;
    test_pki_open(&other);
    /* The same tickets, but the CA of the clients has changed meanwhile. */
    struct tls_server_options o = {.cert_pem = buf_text(&pki.server), .key_pem = buf_text(&pki.server_key),
                                   .client_cert = TLS_CLIENT_CERT_REQUIRED, .client_ca_pem = buf_text(&other.ca), .tickets = tickets};
    struct tls_context *moved = tls_context_server(&o, &err);
    open_pair(&p, c, moved, "127.0.0.1", session);
    assert_int_equal(p.server_done, -1);
    assert_string_equal(p.server_err.code, "E_TLS_CA");
    close_pair(&p);
    tls_session_free(session);

    /* A ticket from where nobody asked for a certificate is no way in where one is required. */
    struct tls_context *open_door = server_context(TLS_CLIENT_CERT_NONE, tickets);
    session = first_session(c, open_door);
    assert_non_null(session);
    open_pair(&p, c, s, "127.0.0.1", session);
    assert_int_equal(p.server_done, -1);
    assert_string_equal(p.server_err.code, "E_TLS_NO_CERT");
    close_pair(&p);
    tls_session_free(session);
    tls_context_free(c);
    tls_context_free(s);
    tls_context_free(moved);
    tls_context_free(open_door);
    tls_tickets_free(tickets);
    test_pki_close(&other);
}

static void nodes_with_the_same_keys_take_each_others_tickets(void **state)
{
    (void)state;
    struct ticket_key key;
    memset(&key, 7, sizeof key);
    struct tls_tickets *one = tls_tickets_new(3600, NULL), *two = tls_tickets_new(3600, NULL), *three = tls_tickets_new(3600, NULL);
    assert_int_equal(tls_tickets_set_keys(one, &key, 1, NULL), 0);
    assert_int_equal(tls_tickets_set_keys(two, &key, 1, NULL), 0);
    struct error err;
    assert_int_equal(tls_tickets_set_keys(two, &key, 0, &err), -1);
    struct tls_context *c = client_context(buf_text(&pki.ca), NULL, NULL);
    struct tls_context *a = server_context(TLS_CLIENT_CERT_NONE, one), *b = server_context(TLS_CLIENT_CERT_NONE, two),
                       *d = server_context(TLS_CLIENT_CERT_NONE, three);
    struct tls_session *session = first_session(c, a);
    struct pair p;
    open_pair(&p, c, b, "127.0.0.1", session);
    assert_true(tls_resumed(p.server));
    close_pair(&p);
    open_pair(&p, c, d, "127.0.0.1", session);
    assert_int_equal(p.server_done, 1);
    assert_false(tls_resumed(p.server));
    close_pair(&p);
    tls_session_free(session);
    tls_context_free(c);
    tls_context_free(a);
    tls_context_free(b);
    tls_context_free(d);
    tls_tickets_free(one);
    tls_tickets_free(two);
    tls_tickets_free(three);
}

static void a_pin_fetch_reads_the_chain_and_nothing_is_believed(void **state)
{
    (void)state;
    struct error err;
    struct tls_context *c = tls_context_client_unverified_for_pin_fetch(&err), *s = server_context(TLS_CLIENT_CERT_NONE, NULL);
    struct pair p;
    struct x509_info served, seen;
    AUTO_BUF struct buf chain = BUF(X509_PEM_MAX);
    open_pair(&p, c, s, "whatever.example.org", NULL);
    assert_int_equal(p.client_done, 1);
    assert_int_equal(tls_peer_chain(p.client, &chain, &err), 0);
    assert_int_equal(x509_read(buf_text(&pki.server), &served, &err), 0);
    assert_int_equal(x509_read(buf_text(&chain), &seen, &err), 0);
    assert_memory_equal(served.sha256, seen.sha256, 32);
    close_pair(&p);
    tls_context_free(c);
    tls_context_free(s);
}

static void garbage_is_a_protocol_error(void **state)
{
    (void)state;
    struct tls_context *s = server_context(TLS_CLIENT_CERT_NONE, NULL);
    struct error err;
    struct tls *t = tls_new_server(s, &err);
    assert_int_equal(tls_feed(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, &err), 0);
    assert_int_equal(tls_handshake(t, &err), -1);
    assert_string_equal(err.code, "E_TLS_PROTOCOL");
    tls_free(t);
    t = tls_new_server(s, &err);
    tls_feed_end(t);
    assert_int_equal(tls_handshake(t, &err), -1);
    assert_string_equal(err.code, "E_TLS_CLOSED");
    tls_free(t);
    tls_context_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_learn_who_is_there),
        cmocka_unit_test(names_are_demanded_and_matched),
        cmocka_unit_test(a_context_without_a_name_is_no_client),
        cmocka_unit_test(unknown_cas_are_refused),
        cmocka_unit_test(expired_certificates_are_named_as_such),
        cmocka_unit_test(a_clients_certificate_is_none_for_a_server),
        cmocka_unit_test(bad_client_certificates_are_refused_also_when_none_is_needed),
        cmocka_unit_test(a_cut_is_no_end),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(a_flipped_bit_is_noticed),
        cmocka_unit_test(a_resumed_session_still_says_who_is_there),
        cmocka_unit_test(a_resumed_client_is_checked_again),
        cmocka_unit_test(nodes_with_the_same_keys_take_each_others_tickets),
        cmocka_unit_test(a_pin_fetch_reads_the_chain_and_nothing_is_believed),
        cmocka_unit_test(garbage_is_a_protocol_error),
    };
    return cmocka_run_group_tests_name("net/tls: tls", tests, open_pki, close_pki);
}
