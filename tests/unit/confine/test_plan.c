#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <stdlib.h>
#include <unistd.h>

#include "agent/confine/plan.h"

#include <cmocka.h>
#undef fail /* base/error.h has one, too */

static char users[] = "/tmp/klystrr-users-XXXXXX", groups[] = "/tmp/klystrr-groups-XXXXXX";
static struct policy_table policy;

static int write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    return fd < 0 || close(fd) < 0 || n < 0 ? -1 : 0;
}

static int setup(void **state)
{
    (void)state;
    policy.count = 3;
    policy.rows[0] =
        (struct policy_row){.project = "shop", .port_first = 2000, .port_last = 2001, .memory_mb = 512};
    policy.rows[1] = (struct policy_row){.project = "off", .port_first = 2000, .port_last = 2001, .paused = 1};
    policy.rows[2] = (struct policy_row){.project = "evil", .port_first = 2000, .port_last = 2001};
    return write_file(users,
                      "root:x:0:0::/root:/bin/sh\nkb-shop:x:901:902::/:/x\nka-shop:x:903:904::/:/"
                      "x\nkb-evil:x:0:0::/:/x\nka-evil:x:99:99::/:/x\n"
                      "kb-off:x:911:912::/:/x\nka-off:x:913:914::/:/x\nklystrr-probe:x:920:920::/:/x\n") |
           write_file(groups, "root:x:0:\nkp-shop:x:905:kb-shop,ka-shop\nkp-off:x:915:\nkp-evil:x:925:\n");
}

static int teardown(void **state)
{
    (void)state;
    return unlink(users) | unlink(groups);
}

static struct box_start start_of(uint32_t profile, const char *project, const char *subject)
{
    struct box_start s = {.profile = profile, .timeout_s = 60};
    snprintf(s.project, sizeof s.project, "%s", project);
    snprintf(s.subject, sizeof s.subject, "%s", subject);
    return s;
}

static void expect_refusal(struct box_start s, const char *code)
{
    struct plan plan;
    struct error err = {0};
    assert_int_equal(plan_make(&s, &policy, users, groups, &plan, &err), -1);
    assert_string_equal(err.code, code);
}

static void a_build_runs_as_the_build_user_and_shows_staging_as_a_release(void **state)
{
    (void)state;
    struct plan plan;
    char path[PLAN_PATH];
    struct box_start s = start_of(BOX_BUILD, "shop", "7-aaaaaaaaaaaa");
    snprintf(s.node, sizeof s.node, "22.1.0");
    assert_int_equal(plan_make(&s, &policy, users, groups, &plan, NULL), 0);
    assert_int_equal(plan.uid, 901);
    assert_int_equal(plan.gid, 902);
    assert_int_equal(plan.group, 905);
    plan_path(&plan, plan.profile->folders[0].from, path);
    assert_string_equal(path, "/srv/klystrr/shop/staging/7-aaaaaaaaaaaa");
    plan_path(&plan, plan.profile->folders[0].to, path);
    assert_string_equal(path, "/srv/klystrr/shop/releases/7-aaaaaaaaaaaa");
    assert_string_equal(plan.node, "/opt/klystrr/node/22.1.0");
    assert_int_equal(plan.start.memory_mb, 512); /* the policy's bound */
}

static void the_app_user_runs_releases(void **state)
{
    (void)state;
    struct plan plan;
    struct box_start s = start_of(BOX_ACTIVATE, "shop", "");
    assert_int_equal(plan_make(&s, &policy, users, groups, &plan, NULL), 0);
    assert_int_equal(plan.uid, 903);
    assert_false(plan_sees(&plan, SEES_SELF));
    s = start_of(BOX_PROBE, "", "");
    assert_int_equal(plan_make(&s, &policy, users, groups, &plan, NULL), 0);
    assert_int_equal(plan.uid, 920);
}

static void names_that_could_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    static const char *const projects[] = {"", "..", "../x", "a/b", "Shop", "shop\n"}, *const subjects[] = {
                                                                                           "",    ".",   "..",
                                                                                           ".x",  "a/b", "../a",
                                                                                           "/etc"};
    for (size_t i = 0; i < sizeof projects / sizeof *projects; i++)
        expect_refusal(start_of(BOX_BUILD, projects[i], "x"), "E_BOX_START");
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        expect_refusal(start_of(BOX_BUILD, "shop", subjects[i]), "E_BOX_START");
    expect_refusal(start_of(BOX_FETCH, "shop", "x"), "E_BOX_START");
    expect_refusal(start_of(BOX_PROBE, "shop", ""), "E_BOX_START");
    expect_refusal(start_of(0, "shop", ""), "E_BOX_START");
    expect_refusal(start_of(BOX_PROFILES, "shop", ""), "E_BOX_START");
    struct box_start s = start_of(BOX_BUILD, "shop", "x");
    memset(s.project, 'a', sizeof s.project);
    expect_refusal(s, "E_BOX_START");
    s = start_of(BOX_BUILD, "shop", "x");
    snprintf(s.node, sizeof s.node, "../x");
    expect_refusal(s, "E_BOX_START");
    expect_refusal(start_of(BOX_NODE, "", ""), "E_BOX_START"); /* without a version */
}

static void times_and_counts_have_limits(void **state)
{
    (void)state;
    struct box_start s = start_of(BOX_BUILD, "shop", "x");
    s.timeout_s = 0;
    expect_refusal(s, "E_BOX_START");
    s.timeout_s = 7201;
    expect_refusal(s, "E_BOX_START");
    s.timeout_s = 7200;
    s.stop_s = 301;
    expect_refusal(s, "E_BOX_START");
    s.stop_s = 0;
    s.extra_fds = 3;
    expect_refusal(s, "E_BOX_START");
}

static void the_policy_and_the_users_decide(void **state)
{
    (void)state;
    struct plan plan;
    expect_refusal(start_of(BOX_BUILD, "nix", "x"), "E_BOX_POLICY");
    expect_refusal(start_of(BOX_BUILD, "off", "x"), "E_BOX_POLICY");
    struct box_start tidy = start_of(BOX_TIDY, "off", "");
    assert_int_equal(plan_make(&tidy, &policy, users, groups, &plan, NULL), 0);
    expect_refusal(start_of(BOX_FETCH, "off", ""), "E_BOX_POLICY");
    expect_refusal(start_of(BOX_RELEASE, "off", "x"), "E_BOX_POLICY");
    struct box_start again = start_of(BOX_ACTIVATE, "off", ""); /* what was released before */
    assert_int_equal(plan_make(&again, &policy, users, groups, &plan, NULL), 0);
    expect_refusal(start_of(BOX_BUILD, "evil", "x"), "E_BOX_USER");   /* uid 0 */
    expect_refusal(start_of(BOX_RELEASE, "evil", "x"), "E_BOX_USER"); /* uid 99 */
    expect_refusal(start_of(BOX_SCRIBE, "", ""), "E_BOX_USER");       /* no such user */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_runs_as_the_build_user_and_shows_staging_as_a_release),
        cmocka_unit_test(the_app_user_runs_releases),
        cmocka_unit_test(names_that_could_lead_elsewhere_are_refused),
        cmocka_unit_test(times_and_counts_have_limits),
        cmocka_unit_test(the_policy_and_the_users_decide),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
