/* What every test of this room needs: cmocka, and hex literals as bytes. */
#ifndef KLY_TESTS_TRUST_TEST_H
#define KLY_TESTS_TRUST_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include "base/buf.h"
#include "base/encode.h"

#define TEXT(literal) ((struct bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

/* Exactly size bytes. */
static inline void unhex(const char *text, uint8_t *out, size_t size)
{
    assert_int_equal(hex_decode(text, strlen(text), out, size), 0);
}

static inline void assert_hex(const void *data, size_t size, const char *expected)
{
    char text[4096];
    assert_true(size * 2 < sizeof text);
    hex_encode(data, size, text);
    assert_string_equal(text, expected);
}

#endif
