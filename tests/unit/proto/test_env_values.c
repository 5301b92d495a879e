#include "proto/env_doc.h"
#include "proto_test.h"

#define SECRET "hunter2-hunter2"
static const char sample[] =
    "{\"values\":{\"DATABASE_URL\":\"" SECRET "\",\"LOG_LEVEL\":\"\",\"multi\":\"a\\nb\xC3\xA9\\u0001\"}}";

static int try_values(struct bytes text, struct error *err)
{
    struct env_values v;
    int rc = env_values_decode(text, &v, err);
    if (rc == 0)
        env_values_free(&v);
    else if (strstr(err->text, "hunter2") != NULL)
        fail_msg("an error repeats a value: %s", err->text);
    return rc;
}

static void reads_values_by_exact_name(void **state)
{
    (void)state;
    AUTO_ENV_VALUES struct env_values v;
    assert_int_equal(env_values_decode(text_bytes(sample), &v, NULL), 0);
    assert_int_equal(v.count, 3);
    assert_string_equal(env_values_get(&v, "DATABASE_URL"), SECRET);
    assert_string_equal(env_values_get(&v, "LOG_LEVEL"), "");
    assert_string_equal(env_values_get(&v, "multi"), "a\nb\xC3\xA9\x01");
    assert_null(env_values_get(&v, "log_level"));
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    AUTO_ENV_VALUES struct env_values v, again;
    AUTO_WIPE struct buf out = BUF(ENV_PLAIN_MAX);
    struct error err;
    assert_int_equal(env_values_decode(text_bytes(sample), &v, &err), 0);
    assert_int_equal(env_values_encode(&v, &out, &err), 0);
    assert_int_equal(env_values_decode(buf_view(&out), &again, &err), 0);
    assert_int_equal(again.count, v.count);
    for (size_t i = 0; i < v.count; i++) {
        assert_string_equal(again.list[i].name, v.list[i].name);
        assert_string_equal(again.list[i].value, v.list[i].value);
    }
}

static void an_author_cannot_write_what_would_change(void **state)
{
    (void)state;
    AUTO_WIPE struct buf out = BUF(ENV_PLAIN_MAX);
    struct env_values v = {.count = 1};
    struct error err;
    v.list[0] = (struct env_value){"A", "caf\xE9"};
    assert_int_equal(env_values_encode(&v, &out, &err), -1);
    assert_non_null(strstr(err.text, "A is not valid UTF-8"));
    assert_int_equal(out.size, 0);
    v.list[0] = (struct env_value){"A=B", "x"};
    assert_int_equal(env_values_encode(&v, &out, &err), -1);
    v.count = 2;
    v.list[0] = v.list[1] = (struct env_value){"A", "x"};
    assert_int_equal(env_values_encode(&v, &out, &err), -1);
    assert_int_equal(out.size, 0);
}

static void bounds_names_values_and_count(void **state)
{
    (void)state;
    for (size_t n = ENV_VALUES_MAX - 1; n <= ENV_VALUES_MAX + 1; n++) {
        char *items = repeated(n, "\"N%zu\":\"\""), all[4096];
        struct error err;
        snprintf(all, sizeof all, "{\"values\":{%s}}", items);
        assert_int_equal(try_copy(try_values, (const uint8_t *)all, strlen(all), &err),
                         n <= ENV_VALUES_MAX ? 0 : -1);
        free(items);
    }
    for (size_t n = ENV_VALUE_MAX - 1; n <= ENV_VALUE_MAX + 1; n++) {
        char *value = letters(n, 'v');
        if (n <= ENV_VALUE_MAX)
            accepts(try_values, sample, SECRET, value);
        else
            refuses(try_values, sample, SECRET, value, "E_MEMBER", "values.DATABASE_URL");
        free(value);
    }
    char *value = letters(ENV_PLAIN_MAX, 'v');
    refuses(try_values, sample, SECRET, value, "E_TOO_LARGE", "env values");
    free(value);
    char *name = letters(NAME_ENV_MAX + 1, 'N');
    refuses(try_values, sample, "DATABASE_URL", name, "E_MEMBER", "values.");
    accepts(try_values, sample, "DATABASE_URL", name + 1);
    free(name);
}

static void refuses_bad_names_and_values(void **state)
{
    (void)state;
    refuses(try_values, sample, "LOG_LEVEL", "DATABASE_URL", "E_JSON", "twice");
    refuses(try_values, sample, "LOG_LEVEL", "LOG=LEVEL", "E_MEMBER", "values.LOG=LEVEL");
    refuses(try_values, sample, "LOG_LEVEL", "", "E_MEMBER", "values");
    refuses(try_values, sample, "\"" SECRET "\"", "7", "E_MEMBER", "values.DATABASE_URL");
    refuses(try_values, sample, "\"" SECRET "\"", "null", "E_MEMBER", "values.DATABASE_URL");
    refuses(try_values, sample, SECRET, SECRET "\\u0000", "E_JSON", "\\u0000");
    refuses(try_values, sample, SECRET, SECRET "\\", "E_JSON", "byte");
    refuses(try_values, sample, "values", "Values", "E_MEMBER", "values: is missing");
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    refuses_every_prefix(try_values, sample);
    assert_in_range(survives_every_flipped_bit(try_values, sample), 1, sizeof sample * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_values_by_exact_name),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(an_author_cannot_write_what_would_change),
        cmocka_unit_test(bounds_names_values_and_count),
        cmocka_unit_test(refuses_bad_names_and_values),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
