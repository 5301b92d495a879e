#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include <stdio.h>

#include "tests/unit/scribe/mask_lab.h"

static void assert_same(const struct buf *got, const struct buf *want)
{
    assert_int_equal(got->size, want->size);
    if (want->size > 0)
        assert_memory_equal(got->data, want->data, want->size);
}

/* In one write, byte by byte, in pieces, and cut at every place: always `want`. */
static void check_all_cuts(const struct lab *lab, const void *input, size_t size, const struct buf *want)
{
    for (size_t piece = 1; piece <= 7 && piece <= size; piece++) {
        AUTO_BUF struct buf got = lab_mask(lab, input, size, 0, piece);
        assert_same(&got, want);
    }
    for (size_t cut = 0; cut <= size; cut++) {
        AUTO_BUF struct buf got = lab_mask(lab, input, size, cut, size + 1);
        assert_same(&got, want);
    }
}

/* Patterns are separated by '|'. */
static struct lab lab_of(const char *patterns)
{
    struct lab lab = {.list = PATTERNS};
    while (*patterns != '\0') {
        size_t size = strcspn(patterns, "|");
        lab_pattern(&lab, patterns, size);
        patterns += size + (patterns[size] == '|');
    }
    lab_build(&lab);
    return lab;
}

static void check(const char *patterns, const char *input, const char *output)
{
    struct lab lab = lab_of(patterns);
    struct buf want = {.data = (uint8_t *)(uintptr_t)output, .size = strlen(output)};
    AUTO_BUF struct buf reference = lab_reference(&lab, input, strlen(input));
    assert_string_equal(buf_text(&reference), output);
    check_all_cuts(&lab, input, strlen(input), &want);
    lab_free(&lab);
}

static void masks_a_secret_however_it_is_cut(void **state)
{
    (void)state;
    check("ipsum-x", "Lorem ipsum-x dolor sit amet", "Lorem [MASKED] dolor sit amet");
    check("ipsum-x", "ipsum-x", "[MASKED]");
    check("ipsum-x", "", "");
    check("ipsum-x", "nothing here", "nothing here");
}

static void masks_overlapping_secrets_once(void **state)
{
    (void)state;
    check("ipsum dolor|dolor sit", "Lorem ipsum dolor sit amet", "Lorem [MASKED] amet");
}

static void masks_nested_secrets_as_their_union(void **state)
{
    (void)state;
    check("ipsum-|ipsum-dolor", "Lorem ipsum-dolor sit", "Lorem [MASKED] sit");
    check("cdefgh|bcdefghi|abcdefghij|bcdefghijk|abcdefghijklm|defghijk|efghijklmno", "-abcdefghijklmno-",
          "-[MASKED]-");
    check("cdefghij|abcdefghijkl", "abcdefghijkX", "ab[MASKED]kX");
}

static void a_false_start_loses_nothing(void **state)
{
    (void)state;
    check("Lorem ipsum dolor sEt|ipsum |dolor ", "Lorem ipsum dolor sit amet", "Lorem [MASKED]sit amet");
    check("Lorem ipsum! dolor sEt|ipsum!|dolor!", "Lorem ipsum! dolor! sit", "Lorem [MASKED] [MASKED] sit");
    check("aaaaab", "aaaaaaaaab", "aaaa[MASKED]");
}

static void touching_secrets_are_one_mask(void **state)
{
    (void)state;
    check("secret", "secretsecret", "[MASKED]");
    check("secret", "secret secret", "[MASKED] [MASKED]");
    check("secret|hidden", "xhiddensecretx", "x[MASKED]x");
}

static void masks_all_of_a_secret_that_overlaps_itself(void **state)
{
    (void)state;
    check("abaaba", "-abaabaaba-", "-[MASKED]-");
    check("abaaba", "abaababaaba", "[MASKED]");
}

