#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include "agent/fetch/entry.h"

static void takes_ordinary_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "...", ".gitignore", ".github", "git", "git~2", ".gi", ".gitx", "x.git", "a\nb",
                                       "\x1b", "a\\b", ".git-x", "\xe2\x82\xac", ".env"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!entry_name_ok(good[i], strlen(good[i])))
            print_error("refused: %s\n", good[i]);
        assert_true(entry_name_ok(good[i], strlen(good[i])));
    }
}

static void refuses_names_that_any_file_system_takes_for_git(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "a/b", "/", ".git", ".GIT", ".gIt", "git~1", "GIT~1", ".git.", ".git ",
                                      ".git. .", ".git:x", ".git::$INDEX_ALLOCATION", "git~1:x", "git~1.",
                                      ".g\xe2\x80\x8cit", "\xef\xbb\xbf.git", ".git\xe2\x80\x8f", ".gi\xe2\x81\xaat",
                                      ".\xe2\x80\xaegit", ".git\\x", ".GIT \\x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (entry_name_ok(bad[i], strlen(bad[i])))
            print_error("taken: %s\n", bad[i]);
        assert_false(entry_name_ok(bad[i], strlen(bad[i])));
    }
    char wide[257];
    memset(wide, 'x', sizeof wide);
    assert_true(entry_name_ok(wide, 255));
    assert_false(entry_name_ok(wide, 256));
    assert_false(entry_name_ok("a\0b", 3));
}

static void judges_links_by_their_letters(void **state)
{
    (void)state;
    assert_true(entry_link_ok("a", 0));
    assert_true(entry_link_ok("../a", 1));
    assert_true(entry_link_ok("a/../b", 0));
    assert_true(entry_link_ok("./././a//b", 0));
    assert_true(entry_link_ok("..", 1));
    assert_false(entry_link_ok("..", 0));
    assert_false(entry_link_ok("a/../../b", 0));
    assert_false(entry_link_ok("/a", 5));
    assert_false(entry_link_ok("", 5));
    assert_false(entry_link_ok("../../..//./../x", 3));
}

static void knows_lfs_pointers(void **state)
{
    (void)state;
    static const char text[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    assert_true(entry_is_lfs_pointer(text, sizeof text - 1));
    assert_false(entry_is_lfs_pointer(text, 20));
    assert_false(entry_is_lfs_pointer("version 2", 9));
    assert_false(entry_is_lfs_pointer("", 0));
}

static void shows_words_without_letting_them_act(void **state)
{
    (void)state;
    char out[40], narrow[6];
    entry_show("a\x1b[2J\n\\ \xc3\xa4", 10, out, sizeof out);
    assert_string_equal(out, "a\\x1b[2J\\x0a\\x5c \xc3\xa4");
    entry_show("abc\x1b", 4, narrow, sizeof narrow);
    assert_string_equal(narrow, "abc");
    entry_show("", 0, narrow, sizeof narrow);
    assert_string_equal(narrow, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_ordinary_names),
        cmocka_unit_test(refuses_names_that_any_file_system_takes_for_git),
        cmocka_unit_test(judges_links_by_their_letters),
        cmocka_unit_test(knows_lfs_pointers),
        cmocka_unit_test(shows_words_without_letting_them_act),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
