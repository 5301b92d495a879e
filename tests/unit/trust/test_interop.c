/* Envelopes and sealed values against a second implementation (interop.mjs: Node's crypto and the prose of
 * proto/). */
#include "trust_test.h"

#include <unistd.h>

#include "base/durable.h"
#include "trust/seal.h"
#include "trust/sign.h"
#include "trust/verify.h"

#define SERVER "srv_0123456789abcdef"

static char folder[] = "/tmp/klystrr-test-XXXXXX";
static int folder_fd = -1;
static struct p256_key host;

static bool run(const char *mode)
{
    char line[1024];
    snprintf(line, sizeof line, "node %s/tests/unit/trust/interop.mjs %s %s >%s/out.txt 2>&1", KLY_SOURCE_DIR,
             mode, folder, folder);
    return system(line) == 0; /* NOLINT: a fixed text, for a test */
}

static void put(const char *name, const void *data, size_t size)
{
    struct error err = {0};
    assert_int_equal(durable_replace(folder_fd, name, data, size, 0600, &err), 0);
}

static void get(const char *name, struct buf *out)
{
    struct error err = {0};
    assert_int_equal(durable_read(folder_fd, name, out, &err), 0);
}

static int prepare(void **state)
{
    (void)state;
    if (p256_generate(&host, NULL) < 0)
        return -1;
    put("host.point", host.point, sizeof host.point);
    put("host.scalar", host.scalar, sizeof host.scalar);
    return run("make") ? 0 : -1;
}

static void verifies_what_node_signed(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX), payload = BUF(PAYLOAD_MAX), point = BUF(100);
    get("node.json", &text);
    get("node.payload", &payload);
    get("node.point", &point);
    assert_int_equal(point.size, P256_POINT_SIZE);
    struct error err = {0};
    AUTO_ENVELOPE struct envelope e = {0};
    assert_int_equal(envelope_decode(buf_view(&text), &e, &err), 0);
    struct trust_keys keys = {0};
    struct trust_role *role = &keys.roles[ROLE_MANIFEST];
    *role = (struct trust_role){.count = 1, .threshold = 1};
    memcpy(role->keys[0].point, point.data, P256_POINT_SIZE);
    assert_int_equal(p256_keyid(point.data, role->keys[0].keyid, &err), 0);
    assert_true(e.signatures[0].has_keyid);
    assert_memory_equal(e.signatures[0].keyid, role->keys[0].keyid, P256_KEYID_SIZE);
    struct signed_bytes input = signed_bytes_of(&e);
    struct verified v;
    assert_int_equal(verify(&keys, &input, &v, &err), 0);
    assert_int_equal(v.type, DOCUMENT_MANIFEST);
    assert_int_equal(v.payload.size, payload.size);
    assert_memory_equal(v.payload.data, payload.data, payload.size);
}

static void opens_what_node_sealed(void **state)
{
    (void)state;
    AUTO_BUF struct buf enc = BUF(100), ct = BUF(1000), plain = BUF(1000);
    get("node.enc", &enc);
    get("node.ct", &ct);
    assert_int_equal(enc.size, HPKE_ENC_SIZE);
    struct error err = {0};
    assert_int_equal(unseal_env(&host, SERVER, "shop", 41, enc.data, buf_view(&ct), &plain, &err), 0);
    assert_string_equal(buf_text(&plain), "{\"values\":{\"A\":\"1\"}}");
}

static void makes_what_node_verifies_and_opens(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key key = {0};
    const struct p256_key *keys[] = {&key};
    struct error err = {0};
    struct bytes payload = TEXT("{\"type\":\"manifest\"}"), plain = TEXT("{\"values\":{\"B\":\"2\"}}");
    AUTO_BUF struct buf pem = BUF(P256_PEM_MAX), text = BUF(ENVELOPE_MAX), ct = BUF(1000);
    uint8_t enc[HPKE_ENC_SIZE];
    assert_int_equal(p256_generate(&key, &err), 0);
    assert_int_equal(p256_write_public_pem(key.point, &pem, &err), 0);
    assert_int_equal(sign_document(keys, 1, DOCUMENT_MANIFEST, payload, &text, &err), 0);
    assert_int_equal(seal_env(host.point, SERVER, "shop", 42, plain, enc, &ct, &err), 0);
    put("ours.pem", pem.data, pem.size);
    put("ours.json", text.data, text.size);
    put("ours.payload", payload.data, payload.size);
    put("ours.plain", plain.data, plain.size);
    put("ours.enc", enc, sizeof enc);
    put("ours.ct", ct.data, ct.size);
    assert_true(run("check"));
    ct.data[0] ^= 1;
    put("ours.ct", ct.data, ct.size);
    assert_false(run("check"));
}

int main(void)
{
    if (system("node --version >/dev/null 2>&1") != 0) {
        printf("skipped: no node program\n");
        return 77;
    }
    if (mkdtemp(folder) == NULL)
        return 1;
    struct error err = {0};
    folder_fd = durable_dir(folder, 0700, &err);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_what_node_signed),
        cmocka_unit_test(opens_what_node_sealed),
        cmocka_unit_test(makes_what_node_verifies_and_opens),
    };
    int failed = cmocka_run_group_tests(tests, prepare, NULL);
    close(folder_fd);
    char remove[64];
    snprintf(remove, sizeof remove, "rm -rf %s", folder);
    return system(remove) != 0 ? 1 : failed;
}
