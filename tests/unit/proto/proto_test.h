/* What the tests of proto/ share. */
#ifndef KLY_TESTS_PROTO_TEST_H
#define KLY_TESTS_PROTO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static inline struct bytes text_bytes(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* The text with the first `from` in it replaced by `to`. Owned by the caller. `from` must be there. */
static inline char *swapped(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (at == NULL)
        fail_msg("the sample has no %s", from);
    size_t before = (size_t)(at - text), n = strlen(text) - strlen(from) + strlen(to);
    char *out = malloc(n + 1);
    assert_non_null(out);
    memcpy(out, text, before);
    memcpy(out + before, to, strlen(to));
    memcpy(out + before + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    return out;
}

/* A decoder as the tests below see it: 0 (and it has released what it made) or -1 with err filled. */
typedef int (*try_decoder)(struct bytes text, struct error *err);

/* Copies of exactly their size, so that the address sanitizer sees one byte too far. */
static inline int try_copy(try_decoder decode, const uint8_t *data, size_t size, struct error *err)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    *err = (struct error){0};
    int rc = decode((struct bytes){copy, size}, err);
    free(copy);
    if (rc < 0 && (err->code[0] != 'E' || err->text[0] == 0))
        fail_msg("an error without code or text");
    return rc;
}

static inline void refuses_every_prefix(try_decoder decode, const char *sample)
{
    struct error err;
    for (size_t n = 0; n < strlen(sample); n++)
        if (try_copy(decode, (const uint8_t *)sample, n, &err) == 0)
            fail_msg("the first %zu bytes were accepted", n);
}

/* Each flipped bit is refused with a code or decodes; returns how many decode. */
static inline size_t survives_every_flipped_bit(try_decoder decode, const char *sample)
{
    size_t size = strlen(sample), accepted = 0;
    char *copy = strdup(sample);
    struct error err;
    assert_non_null(copy);
    for (size_t bit = 0; bit < size * 8; bit++) {
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        accepted += try_copy(decode, (const uint8_t *)copy, size, &err) == 0;
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
    }
    free(copy);
    return accepted;
}

/* With `from` replaced by `to` the sample is refused with this code, and the error's text holds `where`. */
static inline void refuses(try_decoder decode, const char *sample, const char *from, const char *to,
                           const char *code, const char *where)
{
    struct error err;
    char *text = swapped(sample, from, to);
    int rc = try_copy(decode, (const uint8_t *)text, strlen(text), &err);
    free(text);
    if (rc == 0)
        fail_msg("accepted with %.200s", to);
    if (strcmp(err.code, code) != 0 || strstr(err.text, where) == NULL)
        fail_msg("with %.200s: %s, %s; expected %s, %s", to, err.code, err.text, code, where);
}

static inline void accepts(try_decoder decode, const char *sample, const char *from, const char *to)
{
    struct error err;
    char *text = swapped(sample, from, to);
    int rc = try_copy(decode, (const uint8_t *)text, strlen(text), &err);
    if (rc < 0)
        fail_msg("refused with %.200s: %s, %s", to, err.code, err.text);
    free(text);
}

/* count items joined by commas; `format` has one %zu. Owned by the caller. */
static inline char *repeated(size_t count, const char *format)
{
    struct buf b = BUF(1 << 22);
    for (size_t i = 0; i < count; i++) {
        char item[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(item, sizeof item, format, i);
#pragma GCC diagnostic pop
        assert_int_equal(buf_addf(&b, NULL, "%s%s", i > 0 ? "," : "", item), 0);
    }
    return b.data != NULL ? (char *)b.data : strdup("");
}

/* n times the letter. Owned by the caller. */
static inline char *letters(size_t n, char letter)
{
    char *out = malloc(n + 1);
    assert_non_null(out);
    memset(out, letter, n);
    out[n] = 0;
    return out;
}

/* Texts that samples are made of. */
#define SERVER     "srv_0123456789abcdef"
#define SERVER_2   "srv_fedcba9876543210"
#define DEPLOYMENT "dep_0123456789abcdef"
#define COMMIT     "0123456789abcdef0123456789abcdef01234567"
#define RELEASE    "12-0123456789ab"
#define DIGEST     "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BYTES_32   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define BYTES_64   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
#define ZEROS_63   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define POINT(x)   "B" x ZEROS_63 "=" /* base64 of 65 bytes, the first 4; x: one letter, A to P */

#endif
