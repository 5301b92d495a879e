#include "proto/json.h"
#include "proto_test.h"

static cJSON *parsed(const char *text)
{
    struct json_limits l = json_strict(1 << 20);
    struct error err;
    cJSON *tree;
    if (json_parse(text_bytes(text), &l, &tree, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return tree;
}

/* json_integer on {"v":<text>}: its return value; 99 if the text is no JSON at all. */
static int integer(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char object[128];
    struct json_limits l = json_strict(1000);
    struct error err;
    struct json_at top;
    AUTO_JSON cJSON *tree = NULL;
    snprintf(object, sizeof object, "{\"v\":%s}", text);
    if (json_parse(text_bytes(object), &l, &tree, &err) < 0)
        return 99;
    assert_int_equal(json_top(tree, &top, &err), 0);
    return json_integer(&top, "v", JSON_REQUIRED, min, max, out, &err);
}

static void takes_only_canonical_integers(void **state)
{
    (void)state;
    int64_t v = 0;
    static const char *const bad[] = {"-0",   "1.0", "1e3", "1E0", "\"7\"", "true",
                                      "null", "[1]", "{}",  "0.0", "10e-1"};
    static const char *const unreadable[] = {
        "01", "9007199254740992", "9007199254740993", "18446744073709551616", "+1", "0x1", "1."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (integer(bad[i], INT64_MIN, INT64_MAX, &v) != -1)
            fail_msg("%s", bad[i]);
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++)
        if (integer(unreadable[i], INT64_MIN, INT64_MAX, &v) != 99)
            fail_msg("%s", unreadable[i]);
    assert_int_equal(integer("9007199254740991", 1, JSON_INTEGER_MAX, &v), 1);
    assert_true(v == INT64_C(9007199254740991));
    assert_int_equal(integer("-9007199254740991", -JSON_INTEGER_MAX, 0, &v), 1);
    assert_true(v == -INT64_C(9007199254740991));
    assert_int_equal(integer("2147483648", 0, JSON_INTEGER_MAX, &v), 1);
    assert_true(v == INT64_C(2147483648));
    assert_int_equal(integer("4", 5, 7, &v), -1);
    assert_int_equal(integer("5", 5, 7, &v), 1);
    assert_int_equal(integer("7", 5, 7, &v), 1);
    assert_int_equal(integer("8", 5, 7, &v), -1);
}

/* The marks must hit the right numbers whatever stands between them. */
static void marks_each_number_by_itself(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree =
        parsed("{\"a\":[1,[2.5,{\"b\":3,\"c\":{}}],[],4e1],\"d\":{\"e\":5},\"f\":\"6\",\"g\":7.0,\"h\":8}");
    struct json_at top, a, inner, deep;
    struct error err;
    size_t n;
    int64_t v;
    assert_int_equal(json_top(tree, &top, &err), 0);
    assert_int_equal(json_array(&top, "a", JSON_REQUIRED, 0, 9, &a, &n, &err), 1);
    assert_int_equal(n, 4);
    const int expected[] = {1, -1, -1, -1};
    size_t i = 0;
    for (bool more = json_first(&a, &inner); more; more = json_next(&inner), i++)
        assert_int_equal(json_integer(&inner, NULL, JSON_REQUIRED, 0, 99, &v, &err), expected[i]);
    assert_int_equal(json_object(&top, "d", JSON_REQUIRED, &deep, &err), 1);
    assert_int_equal(json_integer(&deep, "e", JSON_REQUIRED, 0, 99, &v, &err), 1);
    assert_int_equal(json_integer(&top, "g", JSON_REQUIRED, 0, 99, &v, &err), -1);
    assert_int_equal(json_integer(&top, "h", JSON_REQUIRED, 0, 99, &v, &err), 1);
    assert_int_equal(v, 8);
}

static void finds_only_exact_names(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parsed("{\"Type\":\"x\",\"n\":null}");
    struct json_at top;
    struct error err;
    const char *text = "kept";
    assert_int_equal(json_top(tree, &top, &err), 0);
    assert_int_equal(json_text(&top, "type", JSON_REQUIRED, 10, &text, &err), -1);
    assert_string_equal(err.text, "type: is missing");
    assert_int_equal(json_text(&top, "type", JSON_OPTIONAL, 10, &text, &err), 0);
    assert_string_equal(text, "kept");
    assert_int_equal(json_text(&top, "n", JSON_OPTIONAL, 10, &text, &err), 0);
    assert_int_equal(json_text(&top, "n", JSON_REQUIRED, 10, &text, &err), -1);
    assert_string_equal(err.text, "n: must not be null");
    assert_true(json_has(&top, "n"));
    assert_false(json_has(&top, "N"));
}

static void bounds_texts_and_arrays(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parsed("{\"t\":\"12345\",\"l\":[1,2,3]}");
    struct json_at top, list;
    struct error err;
    const char *text;
    size_t n;
    assert_int_equal(json_top(tree, &top, &err), 0);
    assert_int_equal(json_text(&top, "t", JSON_REQUIRED, 5, &text, &err), 1);
    assert_int_equal(json_text(&top, "t", JSON_REQUIRED, 4, &text, &err), -1);
    assert_string_equal(err.code, "E_MEMBER");
    assert_int_equal(json_array(&top, "l", JSON_REQUIRED, 3, 3, &list, &n, &err), 1);
    assert_int_equal(json_array(&top, "l", JSON_REQUIRED, 4, 9, &list, &n, &err), -1);
    assert_int_equal(json_array(&top, "l", JSON_REQUIRED, 0, 2, &list, &n, &err), -1);
    assert_string_equal(err.text, "l: has 3 items, must have 0 to 2");
    assert_int_equal(json_array(&top, "t", JSON_REQUIRED, 0, 2, &list, &n, &err), -1);
    assert_int_equal(json_array(&top, "none", JSON_OPTIONAL, 1, 2, &list, &n, &err), 0);
    assert_int_equal(n, 0);
}

static void names_the_way_to_a_member(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parsed("{\"apps\":[{},{\"vhost\":{\"names\":[5],\"a\\u0007\\u00e9\":1}}]}");
    struct json_at top, apps, app, vhost, names, name;
    struct error err;
    const char *text;
    size_t n;
    assert_int_equal(json_top(tree, &top, &err), 0);
    assert_int_equal(json_array(&top, "apps", JSON_REQUIRED, 1, 8, &apps, &n, &err), 1);
    assert_true(json_first(&apps, &app));
    assert_true(json_next(&app));
    assert_int_equal(json_object(&app, "vhost", JSON_REQUIRED, &vhost, &err), 1);
    assert_int_equal(json_array(&vhost, "names", JSON_REQUIRED, 1, 8, &names, &n, &err), 1);
    assert_true(json_first(&names, &name));
    assert_int_equal(json_text(&name, NULL, JSON_REQUIRED, 10, &text, &err), -1);
    assert_string_equal(err.text, "apps[1].vhost.names[0]: must be a string");
    /* A member's name is shown without what would steer a terminal. */
    assert_true(json_first(&vhost, &name));
    assert_true(json_next(&name));
    assert_int_equal(json_text(&name, NULL, JSON_REQUIRED, 10, &text, &err), -1);
    assert_string_equal(err.text, "apps[1].vhost.a???: must be a string");
}

static void takes_bytes_words_times_and_bools(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parsed("{\"hex\":\"00ff\",\"HEX\":\"00FF\",\"b64\":\"AP8=\",\"w\":\"two\",\"yes\":"
                                   "true,\"time\":\"2026-11-22T00:41:54Z\"}");
    static const char *const words[] = {"one", "two", NULL};
    struct json_at top;
    struct error err;
    uint8_t b[2];
    int word = 0;
    bool yes = false;
    int64_t at;
    assert_int_equal(json_top(tree, &top, &err), 0);
    assert_int_equal(json_hex(&top, "hex", JSON_REQUIRED, b, 2, &err), 1);
    assert_int_equal(b[1], 255);
    assert_int_equal(json_hex(&top, "HEX", JSON_REQUIRED, b, 2, &err), -1);
    assert_int_equal(json_hex(&top, "hex", JSON_REQUIRED, b, 1, &err), -1);
    assert_int_equal(json_base64(&top, "b64", JSON_REQUIRED, b, 2, &err), 1);
    assert_int_equal(json_base64(&top, "b64", JSON_REQUIRED, b, 1, &err), -1);
    assert_int_equal(json_word(&top, "w", JSON_REQUIRED, words, &word, &err), 1);
    assert_int_equal(word, 1);
    assert_int_equal(json_word(&top, "hex", JSON_REQUIRED, words, &word, &err), -1);
    assert_string_equal(err.text, "hex: must be one of: one, two");
    assert_int_equal(json_bool(&top, "yes", JSON_REQUIRED, &yes, &err), 1);
    assert_true(yes);
    assert_int_equal(json_bool(&top, "w", JSON_REQUIRED, &yes, &err), -1);
    assert_int_equal(json_time(&top, "time", JSON_REQUIRED, &at, &err), 1);
    assert_true(at == INT64_C(1795308114000));
    assert_int_equal(json_time(&top, "w", JSON_REQUIRED, &at, &err), -1);
}

static int critical(const char *list)
{
    static const char *const known[] = {"a", "b", NULL};
    char text[4096];
    struct error err = {0};
    struct json_at top;
    snprintf(text, sizeof text, "{\"a\":1,\"z\":1,\"critical\":%s}", list);
    AUTO_JSON cJSON *tree = parsed(text);
    assert_int_equal(json_top(tree, &top, &err), 0);
    int rc = json_critical(&top, known, &err);
    return rc == 0 ? 0 : strcmp(err.code, "E_CRITICAL") == 0 ? 1 : 2;
}

static void refuses_unknown_members_only_when_critical(void **state)
{
    (void)state;
    assert_int_equal(critical("[]"), 0);
    assert_int_equal(critical("[\"a\",\"b\"]"), 0);
    assert_int_equal(critical("[\"a\",\"z\"]"), 1);
    assert_int_equal(critical("[\"A\"]"), 1);
    assert_int_equal(critical("[\"\"]"), 1);
    assert_int_equal(critical("\"z\""), 2);
    assert_int_equal(critical("[7]"), 2);
    assert_int_equal(critical("{\"z\":1}"), 2);
    assert_int_equal(critical("[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                              "\"a\",\"a\",\"a\"]"),
                     0);
    assert_int_equal(critical("[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                              "\"a\",\"a\",\"a\",\"a\"]"),
                     2);
}

static void refuses_to_build_from_laxly_checked_text(void **state)
{
    (void)state;
    struct json_limits l = json_strict(100);
    l.allow_duplicates = true;
    cJSON *tree;
    assert_int_equal(json_parse(text_bytes("{}"), &l, &tree, NULL), -1);
    assert_null(tree);
}

static void agrees_with_cjson_on_whatever_passes(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "\"\"",
                                        "[]",
                                        "{}",
                                        "null",
                                        "\"\\ud834\\udd1e\xF0\x9D\x84\x9E\"",
                                        "1e400",
                                        "-1e-400",
                                        "[1,[2,[3,{\"a\":[]}]],4]",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        AUTO_JSON cJSON *tree = parsed(texts[i]);
        assert_non_null(tree);
    }
    AUTO_JSON cJSON *tree = parsed("\"\\ud834\\udd1e\"");
    assert_string_equal(tree->valuestring, "\xF0\x9D\x84\x9E");
}

static int allocations_left;

static void *failing_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void says_so_when_memory_ends(void **state)
{
    (void)state;
    struct json_limits l = json_strict(1000);
    cJSON_Hooks hooks = {failing_malloc, free};
    int rc = -1, n = 0;
    for (; rc < 0 && n < 100; n++) {
        struct error err;
        cJSON *tree;
        allocations_left = n;
        cJSON_InitHooks(&hooks);
        rc = json_parse(text_bytes("{\"a\":[1,\"two\",{\"b\":null}]}"), &l, &tree, &err);
        cJSON_InitHooks(NULL);
        if (rc < 0) {
            assert_null(tree);
            assert_string_equal(err.code, "E_NO_MEMORY");
        }
        json_free(tree);
    }
    assert_int_equal(rc, 0);
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_only_canonical_integers),
        cmocka_unit_test(marks_each_number_by_itself),
        cmocka_unit_test(finds_only_exact_names),
        cmocka_unit_test(bounds_texts_and_arrays),
        cmocka_unit_test(names_the_way_to_a_member),
        cmocka_unit_test(takes_bytes_words_times_and_bools),
        cmocka_unit_test(refuses_unknown_members_only_when_critical),
        cmocka_unit_test(refuses_to_build_from_laxly_checked_text),
        cmocka_unit_test(agrees_with_cjson_on_whatever_passes),
        cmocka_unit_test(says_so_when_memory_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
