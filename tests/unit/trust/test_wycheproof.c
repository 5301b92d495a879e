/* Project Wycheproof's vectors, read where they lie beside the source tree. Their results are not to be argued
 * with: "valid" must pass, "invalid" must not; the one "acceptable" ECDH case is a compressed point, which we
 * refuse. */
#include "trust_test.h"

#include <cjson/cJSON.h>

#include "trust/digest.h"
#include "trust/hpke_context.h"

#define FOLDER KLY_SOURCE_DIR "/../shared/vectors/wycheproof/"

static cJSON *load(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char text[1024 * 1024];
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    cJSON *json = cJSON_ParseWithLength(text, size);
    assert_non_null(json);
    return json;
}

static const char *text_of(const cJSON *object, const char *member)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);
    assert_true(cJSON_IsString(item));
    return item->valuestring;
}

/* A member in hex; the bytes are the caller's to free. */
static struct bytes bytes_of(const cJSON *object, const char *member)
{
    const char *hex = text_of(object, member);
    size_t size = strlen(hex) / 2;
    uint8_t *data = malloc(size + 1);
    assert_non_null(data);
    unhex(hex, data, size);
    return (struct bytes){data, size};
}

static void drop(struct bytes b)
{
    free((void *)(uintptr_t)b.data);
}

static void assert_case(const cJSON *test, bool passed, bool expected)
{
    if (passed != expected)
        print_error("case %d (%s): %s\n", cJSON_GetObjectItemCaseSensitive(test, "tcId")->valueint,
                    text_of(test, "comment"), passed ? "passed, but must not" : "refused, but must pass");
    assert_int_equal(passed, expected);
}

static bool is_valid(const cJSON *test)
{
    return strcmp(text_of(test, "result"), "valid") == 0;
}

static void verifies_all_262_signatures_as_they_say(void **state)
{
    (void)state;
    cJSON *json = load("ecdsa_secp256r1_sha256_p1363_test.json");
    const cJSON *group, *test;
    int count = 0;
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(json, "testGroups"))
    {
        struct bytes point = bytes_of(cJSON_GetObjectItemCaseSensitive(group, "publicKey"), "uncompressed");
        assert_int_equal(point.size, P256_POINT_SIZE);
        cJSON_ArrayForEach(test, cJSON_GetObjectItemCaseSensitive(group, "tests"))
        {
            struct bytes message = bytes_of(test, "msg"), sig = bytes_of(test, "sig");
            struct error err = {0};
            assert_case(test, p256_verify(point.data, message, sig, &err) == 0, is_valid(test));
            drop(message);
            drop(sig);
            count++;
        }
        drop(point);
    }
    assert_int_equal(count, 262);
    cJSON_Delete(json);
}

/* Vectors write scalars as ASN.1 integers: with a zero in front, or shorter than 32 bytes. */
static void scalar_of(struct bytes number, uint8_t *out)
{
    while (number.size > P256_SCALAR_SIZE) {
        assert_int_equal(number.data[0], 0);
        number.data++;
        number.size--;
    }
    memset(out, 0, P256_SCALAR_SIZE);
    memcpy(out + P256_SCALAR_SIZE - number.size, number.data, number.size);
}

static bool agrees(const cJSON *test)
{
    struct bytes point = bytes_of(test, "public"), private = bytes_of(test, "private"),
                 shared = bytes_of(test, "shared");
    uint8_t scalar[P256_SCALAR_SIZE], out[32];
    scalar_of(private, scalar);
    struct p256_key key;
    struct error err = {0};
    bool ok = point.size == P256_POINT_SIZE && p256_from_scalar(scalar, &key, &err) == 0 &&
              p256_ecdh(&key, point.data, out, &err) == 0;
    if (ok && is_valid(test))
        assert_memory_equal(out, shared.data, sizeof out);
    drop(point);
    drop(private);
    drop(shared);
    return ok;
}

static void agrees_on_all_355_shared_secrets_as_they_say(void **state)
{
    (void)state;
    cJSON *json = load("ecdh_secp256r1_ecpoint_test.json");
    const cJSON *group, *test;
    int count = 0;
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(json, "testGroups"))
        cJSON_ArrayForEach(test, cJSON_GetObjectItemCaseSensitive(group, "tests"))
    {
        assert_case(test, agrees(test), is_valid(test));
        count++;
    }
    assert_int_equal(count, 355);
    cJSON_Delete(json);
}

