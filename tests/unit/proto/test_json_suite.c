/* JSONTestSuite's 318 files, read where they lie, against what is written here. */
#include <dirent.h>
#include <unistd.h>

#include "proto/json_check.h"
#include "proto_test.h"

#define VECTORS KLY_SOURCE_DIR "/../shared/vectors/json"

/* RFC 8259 alone; size and depth are ours. */
static struct json_limits base(void)
{
    struct json_limits l = json_strict(1 << 20);
    l.allow_duplicates = l.allow_nul_escape = l.allow_big_numbers = true;
    return l;
}

/* What RFC 8259 leaves open, decided. Big numbers are syntax, so the plain check takes them (no reader of ours
 * does); every text that is not UTF-8 or holds half of a surrogate pair is refused, as is nesting beyond 16. */
static const struct {
    const char *name;
    bool base, strict;
} decided[] = {
    {"i_number_double_huge_neg_exp.json", true, true},
    {"i_number_huge_exp.json", true, false}, /* longer than JSON_NUMBER_MAX */
    {"i_number_neg_int_huge_exp.json", true, true},
    {"i_number_pos_double_huge_exp.json", true, true},
    {"i_number_real_neg_overflow.json", true, true},
    {"i_number_real_pos_overflow.json", true, true},
    {"i_number_real_underflow.json", true, true},
    {"i_number_too_big_neg_int.json", true, false},
    {"i_number_too_big_pos_int.json", true, false},
    {"i_number_very_big_negative_int.json", true, false},
    {"i_object_key_lone_2nd_surrogate.json", false, false},
    {"i_string_1st_surrogate_but_2nd_missing.json", false, false},
    {"i_string_1st_valid_surrogate_2nd_invalid.json", false, false},
    {"i_string_UTF-16LE_with_BOM.json", false, false},
    {"i_string_UTF-8_invalid_sequence.json", false, false},
    {"i_string_UTF8_surrogate_U+D800.json", false, false},
    {"i_string_incomplete_surrogate_and_escape_valid.json", false, false},
    {"i_string_incomplete_surrogate_pair.json", false, false},
    {"i_string_incomplete_surrogates_escape_valid.json", false, false},
    {"i_string_invalid_lonely_surrogate.json", false, false},
    {"i_string_invalid_surrogate.json", false, false},
    {"i_string_invalid_utf-8.json", false, false},
    {"i_string_inverted_surrogates_U+1D11E.json", false, false},
    {"i_string_iso_latin_1.json", false, false},
    {"i_string_lone_second_surrogate.json", false, false},
    {"i_string_lone_utf8_continuation_byte.json", false, false},
    {"i_string_not_in_unicode_range.json", false, false},
    {"i_string_overlong_sequence_2_bytes.json", false, false},
    {"i_string_overlong_sequence_6_bytes.json", false, false},
    {"i_string_overlong_sequence_6_bytes_null.json", false, false},
    {"i_string_truncated-utf-8.json", false, false},
    {"i_string_utf16BE_no_BOM.json", false, false},
    {"i_string_utf16LE_no_BOM.json", false, false},
    {"i_structure_500_nested_arrays.json", false, false},
    {"i_structure_UTF-8_BOM_empty_object.json", false, false},
};

/* Valid JSON that documents and messages refuse all the same. */
static const char *const refused_by_us[] = {
    "y_object_duplicated_key.json", /* one name twice */
    "y_object_duplicated_key_and_value.json",
    "y_object_escaped_null_in_key.json",  /* \u0000 */
    "y_string_null_escape.json",          /* \u0000 */
    "y_number_double_close_to_zero.json", /* longer than JSON_NUMBER_MAX */
};

static bool listed(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

struct verdict {
    bool base, strict;
};

static struct verdict judge(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", VECTORS, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *data = malloc(1 << 20);
    assert_non_null(data);
    size_t n = fread(data, 1, 1 << 20, f);
    fclose(f);
    uint8_t *exact = malloc(n > 0 ? n : 1);
    assert_non_null(exact);
    memcpy(exact, data, n);
    free(data);
    struct json_limits plain = base(), strict = json_strict(1 << 20);
    struct error err;
    struct verdict v = {json_check((struct bytes){exact, n}, &plain, &err) == 0,
                        json_check((struct bytes){exact, n}, &strict, &err) == 0};
    free(exact);
    return v;
}

static int expected_i(const char *name, struct verdict *out)
{
    for (size_t i = 0; i < sizeof decided / sizeof *decided; i++) {
        if (strcmp(decided[i].name, name) == 0) {
            *out = (struct verdict){decided[i].base, decided[i].strict};
            return 0;
        }
    }
    return -1;
}

static void judges_all_of_json_test_suite_as_written(void **state)
{
    (void)state;
    DIR *dir = opendir(VECTORS);
    assert_non_null(dir);
    int y = 0, n = 0, i = 0, wrong = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        size_t size = strlen(e->d_name);
        if (size < 6 || strcmp(e->d_name + size - 5, ".json") != 0)
            continue;
        struct verdict got = judge(e->d_name), want = {false, false};
        if (e->d_name[0] == 'y') {
            y++;
            want = (struct verdict){
                true, !listed(refused_by_us, sizeof refused_by_us / sizeof *refused_by_us, e->d_name)};
        } else if (e->d_name[0] == 'n') {
            n++;
        } else {
            i++;
            assert_int_equal(expected_i(e->d_name, &want), 0);
        }
        if (got.base != want.base || got.strict != want.strict) {
            print_error("%s: base %d, strict %d\n", e->d_name, got.base, got.strict);
            wrong++;
        }
    }
    closedir(dir);
    assert_int_equal(wrong, 0);
    assert_int_equal(y, 95);
    assert_int_equal(n, 188);
    assert_int_equal(i, 35);
}

int main(void)
{
    if (access(VECTORS, R_OK) != 0) {
        printf("skipped: JSONTestSuite is not at %s\n", VECTORS);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(judges_all_of_json_test_suite_as_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
