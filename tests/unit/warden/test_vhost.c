#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/warden/vhost.h"

#include <cmocka.h>
#undef fail /* base/error.h has one, too */

static const uint16_t ports[2] = {20000, 20001};
static const char own[] = "/etc/nginx/conf.d/klystrr-shop.web.conf";

static struct warden_vhost shop(void)
{
    struct warden_vhost v = {.project = "shop",
                             .app = "web",
                             .listen = 80,
                             .max_body_mb = 10,
                             .name_count = 2,
                             .names = {"shop.test", "www.shop.test"}};
    return v;
}

static void the_same_fields_are_the_same_bytes(void **state)
{
    (void)state;
    struct warden_vhost v = shop();
    AUTO_BUF struct buf a = BUF(32768), b = BUF(32768);
    char first[24], second[24];
    assert_int_equal(vhost_render(&v, ports, true, first, &a, NULL), 0);
    assert_int_equal(vhost_render(&v, ports, true, second, &b, NULL), 0);
    assert_string_equal(first, second);
    assert_string_equal(buf_text(&a), buf_text(&b));
    assert_non_null(strstr(buf_text(&a), first));
    v.max_body_mb = 11;
    buf_free(&b);
    assert_int_equal(vhost_render(&v, ports, true, second, &b, NULL), 0);
    assert_string_not_equal(first, second);
}

static void both_ports_the_flag_and_all_names_are_there(void **state)
{
    (void)state;
    struct warden_vhost v = shop();
    AUTO_BUF struct buf text = BUF(32768);
    char generation[24];
    assert_int_equal(vhost_render(&v, ports, false, generation, &text, NULL), 0);
    assert_non_null(strstr(buf_text(&text), "127.0.0.1:20000;"));
    assert_non_null(strstr(buf_text(&text), "127.0.0.1:20001;"));
    assert_non_null(strstr(buf_text(&text), "if (-e /run/klystrr/sw/shop.web.green)"));
    assert_non_null(strstr(buf_text(&text), "server_name shop.test www.shop.test;"));
    assert_non_null(strstr(buf_text(&text), "proxy_next_upstream off;"));
    assert_null(strstr(buf_text(&text), "[::]"));
    assert_memory_equal(buf_text(&text), VHOST_HEADER "shop web ", sizeof VHOST_HEADER + 8);
}

static void the_most_names_of_the_longest_kind_fit(void **state)
{
    (void)state;
    struct warden_vhost v = {
        .project = "shop", .app = "web", .listen = 80, .max_body_mb = 1, .name_count = WARDEN_DOMAINS_MAX};
    AUTO_BUF struct buf text = BUF(32768), small = BUF(100);
    char generation[24];
    for (int i = 0; i < WARDEN_DOMAINS_MAX; i++)
        memset(v.names[i], 'a', sizeof v.names[i] - 1);
    assert_int_equal(vhost_render(&v, ports, true, generation, &text, NULL), 0);
    assert_int_equal(vhost_render(&v, ports, true, generation, &small, NULL), -1);
}

#define OWN                                                                                                    \
    "# configuration file /etc/nginx/conf.d/klystrr-shop.web.conf:\nserver { listen 80; server_name "          \
    "shop.test; }\n"
#define OTHER           "# configuration file /etc/nginx/sites-enabled/other:\n"
#define WARNS(name, at) "nginx: [warn] conflicting server name \"" name "\" on " at ", ignored\n"

static int check(const char *dump, struct error *err)
{
    struct warden_vhost v = shop();
    return vhost_check_dump(&v, own, dump, err);
}

static void a_name_that_nginx_has_twice_is_refused_and_its_file_named(void **state)
{
    (void)state;
    static const char *const taken[] = {
        WARNS("shop.test", "0.0.0.0:80") OWN OTHER "server { listen 80; server_name shop.test; }",
        WARNS("shop.test", "[::]:80") OTHER "server{listen 80;server_name a.test shop.test b.test;}" OWN,
        WARNS("x.test", "0.0.0.0:80") WARNS("www.shop.test", "0.0.0.0:80") OWN OTHER
        "server { server_name 'www.shop.test'; }",
        WARNS(".shop.test", "0.0.0.0:80") OWN OTHER
        "server { location / { return 200; } server_name\n.Shop.test; }",
        WARNS("shop.test", "0.0.0.0:80") OWN
        "# configuration file /etc/nginx/fine:\nmap $a $b { server shop.test; }\n"
        "server { server_name x.shop.test shop.test.org; }\n" OTHER "server { server_name \"shop.test\"; }",
    };
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        struct error err = {0};
        assert_int_equal(check(taken[i], &err), -1);
        assert_string_equal(err.code, "E_VHOST_TAKEN");
        assert_non_null(strstr(err.text, "/etc/nginx/sites-enabled/other already serves"));
    }
}

static void a_conflict_in_no_file_is_refused_all_the_same(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(check(WARNS("shop.test", "0.0.0.0:80") OWN OTHER "include gone;", &err), -1);
    assert_string_equal(err.code, "E_VHOST_TAKEN");
    assert_non_null(strstr(err.text, "another file"));
}

static void what_is_no_conflict_of_ours_passes(void **state)
{
    (void)state;
    static const char *const fine[] = {
        OWN,
        OWN OTHER "server { listen 443; server_name shop.test; }",
        WARNS("shop.test", "0.0.0.0:8080") OWN,
        WARNS("shop.test", "0.0.0.0:443") OWN,
        WARNS("api.shop.test", "0.0.0.0:80") OWN,
        WARNS("shop.test.org", "0.0.0.0:80") OWN,
        "nginx: [warn] conflicting server name \"shop.test\"\n" OWN,
    };
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_int_equal(check(fine[i], NULL), 0);
}

static void cut_dumps_end_the_scan(void **state)
{
    (void)state;
    static const char whole[] = WARNS(".shop.test", "0.0.0.0:80") OWN OTHER
        "server { listen 80; server_name \"a\\\"b\" 'c' shop.test; }";
    char cut[sizeof whole];
    for (size_t i = 0; i < sizeof whole; i++) {
        memcpy(cut, whole, i);
        cut[i] = 0;
        assert_int_equal(check(cut, NULL), -1); /* without our file, or with the warning */
    }
}

static void a_file_that_nginx_does_not_read_is_told(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(check(OTHER "events { }", &err), -1);
    assert_string_equal(err.code, "E_VHOST_INCLUDE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_fields_are_the_same_bytes),
        cmocka_unit_test(both_ports_the_flag_and_all_names_are_there),
        cmocka_unit_test(the_most_names_of_the_longest_kind_fit),
        cmocka_unit_test(a_name_that_nginx_has_twice_is_refused_and_its_file_named),
        cmocka_unit_test(a_conflict_in_no_file_is_refused_all_the_same),
        cmocka_unit_test(what_is_no_conflict_of_ours_passes),
        cmocka_unit_test(cut_dumps_end_the_scan),
        cmocka_unit_test(a_file_that_nginx_does_not_read_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
