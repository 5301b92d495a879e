/* Keys and signatures against an implementation that is not ours: openssl's, in a folder of its own. */
#include "trust_test.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/durable.h"
#include "trust/digest.h"
#include "trust/p256.h"

static char folder[] = "/tmp/klystrr-test-XXXXXX";
static int dirfd_ = -1;

/* Runs a shell command in the folder; true if it exits 0. */
static bool run(const char *command)
{
    char line[1024];
    snprintf(line, sizeof line, "cd %s && %s >out.txt 2>&1", folder, command);
    return system(line) == 0; /* NOLINT: a fixed text, for a test */
}

static void put(const char *name, struct bytes data)
{
    struct error err = {0};
    assert_int_equal(durable_replace(dirfd_, name, data.data, data.size, 0600, &err), 0);
}

static void get(const char *name, struct buf *out)
{
    struct error err = {0};
    assert_int_equal(durable_read(dirfd_, name, out, &err), 0);
}

static void reads_both_forms_of_keys_that_openssl_makes(void **state)
{
    (void)state;
    AUTO_WIPE struct buf sec1 = BUF(P256_PEM_MAX), pkcs8 = BUF(P256_PEM_MAX), public = BUF(P256_PEM_MAX);
    assert_true(run("openssl ecparam -name prime256v1 -genkey -noout -out sec1.pem && "
                    "openssl pkcs8 -topk8 -nocrypt -in sec1.pem -out pkcs8.pem && "
                    "openssl pkey -in sec1.pem -pubout -out pub.pem"));
    get("sec1.pem", &sec1);
    get("pkcs8.pem", &pkcs8);
    get("pub.pem", &public);
    AUTO_P256 struct p256_key a = {0}, b = {0};
    uint8_t point[P256_POINT_SIZE];
    struct error err = {0};
    assert_int_equal(p256_read_pem(buf_view(&sec1), &a, &err), 0);
    assert_int_equal(p256_read_pem(buf_view(&pkcs8), &b, &err), 0);
    assert_int_equal(p256_read_public_pem(buf_view(&public), point, &err), 0);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_equal(a.point, point, sizeof point);
    /* We write the very same bytes. */
    AUTO_WIPE struct buf ours = BUF(P256_PEM_MAX);
    assert_int_equal(p256_write_pem(&a, &ours, &err), 0);
    assert_string_equal(buf_text(&ours), buf_text(&pkcs8));
    ours.size = 0;
    assert_int_equal(p256_write_public_pem(a.point, &ours, &err), 0);
    assert_string_equal(buf_text(&ours), buf_text(&public));
}

static void refuses_keys_that_are_not_for_p256(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "openssl ecparam -name secp384r1 -genkey -noout -out k.pem",
        "openssl ecparam -name secp256k1 -genkey -noout -out k.pem",
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out k.pem",
        "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -passout pass:x -out k.pem",
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char command[512];
        snprintf(command, sizeof command, "( %s )", kinds[i]);
        assert_true(run(command));
        AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
        get("k.pem", &pem);
        struct p256_key key;
        struct error err = {0};
        assert_int_equal(p256_read_pem(buf_view(&pem), &key, &err), -1);
        assert_string_equal(err.code, "E_KEY");
    }
}

static void names_a_key_by_the_digest_of_its_der_form(void **state)
{
    (void)state;
    assert_true(run("openssl ecparam -name prime256v1 -genkey -noout -out k.pem && "
                    "openssl pkey -in k.pem -pubout -outform DER -out pub.der"));
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX), der = BUF(1000);
    get("k.pem", &pem);
    get("pub.der", &der);
    AUTO_P256 struct p256_key key = {0};
    uint8_t expected[P256_KEYID_SIZE], keyid[P256_KEYID_SIZE];
    struct error err = {0};
    assert_int_equal(p256_read_pem(buf_view(&pem), &key, &err), 0);
    assert_int_equal(p256_keyid(key.point, keyid, &err), 0);
    assert_int_equal(digest_of(der.data, der.size, expected, &err), 0);
    assert_memory_equal(keyid, expected, sizeof keyid);
}

