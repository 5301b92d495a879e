#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/uplink/config.h"

#include <cmocka.h> /* last: it defines fail() */

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define GOOD                                                                                                                     \
    "{\"server\":\"srv_0123456789abcdef\",\"plane\":\"https://plane.example:8443\",\"ca\":\"" HEX "\",\"trust\":\"" HEX            \
    "\",\"mode\":\"direct\"}"

static int parse(const char *text, struct config *c, struct error *err)
{
    return config_parse((struct bytes){(const uint8_t *)text, strlen(text)}, c, err);
}

static void reads_server_plane_and_pin(void **state)
{
    (void)state;
    struct config c;
    struct error err = {0};
    assert_int_equal(parse(GOOD, &c, &err), 0);
    assert_string_equal(c.server, "srv_0123456789abcdef");
    assert_string_equal(c.plane.host, "plane.example");
    assert_int_equal(c.plane.port, 8443);
    assert_string_equal(c.authority, "plane.example:8443");
    assert_int_equal(c.ca[1], 0x11);
}

static void says_the_host_as_http_wants_it(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(parse("{\"server\":\"srv_0123456789abcdef\",\"plane\":\"https://[::1]:8443\",\"ca\":\"" HEX
                           "\",\"trust\":\"" HEX "\",\"mode\":\"direct\"}",
                           &c, NULL),
                     0);
    assert_string_equal(c.plane.host, "::1");
    assert_string_equal(c.authority, "[::1]:8443");
    assert_int_equal(parse("{\"server\":\"srv_0123456789abcdef\",\"plane\":\"https://plane.example:443\",\"ca\":\"" HEX
                           "\",\"trust\":\"" HEX "\",\"mode\":\"direct\",\"new\":[1]}",
                           &c, NULL),
                     0);
    assert_string_equal(c.authority, "plane.example");
}

static void refuses_every_cut_text(void **state)
{
    (void)state;
    for (size_t n = 0; n < strlen(GOOD); n++) {
        struct config c;
        struct error err = {0};
        assert_int_equal(config_parse((struct bytes){(const uint8_t *)GOOD, n}, &c, &err), -1);
        assert_string_equal(err.code, "E_CONFIG");
    }
}

static void refuses_what_is_missing_or_wrong(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{\"server\":\"srv_0123456789abcdef\"}",
        "{\"server\":\"srv_x\",\"plane\":\"https://a.example:1\",\"ca\":\"" HEX "\",\"trust\":\"" HEX "\",\"mode\":\"direct\"}",
        "{\"server\":\"srv_0123456789abcdef\",\"plane\":\"http://a.example:1\",\"ca\":\"" HEX "\",\"trust\":\"" HEX "\",\"mode\":\"direct\"}",
        "{\"server\":\"srv_0123456789abcdef\",\"plane\":\"https://a.example:1\",\"ca\":\"00\",\"trust\":\"" HEX "\",\"mode\":\"direct\"}",
        "{\"server\":\"srv_0123456789abcdef\",\"plane\":\"https://a.example:1\",\"ca\":\"" HEX "\",\"trust\":\"" HEX "\",\"mode\":\"proxied\"}",
        "{\"server\":\"srv_0123456789abcdef\",\"plane\":\"https://a.example:1\",\"ca\":\"" HEX "\",\"ca\":\"" HEX "\",\"trust\":\"" HEX "\",\"mode\":\"direct\"}",
        GOOD " x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct config c;
        struct error err = {0};
        assert_int_equal(parse(bad[i], &c, &err), -1);
        assert_string_equal(err.code, "E_CONFIG");
        assert_true(strlen(err.text) > 10);
    }
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_file_that_others_may_write_is_refused(void **state)
{
    (void)state;
    char folder[] = "/tmp/kly-config-XXXXXX", path[64], other[64];
    struct config c;
    struct error err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/agent.json", folder);
    snprintf(other, sizeof other, "%s/link", folder);
    assert_int_equal(config_read(path, &c, &err), 1);
    write_file(path, GOOD, 0644);
    assert_int_equal(config_read(path, &c, &err), 0);
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(config_read(other, &c, &err), -1);
    assert_string_equal(err.code, "E_READ");
    for (int bit = 0; bit < 2; bit++) {
        assert_int_equal(chmod(path, bit == 0 ? 0664 : 0646), 0);
        assert_int_equal(config_read(path, &c, &err), -1);
        assert_string_equal(err.code, "E_PERM");
    }
    char *large = calloc(1, CONFIG_FILE_MAX + 2);
    assert_non_null(large);
    memset(large, ' ', CONFIG_FILE_MAX + 1);
    write_file(path, large, 0644);
    assert_int_equal(config_read(path, &c, &err), -1);
    assert_string_equal(err.code, "E_CONFIG");
    free(large);
    unlink(other);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_server_plane_and_pin),     cmocka_unit_test(says_the_host_as_http_wants_it),
        cmocka_unit_test(refuses_every_cut_text),         cmocka_unit_test(refuses_what_is_missing_or_wrong),
        cmocka_unit_test(a_file_that_others_may_write_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
