#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <stdlib.h>

#include "ipc/layout.h"
#include "ipc/unit_plan.h"

#include <cmocka.h>
#undef fail /* base/error.h has one, too */

static void names_tell_projects_apps_and_slots_apart(void **state)
{
    (void)state;
    char name[UNIT_NAME_SIZE], path[128];
    struct warden_unit daemon = {.project = "a-b"}, app = {.project = "a", .app = "b", .slot = 1};
    unit_name(&daemon, name);
    assert_string_equal(name, "a-b");
    unit_name(&app, name);
    assert_string_equal(name, "a:b:1");
    unit_output_path(&daemon, path);
    assert_string_equal(path, "/run/klystrr/out/a-b..0");
    unit_output_path(&app, path);
    assert_string_equal(path, "/run/klystrr/out/a.b.1");
    struct warden_unit longest = {.slot = 1};
    memset(longest.project, 'p', sizeof longest.project - 1);
    memset(longest.app, 'a', sizeof longest.app - 1);
    unit_name(&longest, name);
    assert_int_equal(strlen(name), 31 + 1 + 23 + 1 + 1);
}

/* The folders of systemd's tmpfiles.d are those that the programs use. */
static void tmpfiles_makes_the_same_folders(void **state)
{
    (void)state;
    static const char *const folders[] = {KLY_RUN,   KLY_RUN_SW,       KLY_RUN_OUT, KLY_RUN_APPS, KLY_RUN_BOX,
                                          KLY_STATE, KLY_WARDEN_STATE, KLY_SRV,     KLY_NODE};
    char text[8192], line[96];
    FILE *file = fopen(KLY_SOURCE_DIR "/systemd/tmpfiles.conf", "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(line, sizeof line, "d %s ", folders[i]);
        assert_non_null(strstr(text, line));
    }
}

static void sysusers_makes_the_same_users(void **state)
{
    (void)state;
    static const char *const users[] = {KLY_USER, KLY_USER_NET, KLY_USER_LOG, KLY_USER_PROBE, KLY_USER_NODE};
    char text[4096], line[64];
    FILE *file = fopen(KLY_SOURCE_DIR "/systemd/sysusers.conf", "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        snprintf(line, sizeof line, "u %s ", users[i]);
        assert_non_null(strstr(text, line));
    }
    assert_non_null(strstr(text, "g " KLY_GROUP_READ " "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_tell_projects_apps_and_slots_apart),
        cmocka_unit_test(tmpfiles_makes_the_same_folders),
        cmocka_unit_test(sysusers_makes_the_same_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
