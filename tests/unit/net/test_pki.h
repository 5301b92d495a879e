/* Throw-away keys and certificates, made at run time. */
#ifndef KLY_TESTS_NET_TEST_PKI_H
#define KLY_TESTS_NET_TEST_PKI_H

#include "net/tls/x509.h"
#include "tests/unit/net/net_test.h"

#define DAY_MS ((int64_t)86400000)

struct test_pki {
    struct buf ca_key, ca, server_key, server, client_key, client;
};

static inline void test_issue(const struct test_pki *p, struct buf *key, struct buf *cert, const char *name, enum x509_use use,
                              const char *san1, const char *san2, int64_t from_ms, int64_t to_ms)
{
    struct error err = {0};
    AUTO_BUF struct buf csr = BUF(X509_PEM_MAX);
    if (key->size == 0)
        assert_int_equal(x509_make_key(key, &err), 0);
    assert_int_equal(x509_make_csr(buf_text(key), name, &csr, &err), 0);
    struct x509_issue what = {.ca_cert_pem = buf_text(&p->ca),
                              .ca_key_pem = buf_text(&p->ca_key),
                              .csr_pem = buf_text(&csr),
                              .common_name = name,
                              .use = use,
                              .names = {san1, san1 != NULL ? san2 : NULL},
                              .not_before_ms = from_ms,
                              .not_after_ms = to_ms};
    if (x509_issue(&what, cert, &err) < 0)
        fail_msg("%s: %s", err.code, err.text);
}

static inline void test_pki_open(struct test_pki *p)
{
    struct error err = {0};
    int64_t now = clock_wall_ms();
    *p = (struct test_pki){BUF(X509_PEM_MAX), BUF(X509_PEM_MAX), BUF(X509_PEM_MAX), BUF(X509_PEM_MAX), BUF(X509_PEM_MAX), BUF(X509_PEM_MAX)};
    assert_int_equal(x509_make_key(&p->ca_key, &err), 0);
    if (x509_make_ca(buf_text(&p->ca_key), "Test CA", now - DAY_MS, now + DAY_MS, &p->ca, &err) < 0)
        fail_msg("%s: %s", err.code, err.text);
    test_issue(p, &p->server_key, &p->server, "plane", X509_SERVER, "plane.example.org", "127.0.0.1", now - DAY_MS, now + DAY_MS);
    test_issue(p, &p->client_key, &p->client, "srv_0123456789abcdef", X509_CLIENT, NULL, NULL, now - DAY_MS, now + DAY_MS);
}

static inline void test_pki_close(struct test_pki *p)
{
    buf_wipe_free(&p->ca_key);
    buf_free(&p->ca);
    buf_wipe_free(&p->server_key);
    buf_free(&p->server);
    buf_wipe_free(&p->client_key);
    buf_free(&p->client);
}

#endif
