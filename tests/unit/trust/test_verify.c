#include "trust_test.h"

#include "trust/digest.h"
#include "trust/sign.h"
#include "trust/verify.h"

static struct p256_key root, manifest, order, stranger;
static struct trust_keys pinned;

static struct trust_key public_of(const struct p256_key *key)
{
    struct trust_key k;
    struct error err = {0};
    memcpy(k.point, key->point, sizeof k.point);
    assert_int_equal(p256_keyid(key->point, k.keyid, &err), 0);
    return k;
}

static int make_keys(void **state)
{
    (void)state;
    struct p256_key *all[] = {&root, &manifest, &order, &stranger};
    for (size_t i = 0; i < 4; i++)
        if (p256_generate(all[i], NULL) < 0)
            return -1;
    for (int role = 0; role < ROLE_COUNT; role++)
        pinned.roles[role] = (struct trust_role){.keys = {public_of(all[role])}, .count = 1, .threshold = 1};
    return 0;
}

static struct envelope_signature sign(const struct p256_key *key, enum document_type type, struct bytes payload)
{
    struct envelope_signature s;
    struct error err = {0};
    assert_int_equal(sign_payload(key, type, payload, &s, &err), 0);
    return s;
}

static void expect(const struct trust_keys *keys, struct signed_bytes input, const char *code)
{
    struct verified v, untouched;
    memset(&v, 0x5a, sizeof v);
    memset(&untouched, 0x5a, sizeof untouched);
    struct error err = {0};
    int rc = verify(keys, &input, &v, &err);
    assert_string_equal(err.code, code);
    assert_int_equal(rc, code[0] == '\0' ? 0 : -1);
    if (rc < 0)
        assert_memory_equal(&v, &untouched, sizeof v);
}

static void expect_one(struct bytes payload, enum document_type type, struct envelope_signature s,
                       const char *code)
{
    expect(&pinned, (struct signed_bytes){type, payload, &s, 1}, code);
}

static void gives_the_signed_bytes_with_digest_type_and_role(void **state)
{
    (void)state;
    struct bytes payload = TEXT("not even JSON: nothing is parsed here");
    struct envelope_signature s = sign(&manifest, DOCUMENT_MANIFEST, payload);
    struct signed_bytes input = {DOCUMENT_MANIFEST, payload, &s, 1};
    struct verified v;
    struct error err = {0};
    assert_int_equal(verify(&pinned, &input, &v, &err), 0);
    assert_ptr_equal(v.payload.data, payload.data);
    assert_int_equal(v.payload.size, payload.size);
    assert_int_equal(v.type, DOCUMENT_MANIFEST);
    assert_int_equal(v.role, ROLE_MANIFEST);
    uint8_t digest[DIGEST_SIZE];
    assert_int_equal(digest_of(payload.data, payload.size, digest, &err), 0);
    assert_memory_equal(v.digest, digest, sizeof digest);
}

static void takes_each_type_from_its_roles_only(void **state)
{
    (void)state;
    static const struct {
        enum document_type type;
        bool root, manifest, order, stranger;
    } rows[] = {
        {DOCUMENT_MANIFEST, false, true, false, false},
        {DOCUMENT_ENV, false, true, true, false},
        {DOCUMENT_ORDER, false, false, true, false},
    };
    struct bytes payload = TEXT("{}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum document_type type = rows[i].type;
        expect_one(payload, type, sign(&root, type, payload), rows[i].root ? "" : "E_SIG_THRESHOLD");
        expect_one(payload, type, sign(&manifest, type, payload), rows[i].manifest ? "" : "E_SIG_THRESHOLD");
        expect_one(payload, type, sign(&order, type, payload), rows[i].order ? "" : "E_SIG_THRESHOLD");
        expect_one(payload, type, sign(&stranger, type, payload), rows[i].stranger ? "" : "E_SIG_THRESHOLD");
    }
}

