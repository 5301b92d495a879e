#include "base/encode.h"
#include "base_test.h"

/* RFC 4648, section 10. */
static const char *const rfc[][2] = {{"", ""},
                                     {"f", "Zg=="},
                                     {"fo", "Zm8="},
                                     {"foo", "Zm9v"},
                                     {"foob", "Zm9vYg=="},
                                     {"fooba", "Zm9vYmE="},
                                     {"foobar", "Zm9vYmFy"}};

static int decode(const char *text, struct buf *out)
{
    struct error err = {0};
    int rc = base64_decode(text, strlen(text), out, &err);
    if (rc < 0)
        assert_string_equal(err.code, "E_BASE64");
    return rc;
}

static void agrees_with_the_rfc(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rfc / sizeof *rfc; i++) {
        char text[32];
        AUTO_BUF struct buf out = BUF(32);
        base64_encode(rfc[i][0], strlen(rfc[i][0]), text);
        assert_string_equal(text, rfc[i][1]);
        assert_int_equal(decode(text, &out), 0);
        assert_string_equal(buf_text(&out), rfc[i][0]);
    }
}

static void every_length_goes_both_ways_in_both_alphabets(void **state)
{
    (void)state;
    uint8_t data[200];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof data; n++) {
        char *text = malloc(BASE64_SIZE(n)), hex[401];
        uint8_t back[200];
        assert_non_null(text);
        for (int url = 0; url < 2; url++) {
            AUTO_BUF struct buf out = BUF(300);
            (url ? base64url_encode : base64_encode)(data, n, text);
            assert_int_equal(decode(text, &out), 0);
            assert_int_equal(out.size, n);
            if (n > 0)
                assert_memory_equal(out.data, data, n);
            assert_int_equal(base64_decode_exact(text, strlen(text), back, n), 0);
            if (n > 0)
                assert_int_equal(base64_decode_exact(text, strlen(text), back, n - 1), -1);
            assert_null(strpbrk(text, url ? "+/=" : "-_"));
        }
        free(text);
        hex_encode(data, n, hex);
        assert_int_equal(strlen(hex), 2 * n);
        assert_int_equal(hex_decode(hex, 2 * n, back, n), 0);
        if (n > 0)
            assert_memory_equal(back, data, n);
    }
}

static void every_text_that_decodes_is_the_only_one(void **state)
{
    (void)state;
    static const char letters[] = "ABCDwxyz0189+/-_= \n";
    size_t count = sizeof letters - 1;
    for (size_t i = 0; i < count * count * count * count; i++) {
        char text[5] = {letters[i % count], letters[i / count % count], letters[i / count / count % count],
                        letters[i / count / count / count], 0};
        char standard[16], url[16];
        AUTO_BUF struct buf out = BUF(16);
        if (decode(text, &out) < 0)
            continue;
        base64_encode(out.data, out.size, standard);
        base64url_encode(out.data, out.size, url);
        /* The URL-safe alphabet may be padded too. */
        size_t bare = strcspn(text, "=");
        if (strcmp(text, standard) != 0 && (strncmp(text, url, bare) != 0 || strlen(url) != bare))
            fail_msg("%s decodes but is neither %s nor %s", text, standard, url);
    }
}

static void refuses_what_is_not_canonical(void **state)
{
    (void)state;
    static const char *const bad[] = {"A",    "Zg=", "Zg===", "Zh==", "Zm9=", "Zg==\n", " Zg==",    "Zm9vZ",
                                      "+-AA", "++8", "Z=g=",  "=",    "==",   "====",   "Zg==Zg==", "Zm\x80v"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AUTO_BUF struct buf out = BUF(32);
        assert_int_equal(buf_add_text(&out, "kept", NULL), 0);
        if (decode(bad[i], &out) == 0)
            fail_msg("%s was accepted", bad[i]);
        assert_int_equal(out.size, 4);
    }
}

static void keeps_to_the_limit_of_its_buffer(void **state)
{
    (void)state;
    struct error err;
    for (size_t limit = 0; limit <= 8; limit++) {
        AUTO_BUF struct buf out = BUF(limit);
        int rc = base64_decode("Zm9vYmFy", 8, &out, &err);
        assert_int_equal(rc, limit >= 6 ? 0 : -1);
        if (rc < 0)
            assert_string_equal(err.code, "E_TOO_LARGE");
    }
}

static void hex_is_lower_case_and_whole(void **state)
{
    (void)state;
    uint8_t out[2];
    assert_int_equal(hex_decode("00ff", 4, out, 2), 0);
    assert_int_equal(hex_decode("00FF", 4, out, 2), -1);
    assert_int_equal(hex_decode("00f", 3, out, 2), -1);
    assert_int_equal(hex_decode("00ff0", 5, out, 2), -1);
    assert_int_equal(hex_decode("00fg", 4, out, 2), -1);
    assert_int_equal(hex_decode(" 0ff", 4, out, 2), -1);
    assert_int_equal(hex_decode("", 0, out, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_rfc),
        cmocka_unit_test(every_length_goes_both_ways_in_both_alphabets),
        cmocka_unit_test(every_text_that_decodes_is_the_only_one),
        cmocka_unit_test(refuses_what_is_not_canonical),
        cmocka_unit_test(keeps_to_the_limit_of_its_buffer),
        cmocka_unit_test(hex_is_lower_case_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
