/* A recursive descent over the bytes; `limits->depth` bounds the recursion. Nothing is built but, while an
 * object is open, the list of its member names, unescaped into one arena as large as the text. When the object
 * ends they are sorted: equal ones are then neighbours, whatever an attacker chose to collide. */
#include "proto/json_check.h"

#include <stdlib.h>
#include <string.h>

struct member_name {
    const uint8_t *at;
    size_t size;
};

struct check {
    const uint8_t *text;
    size_t size, at;
    const struct json_limits *limits;
    int depth;
    size_t values;
    uint8_t *arena; /* unescaped names; never more than the text */
    size_t arena_used;
    struct member_name *names; /* of all open objects, the innermost last */
    size_t name_count, name_room;
    struct buf *numbers; /* or NULL */
    struct error *err;
};

static int value(struct check *c);

static int bad(struct check *c, const char *what)
{
    return fail(c->err, "E_JSON", "%s at byte %zu", what, c->at + 1);
}

/* The byte here, or -1 at the end. */
static int peek(const struct check *c)
{
    return c->at < c->size ? c->text[c->at] : -1;
}

static void skip_space(struct check *c)
{
    for (int b = peek(c); b == ' ' || b == '\t' || b == '\n' || b == '\r'; b = peek(c))
        c->at++;
}

static int word(struct check *c, const char *expected)
{
    size_t n = strlen(expected);
    if (c->size - c->at < n || memcmp(c->text + c->at, expected, n) != 0)
        return bad(c, "not a JSON value");
    c->at += n;
    return 0;
}

