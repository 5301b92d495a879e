#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include "agent/fetch/finish.h"
#include "tests/unit/fetch/lab.h"

static const char *finish(const struct lab *lab, struct finish_plan plan)
{
    static struct error err;
    struct finish_result done;
    err = (struct error){0};
    plan.staging = lab->path;
    plan.entries = 1000;
    plan.bytes = plan.bytes != 0 ? plan.bytes : 1u << 20;
    plan.group = getgid();
    return finish_run(&plan, &done, &err) == 0 ? "" : err.code;
}

static void makes_modes_plain(void **state)
{
    struct lab *lab = *state;
    lab_file(lab, "suid", 06777);
    lab_file(lab, "private", 0600);
    lab_file(lab, "run", 0700);
    mkdirat(lab->root, "d", 0700);
    assert_string_equal(finish(lab, (struct finish_plan){0}), "");
    assert_int_equal(lab_mode(lab, "suid"), 0755);
    assert_int_equal(lab_mode(lab, "private"), 0644);
    assert_int_equal(lab_mode(lab, "run"), 0755);
    assert_int_equal(lab_mode(lab, "d"), 0755);
}

static void refuses_links_that_lead_out(void **state)
{
    struct lab *lab = *state;
    static const char *const bad[] = {"/etc", "..", "in/../../x", "../../../tmp", "none/../../x"};
    mkdirat(lab->root, "in", 0755);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(symlinkat(bad[i], lab->root, "l"), 0);
        assert_string_equal(finish(lab, (struct finish_plan){0}), "E_LINK_ESCAPES");
        unlinkat(lab->root, "l", 0);
    }
    assert_int_equal(symlinkat("in", lab->root, "l"), 0);
    assert_int_equal(symlinkat("../l/..", lab->root, "in/m"), 0);
    assert_int_equal(symlinkat("loop", lab->root, "loop"), 0);
    assert_int_equal(symlinkat("/srv/k/releases/1-a/in", lab->root, "abs"), 0);
    assert_string_equal(finish(lab, (struct finish_plan){.known_as = "/srv/k/releases/1-a"}), "");
    assert_string_equal(finish(lab, (struct finish_plan){.known_as = "/srv/k/releases/1"}), "E_LINK_ESCAPES");
}

static void refuses_special_files_and_too_much(void **state)
{
    struct lab *lab = *state;
    lab_file(lab, "a-file-of-some-bytes", 0644);
    assert_string_equal(finish(lab, (struct finish_plan){.bytes = 5}), "E_REPO_LIMIT");
    assert_int_equal(mkfifoat(lab->root, "fifo", 0600), 0);
    assert_string_equal(finish(lab, (struct finish_plan){0}), "E_SPECIAL_FILE");
}

static void puts_shared_links_again_and_again(void **state)
{
    struct lab *lab = *state;
    struct finish_plan plan = {.shared = {{"data/up", "/srv/x/shared/up"}, {"logs", "/srv/x/shared/logs"}}, .shared_count = 2};
    char target[100] = "";
    mkdirat(lab->root, "logs", 0755);
    lab_file(lab, "logs/.gitkeep", 0644);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(finish(lab, plan), "");
        assert_int_equal(readlinkat(lab->root, "data/up", target, sizeof target), 16);
        assert_string_equal(target, "/srv/x/shared/up");
    }
    unlinkat(lab->root, "logs", 0);
    lab_file(lab, "logs", 0644);
    assert_string_equal(finish(lab, plan), "E_SHARED_CONFLICT");
}

static void writable_paths_belong_to_the_group(void **state)
{
    struct lab *lab = *state;
    struct finish_plan plan = {.writable = {"cache", "deep/new"}, .writable_count = 2};
    mkdirat(lab->root, "cache", 0755);
    lab_file(lab, "cache/f", 0644);
    assert_string_equal(finish(lab, plan), "");
    assert_int_equal(lab_mode(lab, "cache"), 02775);
    assert_int_equal(lab_mode(lab, "cache/f"), 0664);
    assert_int_equal(lab_mode(lab, "deep/new"), 02775);
    assert_int_equal(lab_mode(lab, "deep"), 0755);
    assert_int_equal(symlinkat("cache", lab->root, "l"), 0);
    plan.writable[0] = "l";
    assert_string_equal(finish(lab, plan), "E_LINK_ESCAPES");
}

#define finish_test(f) cmocka_unit_test_setup_teardown(f, lab_open, lab_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        finish_test(makes_modes_plain),
        finish_test(refuses_links_that_lead_out),
        finish_test(refuses_special_files_and_too_much),
        finish_test(puts_shared_links_again_and_again),
        finish_test(writable_paths_belong_to_the_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