static bool derives(const cJSON *test)
{
    struct bytes secret = bytes_of(test, "ikm"), salt = bytes_of(test, "salt"), info = bytes_of(test, "info");
    struct bytes expected = bytes_of(test, "okm");
    size_t size = (size_t)cJSON_GetObjectItemCaseSensitive(test, "size")->valueint;
    uint8_t prk[DIGEST_SIZE];
    uint8_t *out = malloc(size);
    assert_non_null(out);
    struct error err = {0};
    bool ok = hkdf_extract(salt, secret, prk, &err) == 0 && hkdf_expand(prk, info, out, size, &err) == 0;
    if (ok && is_valid(test))
        assert_memory_equal(out, expected.data, size);
    free(out);
    drop(secret);
    drop(salt);
    drop(info);
    drop(expected);
    return ok;
}

static void derives_all_86_keys_as_they_say(void **state)
{
    (void)state;
    cJSON *json = load("hkdf_sha256_test.json");
    const cJSON *group, *test;
    int count = 0;
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(json, "testGroups"))
        cJSON_ArrayForEach(test, cJSON_GetObjectItemCaseSensitive(group, "tests"))
    {
        assert_case(test, derives(test), is_valid(test));
        count++;
    }
    assert_int_equal(count, 86);
    cJSON_Delete(json);
}

static bool decrypts(const cJSON *test)
{
    struct bytes key = bytes_of(test, "key"), iv = bytes_of(test, "iv"), aad = bytes_of(test, "aad");
    struct bytes plain = bytes_of(test, "msg"), ct = bytes_of(test, "ct"), tag = bytes_of(test, "tag");
    struct hpke_context c;
    memcpy(c.key, key.data, sizeof c.key);
    memcpy(c.base_nonce, iv.data, sizeof c.base_nonce);
    AUTO_BUF struct buf sealed = BUF(4096), opened = BUF(4096), again = BUF(4096);
    struct error err = {0};
    assert_int_equal(buf_add(&sealed, ct.data, ct.size, &err), 0);
    assert_int_equal(buf_add(&sealed, tag.data, tag.size, &err), 0);
    bool ok = hpke_context_open(&c, 0, aad, buf_view(&sealed), &opened, &err) == 0;
    if (ok) {
        assert_int_equal(opened.size, plain.size);
        assert_memory_equal(opened.data, plain.data, plain.size);
        assert_int_equal(hpke_context_seal(&c, 0, aad, plain, &again, &err), 0);
        assert_int_equal(again.size, sealed.size);
        assert_memory_equal(again.data, sealed.data, sealed.size);
    }
    drop(key);
    drop(iv);
    drop(aad);
    drop(plain);
    drop(ct);
    drop(tag);
    return ok;
}

static void decrypts_all_messages_of_our_sizes_as_they_say(void **state)
{
    (void)state;
    cJSON *json = load("aes_gcm_test.json");
    const cJSON *group, *test;
    int count = 0;
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(json, "testGroups"))
    {
        if (cJSON_GetObjectItemCaseSensitive(group, "keySize")->valueint != 128 ||
            cJSON_GetObjectItemCaseSensitive(group, "ivSize")->valueint != 96)
            continue;
        cJSON_ArrayForEach(test, cJSON_GetObjectItemCaseSensitive(group, "tests"))
        {
            assert_case(test, decrypts(test), is_valid(test));
            count++;
        }
    }
    assert_int_equal(count, 67);
    cJSON_Delete(json);
}

int main(void)
{
    FILE *readable = fopen(FOLDER "hkdf_sha256_test.json", "rb");
    if (readable == NULL) {
        printf("skipped: no vectors in " FOLDER "\n");
        return 77;
    }
    fclose(readable);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_all_262_signatures_as_they_say),
        cmocka_unit_test(agrees_on_all_355_shared_secrets_as_they_say),
        cmocka_unit_test(derives_all_86_keys_as_they_say),
        cmocka_unit_test(decrypts_all_messages_of_our_sizes_as_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
