/* The envelopes of proto/vectors were signed by Node's crypto: our verifier, and only with the right role, says
 * the same. */
#include "base/encode.h"
#include "proto/env_doc.h"
#include "proto/manifest.h"
#include "trust/verify.h"
#include "vector_file.h"

static void open_envelope(enum document_type type, struct envelope *e)
{
    char name[64];
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    struct error err;
    snprintf(name, sizeof name, "envelope/%s.json", document_type_name(type));
    read_file(name, &text);
    if (envelope_decode(buf_view(&text), e, &err) < 0)
        fail_msg("%s", err.text);
}

/* The keys that the vectors' trust document names, by way of its pin. */
static void keys_by_pin(struct trust_keys *keys)
{
    AUTO_JSON cJSON *tree = read_json("keys.json");
    AUTO_ENVELOPE struct envelope e;
    AUTO_TRUST_DOC struct trust_doc t = {0};
    struct verified v;
    struct error err;
    uint8_t pin[32];
    assert_int_equal(hex_decode(text_of(tree, "trust_digest"), 64, pin, sizeof pin), 0);
    open_envelope(DOCUMENT_TRUST, &e);
    struct signed_bytes input = signed_bytes_of(&e);
    if (verify_trust_first(pin, &input, &v, &err) < 0 || trust_doc_decode(&v, &t, &err) < 0 ||
        trust_keys_of(&t, keys, &err) < 0)
        fail_msg("%s %s", err.code, err.text);
}

static int decode_verified(const struct verified *v, struct error *err)
{
    AUTO_MANIFEST struct manifest m = {0};
    AUTO_TRUST_DOC struct trust_doc t = {0};
    AUTO_ENV_DOC struct env_doc e = {0};
    struct order o;
    switch (v->type) {
    case DOCUMENT_TRUST:
        return trust_doc_decode(v, &t, err);
    case DOCUMENT_MANIFEST:
        return manifest_decode(v, &m, err);
    case DOCUMENT_ENV:
        return env_doc_decode(v, &e, err);
    case DOCUMENT_ORDER:
        return order_decode(v, &o, err);
    }
    return -1;
}

static void what_node_signed_is_verified_and_decoded(void **state)
{
    (void)state;
    struct trust_keys keys;
    keys_by_pin(&keys);
    for (enum document_type t = DOCUMENT_TRUST; t <= DOCUMENT_ORDER; t++) {
        AUTO_ENVELOPE struct envelope e;
        struct verified v;
        struct error err;
        open_envelope(t, &e);
        struct signed_bytes input = signed_bytes_of(&e);
        if (verify(&keys, &input, &v, &err) < 0 || decode_verified(&v, &err) < 0)
            fail_msg("%s: %s %s", document_type_name(t), err.code, err.text);
        assert_ptr_equal(v.payload.data, e.payload.data);
    }
}

static void another_type_or_another_byte_is_not(void **state)
{
    (void)state;
    struct trust_keys keys;
    keys_by_pin(&keys);
    for (enum document_type t = DOCUMENT_MANIFEST; t <= DOCUMENT_ORDER; t++) {
        AUTO_ENVELOPE struct envelope e;
        struct verified v;
        struct error err;
        open_envelope(t, &e);
        e.payload.data[e.payload.size / 2] ^= 1;
        struct signed_bytes input = signed_bytes_of(&e);
        assert_int_equal(verify(&keys, &input, &v, &err), -1);
        assert_string_equal(err.code, "E_SIG_THRESHOLD");
        e.payload.data[e.payload.size / 2] ^= 1;
        input.type = t == DOCUMENT_ORDER ? DOCUMENT_MANIFEST : DOCUMENT_ORDER;
        assert_int_equal(verify(&keys, &input, &v, &err), -1);
        assert_string_equal(err.code, "E_SIG_THRESHOLD");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_node_signed_is_verified_and_decoded),
        cmocka_unit_test(another_type_or_another_byte_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
