#include <stdio.h>
#include <unistd.h>

#include "tests/unit/net/test_pki.h"

static void issues_what_it_was_asked_for(void **state)
{
    (void)state;
    struct test_pki p;
    struct x509_info info;
    struct error err;
    test_pki_open(&p);
    assert_int_equal(x509_read(buf_text(&p.client), &info, &err), 0);
    assert_string_equal(info.common_name, "srv_0123456789abcdef");
    assert_int_equal(strlen(info.serial), 32);
    assert_false(info.is_ca);
    assert_true(info.not_after_ms - info.not_before_ms == 2 * DAY_MS);
    assert_int_equal(x509_read(buf_text(&p.ca), &info, &err), 0);
    assert_true(info.is_ca);
    assert_string_equal(info.common_name, "Test CA");
    assert_int_equal(x509_check_issued_by(buf_text(&p.client), buf_text(&p.ca), X509_CLIENT, &err), 0);
    assert_int_equal(x509_check_issued_by(buf_text(&p.server), buf_text(&p.ca), X509_SERVER, &err), 0);
    assert_int_equal(x509_check_key(buf_text(&p.client), buf_text(&p.client_key), &err), 0);
    test_pki_close(&p);
}

static void tells_uses_issuers_and_keys_apart(void **state)
{
    (void)state;
    struct test_pki p, other;
    struct error err;
    test_pki_open(&p);
    test_pki_open(&other);
    assert_int_equal(x509_check_issued_by(buf_text(&p.client), buf_text(&p.ca), X509_SERVER, &err), -1);
    assert_int_equal(x509_check_issued_by(buf_text(&p.server), buf_text(&p.ca), X509_CLIENT, &err), -1);
    assert_int_equal(x509_check_issued_by(buf_text(&p.client), buf_text(&other.ca), X509_CLIENT, &err), -1);
    assert_int_equal(x509_check_key(buf_text(&p.client), buf_text(&p.server_key), &err), -1);
    assert_string_equal(err.code, "E_X509");
    test_pki_close(&p);
    test_pki_close(&other);
}

static void issued_by_does_not_look_at_dates(void **state)
{
    (void)state;
    struct test_pki p;
    struct error err;
    test_pki_open(&p);
    AUTO_BUF struct buf old = BUF(X509_PEM_MAX);
    int64_t now = clock_wall_ms();
    test_issue(&p, &p.client_key, &old, "old", X509_CLIENT, NULL, NULL, now - 9 * DAY_MS, now - 8 * DAY_MS);
    assert_int_equal(x509_check_issued_by(buf_text(&old), buf_text(&p.ca), X509_CLIENT, &err), 0);
    test_pki_close(&p);
}

static void refuses_requests_with_a_broken_signature(void **state)
{
    (void)state;
    struct error err;
    char name[65];
    AUTO_WIPE struct buf key = BUF(X509_PEM_MAX);
    AUTO_BUF struct buf csr = BUF(X509_PEM_MAX);
    assert_int_equal(x509_make_key(&key, &err), 0);
    assert_int_equal(x509_make_csr(buf_text(&key), "some host", &csr, &err), 0);
    assert_int_equal(x509_check_csr(buf_text(&csr), name, &err), 0);
    assert_string_equal(name, "some host");
    unsigned refused = 0, tried = 0;
    char *begin = strchr((char *)csr.data, '\n') + 1, *end = strstr(begin, "-----END");
    for (char *c = begin; c < end; c++) { /* one letter changed, anywhere in the base64: never a good request */
        if (*c == '\n' || *c == '=')
            continue;
        char was = *c;
        *c = was == 'A' ? 'B' : 'A';
        tried++;
        refused += x509_check_csr(buf_text(&csr), name, &err) < 0;
        *c = was;
    }
    assert_true(tried > 200);
    assert_true(refused >= tried - 1); /* the last letter may carry bits that mean nothing */
}

static void refuses_names_that_mean_something_to_others(void **state)
{
    (void)state;
    struct error err;
    AUTO_WIPE struct buf key = BUF(X509_PEM_MAX);
    AUTO_BUF struct buf csr = BUF(X509_PEM_MAX);
    assert_int_equal(x509_make_key(&key, &err), 0);
    static const char *const bad[] = {"", "a,O=b", "a\\", "a\nb", "a=b", "a+b",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(x509_make_csr(buf_text(&key), bad[i], &csr, &err), -1);
    assert_int_equal(x509_read("no certificate", &(struct x509_info){0}, &err), -1);
}

/* What we write must be what others read: names and their kinds as openssl prints them. */
static void others_read_the_same_names(void **state)
{
    (void)state;
    struct test_pki p;
    char path[] = "/tmp/kly-x509-XXXXXX", command[128], text[512] = "";
    test_pki_open(&p);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p.server.data, p.server.size), p.server.size);
    close(fd);
    snprintf(command, sizeof command, "openssl x509 -in %s -noout -ext subjectAltName,extendedKeyUsage 2>/dev/null", path);
    FILE *out = popen(command, "r");
    size_t size = out != NULL ? fread(text, 1, sizeof text - 1, out) : 0;
    int status = out != NULL ? pclose(out) : -1;
    unlink(path);
    test_pki_close(&p);
    if (status != 0) {
        skip(); /* no openssl here */
    }
    text[size] = 0;
    assert_non_null(strstr(text, "DNS:plane.example.org, IP Address:127.0.0.1"));
    assert_non_null(strstr(text, "TLS Web Server Authentication"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issues_what_it_was_asked_for),
        cmocka_unit_test(tells_uses_issuers_and_keys_apart),
        cmocka_unit_test(issued_by_does_not_look_at_dates),
        cmocka_unit_test(refuses_requests_with_a_broken_signature),
        cmocka_unit_test(refuses_names_that_mean_something_to_others),
        cmocka_unit_test(others_read_the_same_names),
    };
    return cmocka_run_group_tests_name("net/tls: x509", tests, NULL, NULL);
}
