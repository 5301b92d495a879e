#include "plane_fixture.h"

#include "base/encode.h"
#include "plane/mint.h"
#include "proto/envelope.h"
#include "trust/seal.h"
#include "trust/sign.h"
#include "trust/verify.h"

struct keys {
    struct p256_key root, manifest, order, host, next_root, stranger;
};
static struct keys k;
static uint8_t ca[32] = {0xca};
static const char plane_id[] = "00112233445566778899aabbccddeeff";

static int up(void **state)
{
    struct error err;
    struct p256_key *all[] = {&k.root, &k.manifest, &k.order, &k.host, &k.next_root, &k.stranger};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (p256_generate(all[i], &err) < 0)
            return -1;
    return 0;
}

static void set_role(struct trust_doc *t, enum role role, const struct p256_key *key)
{
    struct error err;
    memcpy(t->roles[role].point, key->point, sizeof key->point);
    assert_int_equal(p256_keyid(key->point, t->roles[role].keyid, &err), 0);
}

static struct trust_doc trust_doc(uint64_t version, const struct p256_key *root)
{
    struct trust_doc t = {.version = version, .issued = NOW, .expires = NOW + 1000000, .url_count = 1};
    strcpy(t.plane, plane_id);
    strcpy(t.urls[0], "https://127.0.0.1:8444");
    memcpy(t.ca, ca, sizeof ca);
    set_role(&t, ROLE_ROOT, root);
    set_role(&t, ROLE_MANIFEST, &k.manifest);
    set_role(&t, ROLE_ORDER, &k.order);
    return t;
}

static void sign_trust(const struct trust_doc *t, const struct p256_key *one, const struct p256_key *two,
                       struct buf *out)
{
    struct error err;
    const struct p256_key *signers[] = {one, two};
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    assert_int_equal(trust_doc_encode(t, &payload, &err), 0);
    assert_int_equal(sign_document(signers, two != NULL ? 2 : 1, DOCUMENT_TRUST, buf_view(&payload), out, &err),
                     0);
}

static int check_trust(const struct trust_doc *t, const struct p256_key *one, const struct p256_key *two,
                       const struct trust_doc *previous, struct error *err)
{
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    AUTO_TRUST_DOC struct trust_doc got = {0};
    char digest[65];
    struct mint_plane self = {.id = plane_id, .ca_sha256 = ca, .order_point = k.order.point};
    sign_trust(t, one, two, &text);
    return mint_check_trust(buf_view(&text), previous, &self, &got, digest, err);
}

static void an_order_verifies_with_the_order_key_and_no_other(void **state)
{
    (void)state;
    struct error err;
    struct order o = {.sequence = 3, .issued = NOW, .action = ORDER_DEPLOY}, got;
    strcpy(o.server, "srv_0123456789abcdef");
    strcpy(o.project, "shop");
    strcpy(o.deployment, "dep_0123456789abcdef");
    memset(o.commit, 'a', 40);
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    AUTO_ENVELOPE struct envelope e = {0};
    char digest[65], other[65];
    assert_int_equal(mint_order(&k.order, &o, &text, digest, &err), 0);
    assert_int_equal(envelope_decode(buf_view(&text), &e, &err), 0);
    struct trust_doc t = trust_doc(1, &k.root);
    struct trust_keys keys;
    struct verified v;
    assert_int_equal(trust_keys_of(&t, &keys, &err), 0);
    struct signed_bytes input = signed_bytes_of(&e);
    assert_int_equal(verify(&keys, &input, &v, &err), 0);
    assert_int_equal(order_decode(&v, &got, &err), 0);
    assert_int_equal(got.sequence, 3);
    hex_encode(v.digest, 32, other);
    assert_string_equal(digest, other);
    set_role(&t, ROLE_ORDER, &k.stranger);
    assert_int_equal(trust_keys_of(&t, &keys, &err), 0);
    assert_int_equal(verify(&keys, &input, &v, &err), -1);
}

