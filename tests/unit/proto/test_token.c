#include "base/encode.h"
#include "proto/token.h"
#include "proto_test.h"

static struct token sample(const char *url)
{
    struct token t = {.server = SERVER};
    for (int i = 0; i < 32; i++) {
        t.secret[i] = (uint8_t)i;
        t.ca[i] = (uint8_t)(i + 100);
        t.trust[i] = (uint8_t)(i + 200);
    }
    snprintf(t.url, sizeof t.url, "%s", url);
    return t;
}

static int try_token(struct bytes text, struct error *err)
{
    char *copy = malloc(text.size + 1);
    struct token t;
    assert_non_null(copy);
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    int rc = token_decode(copy, &t, err);
    if (rc < 0) {
        static const struct token none;
        assert_memory_equal(&t, &none, sizeof t);
        if (strlen(copy) > 20 && strstr(err->text, copy + 10) != NULL)
            fail_msg("the error repeats the token");
    }
    free(copy);
    return rc;
}

static void reads_what_it_writes_at_every_length(void **state)
{
    (void)state;
    char url[300], text[TOKEN_TEXT_SIZE];
    for (size_t n = 1; n <= 245; n++) {
        snprintf(url, sizeof url, "https://");
        for (size_t i = 0; i < n; i++)
            url[8 + i] = i % 50 == 49 && i + 1 < n ? '.' : 'a';
        snprintf(url + 8 + n, sizeof url - 8 - n, ":1");
        AUTO_TOKEN struct token t = sample(url), again;
        struct error err;
        if (token_encode(&t, text, &err) < 0)
            fail_msg("%s: %s", url, err.text);
        assert_true(strncmp(text, "klt1_", 5) == 0);
        assert_null(strpbrk(text, "+/= \n"));
        assert_int_equal(token_decode(text, &again, &err), 0);
        assert_memory_equal(&t, &again, sizeof t);
    }
}

static void a_broken_token_is_refused(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_SIZE];
    struct token t = sample("https://plane.example.org:7443");
    struct error err;
    assert_int_equal(token_encode(&t, text, &err), 0);
    static const char *const endings[] = {"=", " ", "\n", "A", "+", "/", "AAAA"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char longer[TOKEN_TEXT_SIZE + 8];
        snprintf(longer, sizeof longer, "%s%s", text, endings[i]);
        assert_int_equal(try_copy(try_token, (const uint8_t *)longer, strlen(longer), &err), -1);
        assert_string_equal(err.code, "E_TOKEN");
    }
    refuses(try_token, text, "klt1_", "klt2_", "E_TOKEN", "klt1_");
    refuses(try_token, text, "klt1_", "KLT1_", "E_TOKEN", "klt1_");
    refuses(try_token, text, "klt1_", "klt1_ ", "E_TOKEN", "not whole");
    refuses(try_token, text, "klt1_AQ", "klt1_Ag", "E_TOKEN", "version 2");
    char *long_text = letters(TOKEN_TEXT_SIZE * 2, 'A');
    memcpy(long_text, "klt1_", 5);
    assert_int_equal(try_copy(try_token, (const uint8_t *)long_text, strlen(long_text), &err), -1);
    free(long_text);
}

static void holds_only_what_a_host_can_use(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_SIZE];
    struct token t = sample("http://plane.example.org:7443");
    struct error err;
    assert_int_equal(token_encode(&t, text, &err), -1);
    assert_string_equal(err.code, "E_TOKEN");
    t = sample("https://plane.example.org:7443");
    strcpy(t.server, "srv_");
    assert_int_equal(token_encode(&t, text, &err), -1);
    /* A NUL inside the URL must not cut it. */
    uint8_t raw[105 + 30] = {1};
    memcpy(raw + 105, "https://plane.example.org:744\0", 30);
    memcpy(text, "klt1_", 5);
    base64url_encode(raw, sizeof raw, text + 5);
    assert_int_equal(try_copy(try_token, (const uint8_t *)text, strlen(text), &err), -1);
    raw[105 + 29] = '3';
    base64url_encode(raw, sizeof raw, text + 5);
    assert_int_equal(try_copy(try_token, (const uint8_t *)text, strlen(text), &err), 0);
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_SIZE];
    struct token t = sample("https://plane.example.org:7443");
    struct error err;
    assert_int_equal(token_encode(&t, text, &err), 0);
    /* A prefix that ends in a shorter port is a whole token of another plane's address; no other is. */
    for (size_t n = 0; n < strlen(text); n++) {
        struct token shorter;
        char *copy = strndup(text, n);
        if (token_decode(copy, &shorter, &err) == 0)
            assert_true(strncmp(shorter.url, "https://plane.example.org:7", 27) == 0);
        free(copy);
    }
    survives_every_flipped_bit(try_token, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes_at_every_length),
        cmocka_unit_test(a_broken_token_is_refused),
        cmocka_unit_test(holds_only_what_a_host_can_use),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