static void says_which_role_signed_values_and_prefers_the_owner(void **state)
{
    (void)state;
    struct bytes payload = TEXT("{}");
    struct envelope_signature both[] = {sign(&order, DOCUMENT_ENV, payload),
                                        sign(&manifest, DOCUMENT_ENV, payload)};
    struct verified v;
    struct error err = {0};
    assert_int_equal(verify(&pinned, &(struct signed_bytes){DOCUMENT_ENV, payload, both, 1}, &v, &err), 0);
    assert_int_equal(v.role, ROLE_ORDER);
    assert_int_equal(verify(&pinned, &(struct signed_bytes){DOCUMENT_ENV, payload, both, 2}, &v, &err), 0);
    assert_int_equal(v.role, ROLE_MANIFEST);
}

static void signs_a_type_not_only_bytes(void **state)
{
    (void)state;
    struct bytes payload = TEXT("{}");
    for (int signed_as = DOCUMENT_TRUST; signed_as <= DOCUMENT_ORDER; signed_as++)
        for (int claimed = DOCUMENT_MANIFEST; claimed <= DOCUMENT_ORDER; claimed++) {
            struct envelope_signature s[] = {sign(&manifest, (enum document_type)signed_as, payload),
                                             sign(&order, (enum document_type)signed_as, payload),
                                             sign(&root, (enum document_type)signed_as, payload)};
            expect(&pinned, (struct signed_bytes){(enum document_type)claimed, payload, s, 3},
                   claimed == signed_as ? "" : "E_SIG_THRESHOLD");
        }
}