static void verifies_what_openssl_signs(void **state)
{
    (void)state;
    put("message", TEXT("a message"));
    assert_true(run("openssl ecparam -name prime256v1 -genkey -noout -out k.pem"));
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
    get("k.pem", &pem);
    AUTO_P256 struct p256_key key = {0};
    struct error err = {0};
    assert_int_equal(p256_read_pem(buf_view(&pem), &key, &err), 0);
    for (int i = 0; i < 20; i++) { /* openssl's are random: some have short numbers, some a zero in front */
        assert_true(run("openssl dgst -sha256 -sign k.pem -out sig.der message"));
        AUTO_BUF struct buf der = BUF(1000);
        get("sig.der", &der);
        uint8_t sig[P256_SIG_SIZE];
        assert_int_equal(p256_sig_from_der(buf_view(&der), sig, &err), 0);
        assert_int_equal(p256_verify(key.point, TEXT("a message"), (struct bytes){sig, sizeof sig}, &err), 0);
        assert_int_equal(p256_verify(key.point, TEXT("A message"), (struct bytes){sig, sizeof sig}, &err), -1);
    }
}

/* DER by hand: two positive INTEGERs of up to 33 bytes. */
static size_t der_of(const uint8_t *sig, uint8_t *out)
{
    size_t at = 2;
    for (int part = 0; part < 2; part++) {
        const uint8_t *number = sig + 32 * part;
        size_t zeros = 0;
        while (zeros < 31 && number[zeros] == 0)
            zeros++;
        bool pad = (number[zeros] & 0x80) != 0;
        out[at++] = 0x02;
        out[at++] = (uint8_t)(32 - zeros + pad);
        if (pad)
            out[at++] = 0;
        memcpy(out + at, number + zeros, 32 - zeros);
        at += 32 - zeros;
    }
    out[0] = 0x30;
    out[1] = (uint8_t)(at - 2);
    return at;
}

static void signs_what_openssl_verifies(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key key = {0};
    AUTO_BUF struct buf pem = BUF(P256_PEM_MAX);
    struct error err = {0};
    assert_int_equal(p256_generate(&key, &err), 0);
    assert_int_equal(p256_write_public_pem(key.point, &pem, &err), 0);
    put("pub.pem", buf_view(&pem));
    for (int i = 0; i < 20; i++) {
        char message[32];
        struct bytes text = {(const uint8_t *)message,
                             (size_t)snprintf(message, sizeof message, "message %d", i)};
        uint8_t sig[P256_SIG_SIZE], der[80], back[P256_SIG_SIZE];
        assert_int_equal(p256_sign(&key, text, sig, &err), 0);
        size_t size = der_of(sig, der);
        assert_int_equal(p256_sig_from_der((struct bytes){der, size}, back, &err), 0);
        assert_memory_equal(sig, back, sizeof sig);
        put("message", text);
        put("sig.der", (struct bytes){der, size});
        assert_true(run("openssl dgst -sha256 -verify pub.pem -signature sig.der message"));
    }
    put("message", TEXT("another"));
    assert_false(run("openssl dgst -sha256 -verify pub.pem -signature sig.der message"));
}

int main(void)
{
    if (mkdtemp(folder) == NULL)
        return 1;
    if (!run("openssl version")) {
        printf("skipped: no openssl program\n");
        rmdir(folder);
        return 77;
    }
    struct error err = {0};
    dirfd_ = durable_dir(folder, 0700, &err);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_forms_of_keys_that_openssl_makes),
        cmocka_unit_test(refuses_keys_that_are_not_for_p256),
        cmocka_unit_test(names_a_key_by_the_digest_of_its_der_form),
        cmocka_unit_test(verifies_what_openssl_signs),
        cmocka_unit_test(signs_what_openssl_verifies),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    close(dirfd_);
    char remove[64];
    snprintf(remove, sizeof remove, "rm -rf %s", folder);
    return system(remove) != 0 ? 1 : failed;
}
