/* For tests of the masker: a slow reference that says by definition what is masked, and ways to cut an input. */
#ifndef KLY_TESTS_MASK_LAB_H
#define KLY_TESTS_MASK_LAB_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/scribe/mask.h"

struct lab {
    struct patterns list;
    struct mask_set *set;
};

static inline int lab_collect(void *context, const uint8_t *data, size_t size, struct error *err)
{
    return buf_add(context, data, size, err);
}

/* A pattern as it is, without encodings. */
static inline void lab_pattern(struct lab *lab, const void *data, size_t size)
{
    struct pattern_place place = {(uint32_t)lab->list.bytes.size, (uint32_t)size};
    if (buf_add(&lab->list.bytes, data, size, NULL) < 0 || buf_add(&lab->list.places, &place, sizeof place, NULL) < 0)
        abort();
}

static inline void lab_build(struct lab *lab)
{
    size_t count = patterns_count(&lab->list);
    for (size_t i = 0; i < count; i++) {
        struct bytes pattern = patterns_at(&lab->list, i);
        if (memmem(MASK_TEXT, sizeof MASK_TEXT - 1, pattern.data, pattern.size) == NULL)
            continue;
        lab_pattern(lab, MASK_TEXT, sizeof MASK_TEXT - 1); /* as the header says */
        break;
    }
    if (mask_set_build(&lab->list, &lab->set, NULL) < 0)
        abort();
}

static inline void lab_free(struct lab *lab)
{
    mask_set_free(lab->set);
    patterns_free(&lab->list);
}

/* Masks input cut into pieces of `piece` bytes, the first of `first` bytes. Owned result. */
static inline struct buf lab_mask(const struct lab *lab, const void *input, size_t size, size_t first, size_t piece)
{
    struct buf out = BUF(1u << 30);
    struct mask_stream *stream;
    if (mask_stream_open(lab->set, lab_collect, &out, &stream, NULL) < 0)
        abort();
    const uint8_t *data = input;
    for (size_t at = 0; at < size;) {
        size_t part = at == 0 && first > 0 ? first : piece;
        if (part > size - at)
            part = size - at;
        uint8_t *copy = malloc(part); /* exact room, so that a read beyond it is seen */
        if (copy == NULL)
            abort();
        memcpy(copy, data + at, part);
        if (mask_stream_write(stream, copy, part, NULL) < 0)
            abort();
        free(copy);
        at += part;
    }
    if (mask_stream_finish(stream, NULL) < 0)
        abort();
    mask_stream_free(stream);
    return out;
}

static inline size_t lab_sequence(const uint8_t *text, size_t size)
{
    if (size < 3 || text[0] != 0x1b || text[1] != '[')
        return 0;
    for (size_t i = 2; i < size && i < 64; i++) {
        if (text[i] >= 0x40 && text[i] <= 0x7e)
            return i + 1;
        if (text[i] < 0x20 || text[i] > 0x7e)
            return 0;
    }
    return 0;
}

static inline void lab_mark(const struct lab *lab, const uint8_t *text, const size_t *where, size_t size, bool *masked)
{
    for (size_t p = 0; p < patterns_count(&lab->list); p++) {
        struct bytes pattern = patterns_at(&lab->list, p);
        for (size_t i = 0; i < size; i++) {
            size_t fits = size - i < pattern.size ? size - i : pattern.size;
            if (memcmp(text + i, pattern.data, fits) != 0 || (fits < pattern.size && fits < 8))
                continue;
            for (size_t k = where[i]; k <= where[i + fits - 1]; k++)
                masked[k] = true;
        }
    }
}

/* What the header promises, computed the slow way. Owned result. Touching occurrences are one. */
static inline struct buf lab_reference(const struct lab *lab, const void *input, size_t size)
{
    const uint8_t *text = input;
    uint8_t *visible = malloc(size + 1);
    size_t *raw_at = calloc(size + 1, sizeof(size_t)), *visible_at = calloc(size + 1, sizeof(size_t)), count = 0;
    bool *masked = calloc(size + 1, sizeof(bool));
    if (visible == NULL || raw_at == NULL || visible_at == NULL || masked == NULL)
        abort();
    for (size_t i = 0; i < size; i++)
        raw_at[i] = i;
    for (size_t i = 0; i < size;) {
        size_t skip = lab_sequence(text + i, size - i);
        if (skip == 0) {
            visible_at[count] = i;
            visible[count++] = text[i++];
        }
        i += skip;
    }
    lab_mark(lab, text, raw_at, size, masked);
    lab_mark(lab, visible, visible_at, count, masked);
    struct buf out = BUF(1u << 30);
    for (size_t i = 0; i < size; i++) {
        int failed = 0;
        if (!masked[i])
            failed = buf_add(&out, text + i, 1, NULL);
        else if (i == 0 || !masked[i - 1])
            failed = buf_add_text(&out, MASK_TEXT, NULL);
        if (failed)
            abort();
    }
    free(visible);
    free(raw_at);
    free(visible_at);
    free(masked);
    return out;
}

#endif
