#include "plane_fixture.h"

#include "plane/webhook.h"

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* GitHub's own example, from its page on validating deliveries. */
static const char secret[] = "It's a Secret to Everybody", body[] = "Hello, World!";
static const char good[] = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

static void takes_githubs_own_example(void **state)
{
    (void)state;
    assert_true(webhook_github_ok(good, text(secret), text(body)));
}

static void refuses_any_other_digit_length_secret_or_body(void **state)
{
    (void)state;
    char wrong[sizeof good];
    for (size_t i = 0; i < sizeof good - 1; i++) {
        memcpy(wrong, good, sizeof good);
        wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
        assert_false(webhook_github_ok(wrong, text(secret), text(body)));
    }
    memcpy(wrong, good, sizeof good);
    wrong[sizeof good - 2] = '\0';
    assert_false(webhook_github_ok(wrong, text(secret), text(body)));
    assert_false(webhook_github_ok(good, text("other"), text(body)));
    assert_false(webhook_github_ok(good, text(secret), text("Hello, World")));
    assert_false(webhook_github_ok(NULL, text(secret), text(body)));
    assert_false(webhook_github_ok("sha1=757107ea0eb2509fc211221cce984b8a", text(secret), text(body)));
    assert_false(webhook_github_ok("", text(secret), text(body)));
}

static void takes_gitlabs_token_and_no_other(void **state)
{
    (void)state;
    assert_true(webhook_gitlab_ok("0123abcd", text("0123abcd")));
    assert_false(webhook_gitlab_ok("0123abce", text("0123abcd")));
    assert_false(webhook_gitlab_ok("0123abc", text("0123abcd")));
    assert_false(webhook_gitlab_ok("", text("0123abcd")));
    assert_false(webhook_gitlab_ok(NULL, text("0123abcd")));
    assert_false(webhook_gitlab_ok("", text("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_githubs_own_example),
        cmocka_unit_test(refuses_any_other_digit_length_secret_or_body),
        cmocka_unit_test(takes_gitlabs_token_and_no_other),
    };
    return cmocka_run_group_tests_name("plane/webhook", tests, NULL, NULL);
}
