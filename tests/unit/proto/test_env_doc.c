#include "base/encode.h"
#include "proto/env_doc.h"
#include "proto_test.h"

#define CT "AAECAwQFBgcICQoLDA0ODxA=" /* 17 bytes */

static const char sample[] = "{\"type\":\"env\",\"server\":\"" SERVER
                             "\",\"project\":\"shop\",\"version\":7,\"issued\":\"2026-11-22T00:41:54Z\","
                             "\"sealed\":{\"enc\":\"" POINT("A") "\",\"ct\":\"" CT "\"}}";

static int decode_as(enum document_type type, struct bytes text, struct env_doc *e, struct error *err)
{
    struct verified v = {.payload = text, .type = type, .role = ROLE_ORDER};
    return env_doc_decode(&v, e, err);
}

static int try_env(struct bytes text, struct error *err)
{
    struct env_doc e;
    int rc = decode_as(DOCUMENT_ENV, text, &e, err);
    if (rc == 0)
        env_doc_free(&e);
    else
        assert_null(e.ct.data);
    return rc;
}

static void reads_and_writes_a_sealed_document(void **state)
{
    (void)state;
    AUTO_ENV_DOC struct env_doc e, again;
    AUTO_BUF struct buf out = BUF(4096);
    struct error err;
    assert_int_equal(decode_as(DOCUMENT_ENV, text_bytes(sample), &e, &err), 0);
    assert_string_equal(e.server, SERVER);
    assert_string_equal(e.project, "shop");
    assert_int_equal(e.version, 7);
    assert_int_equal(e.enc[0], 4);
    assert_int_equal(e.ct.size, 17);
    assert_int_equal(e.ct.data[16], 16);
    assert_int_equal(env_doc_encode(&e, &out, &err), 0);
    assert_string_equal(buf_text(&out), sample);
    assert_int_equal(decode_as(DOCUMENT_ENV, buf_view(&out), &again, &err), 0);
    e.ct.size = 16;
    assert_int_equal(env_doc_encode(&e, &out, &err), -1);
}

static void takes_only_what_was_verified_as_env(void **state)
{
    (void)state;
    struct env_doc e;
    struct error err;
    assert_int_equal(decode_as(DOCUMENT_ORDER, text_bytes(sample), &e, &err), -1);
    assert_string_equal(err.code, "E_TYPE");
}

static void refuses_what_cannot_be_sealed(void **state)
{
    (void)state;
    refuses(try_env, sample, CT, "AAECAwQFBgcICQoLDA0ODw==", "E_MEMBER", "sealed.ct");
    refuses(try_env, sample, CT, "", "E_MEMBER", "sealed.ct");
    refuses(try_env, sample, CT, "AAEC AwQFBgcICQoLDA0ODxA", "E_MEMBER", "sealed.ct");
    refuses(try_env, sample, POINT("A"), BYTES_64, "E_MEMBER", "sealed.enc");
    refuses(try_env, sample, "\"version\":7", "\"version\":0", "E_MEMBER", "version");
    refuses(try_env, sample, "\"version\":7", "\"version\":7.0", "E_MEMBER", "version");
    accepts(try_env, sample, "\"version\":7", "\"version\":9007199254740991");
    for (size_t n = ENV_CT_MAX - 1; n <= ENV_CT_MAX + 3; n++) {
        char *ct = letters(n, 'x'), *text = malloc(BASE64_SIZE(n));
        assert_non_null(text);
        base64_encode(ct, n, text);
        struct error err;
        char *document = swapped(sample, CT, text);
        int rc = try_copy(try_env, (const uint8_t *)document, strlen(document), &err);
        free(document);
        free(text);
        free(ct);
        assert_int_equal(rc, n <= ENV_CT_MAX ? 0 : -1);
    }
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    refuses_every_prefix(try_env, sample);
    assert_in_range(survives_every_flipped_bit(try_env, sample), 1, sizeof sample * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_a_sealed_document),
        cmocka_unit_test(takes_only_what_was_verified_as_env),
        cmocka_unit_test(refuses_what_cannot_be_sealed),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
