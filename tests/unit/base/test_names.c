#include "base/names.h"
#include "base_test.h"

typedef bool (*rule)(const char *);

static void check(rule ok, const char *const *good, const char *const *bad)
{
    for (; *good != NULL; good++)
        if (!ok(*good))
            fail_msg("'%s' was refused", *good);
    for (; *bad != NULL; bad++)
        if (ok(*bad))
            fail_msg("'%s' was accepted", *bad);
}

static void projects_and_apps(void **state)
{
    (void)state;
    const char *good[] = {"a", "shop", "a1-b2", "abcdefghijklmnopqrstuvwx", NULL};
    const char *bad[] = {"",    "-a",  "a-", "a--b", "1a",  "A",        "a_b",
                         "a.b", "a/b", "..", "a b",  "a\n", "\xC3\xA9", "abcdefghijklmnopqrstuvwxy",
                         NULL};
    check(name_is_project, good, bad);
    const char *apps[] = {"web", "abcdefghijklmnop", NULL};
    const char *no_apps[] = {"", "abcdefghijklmnopq", "web-", "Web", NULL};
    check(name_is_app, apps, no_apps);
}

static void ids_and_commits(void **state)
{
    (void)state;
    const char *servers[] = {"srv_0123456789abcdef", NULL};
    const char *no_servers[] = {"",
                                "srv_",
                                "srv_0123456789abcde",
                                "srv_0123456789abcdef0",
                                "srv_0123456789ABCDEF",
                                "dep_0123456789abcdef",
                                "srv_0123456789abcdeg",
                                "*",
                                NULL};
    check(name_is_server, servers, no_servers);
    const char *deployments[] = {"dep_0123456789abcdef", NULL};
    const char *no_deployments[] = {"srv_0123456789abcdef", "dep_0123456789abcdef\n", "", NULL};
    check(name_is_deployment, deployments, no_deployments);
    const char *commits[] = {"0123456789abcdef0123456789abcdef01234567",
                             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL};
    const char *no_commits[] = {"",
                                "main",
                                "0123456",
                                "0123456789abcdef0123456789abcdef0123456",
                                "0123456789abcdef0123456789abcdef012345678",
                                "0123456789ABCDEF0123456789abcdef01234567",
                                "0123456789abcdef0123456789abcdef0123456g",
                                NULL};
    check(name_is_commit, commits, no_commits);
}

static void env_names(void **state)
{
    (void)state;
    char longest[NAME_ENV_MAX + 2];
    memset(longest, 'A', sizeof longest);
    longest[NAME_ENV_MAX] = 0;
    const char *good[] = {"A", "_", "a1_B", longest, NULL};
    const char *bad[] = {"", "1A", "A-B", "A=B", "A B", "A\n", "\xC3\x84", NULL};
    check(name_is_env, good, bad);
    longest[NAME_ENV_MAX] = 'A';
    longest[NAME_ENV_MAX + 1] = 0;
    assert_false(name_is_env(longest));
}

static void refs(void **state)
{
    (void)state;
    const char *good[] = {"refs/heads/main",
                          "refs/heads/feature/x-1",
                          "refs/tags/v1.0",
                          "refs/heads/@",
                          "refs/heads/a@b",
                          "refs/heads/-x",
                          NULL};
    const char *bad[] = {"",
                         "main",
                         "HEAD",
                         "refs/heads/",
                         "refs/heads//x",
                         "refs/heads/x/",
                         "refs/heads/.x",
                         "refs/heads/x.",
                         "refs/heads/x.lock",
                         "refs/heads/a..b",
                         "refs/heads/a b",
                         "refs/heads/a~1",
                         "refs/heads/a^",
                         "refs/heads/a:b",
                         "refs/heads/a?",
                         "refs/heads/a*",
                         "refs/heads/a[b",
                         "refs/heads/a\\b",
                         "refs/heads/a@{b",
                         "refs/heads/a\x7f",
                         "refs/heads/a\x01",
                         "refs/remotes/origin/x",
                         "refs/heads/../x",
                         "refs/heads/x.lock/y",
                         NULL};
    check(name_is_ref, good, bad);
}

