/* A filter that tells, mostly at a glance, where no pattern can begin (after Wu and Manber, 1994). It looks at the
 * three bytes that end a window as long as the shortest pattern, and moves the window as far as these bytes allow.
 * It may say "perhaps" where there is nothing, never the other way round. */
#ifndef KLY_SCRIBE_FILTER_H
#define KLY_SCRIBE_FILTER_H

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

#define FILTER_MIN 6u /* bytes that every pattern must have */

/* Owned; freed with filter_free. */
struct filter {
    uint8_t *shifts;    /* by hash of three bytes: how far the window may move */
    uint64_t *begins;   /* bit set: hashes of what patterns begin with */
    unsigned shift_bits, begin_bits;
    size_t window; /* FILTER_MIN to 32 */
};

/* Every pattern has FILTER_MIN bytes or more, and there is one at least. E_NO_MEMORY. */
int filter_build(const struct bytes *patterns, size_t count, struct filter *out, struct error *err) KLY_MUST_USE;
void filter_free(struct filter *f);

static inline uint32_t filter_block(const struct filter *f, const uint8_t *three)
{
    uint32_t x = (uint32_t)three[0] | (uint32_t)three[1] << 8 | (uint32_t)three[2] << 16;
    return (x * 0x9e3779b1u) >> (32 - f->shift_bits);
}

static inline uint64_t filter_begin(const struct filter *f, const uint8_t *six)
{
    uint32_t low;
    uint16_t high;
    memcpy(&low, six, sizeof low);
    memcpy(&high, six + sizeof low, sizeof high);
    return ((low | (uint64_t)high << 32) * 0x9e3779b97f4a7c15u) >> (64 - f->begin_bits);
}

/* The first place from `at` on where a pattern may begin, or the first whose window does not fit in size. */
static inline size_t filter_next(const struct filter *f, const uint8_t *text, size_t at, size_t size)
{
    while (size - at >= f->window) {
        size_t shift = f->shifts[filter_block(f, text + at + f->window - 3)];
        if (shift == 0) {
            uint64_t bit = filter_begin(f, text + at);
            if (f->begins[bit / 64] >> (bit % 64) & 1)
                return at;
            shift = 1;
        }
        at += shift; /* at most window - 2: never beyond size */
    }
    return at;
}

#endif
