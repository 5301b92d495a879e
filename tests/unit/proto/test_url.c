#include "proto/url.h"
#include "proto_test.h"

static void takes_https_and_ssh_repositories(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum source_kind kind;
        const char *user, *host;
        uint16_t port;
        const char *path;
    } cases[] = {
        {"https://git.example.org/shop.git", SOURCE_HTTPS, "", "git.example.org", 0, "shop.git"},
        {"https://127.0.0.1:8443/a/b.git", SOURCE_HTTPS, "", "127.0.0.1", 8443, "a/b.git"},
        {"https://[::1]:8443/a", SOURCE_HTTPS, "", "::1", 8443, "a"},
        {"https://localhost/a/", SOURCE_HTTPS, "", "localhost", 0, "a/"},
        {"https://git.example.org/~me/r%20x.git", SOURCE_HTTPS, "", "git.example.org", 0, "~me/r%20x.git"},
        {"ssh://git@git.example.org/shop.git", SOURCE_SSH, "git", "git.example.org", 0, "shop.git"},
        {"ssh://git@[2001:db8::1]:2222/shop.git", SOURCE_SSH, "git", "2001:db8::1", 2222, "shop.git"},
        {"ssh://git.example.org/shop.git", SOURCE_SSH, "", "git.example.org", 0, "shop.git"},
        {"git@github.com:me/shop.git", SOURCE_SSH, "git", "github.com", 0, "me/shop.git"},
        {"git@host:/srv/shop.git", SOURCE_SSH, "git", "host", 0, "/srv/shop.git"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct source_url url;
        struct error err;
        if (url_source(cases[i].text, &url, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(url.kind, cases[i].kind);
        assert_string_equal(url.user, cases[i].user);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
    }
}

static void refuses_every_other_repository(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "file:///etc/passwd",
        "/srv/repo.git",
        "git://host/x",
        "http://host/x",
        "ftp://host/x",
        "HTTPS://host/x",
        "ext::sh -c x",
        "ssh://-oProxyCommand=x/y",
        "ssh://-host/y",
        "ssh://-u@host/y",
        "ssh://git@-host/y",
        "-u@host:y",
        "git@-host:y",
        "git@host:-y",
        "git@host:a/-y",
        "https://u:p@host/x",
        "https://u@host/x",
        "https://@host/x",
        "https://host/..",
        "https://host/a/../b",
        "https://host/./b",
        "https://host/a/..",
        "git@host:../x",
        "git@host:",
        "https://host",
        "https://host/",
        "https:///x",
        "https://host//x",
        "https://host:/x",
        "https://host:0/x",
        "https://host:080/x",
        "https://host:65536/x",
        "https://host:8a/x",
        "https://host/x?y",
        "https://host/x#y",
        "https://host/x y",
        "https://host/x\n",
        "https://host/\rx",
        "https://host/x\x7f",
        "https://host/\xC3\xA9",
        "https://ho\\st/x",
        "https://host/x\"",
        "https://host/x'",
        "https://host/`x`",
        "https://host/$x",
        "https://host/a;b",
        "https://host/a|b",
        "https://host/a&b",
        "https://host.:1/x",
        "https://Host/x",
        "https://[::1/x",
        "https://[host]/x",
        "https://[]/x",
        "https://.host/x",
        "https://host:1@evil/x",
        "https://host%00/x",
        "ssh://a@b@c/x",
        "ssh://a:b@c/x",
        "a b@host:x",
        "@host:x",
        "host:x",
        "git@host",
        "git@host/x:y",
        "user@@host:x",
        "ssh://git@host:22",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct source_url url;
        struct error err;
        if (url_source(bad[i], &url, &err) == 0)
            fail_msg("%s was accepted", bad[i]);
        assert_string_equal(err.code, "E_SOURCE_URL");
    }
}

static void bounds_the_length_of_a_repository(void **state)
{
    (void)state;
    for (size_t n = URL_SOURCE_MAX - 1; n <= URL_SOURCE_MAX + 1; n++) {
        char *text = letters(n, 'a');
        struct source_url url;
        memcpy(text, "https://h/", 10);
        assert_int_equal(url_source(text, &url, NULL), n <= URL_SOURCE_MAX ? 0 : -1);
        free(text);
    }
}

static void takes_planes_with_a_port_and_nothing_behind(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "https://host",
                                      "https://host:",
                                      "https://host:0",
                                      "https://host:65536",
                                      "https://host:7443/",
                                      "https://host:7443/x",
                                      "https://u@host:7443",
                                      "http://host:7443",
                                      "https://:7443",
                                      "https://ho st:7443",
                                      "https://host:07443",
                                      "https://host:7443?x",
                                      "https://[::1]",
                                      "https://::1:7443",
                                      "https://HOST:7443"};
    struct plane_url url;
    struct error err;
    assert_int_equal(url_plane("https://plane.example.org:7443", &url, &err), 0);
    assert_string_equal(url.host, "plane.example.org");
    assert_int_equal(url.port, 7443);
    assert_false(url.ipv6);
    assert_int_equal(url_plane("https://[2001:db8::1]:65535", &url, &err), 0);
    assert_string_equal(url.host, "2001:db8::1");
    assert_true(url.ipv6);
    assert_true(url_is_plane("https://127.0.0.1:1"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (url_plane(bad[i], &url, &err) == 0)
            fail_msg("%s was accepted", bad[i]);
        assert_string_equal(err.code, "E_URL");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_https_and_ssh_repositories),
        cmocka_unit_test(refuses_every_other_repository),
        cmocka_unit_test(bounds_the_length_of_a_repository),
        cmocka_unit_test(takes_planes_with_a_port_and_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
