#include "trust_test.h"

#include "trust/sign.h"
#include "trust/verify.h"

static struct p256_key one, two;
static struct trust_keys pinned;

static int make_keys(void **state)
{
    (void)state;
    struct trust_role *role = &pinned.roles[ROLE_MANIFEST];
    if (p256_generate(&one, NULL) < 0 || p256_generate(&two, NULL) < 0)
        return -1;
    *role = (struct trust_role){.count = 2, .threshold = 2};
    memcpy(role->keys[0].point, one.point, P256_POINT_SIZE);
    memcpy(role->keys[1].point, two.point, P256_POINT_SIZE);
    return 0;
}

static void makes_envelopes_that_verify(void **state)
{
    (void)state;
    const struct p256_key *keys[] = {&one, &two};
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    struct error err = {0};
    assert_int_equal(sign_document(keys, 2, DOCUMENT_MANIFEST, TEXT("{\"a\":1}"), &text, &err), 0);
    AUTO_ENVELOPE struct envelope e = {0};
    assert_int_equal(envelope_decode(buf_view(&text), &e, &err), 0);
    struct signed_bytes input = signed_bytes_of(&e);
    struct verified v;
    assert_int_equal(verify(&pinned, &input, &v, &err), 0);
    assert_string_equal((const char *)v.payload.data, "{\"a\":1}");
    uint8_t keyid[P256_KEYID_SIZE];
    assert_int_equal(p256_keyid(two.point, keyid, &err), 0);
    assert_true(e.signatures[1].has_keyid);
    assert_memory_equal(e.signatures[1].keyid, keyid, sizeof keyid);
}

static void refuses_what_no_envelope_can_hold(void **state)
{
    (void)state;
    static uint8_t big[PAYLOAD_MAX + 1];
    const struct p256_key *keys[ENVELOPE_SIGNATURES_MAX + 1];
    for (size_t i = 0; i <= ENVELOPE_SIGNATURES_MAX; i++)
        keys[i] = &one;
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    struct error err = {0};
    assert_int_equal(sign_document(keys, 0, DOCUMENT_MANIFEST, TEXT("{}"), &text, &err), -1);
    assert_string_equal(err.code, "E_ENVELOPE");
    assert_int_equal(
        sign_document(keys, ENVELOPE_SIGNATURES_MAX + 1, DOCUMENT_MANIFEST, TEXT("{}"), &text, &err), -1);
    assert_string_equal(err.code, "E_ENVELOPE");
    assert_int_equal(sign_document(keys, 1, DOCUMENT_MANIFEST, (struct bytes){big, sizeof big}, &text, &err),
                     -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(sign_document(keys, 1, (enum document_type)99, TEXT("{}"), &text, &err), -1);
    assert_string_equal(err.code, "E_TYPE");
    assert_int_equal(text.size, 0);
}

static void gives_other_signers_the_bytes_that_are_signed(void **state)
{
    (void)state;
    AUTO_BUF struct buf bytes = BUF(1000);
    struct error err = {0};
    assert_int_equal(sign_preimage(DOCUMENT_MANIFEST, TEXT("{}"), &bytes, &err), 0);
    assert_string_equal(buf_text(&bytes), "DSSEv1 40 application/vnd.klystrr.manifest.v1+json 2 {}");
    struct envelope_signature s;
    assert_int_equal(sign_payload(&one, DOCUMENT_MANIFEST, TEXT("{}"), &s, &err), 0);
    assert_int_equal(p256_verify(one.point, buf_view(&bytes), (struct bytes){s.sig, sizeof s.sig}, &err), 0);
    AUTO_BUF struct buf small = BUF(20);
    assert_int_equal(sign_preimage(DOCUMENT_MANIFEST, TEXT("{}"), &small, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(small.size, 0);
}

/* A signature whose numbers need no zero in front, as DER. */
static size_t small_der(const struct p256_key *key, struct bytes *payload, uint8_t *der)
{
    for (uint32_t i = 0;; i++) {
        static uint8_t text[8];
        snprintf((char *)text, sizeof text, "%07u", i);
        *payload = (struct bytes){text, 7};
        struct envelope_signature s;
        struct error err = {0};
        assert_int_equal(sign_payload(key, DOCUMENT_MANIFEST, *payload, &s, &err), 0);
        if ((s.sig[0] & 0x80) != 0 || s.sig[0] == 0 || (s.sig[32] & 0x80) != 0 || s.sig[32] == 0)
            continue;
        memcpy(der, "\x30\x44\x02\x20", 4);
        memcpy(der + 4, s.sig, 32);
        memcpy(der + 36, "\x02\x20", 2);
        memcpy(der + 38, s.sig + 32, 32);
        return 70;
    }
}

static void imports_signatures_of_other_signers_after_checking_them(void **state)
{
    (void)state;
    uint8_t der[80];
    struct bytes payload;
    size_t size = small_der(&one, &payload, der);
    struct envelope_signature s, direct;
    struct error err = {0};
    assert_int_equal(sign_import(one.point, DOCUMENT_MANIFEST, payload, (struct bytes){der, size}, &s, &err),
                     0);
    assert_int_equal(sign_payload(&one, DOCUMENT_MANIFEST, payload, &direct, &err), 0);
    assert_memory_equal(s.sig, direct.sig, sizeof s.sig);
    assert_memory_equal(s.keyid, direct.keyid, sizeof s.keyid);
    assert_int_equal(sign_import(two.point, DOCUMENT_MANIFEST, payload, (struct bytes){der, size}, &s, &err),
                     -1);
    assert_string_equal(err.code, "E_SIG");
    assert_int_equal(sign_import(one.point, DOCUMENT_ORDER, payload, (struct bytes){der, size}, &s, &err), -1);
    assert_string_equal(err.code, "E_SIG");
    assert_int_equal(
        sign_import(one.point, DOCUMENT_MANIFEST, payload, (struct bytes){der, size - 1}, &s, &err), -1);
    assert_string_equal(err.code, "E_SIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_envelopes_that_verify),
        cmocka_unit_test(refuses_what_no_envelope_can_hold),
        cmocka_unit_test(gives_other_signers_the_bytes_that_are_signed),
        cmocka_unit_test(imports_signatures_of_other_signers_after_checking_them),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
