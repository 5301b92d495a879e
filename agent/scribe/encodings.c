#include "agent/scribe/encodings.h"

#include <stdlib.h>
#include <string.h>

static const char lower_digits[] = "0123456789abcdef", upper_digits[] = "0123456789ABCDEF";

static int add_letter(struct buf *out, uint8_t letter, struct error *err)
{
    return buf_add(out, &letter, 1, err);
}

static bool is_alphanumeric(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_one_of(const char *set, uint8_t c)
{
    return c != 0 && strchr(set, c) != NULL;
}

static bool percent_keeps(uint8_t c, unsigned flags)
{
    if (is_alphanumeric(c) || is_one_of("-._~", c))
        return true;
    if ((flags & (PERCENT_COMPONENT | PERCENT_WHOLE)) && is_one_of("!'()*", c))
        return true;
    return (flags & PERCENT_WHOLE) && is_one_of(";/?:@&=+$,#", c);
}

int encode_percent(struct bytes in, unsigned flags, struct buf *out, struct error *err)
{
    const char *digits = flags & PERCENT_LOWER ? lower_digits : upper_digits;
    for (size_t i = 0; i < in.size; i++) {
        uint8_t c = in.data[i];
        char code[3] = {'%', digits[c >> 4], digits[c & 15]};
        int failed;
        if (percent_keeps(c, flags))
            failed = add_letter(out, c, err);
        else if (c == ' ' && (flags & PERCENT_FORM))
            failed = add_letter(out, '+', err);
        else
            failed = buf_add(out, code, sizeof code, err);
        if (failed)
            return -1;
    }
    return 0;
}

static int add_unit(struct buf *out, unsigned unit, unsigned flags, struct error *err)
{
    const char *digits = flags & JSON_UPPER ? upper_digits : lower_digits;
    char text[6] = {'\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15], digits[unit >> 4 & 15],
                    digits[unit & 15]};
    return buf_add(out, text, sizeof text, err);
}

/* The code point of the UTF-8 sequence at in.data[at], its bytes in *size; 0 if it is none. Lax about overlong
 * forms: it is only asked about texts that a JSON writer took for UTF-8. */
static unsigned code_point(struct bytes in, size_t at, size_t *size)
{
    uint8_t first = in.data[at];
    size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || in.size - at <= more)
        return 0;
    unsigned point = first & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((in.data[at + i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (in.data[at + i] & 0x3fu);
    }
    *size = more + 1;
    return point;
}

static int add_point(struct buf *out, unsigned point, unsigned flags, struct error *err)
{
    if (point < 0x10000)
        return add_unit(out, point, flags, err);
    point -= 0x10000;
    if (add_unit(out, 0xd800 + (point >> 10), flags, err) < 0)
        return -1;
    return add_unit(out, 0xdc00 + (point & 0x3ff), flags, err);
}

/* The letter behind the backslash in the short escapes, 0 if c has none. */
static uint8_t json_short(uint8_t c, unsigned flags)
{
    static const char from[] = "\n\r\t\b\f\\", to[] = "nrtbf\\";
    if (c == (flags & JSON_SINGLE ? '\'' : '"') || (c == '/' && (flags & JSON_SLASH)))
        return c;
    const char *found = c != 0 ? strchr(from, c) : NULL;
    return found != NULL ? (uint8_t)to[found - from] : 0;
}

static int add_json(struct buf *out, uint8_t c, unsigned flags, struct error *err)
{
    uint8_t letter = json_short(c, flags);
    if (c < 0x20 || (letter != 0 && c != '/' && (flags & JSON_NUMBERS)))
        if (letter == 0 || (flags & JSON_NUMBERS))
            return add_unit(out, c, flags, err);
    if ((flags & JSON_HTML) && is_one_of("<>&", c))
        return add_unit(out, c, flags, err);
    if (letter != 0) {
        uint8_t text[2] = {'\\', letter};
        return buf_add(out, text, sizeof text, err);
    }
    return add_letter(out, c, err);
}

int encode_json(struct bytes in, unsigned flags, struct buf *out, struct error *err)
{
    for (size_t i = 0; i < in.size;) {
        size_t size = 1;
        unsigned point = in.data[i] >= 0x80 && (flags & JSON_ASCII) ? code_point(in, i, &size) : 0;
        int failed = point != 0 ? add_point(out, point, flags, err) : add_json(out, in.data[i], flags, err);
        if (failed)
            return -1;
        i += size;
    }
    return 0;
}

int encode_shell(struct bytes in, unsigned style, struct buf *out, struct error *err)
{
    for (size_t i = 0; i < in.size; i++) {
        uint8_t c = in.data[i];
        int failed = 0;
        if (style == SHELL_SINGLE && c == '\'')
            failed = buf_add_text(out, "'\\'", err);
        else if (style == SHELL_PYTHON && c == '\'')
            failed = buf_add_text(out, "'\"'\"", err);
        else if (style == SHELL_BACKSLASH && c < 0x80 && !is_alphanumeric(c) && !is_one_of("_@%+=:,./-", c))
            failed = add_letter(out, '\\', err);
        else if (style == SHELL_DOUBLE && is_one_of("\\\"$`", c))
            failed = add_letter(out, '\\', err);
        if (failed || add_letter(out, c, err) < 0)
            return -1;
    }
    return 0;
}

static const char *xml_entity(uint8_t c, unsigned style)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return style == XML_TEXT ? NULL : style == XML_34_39 ? "&#34;" : "&quot;";
    case '\'':
        if (style == XML_QUOT_39 || style == XML_34_39)
            return "&#39;";
        return style == XML_QUOT_APOS ? "&apos;" : style == XML_QUOT_X27 ? "&#x27;" : NULL;
    default:
        return NULL;
    }
}

int encode_xml(struct bytes in, unsigned style, struct buf *out, struct error *err)
{
    for (size_t i = 0; i < in.size; i++) {
        const char *entity = xml_entity(in.data[i], style);
        int failed = entity != NULL ? buf_add_text(out, entity, err) : add_letter(out, in.data[i], err);
        if (failed)
            return -1;
    }
    return 0;
}

int encode_hex(struct bytes in, unsigned flags, struct buf *out, struct error *err)
{
    const char *digits = flags == HEX_UPPER ? upper_digits : lower_digits;
    for (size_t i = 0; i < in.size; i++) {
        char pair[2] = {digits[in.data[i] >> 4], digits[in.data[i] & 15]};
        if (buf_add(out, pair, sizeof pair, err) < 0)
            return -1;
    }
    return 0;
}

/* Letter number `index` of base64, of `before` zero bytes and then in. */
static char base64_letter(struct bytes in, struct base64_form form, size_t index)
{
    static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t bit = index * 6, byte = bit / 8;
    unsigned two = 0;
    for (size_t i = byte; i < byte + 2; i++)
        two = two << 8 | (i >= form.before && i - form.before < in.size ? in.data[i - form.before] : 0u);
    return (form.url_safe ? safe : standard)[two >> (10 - bit % 8) & 63];
}

int encode_base64_part(struct bytes in, struct base64_form form, struct buf *out, struct error *err)
{
    size_t first = (form.before * 8 + 5) / 6, bits = (form.before + in.size) * 8;
    size_t end = form.last ? (bits + 5) / 6 : bits / 6;
    for (size_t i = first; i < end; i++) {
        char letter = base64_letter(in, form, i);
        if (buf_add(out, &letter, 1, err) < 0)
            return -1;
    }
    return 0;
}
