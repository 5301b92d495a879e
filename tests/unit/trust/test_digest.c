#include "trust_test.h"

#include "trust/digest.h"

static void gives_the_published_digests(void **state)
{
    (void)state;
    uint8_t out[DIGEST_SIZE];
    struct error err = {0};
    assert_int_equal(digest_of("abc", 3, out, &err), 0); /* FIPS 180-4 */
    assert_hex(out, sizeof out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(digest_of(NULL, 0, out, &err), 0);
    assert_hex(out, sizeof out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void is_the_same_however_the_bytes_are_cut(void **state)
{
    (void)state;
    uint8_t data[300], whole[DIGEST_SIZE], parts[DIGEST_SIZE];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    struct error err = {0};
    assert_int_equal(digest_of(data, sizeof data, whole, &err), 0);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        struct digest d;
        digest_begin(&d);
        digest_add(&d, data, cut);
        digest_add(&d, NULL, 0);
        digest_add(&d, data + cut, sizeof data - cut);
        assert_int_equal(digest_end(&d, parts, &err), 0);
        assert_memory_equal(whole, parts, sizeof whole);
    }
}

static void gives_the_published_hmacs(void **state)
{
    (void)state;
    uint8_t out[DIGEST_SIZE], key[20];
    struct error err = {0};
    memset(key, 0x0b, sizeof key); /* RFC 4231, case 1 and 2 */
    assert_int_equal(digest_hmac((struct bytes){key, sizeof key}, TEXT("Hi There"), out, &err), 0);
    assert_hex(out, sizeof out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(digest_hmac(TEXT("Jefe"), TEXT("what do ya want for nothing?"), out, &err), 0);
    assert_hex(out, sizeof out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(digest_hmac((struct bytes){NULL, 0}, (struct bytes){NULL, 0}, out, &err), 0);
    assert_hex(out, sizeof out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void refuses_more_than_hkdf_can_give(void **state)
{
    (void)state;
    static uint8_t out[255 * DIGEST_SIZE + 1];
    uint8_t prk[DIGEST_SIZE] = {0};
    struct error err = {0};
    assert_int_equal(hkdf_expand(prk, TEXT(""), out, sizeof out - 1, &err), 0);
    assert_int_equal(hkdf_expand(prk, TEXT(""), out, sizeof out, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_digests),
        cmocka_unit_test(is_the_same_however_the_bytes_are_cut),
        cmocka_unit_test(gives_the_published_hmacs),
        cmocka_unit_test(refuses_more_than_hkdf_can_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
