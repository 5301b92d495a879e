#include "base/encode.h"

#include <string.h>

void hex_encode(const void *data, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    for (size_t i = 0; i < size; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(const char *text, size_t length, uint8_t *out, size_t size)
{
    if (length != size * 2)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode_with(const char *letters, bool pad, const uint8_t *in, size_t size, char *out)
{
    size_t i = 0;
    for (; i + 2 < size; i += 3) {
        unsigned v = (unsigned)in[i] << 16 | (unsigned)in[i + 1] << 8 | in[i + 2];
        *out++ = letters[v >> 18];
        *out++ = letters[v >> 12 & 63];
        *out++ = letters[v >> 6 & 63];
        *out++ = letters[v & 63];
    }
    if (i < size) {
        unsigned v = (unsigned)in[i] << 16 | (i + 1 < size ? (unsigned)in[i + 1] << 8 : 0);
        *out++ = letters[v >> 18];
        *out++ = letters[v >> 12 & 63];
        if (i + 1 < size)
            *out++ = letters[v >> 6 & 63];
        else if (pad)
            *out++ = '=';
        if (pad)
            *out++ = '=';
    }
    *out = 0;
}

void base64_encode(const void *data, size_t size, char *out)
{
    encode_with(alphabet, true, data, size, out);
}

void base64url_encode(const void *data, size_t size, char *out)
{
    encode_with(alphabet_url, false, data, size, out);
}

static int letter_value(char c, bool *standard, bool *url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '/') {
        *standard = true;
        return c == '+' ? 62 : 63;
    }
    if (c == '-' || c == '_') {
        *url = true;
        return c == '-' ? 62 : 63;
    }
    return -1;
}

int base64_decode(const char *text, size_t length, struct buf *out, struct error *err)
{
    size_t letters = length, pads = 0;
    while (letters > 0 && text[letters - 1] == '=' && pads < 2) {
        letters--;
        pads++;
    }
    bool standard = false, url = false;
    if (letters % 4 == 1 || (pads > 0 && length % 4 != 0))
        return fail(err, "E_BASE64", "%zu characters are no whole base64", length);
    if (buf_reserve(out, letters / 4 * 3 + 2, err) < 0 && buf_reserve(out, letters * 3 / 4, err) < 0)
        return -1;
    size_t start = out->size;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < letters; i++) {
        int value = letter_value(text[i], &standard, &url);
        if (value < 0) {
            out->size = start;
            return fail(err, "E_BASE64", "character %zu is not base64", i + 1);
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out->data[out->size++] = (uint8_t)(bits >> held);
        }
    }
    out->data[out->size] = 0;
    bool stray = held > 0 && (bits & ((1u << held) - 1)) != 0;
    bool unpadded = pads == 0 && letters % 4 != 0;
    if (stray || (standard && url) || (unpadded && standard)) {
        out->size = start;
        return fail(err, "E_BASE64", "%s", stray ? "bits are left over at the end" : "alphabets are mixed or padding is missing");
    }
    return 0;
}

int base64_decode_exact(const char *text, size_t length, uint8_t *out, size_t size)
{
    AUTO_WIPE struct buf b = BUF(size + 3);
    if (length > BASE64_SIZE(size) || base64_decode(text, length, &b, NULL) < 0 || b.size != size)
        return -1;
    memcpy(out, b.data, size);
    return 0;
}