static void finds_a_secret_with_colours_inside(void **state)
{
    (void)state;
    check("secret", "a sec\033[31mret b", "a [MASKED] b");
    check("secret", "a \033[1msecret\033[0m b", "a \033[1m[MASKED]\033[0m b");
    check("secret", "s\033[1me\033[1mc\033[Kr\033[38;5;1me\033[0mt!", "[MASKED]!");
    check("secret", "sec\033[31", "sec\033[31");
    check("secret", "sec\033]ret", "sec\033]ret");
    check("sec\033[1mret", "sec\033[1mret", "[MASKED]");
    check("sec\033[1mret|secret", "asec\033[1mretsec\033[1mret", "a[MASKED]");
    check("secret", "sec\033\033[mret", "sec\033\033[mret");
}

static void a_beginning_cut_off_by_the_end_is_masked_from_eight_bytes_on(void **state)
{
    (void)state;
    check("correct-horse-battery", "say correct", "say correct");
    check("correct-horse-battery", "say correct-", "say [MASKED]");
    check("correct-horse-battery", "say correct-horse\n", "say correct-horse\n");
    check("correct-horse-battery", "corr\033[1mect-ho", "[MASKED]");
}

static void masking_twice_is_masking_once(void **state)
{
    (void)state;
    check("MASKED", "a MASKED b", "a [MASKED] b");
    struct lab lab = lab_of("MASKED|[MASKE");
    AUTO_BUF struct buf once = lab_mask(&lab, "x MASKED [MASKED] y", 19, 0, 100);
    AUTO_BUF struct buf twice = lab_mask(&lab, once.data, once.size, 0, 3);
    assert_string_equal(buf_text(&once), "x [MASKED] [MASKED] y");
    assert_same(&twice, &once);
    lab_free(&lab);
}

static void holds_back_only_what_may_become_a_secret(void **state)
{
    (void)state;
    struct lab lab = lab_of("secret-word");
    AUTO_BUF struct buf out = BUF(1000);
    struct mask_stream *stream;
    assert_int_equal(mask_stream_open(lab.set, lab_collect, &out, &stream, NULL), 0);
    assert_int_equal(mask_stream_write(stream, "Password: ", 10, NULL), 0);
    assert_string_equal(buf_text(&out), "Password: ");
    assert_int_equal(mask_stream_held(stream), 0);
    assert_int_equal(mask_stream_write(stream, "a secret", 8, NULL), 0);
    assert_string_equal(buf_text(&out), "Password: a ");
    assert_int_equal(mask_stream_held(stream), 6);
    assert_int_equal(mask_stream_write(stream, "ary", 3, NULL), 0);
    assert_string_equal(buf_text(&out), "Password: a secretary");
    mask_stream_free(stream);
    lab_free(&lab);
}

static void a_secret_added_in_mid_stream_is_masked_from_there(void **state)
{
    (void)state;
    struct lab lab = lab_of("first-secret"), more = lab_of("first-secret|second");
    AUTO_BUF struct buf out = BUF(1000);
    struct mask_stream *stream;
    assert_int_equal(mask_stream_open(lab.set, lab_collect, &out, &stream, NULL), 0);
    assert_int_equal(mask_stream_write(stream, "second first-secret first-se", 28, NULL), 0);
    assert_int_equal(mask_stream_change(stream, more.set, NULL), 0);
    assert_int_equal(mask_stream_write(stream, "cret second", 11, NULL), 0);
    assert_int_equal(mask_stream_finish(stream, NULL), 0);
    assert_string_equal(buf_text(&out), "second [MASKED] [MASKED] [MASKED]");
    assert_int_equal(mask_stream_count(stream), 3);
    mask_stream_free(stream);
    lab_free(&lab);
    lab_free(&more);
}

static void secrets_can_be_added_to_an_empty_set(void **state)
{
    (void)state;
    struct lab none = lab_of(""), some = lab_of("secret");
    AUTO_BUF struct buf out = BUF(1000);
    struct mask_stream *stream;
    assert_int_equal(mask_stream_open(none.set, lab_collect, &out, &stream, NULL), 0);
    assert_int_equal(mask_stream_write(stream, "secret ", 7, NULL), 0);
    assert_int_equal(mask_stream_change(stream, some.set, NULL), 0);
    assert_int_equal(mask_stream_write(stream, "secret", 6, NULL), 0);
    assert_int_equal(mask_stream_finish(stream, NULL), 0);
    assert_string_equal(buf_text(&out), "secret [MASKED]");
    mask_stream_free(stream);
    lab_free(&none);
    lab_free(&some);
}

