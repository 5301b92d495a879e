#include "trust_test.h"

#include "trust/hpke_context.h"

/* RFC 9180, A.3.1: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode. All of it computed a second
 * time with another implementation (Node's crypto) before it was written down here. */
static const struct bytes rfc_info = {(const uint8_t *)"Ode on a Grecian Urn", 20};
static const struct bytes rfc_plain = {(const uint8_t *)"Beauty is truth, truth beauty", 29};
static const char rfc_ephemeral[] = "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb";
static const char rfc_recipient[] = "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2";
static const char rfc_enc[] = "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9"
                              "8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4";
static const char rfc_pk[] = "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a82"
                             "6a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0";
static const struct {
    uint64_t sequence;
    const char *aad;
    const char *ct;
} rfc_messages[] = {
    {0, "Count-0",
     "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434"},
    {1, "Count-1",
     "fa6f037b47fc21826b610172ca9637e82d6e5801eb31cbd3748271affd4ecb06646e0329cbdf3c3cd655b28e82"},
    {2, "Count-2",
     "895cabfac50ce6c6eb02ffe6c048bf53b7f7be9a91fc559402cbc5b8dcaeb52b2ccc93e466c28fb55fed7a7fec"},
    {4, "Count-4",
     "8787491ee8df99bc99a246c4b3216d3d57ab5076e18fa27133f520703bc70ec999dd36ce042e44f0c3169a6a8f"},
    {255, "Count-255",
     "2ad71c85bf3f45c6eca301426289854b31448bcf8a8ccb1deef3ebd87f60848aa53c538c30a4dac71d619ee2cd"},
    {256, "Count-256",
     "10f179686aa2caec1758c8e554513f16472bd0a11e2a907dde0b212cbe87d74f367f8ffe5e41cd3e9962a6afb2"},
};

static void key_of(const char *scalar_hex, struct p256_key *key)
{
    uint8_t scalar[P256_SCALAR_SIZE];
    unhex(scalar_hex, scalar, sizeof scalar);
    struct error err = {0};
    assert_int_equal(p256_from_scalar(scalar, key, &err), 0);
}

static void derives_the_key_schedule_of_the_rfc(void **state)
{
    (void)state;
    struct p256_key ephemeral, recipient;
    key_of(rfc_ephemeral, &ephemeral);
    key_of(rfc_recipient, &recipient);
    assert_hex(ephemeral.point, P256_POINT_SIZE, rfc_enc);
    assert_hex(recipient.point, P256_POINT_SIZE, rfc_pk);
    struct hpke_context sender, receiver;
    struct error err = {0};
    assert_int_equal(hpke_context_sender(&sender, &ephemeral, recipient.point, rfc_info, &err), 0);
    assert_hex(sender.key, sizeof sender.key, "868c066ef58aae6dc589b6cfdd18f97e");
    assert_hex(sender.base_nonce, sizeof sender.base_nonce, "4e0bc5018beba4bf004cca59");
    assert_int_equal(hpke_context_receiver(&receiver, &recipient, ephemeral.point, rfc_info, &err), 0);
    assert_memory_equal(&sender, &receiver, sizeof sender);
}

static void seals_and_opens_the_messages_of_the_rfc(void **state)
{
    (void)state;
    struct p256_key ephemeral, recipient;
    key_of(rfc_ephemeral, &ephemeral);
    key_of(rfc_recipient, &recipient);
    struct hpke_context c;
    struct error err = {0};
    assert_int_equal(hpke_context_sender(&c, &ephemeral, recipient.point, rfc_info, &err), 0);
    for (size_t i = 0; i < sizeof rfc_messages / sizeof *rfc_messages; i++) {
        struct bytes aad = {(const uint8_t *)rfc_messages[i].aad, strlen(rfc_messages[i].aad)};
        AUTO_BUF struct buf ct = BUF(100), plain = BUF(100);
        assert_int_equal(hpke_context_seal(&c, rfc_messages[i].sequence, aad, rfc_plain, &ct, &err), 0);
        assert_hex(ct.data, ct.size, rfc_messages[i].ct);
        assert_int_equal(hpke_context_open(&c, rfc_messages[i].sequence, aad, buf_view(&ct), &plain, &err), 0);
        assert_int_equal(plain.size, rfc_plain.size);
        assert_memory_equal(plain.data, rfc_plain.data, plain.size);
        assert_int_equal(hpke_context_open(&c, rfc_messages[i].sequence + 1, aad, buf_view(&ct), &plain, &err),
                         -1);
    }
}