static void refuses_every_changed_bit(void **state)
{
    (void)state;
    uint8_t payload[40] = "{\"type\":\"order\"}";
    struct bytes view = {payload, sizeof payload};
    struct envelope_signature s = sign(&order, DOCUMENT_ORDER, view);
    for (size_t bit = 0; bit < sizeof payload * 8; bit++) {
        payload[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        expect_one(view, DOCUMENT_ORDER, s, "E_SIG_THRESHOLD");
        payload[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t bit = 0; bit < sizeof s.sig * 8; bit += 3) {
        s.sig[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        expect_one(view, DOCUMENT_ORDER, s, "E_SIG_THRESHOLD");
        s.sig[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t size = 0; size < sizeof payload; size++)
        expect_one((struct bytes){payload, size}, DOCUMENT_ORDER, s, "E_SIG_THRESHOLD");
    expect_one(view, DOCUMENT_ORDER, s, "");
}

static void takes_a_keyid_for_a_hint_only(void **state)
{
    (void)state;
    struct bytes payload = TEXT("{}");
    struct envelope_signature good = sign(&order, DOCUMENT_ORDER, payload);
    good.has_keyid = false;
    expect_one(payload, DOCUMENT_ORDER, good, "");
    good.has_keyid = true;
    memset(good.keyid, 0, sizeof good.keyid);
    expect_one(payload, DOCUMENT_ORDER, good, "");
    struct envelope_signature liar = sign(&stranger, DOCUMENT_ORDER, payload);
    memcpy(liar.keyid, pinned.roles[ROLE_ORDER].keys[0].keyid, sizeof liar.keyid);
    expect_one(payload, DOCUMENT_ORDER, liar, "E_SIG_THRESHOLD");
    struct envelope_signature both[] = {liar, good};
    expect(&pinned, (struct signed_bytes){DOCUMENT_ORDER, payload, both, 2}, "");
}

static void is_not_disturbed_by_other_signatures(void **state)
{
    (void)state;
    struct bytes payload = TEXT("{}");
    struct envelope_signature many[ENVELOPE_SIGNATURES_MAX];
    for (size_t good = 0; good < ENVELOPE_SIGNATURES_MAX; good++) {
        for (size_t i = 0; i < ENVELOPE_SIGNATURES_MAX; i++) {
            many[i] = sign(i % 2 == 0 ? &stranger : &root, DOCUMENT_ORDER, payload);
            many[i].malformed = i % 3 == 0;
            if (i % 4 == 1)
                memset(many[i].sig, 0, sizeof many[i].sig);
        }
        many[good] = sign(&order, DOCUMENT_ORDER, payload);
        expect(&pinned, (struct signed_bytes){DOCUMENT_ORDER, payload, many, ENVELOPE_SIGNATURES_MAX}, "");
        many[good].malformed = true; /* a malformed one never counts, whatever its bytes */
        expect(&pinned, (struct signed_bytes){DOCUMENT_ORDER, payload, many, ENVELOPE_SIGNATURES_MAX},
               "E_SIG_THRESHOLD");
    }
}

static void counts_different_keys_not_signatures(void **state)
{
    (void)state;
    struct trust_keys keys = {0};
    keys.roles[ROLE_MANIFEST] = (struct trust_role){
        .keys = {public_of(&root), public_of(&manifest), public_of(&order)}, .count = 3, .threshold = 2};
    struct bytes payload = TEXT("{}");
    struct envelope_signature a = sign(&root, DOCUMENT_MANIFEST, payload),
                              b = sign(&order, DOCUMENT_MANIFEST, payload);
    struct envelope_signature twice[] = {a, a, a}, two[] = {a, b};
    expect(&keys, (struct signed_bytes){DOCUMENT_MANIFEST, payload, twice, 3}, "E_SIG_THRESHOLD");
    expect(&keys, (struct signed_bytes){DOCUMENT_MANIFEST, payload, two, 2}, "");
    keys.roles[ROLE_MANIFEST].keys[1] = keys.roles[ROLE_MANIFEST].keys[0]; /* one key listed twice */
    memset(keys.roles[ROLE_MANIFEST].keys[1].keyid, 0, 32);
    expect(&keys, (struct signed_bytes){DOCUMENT_MANIFEST, payload, twice, 3}, "E_SIG_THRESHOLD");
    expect(&keys, (struct signed_bytes){DOCUMENT_MANIFEST, payload, two, 2}, "");
    keys.roles[ROLE_MANIFEST].threshold = 0; /* nobody, not everybody */
    expect(&keys, (struct signed_bytes){DOCUMENT_MANIFEST, payload, two, 2}, "E_SIG_THRESHOLD");
}

static void verifies_nothing_without_keys_or_signatures(void **state)
{
    (void)state;
    struct bytes payload = TEXT("{}");
    const struct trust_keys none = {0};
    struct envelope_signature s = sign(&order, DOCUMENT_ORDER, payload);
    expect(&none, (struct signed_bytes){DOCUMENT_ORDER, payload, &s, 1}, "E_SIG_THRESHOLD");
    expect(&pinned, (struct signed_bytes){DOCUMENT_ORDER, payload, NULL, 0}, "E_SIG_THRESHOLD");
}

static void refuses_what_is_out_of_bounds(void **state)
{
    (void)state;
    static uint8_t big[PAYLOAD_MAX + 1];
    struct envelope_signature s = sign(&order, DOCUMENT_ORDER, (struct bytes){big, PAYLOAD_MAX});
    expect_one((struct bytes){big, PAYLOAD_MAX}, DOCUMENT_ORDER, s, "");
    expect_one((struct bytes){big, PAYLOAD_MAX + 1}, DOCUMENT_ORDER, s, "E_TOO_LARGE");
    struct envelope_signature many[ENVELOPE_SIGNATURES_MAX + 1];
    for (size_t i = 0; i <= ENVELOPE_SIGNATURES_MAX; i++)
        many[i] = s;
    expect(&pinned, (struct signed_bytes){DOCUMENT_ORDER, TEXT("{}"), many, ENVELOPE_SIGNATURES_MAX + 1},
           "E_TOO_LARGE");
    expect_one(TEXT("{}"), (enum document_type)0, s, "E_TYPE");
    expect_one(TEXT("{}"), (enum document_type)77, s, "E_TYPE");
}

/* ---- trust ---- */

static struct trust_doc document(uint64_t version, const struct p256_key *its_root)
{
    struct trust_doc d = {
        .version = version, .issued = 1763769600000, .expires = 1795305600000, .url_count = 1};
    strcpy(d.plane, "0123456789abcdef0123456789abcdef");
    strcpy(d.urls[0], "https://plane.example.org:8443");
    d.roles[ROLE_ROOT] = public_of(its_root);
    d.roles[ROLE_MANIFEST] = public_of(&manifest);
    d.roles[ROLE_ORDER] = public_of(&order);
    return d;
}

static void payload_of(const struct trust_doc *d, struct buf *out)
{
    struct error err = {0};
    if (trust_doc_encode(d, out, &err) < 0)
        print_error("%s: %s\n", err.code, err.text);
    assert_int_equal(err.code[0], '\0');
}

static void pin_of(const struct buf *payload, uint8_t *pin)
{
    struct error err = {0};
    assert_int_equal(digest_of(payload->data, payload->size, pin, &err), 0);
}

static void expect_first(const uint8_t *pin, struct signed_bytes input, const char *code)
{
    struct verified v;
    struct error err = {0};
    int rc = verify_trust_first(pin, &input, &v, &err);
    assert_string_equal(err.code, code);
    assert_int_equal(rc, code[0] == '\0' ? 0 : -1);
    if (rc == 0) {
        assert_int_equal(v.type, DOCUMENT_TRUST);
        assert_int_equal(v.role, ROLE_ROOT);
        assert_memory_equal(v.digest, pin, sizeof v.digest);
    }
}

static void believes_the_first_trust_by_its_pin(void **state)
{
    (void)state;
    struct trust_doc d = document(1, &root);
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    payload_of(&d, &payload);
    uint8_t pin[32];
    pin_of(&payload, pin);
    struct envelope_signature good = sign(&root, DOCUMENT_TRUST, buf_view(&payload));
    struct envelope_signature bad = sign(&stranger, DOCUMENT_TRUST, buf_view(&payload));
    expect_first(pin, (struct signed_bytes){DOCUMENT_TRUST, buf_view(&payload), &good, 1}, "");
    expect_first(pin, (struct signed_bytes){DOCUMENT_TRUST, buf_view(&payload), &bad, 1}, "E_SIG_THRESHOLD");
    expect_first(pin, (struct signed_bytes){DOCUMENT_TRUST, buf_view(&payload), NULL, 0}, "E_SIG_THRESHOLD");
    expect_first(pin, (struct signed_bytes){DOCUMENT_MANIFEST, buf_view(&payload), &good, 1}, "E_TYPE");
    pin[31] ^= 1;
    expect_first(pin, (struct signed_bytes){DOCUMENT_TRUST, buf_view(&payload), &good, 1}, "E_TRUST_PIN");
}

static void refuses_a_first_trust_that_is_not_the_first(void **state)
{
    (void)state;
    struct trust_doc d = document(2, &root);
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    payload_of(&d, &payload);
    uint8_t pin[32];
    pin_of(&payload, pin);
    struct envelope_signature good = sign(&root, DOCUMENT_TRUST, buf_view(&payload));
    expect_first(pin, (struct signed_bytes){DOCUMENT_TRUST, buf_view(&payload), &good, 1}, "E_TRUST_VERSION");
}

static void refuses_a_pinned_trust_that_does_not_decode(void **state)
{
    (void)state;
    AUTO_BUF struct buf payload = BUF(100);
    struct error err = {0};
    assert_int_equal(buf_add_text(&payload, "{\"type\":\"trust\"}", &err), 0);
    uint8_t pin[32];
    pin_of(&payload, pin);
    struct envelope_signature s = sign(&root, DOCUMENT_TRUST, buf_view(&payload));
    struct verified v;
    struct signed_bytes input = {DOCUMENT_TRUST, buf_view(&payload), &s, 1};
    assert_int_equal(verify_trust_first(pin, &input, &v, &err), -1);
    assert_string_equal(err.code, "E_MEMBER");
}

static void takes_later_trust_from_the_old_root_and_the_new(void **state)
{
    (void)state;
    struct trust_doc d = document(2, &stranger); /* the root moves to another key */
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    payload_of(&d, &payload);
    struct envelope_signature by_old = sign(&root, DOCUMENT_TRUST, buf_view(&payload));
    struct envelope_signature by_new = sign(&stranger, DOCUMENT_TRUST, buf_view(&payload));
    struct envelope_signature both[] = {by_new, by_old};
    expect_one(buf_view(&payload), DOCUMENT_TRUST, by_old, "E_SIG_THRESHOLD");
    expect_one(buf_view(&payload), DOCUMENT_TRUST, by_new, "E_SIG_THRESHOLD");
    expect(&pinned, (struct signed_bytes){DOCUMENT_TRUST, buf_view(&payload), both, 2}, "");
    expect_one(buf_view(&payload), DOCUMENT_TRUST, sign(&manifest, DOCUMENT_TRUST, buf_view(&payload)),
               "E_SIG_THRESHOLD");

    struct trust_doc same = document(3, &root);
    payload.size = 0;
    payload_of(&same, &payload);
    expect_one(buf_view(&payload), DOCUMENT_TRUST, sign(&root, DOCUMENT_TRUST, buf_view(&payload)), "");
}

static void does_not_parse_a_trust_that_the_old_root_did_not_sign(void **state)
{
    (void)state;
    struct bytes nonsense = TEXT("{");
    expect_one(nonsense, DOCUMENT_TRUST, sign(&stranger, DOCUMENT_TRUST, nonsense), "E_SIG_THRESHOLD");
    expect_one(nonsense, DOCUMENT_TRUST, sign(&root, DOCUMENT_TRUST, nonsense), "E_JSON");
}

static void takes_only_keys_that_are_what_they_say(void **state)
{
    (void)state;
    struct trust_doc d = document(1, &root);
    struct trust_keys keys;
    struct error err = {0};
    assert_int_equal(trust_keys_of(&d, &keys, &err), 0);
    assert_memory_equal(keys.roles[ROLE_ORDER].keys[0].point, order.point, P256_POINT_SIZE);
    assert_int_equal(keys.roles[ROLE_ORDER].count, 1);
    assert_int_equal(keys.roles[ROLE_ORDER].threshold, 1);

    d.roles[ROLE_ORDER].keyid[0] ^= 1;
    assert_int_equal(trust_keys_of(&d, &keys, &err), -1);
    assert_string_equal(err.code, "E_TRUST_KEYID");
    d = document(1, &root);
    d.roles[ROLE_ORDER] = d.roles[ROLE_ROOT];
    assert_int_equal(trust_keys_of(&d, &keys, &err), -1);
    assert_string_equal(err.code, "E_TRUST_ROLES");
    d = document(1, &root);
    d.roles[ROLE_MANIFEST].point[64] ^= 1;
    assert_int_equal(trust_keys_of(&d, &keys, &err), -1);
    assert_string_equal(err.code, "E_KEY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_signed_bytes_with_digest_type_and_role),
        cmocka_unit_test(takes_each_type_from_its_roles_only),
        cmocka_unit_test(says_which_role_signed_values_and_prefers_the_owner),
        cmocka_unit_test(signs_a_type_not_only_bytes),
        cmocka_unit_test(refuses_every_changed_bit),
        cmocka_unit_test(takes_a_keyid_for_a_hint_only),
        cmocka_unit_test(is_not_disturbed_by_other_signatures),
        cmocka_unit_test(counts_different_keys_not_signatures),
        cmocka_unit_test(verifies_nothing_without_keys_or_signatures),
        cmocka_unit_test(refuses_what_is_out_of_bounds),
        cmocka_unit_test(believes_the_first_trust_by_its_pin),
        cmocka_unit_test(refuses_a_first_trust_that_is_not_the_first),
        cmocka_unit_test(refuses_a_pinned_trust_that_does_not_decode),
        cmocka_unit_test(takes_later_trust_from_the_old_root_and_the_new),
        cmocka_unit_test(does_not_parse_a_trust_that_the_old_root_did_not_sign),
        cmocka_unit_test(takes_only_keys_that_are_what_they_say),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