static void control_sequences_cannot_hold_back_without_end(void **state)
{
    (void)state;
    struct lab lab = lab_of("secret");
    AUTO_BUF struct buf out = BUF(1u << 20);
    struct mask_stream *stream;
    assert_int_equal(mask_stream_open(lab.set, lab_collect, &out, &stream, NULL), 0);
    assert_int_equal(mask_stream_write(stream, "sec", 3, NULL), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mask_stream_write(stream, "\033[m", 3, NULL), 0);
        assert_true(mask_stream_held(stream) <= 4096 + 6 + 3);
    }
    assert_int_equal(mask_stream_write(stream, "ret secret", 10, NULL), 0);
    assert_int_equal(mask_stream_finish(stream, NULL), 0);
    assert_int_equal(out.size, 3 + 9000 + 4 + 8);
    assert_memory_equal(out.data + 9003, "ret [MASKED]", 12);
    mask_stream_free(stream);
    lab_free(&lab);
}

static int refuse(void *context, const uint8_t *data, size_t size, struct error *err)
{
    (void)context, (void)data, (void)size;
    return fail(err, "E_FULL", "no room");
}

static void passes_on_the_errors_of_its_sink(void **state)
{
    (void)state;
    struct lab lab = lab_of("secret");
    struct mask_stream *stream;
    struct error err = {0};
    assert_int_equal(mask_stream_open(lab.set, refuse, NULL, &stream, &err), 0);
    assert_int_equal(mask_stream_write(stream, "text", 4, &err), -1);
    assert_string_equal(err.code, "E_FULL");
    mask_stream_free(stream);
    lab_free(&lab);
}

static void time_is_linear_where_nearly_everything_matches(void **state)
{
    (void)state;
    /* a{4095}b against a{1048576}: a masker that starts over at each letter would need 4 * 10^9 steps. */
    size_t size = 1u << 20;
    uint8_t *text = malloc(size);
    assert_non_null(text);
    memset(text, 'a', size);
    struct lab lab = {.list = PATTERNS};
    text[4095] = 'b';
    lab_pattern(&lab, text, 4096);
    text[4095] = 'a';
    lab_build(&lab);
    AUTO_BUF struct buf out = lab_mask(&lab, text, size - 1000, 0, 100);
    assert_int_equal(out.size, size - 1000 - 4095 + 8); /* what the end cuts off */
    memset(text, 'a', size);
    text[5000] = 'b';
    AUTO_BUF struct buf found = lab_mask(&lab, text, 5001, 0, 1);
    assert_int_equal(found.size, 5001 - 4096 + 8);
    free(text);
    lab_free(&lab);
}

/* ---- random properties ---- */

static uint64_t seed = 0x9e3779b97f4a7c15u;
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % n;
}

static void random_text(uint8_t *out, size_t size, const char *letters)
{
    uint32_t count = (uint32_t)strlen(letters);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)letters[random_below(count)];
}

static void paste(uint8_t *text, size_t size, const struct patterns *list)
{
    struct bytes pattern = patterns_at(list, random_below((uint32_t)patterns_count(list)));
    size_t part = random_below(3) == 0 ? random_below((uint32_t)pattern.size) + 1 : pattern.size;
    if (part > size)
        part = size;
    memcpy(text + random_below((uint32_t)(size - part + 1)), pattern.data, part);
}

static void one_random_case(const char *letters, size_t patterns, size_t longest, size_t size)
{
    struct lab lab = {.list = PATTERNS};
    uint8_t text[600], pattern[64];
    for (size_t i = 0; i < patterns; i++) {
        size_t length = PATTERN_MIN + random_below((uint32_t)(longest - PATTERN_MIN + 1));
        random_text(pattern, length, letters);
        lab_pattern(&lab, pattern, length);
    }
    lab_build(&lab);
    random_text(text, size, letters);
    for (uint32_t i = random_below(6); i > 0; i--)
        paste(text, size, &lab.list);
    AUTO_BUF struct buf want = lab_reference(&lab, text, size);
    AUTO_BUF struct buf whole = lab_mask(&lab, text, size, 0, size);
    assert_same(&whole, &want);
    for (int i = 0; i < 6; i++) {
        AUTO_BUF struct buf cut = lab_mask(&lab, text, size, random_below((uint32_t)size), 1 + random_below(40));
        assert_same(&cut, &want);
    }
    lab_free(&lab);
}