static void domains(void **state)
{
    (void)state;
    char label[80], longest[300] = "";
    memset(label, 'a', 63);
    label[63] = 0;
    for (int i = 0; i < 3; i++)
        snprintf(longest + strlen(longest), sizeof longest - strlen(longest), "%s.", label);
    snprintf(longest + strlen(longest), sizeof longest - strlen(longest), "%.61s", label);
    assert_int_equal(strlen(longest), 253);
    const char *good[] = {"localhost", "a.example.org", "1.2.3.4", "xn--bcher-kva.example",
                          label,       longest,         NULL};
    const char *bad[] = {"",    ".",   "a.",  ".a",  "a..b", "-a.b", "a-.b",         "A.b",
                         "*.a", "a_b", "a b", "a;b", "a/b",  "a\n",  "\xC3\xA9.org", NULL};
    check(name_is_domain, good, bad);
    strcat(longest, "a");
    assert_false(name_is_domain(longest));
    strcat(label, "a");
    assert_false(name_is_domain(label));
}

static void node_versions(void **state)
{
    (void)state;
    const char *good[] = {"22.23.3", "0.0.0", "9999.9999.9999", NULL};
    const char *bad[] = {"",         "22",         "22.23",    "22.23.",    "22.23.3.1", "v22.23.3", "22.23.03",
                         "^22.23.3", "22.23.3-rc", "22.23.3 ", "10000.0.0", "22..3",     "lts",      NULL};
    check(name_is_node_version, good, bad);
}

static void releases(void **state)
{
    (void)state;
    assert_true(name_release_sequence("12-0123456789ab") == 12);
    assert_true(name_release_sequence("9007199254740991-0123456789ab") == UINT64_C(9007199254740991));
    const char *bad[] = {"",
                         "12",
                         "12-",
                         "0-0123456789ab",
                         "012-0123456789ab",
                         "-1-0123456789ab",
                         "12-0123456789a",
                         "12-0123456789abc",
                         "12-0123456789AB",
                         "9007199254740992-0123456789ab",
                         "99999999999999999-0123456789ab",
                         "12-../../../etc",
                         "12-0123456789ab/",
                         "current"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (name_release_sequence(bad[i]) != 0)
            fail_msg("'%s' was accepted", bad[i]);
}

static void relative_paths(void **state)
{
    (void)state;
    char longest[NAME_PATH_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[NAME_PATH_MAX] = 0;
    const char *good[] = {".", "a", "a/b", ".hidden", "a/..b", "...", "a b", "\xC3\xA9", longest, NULL};
    const char *bad[] = {"",    "/",    "/a", "..",   "../a",  "a/..", "a/../b", "./a",
                         "a/.", "a//b", "a/", "a\nb", "a\x7f", "a\\b", "a/./b",  NULL};
    check(name_is_relative_path, good, bad);
    longest[NAME_PATH_MAX] = 'a';
    longest[NAME_PATH_MAX + 1] = 0;
    assert_false(name_is_relative_path(longest));
}

static void dangerous_env_names(void **state)
{
    (void)state;
    const char *dangerous[] = {"LD_PRELOAD",
                               "ld_library_path",
                               "NODE_OPTIONS",
                               "NODE_PATH",
                               "PATH",
                               "Path",
                               "BASH_ENV",
                               "ENV",
                               "GIT_SSH_COMMAND",
                               "npm_config_registry",
                               "NPM_CONFIG_REGISTRY",
                               "PM2_HOME",
                               "HTTP_PROXY",
                               "https_proxy",
                               "no_proxy",
                               "anything_proxy",
                               "SSH_AUTH_SOCK",
                               "PYTHONPATH",
                               "HOME",
                               "PORT",
                               "NOTIFY_SOCKET",
                               "OPENSSL_CONF",
                               "IFS",
                               NULL};
    const char *harmless[] = {"DATABASE_URL", "LOG_LEVEL",  "NODE_ENV", "LD",          "GIT", "PATHS",
                              "MY_PATH",      "PROXY_HOST", "LISTEN",   "ENVIRONMENT", "",    NULL};
    check(name_is_dangerous_env, dangerous, harmless);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(projects_and_apps),
        cmocka_unit_test(ids_and_commits),
        cmocka_unit_test(env_names),
        cmocka_unit_test(refs),
        cmocka_unit_test(domains),
        cmocka_unit_test(node_versions),
        cmocka_unit_test(releases),
        cmocka_unit_test(relative_paths),
        cmocka_unit_test(dangerous_env_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