/* Bytes of the UTF-8 sequence here (RFC 3629: shortest form, no surrogates, U+10FFFF at most), or 0. */
static size_t utf8_size(const uint8_t *s, size_t left)
{
    static const struct {
        uint8_t lead_low, lead_high, second_low, second_high, size;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    if (s[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (s[0] < forms[i].lead_low || s[0] > forms[i].lead_high)
            continue;
        if (left < forms[i].size || s[1] < forms[i].second_low || s[1] > forms[i].second_high)
            return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if ((s[k] & 0xC0) != 0x80)
                return 0;
        return forms[i].size;
    }
    return 0;
}

/* Where an unescaped string goes: nowhere, or to the arena. */
static void emit(struct check *c, bool keep, const uint8_t *data, size_t size)
{
    if (!keep)
        return;
    memcpy(c->arena + c->arena_used, data, size);
    c->arena_used += size;
}

static void emit_rune(struct check *c, bool keep, uint32_t r)
{
    uint8_t b[4];
    size_t n = 0;
    if (r < 0x80) {
        b[n++] = (uint8_t)r;
    } else if (r < 0x800) {
        b[n++] = (uint8_t)(0xC0 | r >> 6);
        b[n++] = (uint8_t)(0x80 | (r & 0x3F));
    } else if (r < 0x10000) {
        b[n++] = (uint8_t)(0xE0 | r >> 12);
        b[n++] = (uint8_t)(0x80 | (r >> 6 & 0x3F));
        b[n++] = (uint8_t)(0x80 | (r & 0x3F));
    } else {
        b[n++] = (uint8_t)(0xF0 | r >> 18);
        b[n++] = (uint8_t)(0x80 | (r >> 12 & 0x3F));
        b[n++] = (uint8_t)(0x80 | (r >> 6 & 0x3F));
        b[n++] = (uint8_t)(0x80 | (r & 0x3F));
    }
    emit(c, keep, b, n);
}

/* Four hex digits of either case; -1 if not. */
static int four_hex(struct check *c)
{
    int v = 0;
    if (c->size - c->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = c->text[c->at + (size_t)i];
        if (d >= '0' && d <= '9')
            d -= '0';
        else if ((d | 32) >= 'a' && (d | 32) <= 'f')
            d = (d | 32) - 'a' + 10;
        else
            return -1;
        v = v << 4 | d;
    }
    c->at += 4;
    return v;
}

/* After "\u". A surrogate must be the first of a pair: a lone one is no character. */
static int unicode_escape(struct check *c, bool keep)
{
    int high = four_hex(c);
    if (high < 0)
        return bad(c, "\\u without four hex digits");
    if (high == 0 && !c->limits->allow_nul_escape)
        return bad(c, "\\u0000 is not allowed");
    if (high < 0xD800 || high > 0xDFFF) {
        emit_rune(c, keep, (uint32_t)high);
        return 0;
    }
    if (high > 0xDBFF || c->size - c->at < 2 || c->text[c->at] != '\\' || c->text[c->at + 1] != 'u')
        return bad(c, "half of a surrogate pair");
    c->at += 2;
    int low = four_hex(c);
    if (low < 0xDC00 || low > 0xDFFF)
        return bad(c, "half of a surrogate pair");
    emit_rune(c, keep, 0x10000 + (((uint32_t)high - 0xD800) << 10) + ((uint32_t)low - 0xDC00));
    return 0;
}

static int escape(struct check *c, bool keep)
{
    static const char letters[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    int b = peek(c);
    const char *found = b > 0 ? strchr(letters, b) : NULL;
    if (b == 'u') {
        c->at++;
        return unicode_escape(c, keep);
    }
    if (found == NULL)
        return bad(c, "unknown escape");
    c->at++;
    emit(c, keep, (const uint8_t *)&meaning[found - letters], 1);
    return 0;
}

/* At the opening quote; afterwards behind the closing one. */
static int string(struct check *c, bool keep)
{
    for (c->at++;;) {
        int b = peek(c);
        if (b < 0)
            return bad(c, "a string does not end");
        if (b == '"') {
            c->at++;
            return 0;
        }
        if (b < 0x20)
            return bad(c, "a control character in a string");
        if (b == '\\') {
            c->at++;
            if (escape(c, keep) < 0)
                return -1;
            continue;
        }
        size_t n = utf8_size(c->text + c->at, c->size - c->at);
        if (n == 0)
            return bad(c, "not valid UTF-8");
        emit(c, keep, c->text + c->at, n);
        c->at += n;
    }
}

static size_t digits(struct check *c)
{
    size_t start = c->at;
    for (int b = peek(c); b >= '0' && b <= '9'; b = peek(c))
        c->at++;
    return c->at - start;
}

/* Digits without a leading zero; are they at most 2^53-1? */
static bool is_small(const uint8_t *s, size_t n)
{
    int64_t v = 0;
    if (n > 16)
        return false;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (s[i] - '0');
    return v <= JSON_INTEGER_MAX;
}

static int fraction_and_exponent(struct check *c)
{
    if (peek(c) == '.') {
        c->at++;
        if (digits(c) == 0)
            return bad(c, "a number without digits behind its point");
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        c->at++;
        if (peek(c) == '+' || peek(c) == '-')
            c->at++;
        if (digits(c) == 0)
            return bad(c, "a number without digits in its exponent");
    }
    return 0;
}

static int number(struct check *c)
{
    size_t start = c->at;
    bool minus = peek(c) == '-';
    c->at += minus;
    size_t first = c->at, n = digits(c);
    if (n == 0)
        return bad(c, "a number without digits");
    if (n > 1 && c->text[first] == '0')
        return bad(c, "a number with a leading zero");
    size_t whole = c->at;
    if (fraction_and_exponent(c) < 0)
        return -1;
    bool integer = c->at == whole, small = is_small(c->text + first, n);
    if (!c->limits->allow_big_numbers && ((integer && !small) || c->at - start > JSON_NUMBER_MAX))
        return bad(c, "a number beyond 2^53-1 or too long");
    uint8_t canonical = integer && small && !(minus && c->text[first] == '0');
    return c->numbers == NULL ? 0 : buf_add(c->numbers, &canonical, 1, c->err);
}

static int compare_names(const void *a, const void *b)
{
    const struct member_name *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->size > 0 ? memcmp(x->at, y->at, x->size) : 0;
}

/* The object whose names begin at `first` ends here. */
static int no_duplicates(struct check *c, size_t first)
{
    struct member_name *names = c->names + first;
    size_t count = c->name_count - first;
    c->name_count = first;
    if (count < 2 || c->limits->allow_duplicates)
        return 0;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (compare_names(&names[i - 1], &names[i]) == 0)
            return bad(c, "a member twice in the object that ends");
    return 0;
}

static int room_for_name(struct check *c)
{
    if (c->arena == NULL && (c->arena = malloc(c->size)) == NULL)
        return fail(c->err, "E_NO_MEMORY", "no memory for %zu bytes", c->size);
    if (c->name_count < c->name_room)
        return 0;
    size_t room = c->name_room == 0 ? 64 : c->name_room * 2;
    struct member_name *names = realloc(c->names, room * sizeof *names);
    if (names == NULL)
        return fail(c->err, "E_NO_MEMORY", "no memory for %zu member names", room);
    c->names = names;
    c->name_room = room;
    return 0;
}

static int member(struct check *c)
{
    if (peek(c) != '"')
        return bad(c, "a member's name expected");
    if (room_for_name(c) < 0)
        return -1;
    size_t start = c->arena_used;
    if (string(c, true) < 0)
        return -1;
    c->names[c->name_count++] = (struct member_name){c->arena + start, c->arena_used - start};
    skip_space(c);
    if (peek(c) != ':')
        return bad(c, "':' expected");
    c->at++;
    return value(c);
}

/* Behind an item: 1 if another follows, 0 if the bracket closed. */
static int separator(struct check *c, int closing)
{
    skip_space(c);
    int b = peek(c);
    if (b != ',' && b != closing)
        return bad(c, closing == '}' ? "',' or '}' expected" : "',' or ']' expected");
    c->at++;
    if (b == closing)
        return 0;
    skip_space(c);
    return 1;
}

static int object(struct check *c)
{
    size_t first = c->name_count, count = 0;
    int more = 1;
    c->at++;
    skip_space(c);
    if (peek(c) == '}') {
        c->at++;
        return 0;
    }
    while (more == 1) {
        if (++count > c->limits->members)
            return bad(c, "too many members in one object");
        if (member(c) < 0 || (more = separator(c, '}')) < 0)
            return -1;
    }
    return no_duplicates(c, first);
}

static int array(struct check *c)
{
    int more = 1;
    c->at++;
    skip_space(c);
    if (peek(c) == ']') {
        c->at++;
        return 0;
    }
    while (more == 1)
        if (value(c) < 0 || (more = separator(c, ']')) < 0)
            return -1;
    return 0;
}

static int nested(struct check *c, int (*kind)(struct check *))
{
    if (c->depth == c->limits->depth)
        return bad(c, "nested too deeply");
    c->depth++;
    int rc = kind(c);
    c->depth--;
    return rc;
}

static int value(struct check *c)
{
    if (++c->values > c->limits->values)
        return bad(c, "too many values");
    skip_space(c);
    int b = peek(c);
    if (b == '{')
        return nested(c, object);
    if (b == '[')
        return nested(c, array);
    if (b == '"')
        return string(c, false);
    if (b == '-' || (b >= '0' && b <= '9'))
        return number(c);
    return word(c, b == 't' ? "true" : b == 'f' ? "false" : "null");
}

int json_check_numbers(struct bytes text, const struct json_limits *limits, struct buf *numbers,
                       struct error *err)
{
    if (text.size > limits->size)
        return fail(err, "E_TOO_LARGE", "%zu bytes of JSON where at most %zu are allowed", text.size,
                    limits->size);
    struct check c = {.text = text.data, .size = text.size, .limits = limits, .numbers = numbers, .err = err};
    int rc = value(&c);
    if (rc == 0) {
        skip_space(&c);
        if (c.at < c.size)
            rc = bad(&c, "something follows the value");
    }
    free(c.arena);
    free(c.names);
    return rc;
}

int json_check(struct bytes text, const struct json_limits *limits, struct error *err)
{
    return json_check_numbers(text, limits, NULL, err);
}
