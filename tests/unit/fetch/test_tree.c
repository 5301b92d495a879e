#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include "tests/unit/fetch/lab.h"

static int note(void *context, const struct tree_entry *entry, struct error *err)
{
    (void)err;
    char *seen = context;
    if (strlen(seen) + strlen(entry->path) + 2 < 1000)
        strcat(strcat(seen, entry->path), S_ISDIR(entry->is.st_mode) ? "/ " : " ");
    return strcmp(entry->name, "closed") == 0;
}

static void visits_folders_before_what_is_in_them(void **state)
{
    struct lab *lab = *state;
    char seen[1000] = "";
    mkdirat(lab->root, "a", 0755);
    mkdirat(lab->root, "a/closed", 0755);
    lab_file(lab, "a/closed/hidden", 0644);
    assert_int_equal(symlinkat("/", lab->root, "a/link"), 0);
    assert_int_equal(tree_walk(lab->root, 10, note, seen, NULL), 0);
    assert_int_equal(strncmp(seen, "a/ ", 3), 0);
    assert_non_null(strstr(seen, " a/closed/ "));
    assert_non_null(strstr(seen, " a/link "));
    assert_null(strstr(seen, "hidden"));
}

static void stops_at_its_limits(void **state)
{
    struct lab *lab = *state;
    struct error err = {0};
    char seen[1000] = "";
    lab_file(lab, "a", 0644);
    lab_file(lab, "b", 0644);
    assert_int_equal(tree_walk(lab->root, 2, note, seen, &err), 0);
    assert_int_equal(tree_walk(lab->root, 1, note, seen, &err), -1);
    assert_string_equal(err.code, "E_REPO_LIMIT");
    int at = dup(lab->root);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(tree_walk(lab->root, 10000, note, seen, &err), -1);
    assert_string_equal(err.code, "E_REPO_LIMIT");
}

static void clears_everything_but_what_links_point_to(void **state)
{
    struct lab *lab = *state;
    uint64_t removed, left;
    char outside[] = "/tmp/klystrr-kept-XXXXXX";
    int kept = mkstemp(outside);
    mkdirat(lab->root, "a", 0755);
    mkdirat(lab->root, "a/b", 0755);
    lab_file(lab, "a/b/c", 0000);
    assert_int_equal(symlinkat(outside, lab->root, "a/link"), 0);
    assert_int_equal(symlinkat("/tmp", lab->root, "a/b/folder"), 0);
    assert_int_equal(fchmodat(lab->root, "a/b", 0000, 0), 0);
    assert_int_equal(tree_clear(lab->root, &removed, &left, NULL), 0);
    assert_int_equal(removed, 5);
    assert_int_equal(left, 0);
    assert_int_equal(access(outside, F_OK), 0);
    unlink(outside);
    close(kept);
}

static void opens_no_link(void **state)
{
    struct lab *lab = *state;
    struct error err = {0};
    char path[100];
    assert_int_equal(symlinkat("/tmp", lab->root, "link"), 0);
    snprintf(path, sizeof path, "%s/link", lab->path);
    assert_int_equal(tree_open(path, &err), -1);
    assert_string_equal(err.code, "E_STAGING");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(visits_folders_before_what_is_in_them, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(stops_at_its_limits, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(clears_everything_but_what_links_point_to, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(opens_no_link, lab_open, lab_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
