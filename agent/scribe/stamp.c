#include "agent/scribe/stamp.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define ESCAPE 0x1b

void stamp_open(struct stamp *stamp, const char *phase, const char *stream, stamp_sink sink, void *context)
{
    *stamp = (struct stamp){.sink = sink, .context = context, .line = BUF(STAMP_LINE_MAX + 64)};
    snprintf(stamp->tag, sizeof stamp->tag, "%.20s %.8s", phase, stream);
    stamp->rewritten_ms = INT64_MIN / 2;
}

void stamp_free(struct stamp *stamp)
{
    buf_wipe_free(&stamp->line);
}

/* ---- text ---- */

/* Whole pieces only, so that a cut never splits a letter or an escape. */
static int show(struct stamp *s, const void *piece, size_t size, struct error *err)
{
    if (s->cut > 0 || s->line.size + size > STAMP_LINE_MAX) {
        s->cut += size;
        return 0;
    }
    return buf_add(&s->line, piece, size, err);
}

static int show_byte(struct stamp *s, uint8_t byte, struct error *err)
{
    char text[8];
    int size = snprintf(text, sizeof text, "\\x%02x", byte);
    return show(s, text, (size_t)size, err);
}

static int show_point(struct stamp *s, unsigned point, struct error *err)
{
    char text[16];
    int size = snprintf(text, sizeof text, point < 0x10000 ? "\\u%04x" : "\\U%08x", point);
    return show(s, text, (size_t)size, err);
}

/* Letters that are not seen, or that change where others are seen. */
static bool is_treacherous(unsigned p)
{
    return (p >= 0x80 && p < 0xa0) || p == 0x061c || p == 0x180e || p == 0x200b || p == 0x200e || p == 0x200f ||
           (p >= 0x2028 && p <= 0x202e) || (p >= 0x2060 && p <= 0x206f) || p == 0xfeff ||
           (p >= 0xfff9 && p <= 0xfffb) || (p >= 0xe0000 && p <= 0xe007f);
}

/* Bytes of the UTF-8 sequence that `first` begins; 1 if it begins none (RFC 3629). */
static size_t utf8_size(uint8_t first)
{
    return first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
}

/* May `byte` come second after `first`? Excludes overlong forms, surrogates and what is beyond U+10FFFF. */
static bool utf8_second(uint8_t first, uint8_t byte)
{
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return byte >= low && byte <= high;
}

static unsigned decode(const uint8_t *text, size_t size)
{
    unsigned point = text[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        point = point << 6 | (text[i] & 0x3fu);
    return point;
}

/* ---- sequences ---- */

static bool is_reset(const uint8_t *sgr, size_t size)
{
    for (size_t i = 2; i + 1 < size; i++)
        if (sgr[i] != '0' && sgr[i] != ';')
            return false;
    return true;
}

static int show_colour(struct stamp *s, struct error *err)
{
    size_t size = s->pending_size;
    s->pending_size = 0;
    if (s->cut > 0)
        return 0;
    s->coloured = !is_reset(s->pending, size);
    return show(s, s->pending, size, err);
}

/* What is pending will not become a colour or a letter: each byte as it is. */
static int show_pending(struct stamp *s, struct error *err)
{
    size_t size = s->pending_size;
    s->pending_size = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = s->pending[i];
        int failed = c < 0x20 || c >= 0x7f ? show_byte(s, c, err) : show(s, &c, 1, err);
        if (failed)
            return -1;
    }
    return 0;
}

/* Does `byte` belong to what is pending? */
static bool continues(const struct stamp *s, uint8_t byte)
{
    if (s->pending[0] != ESCAPE)
        return s->pending_size == 1 ? utf8_second(s->pending[0], byte) : (byte & 0xc0) == 0x80;
    if (s->pending_size == 1)
        return byte == '[';
    bool parameter = (byte >= '0' && byte <= '9') || byte == ';' || byte == ':';
    return (parameter && s->pending_size < STAMP_PENDING_MAX - 1) || byte == 'm';
}

static int continue_pending(struct stamp *s, uint8_t byte, struct error *err)
{
    s->pending[s->pending_size++] = byte;
    if (s->pending[0] == ESCAPE)
        return byte == 'm' ? show_colour(s, err) : 0;
    if (s->pending_size < utf8_size(s->pending[0]))
        return 0;
    size_t size = s->pending_size;
    unsigned point = decode(s->pending, size);
    s->pending_size = 0;
    return is_treacherous(point) ? show_point(s, point, err) : show(s, s->pending, size, err);
}

static int take_text(struct stamp *s, uint8_t byte, struct error *err)
{
    if (byte == ESCAPE || utf8_size(byte) > 1) {
        s->pending[0] = byte;
        s->pending_size = 1;
        return 0;
    }
    if (byte == '\t' || (byte >= 0x20 && byte < 0x7f))
        return show(s, &byte, 1, err);
    return show_byte(s, byte, err);
}

/* ---- lines ---- */

static void clear_line(struct stamp *s)
{
    s->line.size = 0;
    s->cut = 0;
    s->begun = s->returned = s->coloured = false;
}

static int give_line(struct stamp *s, struct error *err)
{
    AUTO_WIPE struct buf whole = BUF(STAMP_LINE_MAX + 256);
    char when[CLOCK_TEXT_SIZE];
    clock_format(s->began_ms, when);
    if (buf_addf(&whole, err, "%s %s │ ", when, s->tag) < 0 ||
        buf_add(&whole, s->line.data, s->line.size, err) < 0 ||
        (s->coloured && buf_add_text(&whole, "\033[0m", err) < 0) ||
        (s->cut > 0 && buf_addf(&whole, err, " … [%llu more bytes cut]", (unsigned long long)s->cut) < 0) ||
        buf_add_text(&whole, "\n", err) < 0)
        return -1;
    s->lines++;
    clear_line(s);
    return s->sink(s->context, whole.data, whole.size, err);
}

static void begin(struct stamp *s, int64_t now_ms)
{
    if (!s->begun)
        s->began_ms = now_ms;
    s->begun = true;
}

static int end_line(struct stamp *s, int64_t now_ms, struct error *err)
{
    begin(s, now_ms);
    return show_pending(s, err) < 0 ? -1 : give_line(s, err);
}

/* After a carriage return other text comes: the line is written over. */
static int start_over(struct stamp *s, int64_t now_ms, struct error *err)
{
    if (s->line.size > 0 && now_ms - s->rewritten_ms >= STAMP_REWRITE_MS) {
        s->rewritten_ms = now_ms;
        return give_line(s, err);
    }
    clear_line(s);
    return 0;
}

static int take_byte(struct stamp *s, uint8_t byte, int64_t now_ms, struct error *err)
{
    if (byte == '\n')
        return end_line(s, now_ms, err);
    if (byte == '\r') {
        s->returned = true;
        return show_pending(s, err);
    }
    if (s->returned && start_over(s, now_ms, err) < 0)
        return -1;
    begin(s, now_ms);
    if (s->pending_size > 0) {
        if (continues(s, byte))
            return continue_pending(s, byte, err);
        if (show_pending(s, err) < 0)
            return -1;
    }
    return take_text(s, byte, err);
}

int stamp_write(struct stamp *stamp, const void *data, size_t size, int64_t now_ms, struct error *err)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        if (take_byte(stamp, bytes[i], now_ms, err) < 0)
            return -1;
    return 0;
}

int stamp_finish(struct stamp *stamp, int64_t now_ms, struct error *err)
{
    return stamp->begun ? end_line(stamp, now_ms, err) : 0;
}
