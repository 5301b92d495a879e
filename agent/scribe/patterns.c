#include "agent/scribe/patterns.h"

#include <stdlib.h>
#include <string.h>

#include "agent/scribe/encodings.h"

#define SPELLING_MAX (SECRET_MAX * 16u)

typedef int (*encoder)(struct bytes in, unsigned flags, struct buf *out, struct error *err);

struct spelling {
    encoder encode;
    unsigned flags;
};

/* How a text is printed by programs that mean it as text; of a single line too. */
static const struct spelling text_spellings[] = {
    {encode_percent, 0},
    {encode_percent, PERCENT_LOWER},
    {encode_percent, PERCENT_FORM},
    {encode_percent, PERCENT_FORM | PERCENT_LOWER},
    {encode_percent, PERCENT_COMPONENT},
    {encode_percent, PERCENT_COMPONENT | PERCENT_LOWER},
    {encode_percent, PERCENT_WHOLE},
    {encode_json, 0},
    {encode_json, JSON_SLASH},
    {encode_json, JSON_ASCII},
    {encode_json, JSON_ASCII | JSON_UPPER},
    {encode_json, JSON_ASCII | JSON_SLASH},
    {encode_json, JSON_HTML},
    {encode_json, JSON_NUMBERS | JSON_ASCII},
    {encode_json, JSON_NUMBERS | JSON_ASCII | JSON_UPPER},
    {encode_json, JSON_NUMBERS | JSON_ASCII | JSON_HTML},
    {encode_json, JSON_NUMBERS | JSON_ASCII | JSON_HTML | JSON_UPPER},
    {encode_json, JSON_SINGLE},
    {encode_shell, SHELL_SINGLE},
    {encode_shell, SHELL_PYTHON},
    {encode_shell, SHELL_BACKSLASH},
    {encode_shell, SHELL_DOUBLE},
    {encode_xml, XML_TEXT},
    {encode_xml, XML_QUOT},
    {encode_xml, XML_QUOT_39},
    {encode_xml, XML_QUOT_APOS},
    {encode_xml, XML_34_39},
    {encode_xml, XML_QUOT_X27},
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct bytes without_blanks(struct bytes text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* The innermost part of a value that is looked for. Every longer form contains it, so nothing is lost, and a line
 * end behind the value in a log stays where it is. */
static struct bytes heart(struct bytes value)
{
    struct bytes text = without_blanks(value);
    if (text.size >= 2 && (text.data[0] == '"' || text.data[0] == '\'') && text.data[text.size - 1] == text.data[0]) {
        struct bytes inner = without_blanks((struct bytes){text.data + 1, text.size - 2});
        if (inner.size >= PATTERN_MIN)
            return inner;
    }
    return text;
}

bool pattern_is_maskable(const void *value, size_t size)
{
    return heart((struct bytes){value, size}).size >= PATTERN_MIN;
}

static int put(struct patterns *list, struct bytes text, struct error *err)
{
    if (text.size < PATTERN_MIN)
        return 0;
    struct pattern_place place = {(uint32_t)list->bytes.size, (uint32_t)text.size};
    if (buf_add(&list->bytes, text.data, text.size, err) < 0)
        return -1;
    return buf_add(&list->places, &place, sizeof place, err);
}

static bool same(struct bytes a, const struct buf *b)
{
    return a.size == b->size && memcmp(a.data, b->data, a.size) == 0;
}

static int put_spelling(struct patterns *list, struct bytes text, struct spelling spelling, struct error *err)
{
    AUTO_WIPE struct buf spelled = BUF(SPELLING_MAX);
    if (spelling.encode(text, spelling.flags, &spelled, err) < 0)
        return -1;
    return same(text, &spelled) ? 0 : put(list, buf_view(&spelled), err);
}

/* JSON in JSON, as structured logs print it. */
static int put_nested_json(struct patterns *list, struct bytes text, struct error *err)
{
    AUTO_WIPE struct buf once = BUF(SPELLING_MAX);
    if (encode_json(text, 0, &once, err) < 0)
        return -1;
    return same(text, &once) ? 0 : put_spelling(list, buf_view(&once), (struct spelling){encode_json, 0}, err);
}

static int put_as_text(struct patterns *list, struct bytes text, struct error *err)
{
    if (text.size < PATTERN_MIN)
        return 0;
    if (put(list, text, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof text_spellings / sizeof text_spellings[0]; i++)
        if (put_spelling(list, text, text_spellings[i], err) < 0)
            return -1;
    return put_nested_json(list, text, err);
}

static int put_base64(struct patterns *list, struct bytes text, struct error *err)
{
    for (unsigned i = 0; i < 12; i++) {
        AUTO_WIPE struct buf part = BUF(SPELLING_MAX);
        struct base64_form form = {.before = i % 3, .url_safe = i / 3 % 2 != 0, .last = i / 6 != 0};
        if (encode_base64_part(text, form, &part, err) < 0 || put(list, buf_view(&part), err) < 0)
            return -1;
    }
    return 0;
}

/* base64(1) and openssl break lines: as a whole, and each line for itself. */
static int put_wrapped(struct patterns *list, struct bytes text, size_t width, struct error *err)
{
    AUTO_WIPE struct buf flat = BUF(SPELLING_MAX);
    AUTO_WIPE struct buf wrapped = BUF(SPELLING_MAX);
    if (encode_base64_part(text, (struct base64_form){.last = true}, &flat, err) < 0)
        return -1;
    if (flat.size <= width)
        return 0;
    for (size_t at = 0; at < flat.size; at += width) {
        size_t size = flat.size - at < width ? flat.size - at : width;
        struct bytes line = {flat.data + at, size};
        if (at > 0 && buf_add(&wrapped, "\n", 1, err) < 0)
            return -1;
        if (buf_add(&wrapped, line.data, line.size, err) < 0)
            return -1;
        if (size >= PATTERN_LINE_MIN && put(list, line, err) < 0)
            return -1;
    }
    return put(list, buf_view(&wrapped), err);
}

static int put_binary(struct patterns *list, struct bytes text, struct error *err)
{
    if (put_spelling(list, text, (struct spelling){encode_hex, HEX_LOWER}, err) < 0 ||
        put_spelling(list, text, (struct spelling){encode_hex, HEX_UPPER}, err) < 0 ||
        put_base64(list, text, err) < 0 || put_wrapped(list, text, 76, err) < 0)
        return -1;
    return put_wrapped(list, text, 64, err);
}

/* The next line of *rest, without its end and blanks around it. */
static struct bytes next_line(struct bytes *rest)
{
    const uint8_t *end = memchr(rest->data, '\n', rest->size);
    size_t size = end != NULL ? (size_t)(end - rest->data) : rest->size;
    struct bytes line = {rest->data, size};
    size_t used = end != NULL ? size + 1 : size;
    rest->data += used;
    rest->size -= used;
    return line;
}

static int put_joined(struct patterns *list, struct bytes text, const char *separator, struct error *err)
{
    AUTO_WIPE struct buf joined = BUF(SPELLING_MAX);
    for (struct bytes rest = text; rest.size > 0;) {
        bool first = rest.data == text.data;
        struct bytes line = next_line(&rest);
        while (line.size > 0 && line.data[line.size - 1] == '\r')
            line.size--;
        if ((!first && buf_add_text(&joined, separator, err) < 0) || buf_add(&joined, line.data, line.size, err) < 0)
            return -1;
    }
    return put(list, buf_view(&joined), err);
}

static int put_lines(struct patterns *list, struct bytes text, struct error *err)
{
    static const char *const separators[] = {"\n", "\r\n", "\r\r\n", " "};
    if (memchr(text.data, '\n', text.size) == NULL)
        return 0;
    for (size_t i = 0; i < sizeof separators / sizeof separators[0]; i++)
        if (put_joined(list, text, separators[i], err) < 0)
            return -1;
    for (struct bytes rest = text; rest.size > 0;) {
        struct bytes line = without_blanks(next_line(&rest));
        if (line.size >= PATTERN_LINE_MIN && put_as_text(list, line, err) < 0)
            return -1;
    }
    return 0;
}

static int put_value(struct patterns *list, struct bytes text, struct error *err)
{
    if (put_as_text(list, text, err) < 0 || put_binary(list, text, err) < 0)
        return -1;
    return put_lines(list, text, err);
}

/* ---- values inside values ---- */

static int add_code_point(struct buf *out, unsigned point, struct error *err)
{
    uint8_t text[4];
    size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; point >>= 6)
        text[i] = (uint8_t)(0x80 | (point & 0x3f));
    text[0] = (uint8_t)(lead[size] | point);
    return buf_add(out, text, size, err);
}

/* Four hex digits behind "\u", or -1. */
static long unit_at(struct bytes text, size_t at)
{
    if (text.size < at + 4)
        return -1;
    long value = 0;
    for (size_t i = at; i < at + 4; i++) {
        uint8_t c = text.data[i], low = (uint8_t)(c | 0x20);
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value * 16 + (low - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* What an escape at text.data[at] (the letter behind the backslash) stands for; moves *at behind it. */
static int add_unescaped(struct buf *out, struct bytes text, size_t *at, struct error *err)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
    uint8_t letter = text.data[(*at)++];
    long unit = letter == 'u' ? unit_at(text, *at) : -1;
    if (unit < 0) {
        const char *found = letter != 0 ? strchr(from, letter) : NULL;
        return buf_add(out, found != NULL ? (const void *)&to[found - from] : (const void *)&letter, 1, err);
    }
    *at += 4;
    bool pair = unit >= 0xd800 && unit < 0xdc00 && text.size >= *at + 6 && text.data[*at] == '\\' &&
                text.data[*at + 1] == 'u';
    long low = pair ? unit_at(text, *at + 2) : -1;
    if (low >= 0xdc00 && low < 0xe000) {
        *at += 6;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    return add_code_point(out, (unsigned)unit, err);
}

/* Takes the string whose opening quote is before *at; leaves *at behind the closing one. */
static int take_string(struct bytes text, size_t *at, struct buf *out, struct error *err)
{
    while (*at < text.size && text.data[*at] != '"') {
        if (text.data[*at] == '\\' && *at + 1 < text.size) {
            (*at)++;
            if (add_unescaped(out, text, at, err) < 0)
                return -1;
        } else if (buf_add(out, &text.data[(*at)++], 1, err) < 0) {
            return -1;
        }
    }
    (*at)++;
    return 0;
}

static bool is_member_name(struct bytes text, size_t at)
{
    while (at < text.size && is_blank(text.data[at]))
        at++;
    return at < text.size && text.data[at] == ':';
}

/* Strings of a JSON text that are no member names. It need not be good JSON: too much is looked for, not too little. */
static int put_json_leaves(struct patterns *list, struct bytes text, struct error *err)
{
    if (text.data[0] != '{' && text.data[0] != '[')
        return 0;
    for (size_t at = 0; at < text.size;) {
        if (text.data[at++] != '"')
            continue;
        AUTO_WIPE struct buf leaf = BUF(SECRET_MAX * 2);
        if (take_string(text, &at, &leaf, err) < 0)
            return -1;
        struct bytes inner = heart(buf_view(&leaf));
        if (!is_member_name(text, at) && inner.size >= PATTERN_MIN && put_value(list, inner, err) < 0)
            return -1;
    }
    return 0;
}

/* The password of "scheme://user:password@host". Not if it is the user or scheme again (postgres:postgres). */
static int put_url_password(struct patterns *list, struct bytes text, struct error *err)
{
    const uint8_t *end = text.data + text.size, *begin = memmem(text.data, text.size, "://", 3);
    if (begin == NULL)
        return 0;
    struct bytes scheme = {text.data, (size_t)(begin - text.data)};
    begin += 3;
    const uint8_t *slash = memchr(begin, '/', (size_t)(end - begin));
    const uint8_t *at = memrchr(begin, '@', (size_t)((slash != NULL ? slash : end) - begin));
    const uint8_t *colon = at != NULL ? memchr(begin, ':', (size_t)(at - begin)) : NULL;
    if (colon == NULL)
        return 0;
    struct bytes user = {begin, (size_t)(colon - begin)}, password = {colon + 1, (size_t)(at - colon - 1)};
    struct buf is = {.data = (uint8_t *)(uintptr_t)password.data, .size = password.size};
    if (same(user, &is) || same(scheme, &is) || password.size < PATTERN_MIN)
        return 0;
    return put_value(list, password, err);
}

int patterns_add(struct patterns *list, const void *value, size_t size, struct error *err)
{
    if (size > SECRET_MAX)
        return fail(err, "E_TOO_LARGE", "a secret has %zu bytes, more than %u", size, SECRET_MAX);
    struct bytes text = heart((struct bytes){value, size});
    if (text.size < PATTERN_MIN)
        return 0;
    size_t bytes = list->bytes.size, places = list->places.size;
    if (put_value(list, text, err) < 0 || put_json_leaves(list, text, err) < 0 ||
        put_url_password(list, text, err) < 0) {
        wipe(list->bytes.data + bytes, list->bytes.size - bytes);
        list->bytes.size = bytes;
        list->places.size = places;
        return -1;
    }
    list->secrets++;
    return 1;
}

size_t patterns_count(const struct patterns *list)
{
    return list->places.size / sizeof(struct pattern_place);
}

struct bytes patterns_at(const struct patterns *list, size_t index)
{
    const struct pattern_place *places = (const struct pattern_place *)(const void *)list->places.data;
    return (struct bytes){list->bytes.data + places[index].offset, places[index].size};
}

void patterns_free(struct patterns *list)
{
    buf_wipe_free(&list->bytes);
    buf_free(&list->places);
    list->secrets = 0;
}
