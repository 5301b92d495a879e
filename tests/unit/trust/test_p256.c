#include "trust_test.h"

#include "trust/p256.h"

/* RFC 6979, A.2.5: P-256, SHA-256. */
static const char rfc_scalar[] = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
static const char rfc_point[] = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                                "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
/* The order n of the curve. */
static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

static void rfc_key(struct p256_key *key)
{
    uint8_t scalar[P256_SCALAR_SIZE];
    unhex(rfc_scalar, scalar, sizeof scalar);
    struct error err = {0};
    assert_int_equal(p256_from_scalar(scalar, key, &err), 0);
}

static void computes_the_point_of_a_scalar(void **state)
{
    (void)state;
    struct p256_key key;
    rfc_key(&key);
    assert_hex(key.point, sizeof key.point, rfc_point);
    assert_hex(key.scalar, sizeof key.scalar, rfc_scalar);
}

static void refuses_scalars_out_of_range(void **state)
{
    (void)state;
    uint8_t scalar[P256_SCALAR_SIZE] = {0};
    struct p256_key key;
    struct error err = {0};
    assert_int_equal(p256_from_scalar(scalar, &key, &err), -1);
    assert_string_equal(err.code, "E_KEY");
    unhex(order, scalar, sizeof scalar);
    assert_int_equal(p256_from_scalar(scalar, &key, &err), -1);
    scalar[31]--;
    assert_int_equal(p256_from_scalar(scalar, &key, &err), 0);
}