static void agrees_with_the_slow_reference_on_random_inputs(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++)
        one_random_case("ab", 1 + random_below(6), 12, 1 + random_below(120));
    for (int i = 0; i < 3000; i++)
        one_random_case("ab\033[m", 1 + random_below(6), 9, 1 + random_below(120));
    for (int i = 0; i < 1500; i++)
        one_random_case("ab\033[m;1", 1 + random_below(30), 20, 1 + random_below(300));
    for (int i = 0; i < 1500; i++)
        one_random_case("abcdefghijklmnopqrstuvwxyz 0123456789", 1 + random_below(40), 60, 1 + random_below(600));
}

/* A pattern that ends in '[' must not seem to be there because MASK_TEXT begins so. */
static void blank_masks(struct buf *out)
{
    for (uint8_t *at; (at = memmem(out->data, out->size, MASK_TEXT, sizeof MASK_TEXT - 1)) != NULL;)
        memset(at, '_', sizeof MASK_TEXT - 1);
}

static void adding_secrets_at_any_place_never_loses_an_old_one(void **state)
{
    (void)state;
    for (int i = 0; i < 1500; i++) {
        struct lab old = {.list = PATTERNS}, both = {.list = PATTERNS};
        uint8_t text[200], pattern[16];
        for (int p = 0; p < 4; p++) {
            random_text(pattern, 8, "ab\033[m");
            if (p < 2)
                lab_pattern(&old, pattern, 8);
            lab_pattern(&both, pattern, 8);
        }
        lab_build(&old);
        lab_build(&both);
        random_text(text, sizeof text, "ab\033[m");
        paste(text, sizeof text, &old.list);
        paste(text, sizeof text, &both.list);
        AUTO_BUF struct buf out = BUF(10000);
        struct mask_stream *stream;
        size_t cut = random_below(sizeof text);
        assert_int_equal(mask_stream_open(old.set, lab_collect, &out, &stream, NULL), 0);
        assert_int_equal(mask_stream_write(stream, text, cut, NULL), 0);
        assert_int_equal(mask_stream_change(stream, both.set, NULL), 0);
        assert_int_equal(mask_stream_write(stream, text + cut, sizeof text - cut, NULL), 0);
        assert_int_equal(mask_stream_finish(stream, NULL), 0);
        blank_masks(&out);
        for (size_t p = 0; p < patterns_count(&old.list); p++)
            assert_null(memmem(out.data, out.size, patterns_at(&old.list, p).data, 8));
        mask_stream_free(stream);
        lab_free(&old);
        lab_free(&both);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_a_secret_however_it_is_cut),
        cmocka_unit_test(masks_overlapping_secrets_once),
        cmocka_unit_test(masks_nested_secrets_as_their_union),
        cmocka_unit_test(a_false_start_loses_nothing),
        cmocka_unit_test(touching_secrets_are_one_mask),
        cmocka_unit_test(masks_all_of_a_secret_that_overlaps_itself),
        cmocka_unit_test(finds_a_secret_with_colours_inside),
        cmocka_unit_test(a_beginning_cut_off_by_the_end_is_masked_from_eight_bytes_on),
        cmocka_unit_test(masking_twice_is_masking_once),
        cmocka_unit_test(holds_back_only_what_may_become_a_secret),
        cmocka_unit_test(a_secret_added_in_mid_stream_is_masked_from_there),
        cmocka_unit_test(secrets_can_be_added_to_an_empty_set),
        cmocka_unit_test(control_sequences_cannot_hold_back_without_end),
        cmocka_unit_test(passes_on_the_errors_of_its_sink),
        cmocka_unit_test(time_is_linear_where_nearly_everything_matches),
        cmocka_unit_test(agrees_with_the_slow_reference_on_random_inputs),
        cmocka_unit_test(adding_secrets_at_any_place_never_loses_an_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