static void opens_the_first_message_of_the_rfc_in_one_call(void **state)
{
    (void)state;
    struct p256_key recipient;
    key_of(rfc_recipient, &recipient);
    uint8_t enc[HPKE_ENC_SIZE], ct[45];
    unhex(rfc_enc, enc, sizeof enc);
    unhex(rfc_messages[0].ct, ct, sizeof ct);
    AUTO_BUF struct buf plain = BUF(100);
    struct error err = {0};
    assert_int_equal(
        hpke_open(&recipient, enc, rfc_info, TEXT("Count-0"), (struct bytes){ct, sizeof ct}, &plain, &err), 0);
    assert_string_equal(buf_text(&plain), "Beauty is truth, truth beauty");
}

static void never_seals_the_same_twice(void **state)
{
    (void)state;
    struct p256_key recipient;
    key_of(rfc_recipient, &recipient);
    uint8_t enc[2][HPKE_ENC_SIZE];
    AUTO_BUF struct buf one = BUF(100), two = BUF(100), plain = BUF(100);
    struct error err = {0};
    assert_int_equal(hpke_seal(recipient.point, rfc_info, TEXT(""), rfc_plain, enc[0], &one, &err), 0);
    assert_int_equal(hpke_seal(recipient.point, rfc_info, TEXT(""), rfc_plain, enc[1], &two, &err), 0);
    assert_memory_not_equal(enc[0], enc[1], HPKE_ENC_SIZE);
    assert_int_equal(one.size, two.size);
    assert_memory_not_equal(one.data, two.data, one.size);
    assert_int_equal(hpke_open(&recipient, enc[1], rfc_info, TEXT(""), buf_view(&two), &plain, &err), 0);
    assert_memory_equal(plain.data, rfc_plain.data, rfc_plain.size);
}

static void refuses_every_flipped_bit_and_every_prefix(void **state)
{
    (void)state;
    struct p256_key recipient;
    key_of(rfc_recipient, &recipient);
    uint8_t enc[HPKE_ENC_SIZE], ct[45];
    unhex(rfc_enc, enc, sizeof enc);
    unhex(rfc_messages[0].ct, ct, sizeof ct);
    struct error err = {0};
    AUTO_BUF struct buf plain = BUF(100);
    assert_int_equal(buf_add_text(&plain, "kept", &err), 0);
    for (size_t bit = 0; bit < sizeof ct * 8; bit++) {
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(
            hpke_open(&recipient, enc, rfc_info, TEXT("Count-0"), (struct bytes){ct, sizeof ct}, &plain, &err),
            -1);
        assert_string_equal(err.code, "E_SEAL");
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t size = 0; size < sizeof ct; size++) {
        assert_int_equal(
            hpke_open(&recipient, enc, rfc_info, TEXT("Count-0"), (struct bytes){ct, size}, &plain, &err), -1);
        assert_string_equal(err.code, "E_SEAL");
    }
    for (size_t bit = 0; bit < sizeof enc * 8; bit += 13) {
        enc[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(
            hpke_open(&recipient, enc, rfc_info, TEXT("Count-0"), (struct bytes){ct, sizeof ct}, &plain, &err),
            -1);
        assert_string_equal(err.code, "E_KEY");
        enc[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_string_equal(buf_text(&plain), "kept");
    assert_int_equal(plain.size, 4);
}

static void keeps_to_its_limits(void **state)
{
    (void)state;
    static uint8_t big[HPKE_PLAIN_MAX + 1];
    struct p256_key recipient;
    key_of(rfc_recipient, &recipient);
    uint8_t enc[HPKE_ENC_SIZE];
    struct error err = {0};
    AUTO_BUF struct buf ct = BUF(HPKE_PLAIN_MAX + 64), plain = BUF(HPKE_PLAIN_MAX);
    assert_int_equal(
        hpke_seal(recipient.point, TEXT(""), TEXT(""), (struct bytes){big, HPKE_PLAIN_MAX + 1}, enc, &ct, &err),
        -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(
        hpke_seal(recipient.point, (struct bytes){big, HPKE_INFO_MAX + 1}, TEXT(""), TEXT("x"), enc, &ct, &err),
        -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(ct.size, 0);
    assert_int_equal(hpke_seal(recipient.point, (struct bytes){big, HPKE_INFO_MAX}, TEXT(""),
                               (struct bytes){big, HPKE_PLAIN_MAX}, enc, &ct, &err),
                     0);
    assert_int_equal(
        hpke_open(&recipient, enc, (struct bytes){big, HPKE_INFO_MAX}, TEXT(""), buf_view(&ct), &plain, &err),
        0);
    assert_int_equal(plain.size, HPKE_PLAIN_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_the_key_schedule_of_the_rfc),
        cmocka_unit_test(seals_and_opens_the_messages_of_the_rfc),
        cmocka_unit_test(opens_the_first_message_of_the_rfc_in_one_call),
        cmocka_unit_test(never_seals_the_same_twice),
        cmocka_unit_test(refuses_every_flipped_bit_and_every_prefix),
        cmocka_unit_test(keeps_to_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