static void signs_as_rfc_6979_says(void **state)
{
    (void)state;
    struct p256_key key;
    rfc_key(&key);
    uint8_t sig[P256_SIG_SIZE];
    struct error err = {0};
    assert_int_equal(p256_sign(&key, TEXT("sample"), sig, &err), 0);
    assert_hex(sig, sizeof sig,
               "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
               "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    assert_int_equal(p256_sign(&key, TEXT("test"), sig, &err), 0);
    assert_hex(sig, sizeof sig,
               "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
               "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083");
    assert_int_equal(p256_verify(key.point, TEXT("test"), (struct bytes){sig, sizeof sig}, &err), 0);
}

static void refuses_a_signature_with_any_bit_flipped_or_of_any_other_size(void **state)
{
    (void)state;
    struct p256_key key;
    rfc_key(&key);
    uint8_t sig[P256_SIG_SIZE + 1] = {0};
    struct error err = {0};
    assert_int_equal(p256_sign(&key, TEXT("sample"), sig, &err), 0);
    for (size_t bit = 0; bit < P256_SIG_SIZE * 8; bit += 5) {
        sig[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(p256_verify(key.point, TEXT("sample"), (struct bytes){sig, P256_SIG_SIZE}, &err), -1);
        assert_string_equal(err.code, "E_SIG");
        sig[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t size = 0; size <= sizeof sig; size++)
        assert_int_equal(p256_verify(key.point, TEXT("sample"), (struct bytes){sig, size}, &err),
                         size == P256_SIG_SIZE ? 0 : -1);
    assert_int_equal(p256_verify(key.point, TEXT("Sample"), (struct bytes){sig, P256_SIG_SIZE}, &err), -1);
}

static void accepts_points_of_the_curve_only(void **state)
{
    (void)state;
    struct error err = {0};
    uint8_t point[P256_POINT_SIZE];
    unhex(rfc_point, point, sizeof point);
    assert_int_equal(p256_check_point(point, &err), 0);
    for (unsigned form = 0; form < 256; form++) {
        point[0] = (uint8_t)form;
        assert_int_equal(p256_check_point(point, &err), form == 4 ? 0 : -1);
    }
    point[0] = 4;
    for (size_t bit = 8; bit < sizeof point * 8; bit += 3) {
        point[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(p256_check_point(point, &err), -1);
        assert_string_equal(err.code, "E_KEY");
        point[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    memset(point + 1, 0, sizeof point - 1);
    assert_int_equal(p256_check_point(point, &err), -1);
}

static void makes_keys_that_differ_and_agree_with_each_other(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key a = {0}, b = {0};
    struct error err = {0};
    assert_int_equal(p256_generate(&a, &err), 0);
    assert_int_equal(p256_generate(&b, &err), 0);
    assert_memory_not_equal(a.scalar, b.scalar, sizeof a.scalar);
    uint8_t one[32], other[32];
    assert_int_equal(p256_ecdh(&a, b.point, one, &err), 0);
    assert_int_equal(p256_ecdh(&b, a.point, other, &err), 0);
    assert_memory_equal(one, other, sizeof one);
    b.point[64] ^= 1;
    assert_int_equal(p256_ecdh(&a, b.point, one, &err), -1);
    assert_string_equal(err.code, "E_KEY");
}

static void reads_back_what_it_wrote_as_pem(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key key = {0}, back = {0};
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
    struct error err = {0};
    assert_int_equal(p256_generate(&key, &err), 0);
    assert_int_equal(p256_write_pem(&key, &pem, &err), 0);
    assert_int_equal(strncmp(buf_text(&pem), "-----BEGIN PRIVATE KEY-----\n", 28), 0);
    assert_int_equal(p256_read_pem(buf_view(&pem), &back, &err), 0);
    assert_memory_equal(&key, &back, sizeof key);

    AUTO_BUF struct buf public = BUF(P256_PEM_MAX);
    uint8_t point[P256_POINT_SIZE];
    assert_int_equal(p256_write_public_pem(key.point, &public, &err), 0);
    assert_int_equal(p256_read_public_pem(buf_view(&public), point, &err), 0);
    assert_memory_equal(point, key.point, sizeof point);
    /* One is not the other. */
    assert_int_equal(p256_read_public_pem(buf_view(&pem), point, &err), -1);
    assert_int_equal(p256_read_pem(buf_view(&public), &back, &err), -1);
    assert_string_equal(err.code, "E_KEY");
}

static void refuses_every_truncated_key_file(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key key = {0}, back = {0};
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
    struct error err = {0};
    assert_int_equal(p256_generate(&key, &err), 0);
    assert_int_equal(p256_write_pem(&key, &pem, &err), 0);
    for (size_t size = 0; size < pem.size - 1; size++) /* the last byte is a line end */
        assert_int_equal(p256_read_pem((struct bytes){pem.data, size}, &back, &err), -1);
    static const uint8_t long_one[P256_PEM_MAX + 1];
    assert_int_equal(p256_read_pem((struct bytes){long_one, sizeof long_one}, &back, &err), -1);
    assert_string_equal(err.code, "E_KEY");
}

/* Keys of the right form on another curve, or of another kind: made for this test, worth nothing. */
static void refuses_keys_of_other_kinds(void **state)
{
    (void)state;
    static const char p384[] = "-----BEGIN EC PRIVATE KEY-----\n"
                               "MD4CAQEEMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                               "AAAAAAAAAAAAAaAHBgUrgQQAIg==\n"
                               "-----END EC PRIVATE KEY-----\n";
    AUTO_P256 struct p256_key key = {0};
    struct error err = {0};
    assert_int_equal(p256_read_pem(TEXT(p384), &key, &err), -1);
    assert_string_equal(err.code, "E_KEY");
    assert_int_equal(p256_read_pem(TEXT("no key at all\n"), &key, &err), -1);
    assert_string_equal(err.code, "E_KEY");
}

static void converts_strict_der_signatures_only(void **state)
{
    (void)state;
    static const struct {
        const char *der;
        const char *sig; /* NULL: refused */
    } cases[] = {
        {"3006020101020102", "0000000000000000000000000000000000000000000000000000000000000001"
                             "0000000000000000000000000000000000000000000000000000000000000002"},
        {"300702020080020102", "0000000000000000000000000000000000000000000000000000000000000080"
                               "0000000000000000000000000000000000000000000000000000000000000002"},
        {"30060201010201", NULL},     /* cut */
        {"300602010102010200", NULL}, /* something after it */
        {"300702010102010200", NULL}, /* something inside it */
        {"3007020200010201", NULL},   /* cut */
        {"300702020001020102", NULL}, /* a zero too many */
        {"3006020181020102", NULL},   /* negative */
        {"30050200020102ff", NULL},   /* no number */
        {"308106020101020102", NULL}, /* long form of the length */
        {"3106020101020102", NULL},   /* a set */
        {"3006030101020102", NULL},   /* a bit string */
        {"302602210101010101010101010101010101010101010101010101010101010101010101010101020102",
         NULL}, /* 33 bytes */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t der[128], sig[P256_SIG_SIZE];
        size_t size = strlen(cases[i].der) / 2;
        unhex(cases[i].der, der, size);
        struct error err = {0};
        int rc = p256_sig_from_der((struct bytes){der, size}, sig, &err);
        if (cases[i].sig == NULL) {
            assert_int_equal(rc, -1);
            assert_string_equal(err.code, "E_SIG");
        } else {
            assert_int_equal(rc, 0);
            assert_hex(sig, sizeof sig, cases[i].sig);
        }
    }
}

static void wipes_keys(void **state)
{
    (void)state;
    struct p256_key key, zero = {0};
    rfc_key(&key);
    p256_wipe(&key);
    assert_memory_equal(&key, &zero, sizeof key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_the_point_of_a_scalar),
        cmocka_unit_test(refuses_scalars_out_of_range),
        cmocka_unit_test(signs_as_rfc_6979_says),
        cmocka_unit_test(refuses_a_signature_with_any_bit_flipped_or_of_any_other_size),
        cmocka_unit_test(accepts_points_of_the_curve_only),
        cmocka_unit_test(makes_keys_that_differ_and_agree_with_each_other),
        cmocka_unit_test(reads_back_what_it_wrote_as_pem),
        cmocka_unit_test(refuses_every_truncated_key_file),
        cmocka_unit_test(refuses_keys_of_other_kinds),
        cmocka_unit_test(converts_strict_der_signatures_only),
        cmocka_unit_test(wipes_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
