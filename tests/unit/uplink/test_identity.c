#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/uplink/identity.h"
#include "base/clock.h"
#include "base/durable.h"

#include <cmocka.h> /* last: it defines fail() */

#define DAY_MS (INT64_C(86400) * 1000)

/* A folder for an identity, and a CA that issues for it. */
struct place {
    char folder[64];
    struct buf ca_key, ca_pem;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    *p = (struct place){.ca_key = BUF(65536), .ca_pem = BUF(65536)};
    snprintf(p->folder, sizeof p->folder, "/tmp/kly-identity-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    assert_int_equal(x509_make_key(&p->ca_key, NULL), 0);
    assert_int_equal(x509_make_ca(buf_text(&p->ca_key), "test plane", clock_wall_ms() - DAY_MS, clock_wall_ms() + 900 * DAY_MS,
                                  &p->ca_pem, NULL),
                     0);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    int dir = open(p->folder, O_RDONLY | O_DIRECTORY);
    DIR *d = fdopendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        unlinkat(dir, e->d_name, 0);
    closedir(d);
    rmdir(p->folder);
    buf_wipe_free(&p->ca_key);
    buf_free(&p->ca_pem);
    free(p);
    return 0;
}

static void issue(const struct place *p, const char *csr, enum x509_use use, int64_t from, int64_t to, struct buf *out)
{
    const struct x509_issue what = {.ca_cert_pem = buf_text(&p->ca_pem), .ca_key_pem = buf_text(&p->ca_key), .csr_pem = csr,
                                    .common_name = "srv_0123456789abcdef", .use = use, .not_before_ms = from, .not_after_ms = to};
    struct error err = {0};
    if (x509_issue(&what, out, &err) < 0)
        fail_msg("%s", err.text);
}

static void enrol(const struct place *p, struct identity *id, int64_t from, int64_t to)
{
    AUTO_BUF struct buf csr = BUF(65536), cert = BUF(65536);
    struct error err = {0};
    assert_int_equal(identity_request(id, "srv_0123456789abcdef", &csr, &err), 0);
    issue(p, buf_text(&csr), X509_CLIENT, from, to, &cert);
    if (identity_store(id, buf_text(&cert), buf_text(&p->ca_pem), &err) < 0)
        fail_msg("%s", err.text);
}

static void write_file(const struct place *p, const char *name, const char *text, mode_t mode)
{
    AUTO_CLOSE int dir = open(p->folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(durable_replace(dir, name, text, strlen(text), mode, NULL), 0);
}

static mode_t mode_of(const struct place *p, const char *name)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void a_fresh_folder_is_nobody(void **state)
{
    struct place *p = *state;
    struct identity id;
    char secret[IDENTITY_TOKEN_SIZE];
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    assert_false(identity_enrolled(&id));
    assert_int_equal(identity_token(&id, secret, NULL), 1);
    identity_free(&id);
}

static void the_key_is_made_once_and_kept_private(void **state)
{
    struct place *p = *state;
    struct identity id, again;
    AUTO_BUF struct buf csr = BUF(65536), csr2 = BUF(65536);
    umask(0);
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    assert_int_equal(identity_request(&id, "srv_0123456789abcdef", &csr, NULL), 0);
    assert_int_equal(mode_of(p, "key.pem"), 0600);
    char name[65];
    assert_int_equal(x509_check_csr(buf_text(&csr), name, NULL), 0);
    assert_string_equal(name, "srv_0123456789abcdef");
    assert_int_equal(identity_open(&again, p->folder, NULL), 0);
    assert_int_equal(identity_request(&again, "srv_0123456789abcdef", &csr2, NULL), 0);
    assert_string_equal(buf_text(&id.key_pem), buf_text(&again.key_pem));
    identity_free(&id);
    identity_free(&again);
}

static void an_enrolment_survives_a_restart(void **state)
{
    struct place *p = *state;
    struct identity id, again;
    int64_t now = clock_wall_ms();
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    enrol(p, &id, now, now + 90 * DAY_MS);
    assert_true(identity_enrolled(&id));
    assert_int_equal(identity_open(&again, p->folder, NULL), 0);
    assert_true(identity_enrolled(&again));
    assert_memory_equal(id.cert.sha256, again.cert.sha256, sizeof id.cert.sha256);
    assert_int_equal(mode_of(p, "cert.pem"), 0600);
    assert_int_equal(mode_of(p, "ca.pem"), 0600);
    identity_free(&id);
    identity_free(&again);
}

static void certificates_that_do_not_fit_change_nothing(void **state)
{
    struct place *p = *state;
    struct identity id;
    struct error err = {0};
    int64_t now = clock_wall_ms();
    AUTO_BUF struct buf csr = BUF(65536), key = BUF(65536), other_csr = BUF(65536), cert = BUF(65536), ca = BUF(65536);
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    enrol(p, &id, now, now + 90 * DAY_MS);
    AUTO_BUF struct buf before = BUF(65536);
    assert_int_equal(buf_add(&before, id.cert_pem.data, id.cert_pem.size, NULL), 0);

    assert_int_equal(x509_make_key(&key, NULL), 0); /* another key */
    assert_int_equal(x509_make_csr(buf_text(&key), "srv_0123456789abcdef", &other_csr, NULL), 0);
    issue(p, buf_text(&other_csr), X509_CLIENT, now, now + DAY_MS, &cert);
    assert_int_equal(identity_store(&id, buf_text(&cert), buf_text(&p->ca_pem), &err), -1);
    assert_string_equal(err.code, "E_IDENTITY");

    assert_int_equal(identity_request(&id, "srv_0123456789abcdef", &csr, NULL), 0); /* a server's */
    cert.size = 0;
    issue(p, buf_text(&csr), X509_SERVER, now, now + DAY_MS, &cert);
    assert_int_equal(identity_store(&id, buf_text(&cert), buf_text(&p->ca_pem), &err), -1);

    cert.size = 0; /* another CA */
    issue(p, buf_text(&csr), X509_CLIENT, now, now + DAY_MS, &cert);
    assert_int_equal(x509_make_ca(buf_text(&key), "other plane", now - DAY_MS, now + DAY_MS, &ca, NULL), 0);
    assert_int_equal(identity_store(&id, buf_text(&cert), buf_text(&ca), &err), -1);
    assert_int_equal(identity_store(&id, "nonsense", buf_text(&p->ca_pem), &err), -1);

    assert_string_equal(buf_text(&id.cert_pem), buf_text(&before));
    assert_true(identity_enrolled(&id));
    identity_free(&id);
}

static void loose_modes_are_refused(void **state)
{
    struct place *p = *state;
    struct identity id;
    struct error err = {0};
    static const char *const names[] = {"key.pem", "cert.pem", "ca.pem"};
    int64_t now = clock_wall_ms();
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    enrol(p, &id, now, now + 90 * DAY_MS);
    identity_free(&id);
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", p->folder, names[i]);
        assert_int_equal(chmod(path, 0640), 0);
        assert_int_equal(identity_open(&id, p->folder, &err), -1);
        assert_string_equal(err.code, "E_PERM");
        assert_non_null(strstr(err.text, names[i]));
        assert_int_equal(chmod(path, 0600), 0);
    }
    assert_int_equal(chmod(p->folder, 0750), 0);
    assert_int_equal(identity_open(&id, p->folder, &err), -1);
    assert_string_equal(err.code, "E_PERM");
    assert_int_equal(chmod(p->folder, 0700), 0);
    assert_int_equal(identity_open(&id, p->folder, &err), 0);
    identity_free(&id);
}

static void a_token_is_read_strictly_and_goes_when_used(void **state)
{
    struct place *p = *state;
    struct identity id;
    struct error err = {0};
    char secret[IDENTITY_TOKEN_SIZE];
    const char *hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    char line[80];
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    snprintf(line, sizeof line, "%s\n", hex);
    write_file(p, "token", line, 0600);
    assert_int_equal(identity_token(&id, secret, &err), 0);
    assert_string_equal(secret, hex);
    for (size_t n = 0; n < 64; n++) {
        snprintf(line, sizeof line, "%.*s", (int)n, hex);
        write_file(p, "token", line, 0600);
        assert_int_equal(identity_token(&id, secret, &err), -1);
        assert_string_equal(err.code, "E_TOKEN");
        assert_null(strstr(err.text, "0011"));
    }
    write_file(p, "token", hex, 0644);
    assert_int_equal(identity_token(&id, secret, &err), -1);
    assert_string_equal(err.code, "E_PERM");
    assert_int_equal(identity_drop_token(&id, &err), 0);
    assert_int_equal(identity_token(&id, secret, &err), 1);
    assert_int_equal(identity_drop_token(&id, &err), 0);
    identity_free(&id);
}

static void damaged_files_are_named_and_not_replaced(void **state)
{
    struct place *p = *state;
    struct identity id;
    struct error err = {0};
    int64_t now = clock_wall_ms();
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    enrol(p, &id, now, now + 90 * DAY_MS);
    identity_free(&id);
    write_file(p, "cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0600);
    assert_int_equal(identity_open(&id, p->folder, &err), -1);
    write_file(p, "cert.pem", "", 0600);
    assert_int_equal(identity_open(&id, p->folder, &err), -1);
    assert_string_equal(err.code, "E_IDENTITY");
    assert_non_null(strstr(err.text, "cert.pem"));
}

static void renewal_is_due_at_two_thirds_and_dates_are_told(void **state)
{
    struct place *p = *state;
    struct identity id;
    char text[256];
    int64_t start = clock_wall_ms() / 1000 * 1000;
    assert_int_equal(identity_open(&id, p->folder, NULL), 0);
    enrol(p, &id, start, start + 90 * DAY_MS);
    assert_in_range(identity_renewal_ms(&id), start + 60 * DAY_MS - 60000, start + 60 * DAY_MS + 60000);
    identity_warning(&id, start + DAY_MS, text, sizeof text);
    assert_string_equal(text, "");
    identity_warning(&id, start + 70 * DAY_MS, text, sizeof text);
    assert_non_null(strstr(text, "could not be renewed"));
    identity_warning(&id, start + 91 * DAY_MS, text, sizeof text);
    assert_non_null(strstr(text, "expired on"));
    identity_warning(&id, start - 2 * DAY_MS, text, sizeof text);
    assert_non_null(strstr(text, "mend the clock"));
    identity_free(&id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fresh_folder_is_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_key_is_made_once_and_kept_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_enrolment_survives_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(certificates_that_do_not_fit_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(loose_modes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_is_read_strictly_and_goes_when_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_named_and_not_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(renewal_is_due_at_two_thirds_and_dates_are_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
