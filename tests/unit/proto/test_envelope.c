#include "base/encode.h"
#include "proto/envelope.h"
#include "proto_test.h"

#define SIG   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
#define KEYID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char sample[] =
    "{\"payloadType\":\"application/vnd.klystrr.order.v1+json\",\"payload\":\"eyJhIjoiPz8/In0=\","
    "\"signatures\":[{\"keyid\":\"" KEYID "\",\"sig\":\"" SIG "\"}]}";

static int try_envelope(struct bytes text, struct error *err)
{
    struct envelope e;
    int rc = envelope_decode(text, &e, err);
    if (rc == 0)
        envelope_free(&e);
    else
        assert_null(e.payload.data);
    return rc;
}

static void takes_an_envelope_apart(void **state)
{
    (void)state;
    AUTO_ENVELOPE struct envelope e;
    struct error err;
    assert_int_equal(envelope_decode(text_bytes(sample), &e, &err), 0);
    assert_int_equal(e.type, DOCUMENT_ORDER);
    assert_string_equal(buf_text(&e.payload), "{\"a\":\"???\"}");
    assert_int_equal(e.signature_count, 1);
    assert_true(e.signatures[0].has_keyid);
    assert_false(e.signatures[0].malformed);
    assert_int_equal(e.signatures[0].keyid[1], 0x11);
    for (int i = 0; i < 64; i++)
        assert_int_equal(e.signatures[0].sig[i], i);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    for (enum document_type t = DOCUMENT_TRUST; t <= DOCUMENT_ORDER; t++) {
        struct envelope e = {
            .type = t, .payload = BUF(PAYLOAD_MAX), .signature_count = ENVELOPE_SIGNATURES_MAX};
        AUTO_BUF struct buf out = BUF(ENVELOPE_MAX);
        AUTO_ENVELOPE struct envelope again;
        struct error err;
        assert_int_equal(buf_add(&e.payload, "\x00\xff{}", 4, &err), 0);
        for (int i = 0; i < ENVELOPE_SIGNATURES_MAX; i++) {
            memset(e.signatures[i].sig, i + 1, 64);
            e.signatures[i].has_keyid = i % 2 == 0;
            e.signatures[i].keyid[31] = (uint8_t)(i % 2 == 0 ? i : 0);
        }
        assert_int_equal(envelope_encode(&e, &out, &err), 0);
        assert_int_equal(envelope_decode(buf_view(&out), &again, &err), 0);
        assert_int_equal(again.type, t);
        assert_int_equal(again.payload.size, 4);
        assert_memory_equal(again.payload.data, "\x00\xff{}", 4);
        assert_memory_equal(again.signatures, e.signatures, sizeof e.signatures);
        e.signature_count = 0;
        assert_int_equal(envelope_encode(&e, &out, &err), -1);
        e.signature_count = ENVELOPE_SIGNATURES_MAX + 1;
        assert_int_equal(envelope_encode(&e, &out, &err), -1);
        envelope_free(&e);
    }
}

