#include "proto/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "proto/json_check.h"

static void put(struct json_writer *w, const char *text, size_t size)
{
    if (!w->failed && buf_add(w->out, text, size, w->err) < 0)
        w->failed = true;
}

static void put_letters(struct json_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

/* Bytes of the UTF-8 sequence at s, or 0. The check's own decoder judges what is read; this one what is
 * written. */
static size_t sequence(const uint8_t *s, size_t left)
{
    size_t n = s[0] < 0x80                    ? 1
               : s[0] >= 0xC2 && s[0] <= 0xDF ? 2
               : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
               : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                              : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
        (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return n;
}

static void put_escaped(struct json_writer *w, uint8_t c)
{
    static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *found = c != 0 ? strchr(letters, c) : NULL;
    char text[8];
    if (found != NULL)
        snprintf(text, sizeof text, "\\%c", names[found - letters]);
    else if (c == 0)
        snprintf(text, sizeof text, "\xEF\xBF\xBD"); /* no reader of ours takes \u0000 */
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    put_letters(w, text);
}

static void put_string(struct json_writer *w, struct bytes text)
{
    put(w, "\"", 1);
    size_t plain = 0; /* start of what needs no escape */
    for (size_t i = 0; i < text.size;) {
        size_t n = sequence(text.data + i, text.size - i);
        uint8_t c = text.data[i];
        if (n > 1 || (n == 1 && c >= ' ' && c != '"' && c != '\\' && c != 0x7f)) {
            i += n;
            continue;
        }
        if (i > plain)
            put(w, (const char *)text.data + plain, i - plain);
        if (n == 0)
            put_letters(w, "\xEF\xBF\xBD");
        else
            put_escaped(w, c);
        plain = ++i;
    }
    if (text.size > plain)
        put(w, (const char *)text.data + plain, text.size - plain);
    put(w, "\"", 1);
}

static void begin(struct json_writer *w, const char *name)
{
    if (w->comma)
        put(w, ",", 1);
    w->comma = true;
    if (name == NULL)
        return;
    put_string(w, (struct bytes){(const uint8_t *)name, strlen(name)});
    put(w, ":", 1);
}

void json_open(struct json_writer *w, const char *name, char bracket)
{
    begin(w, name);
    put(w, &bracket, 1);
    w->comma = false;
}

void json_close(struct json_writer *w, char bracket)
{
    put(w, &bracket, 1);
    w->comma = true;
}

void json_put_bytes(struct json_writer *w, const char *name, struct bytes text)
{
    begin(w, name);
    put_string(w, text);
}

void json_put_text(struct json_writer *w, const char *name, const char *text)
{
    if (text == NULL)
        json_put_null(w, name);
    else
        json_put_bytes(w, name, (struct bytes){(const uint8_t *)text, strlen(text)});
}

void json_put_int(struct json_writer *w, const char *name, int64_t value)
{
    char text[24];
    if (!w->failed && (value > JSON_INTEGER_MAX || value < -JSON_INTEGER_MAX))
        w->failed = fail(w->err, "E_MEMBER", "%s: %" PRId64 " is beyond 2^53-1",
                         name != NULL ? name : "a number", value) < 0;
    begin(w, name);
    snprintf(text, sizeof text, "%" PRId64, value);
    put_letters(w, text);
}

void json_put_number(struct json_writer *w, const char *name, uint64_t value)
{
    json_put_int(w, name, value > (uint64_t)JSON_INTEGER_MAX ? INT64_MAX : (int64_t)value);
}

void json_put_bool(struct json_writer *w, const char *name, bool value)
{
    begin(w, name);
    put_letters(w, value ? "true" : "false");
}

void json_put_null(struct json_writer *w, const char *name)
{
    begin(w, name);
    put_letters(w, "null");
}

/* Encoded straight into the buffer: room counts the NUL, which the buffer keeps anyway. */
static void put_encoded(struct json_writer *w, const char *name, const void *data, size_t size, size_t room,
                        void (*encode)(const void *, size_t, char *))
{
    begin(w, name);
    put(w, "\"", 1);
    if (!w->failed && buf_reserve(w->out, room - 1, w->err) < 0)
        w->failed = true;
    if (!w->failed) {
        encode(data, size, (char *)w->out->data + w->out->size);
        w->out->size += strlen((char *)w->out->data + w->out->size);
    }
    put(w, "\"", 1);
}

void json_put_hex(struct json_writer *w, const char *name, const void *data, size_t size)
{
    put_encoded(w, name, data, size, size * 2 + 1, hex_encode);
}

void json_put_base64(struct json_writer *w, const char *name, const void *data, size_t size)
{
    put_encoded(w, name, data, size, BASE64_SIZE(size), base64_encode);
}

void json_put_time(struct json_writer *w, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(wall_ms, text);
    if (strcmp(text + 19, ".000Z") == 0)
        memcpy(text + 19, "Z", 2);
    json_put_text(w, name, text);
}

void json_put_raw(struct json_writer *w, const char *name, struct bytes json)
{
    begin(w, name);
    put(w, (const char *)json.data, json.size);
}

int json_done(struct json_writer *w)
{
    if (!w->failed)
        return 0;
    w->out->size = w->start;
    if (w->out->data != NULL)
        w->out->data[w->out->size] = 0;
    return -1;
}
