#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include <stdlib.h>

#include "agent/agent/policy.h"

static const char text[] = "{\"projects\":{\"shop\":{\"repositories\":[\"https://git.example.org/*\"],\"refs\":"
                           "[\"refs/heads/main\",\"refs/tags/v*\"],\"domains\":[\"*.example.org\",\"shop.test\"]},"
                           "\"held\":{\"repositories\":[\"*\"],\"refs\":[\"*\"],\"pause\":true}}}";

static struct policy parsed(const char *json)
{
    struct policy p;
    struct error err = {0};
    assert_int_equal(policy_parse((struct bytes){(const uint8_t *)json, strlen(json)}, &p, &err), 0);
    return p;
}

static struct manifest *manifest(const char *project, const char *url, const char *ref, const char *domain)
{
    static struct manifest m;
    m = (struct manifest){.app_count = 1, .source = {.url = url, .ref = ref}};
    strcpy(m.project, project);
    m.apps[0].vhost.present = domain != NULL;
    m.apps[0].vhost.names[0] = domain;
    m.apps[0].vhost.name_count = 1;
    return &m;
}

static void expect(struct policy *p, const struct manifest *m, const char *code, const char *word)
{
    struct error err = {0};
    int rc = policy_check(p, m, &err);
    assert_string_equal(err.code, code);
    assert_int_equal(rc, code[0] == 0 ? 0 : -1);
    if (word != NULL)
        assert_non_null(strstr(err.text, word));
}

static const char good[] = "https://git.example.org/a/shop.git";

static void allows_what_the_lists_say_and_names_the_rule_that_refuses(void **unused)
{
    (void)unused;
    struct policy p = parsed(text);
    expect(&p, manifest("shop", good, "refs/heads/main", "a.b.example.org"), "", NULL);
    expect(&p, manifest("shop", good, "refs/tags/v1.2", "shop.test"), "", NULL);
    expect(&p, manifest("shop", good, "refs/heads/main", NULL), "", NULL);
    expect(&p, manifest("shop", "https://evil.example/x", "refs/heads/main", NULL), "E_POLICY", "projects[\"shop\"].repositories");
    expect(&p, manifest("shop", good, "refs/heads/mainx", NULL), "E_POLICY", "projects[\"shop\"].refs");
    expect(&p, manifest("shop", good, "refs/heads/main", "example.org"), "E_POLICY", "projects[\"shop\"].domains");
    expect(&p, manifest("shop", good, "refs/heads/main", "xexample.org"), "E_POLICY", "domains");
    expect(&p, manifest("other", good, "refs/heads/main", NULL), "E_POLICY", "no entry for project 'other'");
    expect(&p, manifest("held", good, "refs/heads/main", NULL), "E_PAUSED", "projects[\"held\"].pause");
    policy_free(&p);
}

static void a_projects_own_entry_counts_alone(void **unused)
{
    (void)unused;
    struct policy p = parsed("{\"projects\":{\"*\":{\"repositories\":[\"*\"],\"refs\":[\"*\"],\"domains\":[\"*\"]},\"shop\":{}}}");
    expect(&p, manifest("other", good, "refs/heads/x", "any.test"), "", NULL);
    expect(&p, manifest("shop", good, "refs/heads/x", NULL), "E_POLICY", "repositories");
    policy_free(&p);
}

static void refuses_everything_without_a_file(void **unused)
{
    (void)unused;
    struct policy p;
    policy_read("/nonexistent/policy.json", &p);
    expect(&p, manifest("shop", good, "refs/heads/main", NULL), "E_POLICY", "there is no /nonexistent/policy.json");
}

static void refuses_a_malformed_file(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {
        "", "[]", "{}", "{\"projects\":[]}", "{\"projects\":{\"Shop\":{}}}", "{\"projects\":{\"shop\":[]}}",
        "{\"projects\":{\"shop\":{\"repositories\":\"*\"}}}", "{\"projects\":{\"shop\":{\"refs\":[1]}}}",
        "{\"projects\":{\"shop\":{\"pause\":\"no\"}}}", "{\"projects\":{\"shop\":{}},\"projects\":{}}",
        "{\"projects\":{\"shop\":{}}} x",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct policy p;
        struct error err = {0};
        assert_int_equal(policy_parse((struct bytes){(const uint8_t *)wrong[i], strlen(wrong[i])}, &p, &err), -1);
        assert_true(err.code[0] != 0);
    }
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        struct policy p;
        assert_int_equal(policy_parse((struct bytes){(const uint8_t *)text, cut}, &p, NULL), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allows_what_the_lists_say_and_names_the_rule_that_refuses),
        cmocka_unit_test(a_projects_own_entry_counts_alone),
        cmocka_unit_test(refuses_everything_without_a_file),
        cmocka_unit_test(refuses_a_malformed_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
