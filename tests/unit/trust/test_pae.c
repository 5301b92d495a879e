#include "trust_test.h"

#include "trust/digest.h"
#include "trust/pae.h"

static void hashes_the_encoding_of_the_dsse_specification(void **state)
{
    (void)state;
    /* The specification's own example. */
    static const char encoded[] = "DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    uint8_t expected[DIGEST_SIZE], out[DIGEST_SIZE];
    struct error err = {0};
    assert_int_equal(digest_of(encoded, strlen(encoded), expected, &err), 0);
    assert_int_equal(pae_digest("http://example.com/HelloWorld", TEXT("hello world"), out, &err), 0);
    assert_memory_equal(out, expected, sizeof out);
}

static void keeps_type_and_payload_apart(void **state)
{
    (void)state;
    uint8_t a[DIGEST_SIZE], b[DIGEST_SIZE];
    struct error err = {0};
    assert_int_equal(pae_digest("a", TEXT("b c"), a, &err), 0);
    assert_int_equal(pae_digest("a b", TEXT("c"), b, &err), 0);
    assert_memory_not_equal(a, b, sizeof a);
    static const char empty[] = "DSSEv1 0  0 ";
    assert_int_equal(pae_digest("", (struct bytes){NULL, 0}, a, &err), 0);
    assert_int_equal(digest_of(empty, strlen(empty), b, &err), 0);
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_the_encoding_of_the_dsse_specification),
        cmocka_unit_test(keeps_type_and_payload_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
