#include "trust_test.h"

#include "trust/seal.h"

static const char server[] = "srv_0123456789abcdef";

static void opens_for_its_host_project_and_version_only(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key host = {0}, other = {0};
    struct error err = {0};
    assert_int_equal(p256_generate(&host, &err), 0);
    assert_int_equal(p256_generate(&other, &err), 0);
    uint8_t enc[HPKE_ENC_SIZE];
    AUTO_BUF struct buf ct = BUF(1000);
    AUTO_WIPE struct buf plain = BUF(1000);
    assert_int_equal(seal_env(host.point, server, "shop", 7, TEXT("{\"values\":{}}"), enc, &ct, &err), 0);

    assert_int_equal(unseal_env(&other, server, "shop", 7, enc, buf_view(&ct), &plain, &err), -1);
    assert_string_equal(err.code, "E_SEAL");
    assert_int_equal(unseal_env(&host, "srv_0123456789abcdee", "shop", 7, enc, buf_view(&ct), &plain, &err),
                     -1);
    assert_int_equal(unseal_env(&host, server, "shoq", 7, enc, buf_view(&ct), &plain, &err), -1);
    assert_int_equal(unseal_env(&host, server, "shop", 8, enc, buf_view(&ct), &plain, &err), -1);
    assert_int_equal(plain.size, 0);
    assert_int_equal(unseal_env(&host, server, "shop", 7, enc, buf_view(&ct), &plain, &err), 0);
    assert_string_equal(buf_text(&plain), "{\"values\":{}}");
}

static void binds_to_the_info_that_the_document_describes(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key host = {0};
    struct error err = {0};
    assert_int_equal(p256_generate(&host, &err), 0);
    uint8_t enc[HPKE_ENC_SIZE];
    AUTO_BUF struct buf ct = BUF(1000), plain = BUF(1000);
    assert_int_equal(seal_env(host.point, server, "shop", 7, TEXT("values"), enc, &ct, &err), 0);
    struct bytes info = TEXT("klystrr env v1\0srv_0123456789abcdef\0shop\0"
                             "7");
    assert_int_equal(hpke_open(&host, enc, info, TEXT(""), buf_view(&ct), &plain, &err), 0);
    assert_string_equal(buf_text(&plain), "values");
}

static void refuses_names_that_are_none_and_too_much(void **state)
{
    (void)state;
    AUTO_P256 struct p256_key host = {0};
    struct error err = {0};
    assert_int_equal(p256_generate(&host, &err), 0);
    static uint8_t big[SEAL_CT_MAX + 1];
    uint8_t enc[HPKE_ENC_SIZE];
    AUTO_BUF struct buf out = BUF(SEAL_CT_MAX);
    assert_int_equal(seal_env(host.point, "srv_x", "shop", 1, TEXT("x"), enc, &out, &err), -1);
    assert_string_equal(err.code, "E_NAME");
    assert_int_equal(seal_env(host.point, server, "Shop", 1, TEXT("x"), enc, &out, &err), -1);
    assert_string_equal(err.code, "E_NAME");
    assert_int_equal(
        seal_env(host.point, server, "shop", 1, (struct bytes){big, SEAL_PLAIN_MAX + 1}, enc, &out, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(
        unseal_env(&host, server, "shop", 1, enc, (struct bytes){big, SEAL_CT_MAX + 1}, &out, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(
        seal_env(host.point, server, "shop", 1, (struct bytes){big, SEAL_PLAIN_MAX}, enc, &out, &err), 0);
    assert_int_equal(out.size, SEAL_CT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_for_its_host_project_and_version_only),
        cmocka_unit_test(binds_to_the_info_that_the_document_describes),
        cmocka_unit_test(refuses_names_that_are_none_and_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