static void env_values_open_on_that_host_for_that_version_alone(void **state)
{
    (void)state;
    struct error err;
    static const char plain[] = "{\"values\":{\"A\":\"secret\"}}";
    struct mint_env what = {.server = "srv_0123456789abcdef",
                            .project = "shop",
                            .version = 7,
                            .issued = NOW,
                            .seal = k.host.point,
                            .values = {(const uint8_t *)plain, sizeof plain - 1}};
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX), out = BUF(SEAL_PLAIN_MAX);
    AUTO_ENVELOPE struct envelope e = {0};
    AUTO_ENV_DOC struct env_doc d = {0};
    char digest[65];
    assert_int_equal(mint_env(&k.order, &what, &text, digest, &err), 0);
    assert_null(memmem(text.data, text.size, "secret", 6));
    assert_int_equal(envelope_decode(buf_view(&text), &e, &err), 0);
    assert_int_equal(env_doc_check(buf_view(&e.payload), &d, &err), 0);
    assert_int_equal(unseal_env(&k.host, what.server, "shop", 7, d.enc, buf_view(&d.ct), &out, &err), 0);
    assert_string_equal(buf_text(&out), plain);
    assert_int_equal(unseal_env(&k.host, what.server, "shop", 8, d.enc, buf_view(&d.ct), &out, &err), -1);
    assert_int_equal(unseal_env(&k.stranger, what.server, "shop", 7, d.enc, buf_view(&d.ct), &out, &err), -1);
}

static void the_first_trust_document_is_version_1_signed_by_its_own_root(void **state)
{
    (void)state;
    struct error err;
    struct trust_doc t = trust_doc(1, &k.root);
    assert_int_equal(check_trust(&t, &k.root, NULL, NULL, &err), 0);
    assert_int_equal(check_trust(&t, &k.stranger, NULL, NULL, &err), -1);
    assert_int_equal(check_trust(&t, &k.manifest, NULL, NULL, &err), -1);
    t = trust_doc(2, &k.root);
    assert_int_equal(check_trust(&t, &k.root, NULL, NULL, &err), -1);
}

static void the_next_one_is_signed_by_the_old_root_and_the_new(void **state)
{
    (void)state;
    struct error err;
    struct trust_doc before = trust_doc(1, &k.root), t = trust_doc(2, &k.next_root);
    assert_int_equal(check_trust(&t, &k.root, &k.next_root, &before, &err), 0);
    assert_int_equal(check_trust(&t, &k.next_root, NULL, &before, &err), -1);
    assert_int_equal(check_trust(&t, &k.root, NULL, &before, &err), -1);
    t = trust_doc(3, &k.root);
    assert_int_equal(check_trust(&t, &k.root, NULL, &before, &err), -1);
    assert_string_equal(err.code, "E_TRUST_VERSION");
    t = trust_doc(1, &k.root);
    assert_int_equal(check_trust(&t, &k.root, NULL, &before, &err), -1);
}

static void trust_must_be_about_this_plane(void **state)
{
    (void)state;
    struct error err;
    struct trust_doc t = trust_doc(1, &k.root);
    t.plane[0] = 'f';
    assert_int_equal(check_trust(&t, &k.root, NULL, NULL, &err), -1);
    assert_string_equal(err.code, "E_TRUST_PLANE");
    t = trust_doc(1, &k.root);
    t.ca[0] ^= 1;
    assert_int_equal(check_trust(&t, &k.root, NULL, NULL, &err), -1);
    assert_string_equal(err.code, "E_TRUST_PLANE");
    t = trust_doc(1, &k.root);
    set_role(&t, ROLE_ORDER, &k.stranger);
    assert_int_equal(check_trust(&t, &k.root, NULL, NULL, &err), -1);
    assert_string_equal(err.code, "E_TRUST_PLANE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_verifies_with_the_order_key_and_no_other),
        cmocka_unit_test(env_values_open_on_that_host_for_that_version_alone),
        cmocka_unit_test(the_first_trust_document_is_version_1_signed_by_its_own_root),
        cmocka_unit_test(the_next_one_is_signed_by_the_old_root_and_the_new),
        cmocka_unit_test(trust_must_be_about_this_plane),
    };
    return cmocka_run_group_tests_name("plane/mint", tests, up, NULL);
}
