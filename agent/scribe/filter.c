#include "agent/scribe/filter.h"

#include <stdlib.h>

#define WINDOW_MAX 32u

static unsigned bits_for(size_t entries, unsigned least, unsigned most)
{
    unsigned bits = least;
    while (bits < most && ((size_t)1 << bits) < entries)
        bits++;
    return bits;
}

static size_t window_of(const struct bytes *patterns, size_t count)
{
    size_t window = WINDOW_MAX;
    for (size_t i = 0; i < count; i++)
        if (patterns[i].size < window)
            window = patterns[i].size;
    return window;
}

static void note_pattern(struct filter *f, const uint8_t *pattern)
{
    for (size_t j = 0; j + 3 <= f->window; j++) {
        uint8_t *shift = &f->shifts[filter_block(f, pattern + j)];
        size_t room = f->window - 3 - j;
        if (room < *shift)
            *shift = (uint8_t)room;
    }
    uint64_t bit = filter_begin(f, pattern);
    f->begins[bit / 64] |= (uint64_t)1 << (bit % 64);
}

int filter_build(const struct bytes *patterns, size_t count, struct filter *out, struct error *err)
{
    *out = (struct filter){.window = window_of(patterns, count)};
    out->shift_bits = bits_for(count * (out->window - 2) * 16, 12, 20);
    out->begin_bits = bits_for(count * 64, 12, 23);
    size_t shifts = (size_t)1 << out->shift_bits;
    out->shifts = malloc(shifts);
    out->begins = calloc(((size_t)1 << out->begin_bits) / 64, sizeof *out->begins);
    if (out->shifts == NULL || out->begins == NULL) {
        filter_free(out);
        return fail(err, "E_NO_MEMORY", "no memory for the masker's filter");
    }
    memset(out->shifts, (int)(out->window - 2), shifts);
    for (size_t i = 0; i < count; i++)
        note_pattern(out, patterns[i].data);
    return 0;
}

void filter_free(struct filter *f)
{
    free(f->shifts);
    free(f->begins);
    *f = (struct filter){0};
}
