#include "agent/scribe/mask.h"

#include <stdlib.h>
#include <string.h>

#include "agent/scribe/automaton.h"
#include "agent/scribe/filter.h"

#define ESCAPE         0x1b
#define SEQUENCE_MAX   64u   /* bytes of one control sequence */
#define SEQUENCES_ROOM 4096u /* bytes of control sequences inside one occurrence */
#define CUT_MIN        8u    /* bytes of a pattern cut off by the end of input that are masked */
#define SLICE          65536u

/* ---- the set ---- */

struct mask_set {
    struct automaton automaton;
    struct filter filter;
    size_t longest; /* 0: no pattern, and nothing else here is there */
};

static int compare_bytes(const void *left, const void *right)
{
    const struct bytes *a = left, *b = right;
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* A secret that is part of MASK_TEXT would be masked again in masked text; knowing the whole text prevents it. */
static bool is_in_mask_text(struct bytes pattern)
{
    return memmem(MASK_TEXT, sizeof MASK_TEXT - 1, pattern.data, pattern.size) != NULL;
}

static size_t sorted_patterns(const struct patterns *list, struct bytes *out)
{
    size_t count = 0;
    bool own_text = false;
    for (size_t i = 0; i < patterns_count(list); i++) {
        struct bytes pattern = patterns_at(list, i);
        if (pattern.size < PATTERN_MIN)
            continue;
        own_text = own_text || is_in_mask_text(pattern);
        out[count++] = pattern;
    }
    if (own_text)
        out[count++] = (struct bytes){(const uint8_t *)MASK_TEXT, sizeof MASK_TEXT - 1};
    qsort(out, count, sizeof *out, compare_bytes);
    return count;
}

static int fill_set(struct mask_set *set, const struct bytes *sorted, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (sorted[i].size > set->longest)
            set->longest = sorted[i].size;
    if (automaton_build(sorted, count, &set->automaton, err) < 0)
        return -1;
    return count == 0 ? 0 : filter_build(sorted, count, &set->filter, err);
}

int mask_set_build(const struct patterns *list, struct mask_set **out, struct error *err)
{
    AUTO_FREE struct bytes *sorted = calloc(patterns_count(list) + 1, sizeof *sorted);
    struct mask_set *set = calloc(1, sizeof *set);
    if (sorted == NULL || set == NULL) {
        free(set);
        return fail(err, "E_NO_MEMORY", "no memory for %zu patterns", patterns_count(list));
    }
    size_t count = sorted_patterns(list, sorted);
    if (fill_set(set, sorted, count, err) < 0) {
        mask_set_free(set);
        return -1;
    }
    *out = set;
    return 0;
}

void mask_set_free(struct mask_set *set)
{
    if (set == NULL)
        return;
    automaton_free(&set->automaton);
    filter_free(&set->filter);
    free(set);
}

size_t mask_set_longest(const struct mask_set *set)
{
    return set->longest;
}

/* ---- the stream ----
 *
 * Offsets count the stream's bytes. Input is [base, at): held bytes and then the slice that is being written. Two
 * automaton states go over it, `raw` over every byte and `visible` over all but control sequences. They are one as
 * long as no control sequence is near; only then is the filter used. What both rule out is given out (settle). */

struct range {
    uint64_t from, to;
};

/* A control sequence that `visible` did not see. */
struct skip {
    uint64_t before; /* visible bytes before it */
    uint64_t total;  /* bytes skipped so far, this one included */
};

struct mask_stream {
    const struct mask_set *set;
    mask_sink sink;
    void *context;
    struct buf held;   /* from `gone` on: [base, slice_at) */
    size_t gone;       /* bytes at the front of held that are not needed any more */
    uint64_t base, at; /* see above */
    const uint8_t *slice;
    uint64_t slice_at;  /* offset of the slice */
    uint64_t done;      /* given out, or masked, up to here */
    uint64_t masked_to; /* end of the range that was masked last */
    bool masked;        /* there is such a range */
    uint64_t count;
    uint32_t raw, visible;
    uint8_t sequence[SEQUENCE_MAX]; /* a control sequence that has begun */
    size_t sequence_size;
    uint64_t visible_count; /* visible bytes so far; offset = visible index + bytes skipped before it */
    uint64_t skip_base;     /* bytes skipped before skips[0] */
    struct buf skips;       /* struct skip */
    struct buf ranges;      /* struct range, apart from each other, rising */
};

int mask_stream_open(const struct mask_set *set, mask_sink sink, void *context, struct mask_stream **out,
                     struct error *err)
{
    struct mask_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for a masked stream");
    stream->set = set;
    stream->sink = sink;
    stream->context = context;
    stream->held.limit = PATTERN_BYTES_MAX;
    stream->skips.limit = SEQUENCES_ROOM * sizeof(struct skip);
    stream->ranges.limit = PATTERN_BYTES_MAX;
    *out = stream;
    return 0;
}

void mask_stream_free(struct mask_stream *stream)
{
    if (stream == NULL)
        return;
    wipe(stream->sequence, sizeof stream->sequence);
    buf_wipe_free(&stream->held);
    buf_free(&stream->skips);
    buf_free(&stream->ranges);
    free(stream);
}

uint64_t mask_stream_count(const struct mask_stream *stream)
{
    return stream->count;
}

size_t mask_stream_held(const struct mask_stream *stream)
{
    return (size_t)(stream->at - stream->base);
}

/* Joins [from, to) with every range that it overlaps or touches. Nearly always it comes last. */
static int add_range(struct mask_stream *s, uint64_t from, uint64_t to, struct error *err)
{
    struct range *ranges = (struct range *)(void *)s->ranges.data;
    size_t count = s->ranges.size / sizeof *ranges, after = count;
    while (after > 0 && ranges[after - 1].from > to)
        after--;
    size_t first = after;
    for (; first > 0 && ranges[first - 1].to >= from; first--) {
        from = ranges[first - 1].from < from ? ranges[first - 1].from : from;
        to = ranges[first - 1].to > to ? ranges[first - 1].to : to;
    }
    struct range joined = {from, to};
    if (first == after) {
        if (buf_add(&s->ranges, &joined, sizeof joined, err) < 0)
            return -1;
        ranges = (struct range *)(void *)s->ranges.data;
        memmove(ranges + first + 1, ranges + first, (count - first) * sizeof *ranges);
    } else {
        memmove(ranges + first + 1, ranges + after, (count - after) * sizeof *ranges);
        s->ranges.size = (first + 1 + count - after) * sizeof *ranges;
    }
    ranges[first] = joined;
    return 0;
}

/* ---- giving out ---- */

static int give_plain(struct mask_stream *s, uint64_t from, uint64_t to, struct error *err)
{
    if (from < s->slice_at && from < to) {
        uint64_t end = to < s->slice_at ? to : s->slice_at;
        if (s->sink(s->context, s->held.data + s->gone + (from - s->base), (size_t)(end - from), err) < 0)
            return -1;
        from = end;
    }
    if (from < to)
        return s->sink(s->context, s->slice + (from - s->slice_at), (size_t)(to - from), err);
    return 0;
}

static int give_masked(struct mask_stream *s, struct range range, struct error *err)
{
    if (!s->masked || range.from > s->masked_to) {
        if (give_plain(s, s->done, range.from, err) < 0 ||
            s->sink(s->context, (const uint8_t *)MASK_TEXT, sizeof MASK_TEXT - 1, err) < 0)
            return -1;
        s->count++;
        s->masked = true;
        s->masked_to = range.to;
    } else if (range.to > s->masked_to) {
        s->masked_to = range.to;
    }
    if (s->masked_to > s->done)
        s->done = s->masked_to;
    return 0;
}

/* No occurrence found later begins before `limit`: gives out all before it. A range that begins before it is masked
 * now, even if it may still grow at its end. */
static int settle(struct mask_stream *s, uint64_t limit, struct error *err)
{
    const struct range *ranges = (const struct range *)(const void *)s->ranges.data;
    size_t count = s->ranges.size / sizeof *ranges, used = 0;
    for (; used < count && ranges[used].from < limit; used++)
        if (give_masked(s, ranges[used], err) < 0)
            return -1;
    if (used > 0)
        buf_drop_front(&s->ranges, used * sizeof *ranges);
    if (s->done < limit) {
        if (give_plain(s, s->done, limit, err) < 0)
            return -1;
        s->done = limit;
    }
    return 0;
}

/* Keeps [limit, at) for the next write. The front of the buffer is moved only when half of it is of no use. */
static int hold_from(struct mask_stream *s, uint64_t limit, struct error *err)
{
    if (limit >= s->slice_at) {
        wipe(s->held.data, s->held.size);
        s->held.size = s->gone = 0;
    } else {
        s->gone += (size_t)(limit - s->base);
        if (s->gone > s->held.size / 2) {
            buf_drop_front(&s->held, s->gone);
            s->gone = 0;
        }
    }
    uint64_t from = limit > s->slice_at ? limit : s->slice_at;
    s->base = limit;
    if (from < s->at && buf_add(&s->held, s->slice + (from - s->slice_at), (size_t)(s->at - from), err) < 0)
        return -1;
    s->slice = NULL;
    s->slice_at = s->at;
    return 0;
}

/* ---- the visible state ---- */

/* The offset of a visible byte that has been seen. */
static uint64_t offset_of_visible(const struct mask_stream *s, uint64_t index)
{
    const struct skip *skips = (const struct skip *)(const void *)s->skips.data;
    size_t low = 0, high = s->skips.size / sizeof *skips;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (skips[middle].before <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return index + (low > 0 ? skips[low - 1].total : s->skip_base);
}

static uint64_t visible_begin(const struct mask_stream *s)
{
    return s->visible_count - s->set->automaton.states[s->visible].depth;
}

static void forget_skips(struct mask_stream *s)
{
    const struct skip *skips = (const struct skip *)(const void *)s->skips.data;
    size_t count = s->skips.size / sizeof *skips, used = 0;
    while (used < count && skips[used].before <= visible_begin(s))
        used++;
    if (used == 0)
        return;
    s->skip_base = skips[used - 1].total;
    buf_drop_front(&s->skips, used * sizeof *skips);
}

static int see(struct mask_stream *s, uint8_t letter, uint64_t offset, struct error *err)
{
    const struct automaton *a = &s->set->automaton;
    s->visible = automaton_step(a, s->visible, letter);
    s->visible_count++;
    if (a->marks[s->visible] & STATE_FOUND) {
        uint64_t from = offset_of_visible(s, s->visible_count - a->states[s->visible].found);
        if (add_range(s, from, offset + 1, err) < 0)
            return -1;
    }
    if (s->skips.size > 0)
        forget_skips(s);
    return 0;
}

static void see_as_raw(struct mask_stream *s)
{
    s->visible = s->raw;
    s->visible_count = s->at;
    s->skip_base = 0;
    s->skips.size = 0;
}

/* The sequence is complete at s->at: `visible` goes on behind it. */
static int skip_sequence(struct mask_stream *s, size_t size, struct error *err)
{
    size_t count = s->skips.size / sizeof(struct skip);
    const struct skip *skips = (const struct skip *)(const void *)s->skips.data;
    struct skip skip = {s->visible_count, (count > 0 ? skips[count - 1].total : s->skip_base) + size};
    s->sequence_size = 0;
    uint64_t depth = s->set->automaton.states[s->visible].depth;
    if (depth == 0) {
        s->skip_base = skip.total;
        s->skips.size = 0;
        return 0;
    }
    if (s->at - offset_of_visible(s, visible_begin(s)) > depth + SEQUENCES_ROOM) {
        see_as_raw(s);
        return 0;
    }
    return buf_add(&s->skips, &skip, sizeof skip, err);
}

/* What had begun is no control sequence: its bytes are visible ones. `end` is the offset behind them. */
static int see_sequence(struct mask_stream *s, uint64_t end, struct error *err)
{
    size_t size = s->sequence_size;
    s->sequence_size = 0;
    for (size_t i = 0; i < size; i++)
        if (see(s, s->sequence[i], end - size + i, err) < 0)
            return -1;
    return 0;
}

static bool continues_sequence(const struct mask_stream *s, uint8_t letter)
{
    if (s->sequence_size == 1)
        return letter == '[';
    return letter >= 0x20 && letter <= 0x7e && s->sequence_size < SEQUENCE_MAX;
}

/* One byte, while a control sequence is near. */
static int take_byte(struct mask_stream *s, uint8_t letter, struct error *err)
{
    const struct automaton *a = &s->set->automaton;
    uint64_t offset = s->at++;
    s->raw = automaton_step(a, s->raw, letter);
    if ((a->marks[s->raw] & STATE_FOUND) && add_range(s, s->at - a->states[s->raw].found, s->at, err) < 0)
        return -1;
    if (s->sequence_size > 0 && continues_sequence(s, letter)) {
        bool last = s->sequence_size > 1 && letter >= 0x40;
        if (last)
            return skip_sequence(s, s->sequence_size + 1, err);
        s->sequence[s->sequence_size++] = letter;
        return 0;
    }
    if (s->sequence_size > 0 && see_sequence(s, offset, err) < 0)
        return -1;
    if (letter == ESCAPE) {
        s->sequence[s->sequence_size++] = letter;
        return 0;
    }
    return see(s, letter, offset, err);
}

/* ---- the fast way ---- */

/* Runs the automaton from text[i] until nothing that began at or before `entry` is alive and what is alive has two
 * letters at most: there the filter can go on. Returns the place where it may, or size. Each byte is read again
 * at most twice for each byte of progress. */
static int run_automaton(struct mask_stream *s, const uint8_t *text, size_t *place, size_t size, bool fresh,
                         struct error *err)
{
    const struct automaton *a = &s->set->automaton;
    size_t i = *place, entry = *place;
    uint32_t state = fresh ? 0 : s->raw;
    while (i < size) {
        uint32_t next = automaton_child(a, state, text[i]);
        if (next == 0 && state != 0) {
            state = a->states[state].fail;
            uint32_t depth = a->states[state].depth;
            if (depth <= 2 && i >= depth && i - depth > entry) {
                *place = i - depth;
                s->raw = 0;
                return 0;
            }
            continue;
        }
        state = next;
        i++;
        if ((a->marks[state] & STATE_FOUND) &&
            add_range(s, s->at + i - a->states[state].found, s->at + i, err) < 0)
            return -1;
        if (state == 0)
            break;
    }
    *place = i;
    s->raw = state;
    return 0;
}

/* Bytes without ESC, while both states are one. */
static int take_bytes(struct mask_stream *s, const uint8_t *text, size_t size, struct error *err)
{
    const struct filter *filter = &s->set->filter;
    size_t i = 0;
    while (i < size) {
        if (s->raw == 0) {
            size_t next = filter_next(filter, text, i, size);
            bool tail = size - next < filter->window;
            i = next;
            if (tail)
                break;
        }
        if (run_automaton(s, text, &i, size, s->raw == 0, err) < 0)
            return -1;
    }
    for (; i < size; i++) { /* too short for the filter's window */
        const struct automaton *a = &s->set->automaton;
        s->raw = automaton_step(a, s->raw, text[i]);
        if ((a->marks[s->raw] & STATE_FOUND) &&
            add_range(s, s->at + i + 1 - a->states[s->raw].found, s->at + i + 1, err) < 0)
            return -1;
    }
    s->at += size;
    see_as_raw(s);
    return 0;
}

static bool is_plain(const struct mask_stream *s)
{
    return s->sequence_size == 0 && s->skips.size == 0 && s->raw == s->visible;
}

static uint64_t settled_limit(const struct mask_stream *s)
{
    uint64_t raw = s->at - s->set->automaton.states[s->raw].depth;
    uint64_t visible = s->set->automaton.states[s->visible].depth > 0 ? offset_of_visible(s, visible_begin(s))
                                                                       : s->at - s->sequence_size;
    return raw < visible ? raw : visible;
}

static int take_slice(struct mask_stream *s, const uint8_t *data, size_t size, struct error *err)
{
    s->slice = data;
    s->slice_at = s->at;
    for (size_t i = 0; i < size;) {
        if (!is_plain(s) || data[i] == ESCAPE) {
            if (is_plain(s))
                see_as_raw(s);
            if (take_byte(s, data[i++], err) < 0)
                return -1;
            continue;
        }
        const uint8_t *escape = memchr(data + i, ESCAPE, size - i);
        size_t plain = (escape != NULL ? (size_t)(escape - data) : size) - i;
        if (take_bytes(s, data + i, plain, err) < 0)
            return -1;
        i += plain;
    }
    uint64_t limit = settled_limit(s);
    return settle(s, limit, err) < 0 ? -1 : hold_from(s, limit, err);
}

int mask_stream_write(struct mask_stream *stream, const void *data, size_t size, struct error *err)
{
    if (stream->set->longest == 0)
        return size == 0 ? 0 : stream->sink(stream->context, data, size, err);
    const uint8_t *bytes = data;
    while (size > 0) {
        size_t part = size < SLICE ? size : SLICE;
        if (take_slice(stream, bytes, part, err) < 0)
            return -1;
        bytes += part;
        size -= part;
    }
    return 0;
}

static void start_over(struct mask_stream *s)
{
    wipe(s->held.data, s->held.size);
    wipe(s->sequence, sizeof s->sequence);
    s->held.size = s->gone = s->sequence_size = 0;
    s->ranges.size = s->skips.size = 0;
    s->raw = s->visible = 0;
    s->skip_base = 0;
}

static int mask_cut_off(struct mask_stream *s, struct error *err)
{
    const struct automaton *a = &s->set->automaton;
    uint32_t raw = a->states[s->raw].depth, visible = a->states[s->visible].depth;
    if (raw >= CUT_MIN && add_range(s, s->at - raw, s->at, err) < 0)
        return -1;
    if (visible < CUT_MIN)
        return 0;
    return add_range(s, offset_of_visible(s, visible_begin(s)), offset_of_visible(s, s->visible_count - 1) + 1, err);
}

int mask_stream_finish(struct mask_stream *stream, struct error *err)
{
    if (stream->set->longest > 0 &&
        (see_sequence(stream, stream->at, err) < 0 || mask_cut_off(stream, err) < 0 ||
         settle(stream, stream->at, err) < 0))
        return -1;
    start_over(stream);
    stream->base = stream->done = stream->slice_at = stream->visible_count = stream->at;
    stream->masked = false;
    return 0;
}

int mask_stream_change(struct mask_stream *stream, const struct mask_set *set, struct error *err)
{
    AUTO_WIPE struct buf again = BUF(PATTERN_BYTES_MAX);
    size_t size = (size_t)(stream->at - stream->base);
    if (size > 0 && buf_add(&again, stream->held.data + stream->gone, size, err) < 0)
        return -1;
    start_over(stream);
    stream->set = set;
    stream->at = stream->slice_at = stream->visible_count = stream->base;
    if (size == 0)
        return 0;
    if (set->longest == 0) { /* no secret any more: nothing is held */
        uint64_t done = stream->done;
        stream->at = stream->base = stream->done = stream->slice_at = stream->base + size;
        size_t given = (size_t)(done - (stream->at - size));
        return given >= size ? 0 : stream->sink(stream->context, again.data + given, size - given, err);
    }
    return mask_stream_write(stream, again.data, again.size, err);
}
