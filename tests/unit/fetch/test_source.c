#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include "agent/fetch/source.h"

static void takes_https_and_ssh(void **state)
{
    (void)state;
    static const struct {
        const char *url, *user, *host;
        unsigned port;
        bool ssh;
    } good[] = {
        {"https://git.example.org/shop.git", "git", "git.example.org", 443, false},
        {"https://git.example.org:8443/a/b", "git", "git.example.org", 8443, false},
        {"https://[::1]:8443/a", "git", "::1", 8443, false},
        {"ssh://git@example.org/x", "git", "example.org", 22, true},
        {"ssh://example.org:2222/~/x", "git", "example.org", 2222, true},
        {"ssh://deploy-1@example.org/x", "deploy-1", "example.org", 22, true},
        {"git@github.com:owner/repo.git", "git", "github.com", 22, true},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct source_url is;
        struct error err = {0};
        if (source_parse(good[i].url, &is, &err) < 0)
            print_error("%s: %s\n", good[i].url, err.text);
        assert_string_equal(err.code, "");
        assert_string_equal(is.host, good[i].host);
        assert_string_equal(is.user, good[i].user);
        assert_int_equal(is.port, good[i].port);
        assert_int_equal(is.ssh, good[i].ssh);
    }
}

static void refuses_all_others(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "/", "/srv/x.git", "x", "file:///x", "git://h/x", "http://h/x", "HTTPS://h/x", "ext::sh -c x", "https://",
        "https:///x", "https://h", "https://h/", "https://u@h/x", "https://u:p@h/x", "https://h/../x", "https://h/a/..",
        "https://h/-x", "https://-h/x", "https://h:0/x", "https://h:/x", "https://h:65536/x", "https://h:1x/x",
        "https://h/a b", "https://h/a\nb", "https://h/a\rb", "https://h/\x7f", "https://h/\xc3\xa4", "https://h\\@evil/x",
        "https://h/\"x", "ssh://-oProxyCommand=x/y", "ssh://-u@h/x", "ssh://u:p@h/x", "ssh://h", "ssh://u@/x", "git@h:",
        "git@h:-x", "git@-h:x", "-x@h:y", "@h:x", "git@h:../x", "git@h:a/../b", "https://[::1/x", "https://[]/x",
        "git@h::x", "ssh://[::1]x/y",
    };
    char *wide = calloc(1, 2000);
    assert_non_null(wide);
    memset(wide, 'x', 1100);
    memcpy(wide, "https://h/", 10);
    for (size_t i = 0; i <= sizeof bad / sizeof bad[0]; i++) {
        struct source_url is;
        struct error err = {0};
        const char *url = i < sizeof bad / sizeof bad[0] ? bad[i] : wide;
        if (source_parse(url, &is, &err) == 0)
            print_error("taken: %s\n", url);
        assert_string_equal(err.code, "E_SOURCE_URL");
    }
    free(wide);
}

static void knows_pinned_keys_only(void **state)
{
    (void)state;
    static const char lines[] = "ssh-ed25519 AAAA\n\n# x\nexample.org ecdsa-sha2-nistp256 AQID comment\r\nssh-rsa\nssh-ed25519 AAAA=";
    assert_true(source_knows_key(lines, "\0\0\0", 3));
    assert_true(source_knows_key(lines, "\1\2\3", 3));
    assert_false(source_knows_key(lines, "\1\2\4", 3));
    assert_false(source_knows_key(lines, "\1\2", 2));
    assert_false(source_knows_key(lines, "", 0));
    assert_false(source_knows_key("", "\1\2\3", 3));
}

static void writes_known_hosts_for_the_host(void **state)
{
    (void)state;
    struct source_url url = {.host = "h", .port = 22}, other = {.host = "h", .port = 2222};
    AUTO_BUF struct buf out = BUF(1000), more = BUF(1000), none = BUF(1000);
    struct error err = {0};
    assert_int_equal(source_known_hosts("ssh-ed25519 AAAA\nx ssh-rsa BBBB", &url, &out, &err), 0);
    assert_string_equal(buf_text(&out), "h ssh-ed25519 AAAA\nh ssh-rsa BBBB\n");
    assert_int_equal(source_known_hosts("ssh-ed25519 AAAA", &other, &more, &err), 0);
    assert_string_equal(buf_text(&more), "[h]:2222 ssh-ed25519 AAAA\n");
    assert_int_equal(source_known_hosts("\n", &url, &none, &err), -1);
    assert_string_equal(err.code, "E_GIT_CERTIFICATE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_https_and_ssh),
        cmocka_unit_test(refuses_all_others),
        cmocka_unit_test(knows_pinned_keys_only),
        cmocka_unit_test(writes_known_hosts_for_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