static void takes_both_alphabets_and_one_form_only(void **state)
{
    (void)state;
    accepts(try_envelope, sample, "eyJhIjoiPz8/In0=", "eyJhIjoiPz8_In0=");
    accepts(try_envelope, sample, "eyJhIjoiPz8/In0=", "");
    static const char *const bad[] = {"eyJhIjoiPz8/In0",
                                      "eyJhIjoiPz8_In0",
                                      "eyJhIjoiPz8/In0 =",
                                      "eyJhIjoiPz8/\\nIn0=",
                                      " eyJhIjoiPz8/In0=",
                                      "eyJhIjoiPz8/In1=",
                                      "eyJhIjoiPz8/In0==",
                                      "eyJhIjoiPz8/In0=\\n",
                                      "eyJhI=oiPz8/In0=",
                                      "=",
                                      "====",
                                      "eyJhIjoiPz8/In0_eyJh",
                                      "eyJhIjoiPz8/In\\u00e90"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(try_envelope, sample, "eyJhIjoiPz8/In0=", bad[i], "E_ENVELOPE", "payload");
    refuses(try_envelope, sample, "\"payload\":", "\"payload\":\"\",\"payload\":", "E_JSON", "twice");
    refuses(try_envelope, sample, "\"payload\":", "\"payload\":\"\",\"p\\u0061yload\":", "E_JSON", "twice");
    refuses(try_envelope, sample, "\"payload\":", "\"Payload\":", "E_ENVELOPE", "payload: is missing");
}

static void knows_four_payload_types_exactly(void **state)
{
    (void)state;
    static const char *const bad[] = {"application/vnd.klystrr.ORDER.v1+json",
                                      "application/vnd.klystrr.order.v2+json",
                                      "",
                                      "order",
                                      "application/vnd.klystrr.order.v1+json ",
                                      "application/json"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(try_envelope, sample, "application/vnd.klystrr.order.v1+json", bad[i], "E_TYPE",
                "payload type");
    refuses(try_envelope, sample, "\"application/vnd.klystrr.order.v1+json\"", "7", "E_ENVELOPE",
            "payloadType");
    for (enum document_type t = DOCUMENT_TRUST; t <= DOCUMENT_ORDER; t++) {
        enum document_type back;
        assert_int_equal(document_type_of(document_payload_type(t), &back, NULL), 0);
        assert_int_equal(back, t);
    }
}

static void a_garbled_signature_harms_no_other(void **state)
{
    (void)state;
    static const char *const garbled[] = {"", "AAEC", "????", SIG "AA==", "AAEC AwQ="};
    for (size_t i = 0; i < sizeof garbled / sizeof *garbled; i++) {
        char item[512];
        struct error err;
        AUTO_ENVELOPE struct envelope e;
        snprintf(item, sizeof item, "[{\"sig\":\"%s\"},", garbled[i]);
        char *text = swapped(sample, "[", item);
        assert_int_equal(envelope_decode(text_bytes(text), &e, &err), 0);
        free(text);
        assert_int_equal(e.signature_count, 2);
        assert_true(e.signatures[0].malformed);
        assert_false(e.signatures[0].has_keyid);
        assert_false(e.signatures[1].malformed);
    }
}

static void a_wrong_key_id_is_no_hint(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\"\"", "\"ABC\"", "\"00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\"", "7", "null"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        AUTO_ENVELOPE struct envelope e;
        char *text = swapped(sample, "\"" KEYID "\"", wrong[i]);
        assert_int_equal(envelope_decode(text_bytes(text), &e, NULL), 0);
        free(text);
        assert_false(e.signatures[0].has_keyid);
        assert_false(e.signatures[0].malformed);
    }
}

static void counts_signatures(void **state)
{
    (void)state;
    refuses(try_envelope, sample, "[{\"keyid\":\"" KEYID "\",\"sig\":\"" SIG "\"}]", "[]", "E_ENVELOPE",
            "signatures");
    for (size_t n = 7; n <= 9; n++) {
        char *items = repeated(n, "{\"sig\":\"%zu\"}");
        AUTO_BUF struct buf list = BUF(4096);
        assert_int_equal(buf_addf(&list, NULL, "[%s]", items), 0);
        free(items);
        if (n <= 8)
            accepts(try_envelope, sample, "[{\"keyid\":\"" KEYID "\",\"sig\":\"" SIG "\"}]", buf_text(&list));
        else
            refuses(try_envelope, sample, "[{\"keyid\":\"" KEYID "\",\"sig\":\"" SIG "\"}]", buf_text(&list),
                    "E_ENVELOPE", "signatures");
    }
    refuses(try_envelope, sample, "{\"keyid\"", "7,{\"keyid\"", "E_ENVELOPE", "signatures[0]");
    refuses(try_envelope, sample, "\"sig\"", "\"Sig\"", "E_ENVELOPE", "signatures[0].sig");
}

static void bounds_payload_and_envelope(void **state)
{
    (void)state;
    for (size_t n = PAYLOAD_MAX - 1; n <= PAYLOAD_MAX + 1; n++) {
        char *payload = letters(n, 'x'), *base64 = malloc(BASE64_SIZE(n));
        assert_non_null(base64);
        base64_encode(payload, n, base64);
        struct error err;
        char *text = swapped(sample, "eyJhIjoiPz8/In0=", base64);
        int rc = try_copy(try_envelope, (const uint8_t *)text, strlen(text), &err);
        assert_int_equal(rc, n <= PAYLOAD_MAX ? 0 : -1);
        free(text);
        free(base64);
        free(payload);
    }
    for (size_t n = ENVELOPE_MAX - 1; n <= ENVELOPE_MAX + 1; n++) {
        char *text = letters(n, ' ');
        struct error err;
        memcpy(text, sample, sizeof sample - 1);
        assert_int_equal(try_copy(try_envelope, (const uint8_t *)text, n, &err), n <= ENVELOPE_MAX ? 0 : -1);
        free(text);
    }
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    refuses_every_prefix(try_envelope, sample);
    assert_in_range(survives_every_flipped_bit(try_envelope, sample), 1, sizeof sample * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_an_envelope_apart),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(takes_both_alphabets_and_one_form_only),
        cmocka_unit_test(knows_four_payload_types_exactly),
        cmocka_unit_test(a_garbled_signature_harms_no_other),
        cmocka_unit_test(a_wrong_key_id_is_no_hint),
        cmocka_unit_test(counts_signatures),
        cmocka_unit_test(bounds_payload_and_envelope),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
