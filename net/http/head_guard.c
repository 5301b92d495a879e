#include "net/http/head_guard.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define CODE_SHAPE  "E_HTTP_HEAD"
#define LENGTH_MAX  15 /* digits: a petabyte short of trouble with 64 bits */

/* One line without its CRLF. */
struct line {
    const char *text;
    size_t size;
};

struct seen {
    unsigned hosts, lengths, encodings, headers;
    int minor;
};

static bool is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool line_is(struct line l, const char *text)
{
    return l.size == strlen(text) && strncasecmp(l.text, text, l.size) == 0;
}

/* The next line from *at; 1, 0 (no end yet), or -1. Refuses control bytes as soon as they are there. */
static int next_line(const char *data, size_t size, size_t *at, struct line *out, struct error *err)
{
    for (size_t i = *at; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '\r') {
            if (i + 1 == size)
                return 0;
            if (data[i + 1] != '\n')
                return fail(err, CODE_SHAPE, "a CR without its LF in the head");
            *out = (struct line){data + *at, i - *at};
            *at = i + 2;
            return 1;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return fail(err, CODE_SHAPE, "a control byte (0x%02x) in the head", c);
    }
    return 0;
}

/* ---- First line ------------------------------------------------------------------------------------------------- */

static int check_version(struct line l, struct seen *seen, struct error *err)
{
    if (l.size != 8 || memcmp(l.text, "HTTP/1.", 7) != 0 || (l.text[7] != '0' && l.text[7] != '1'))
        return fail(err, "E_HTTP_VERSION", "the version is neither HTTP/1.1 nor HTTP/1.0");
    seen->minor = l.text[7] - '0';
    return 0;
}

static int check_target(struct line method, struct line target, struct error *err)
{
    for (size_t i = 0; i < target.size; i++)
        if (target.text[i] <= 0x20 || target.text[i] >= 0x7f || target.text[i] == '#')
            return fail(err, CODE_SHAPE, "a byte in the target that does not belong there");
    bool connect = line_is(method, "CONNECT");
    if (target.size == 0 || (!connect && target.text[0] != '/' && !(line_is(method, "OPTIONS") && line_is(target, "*"))))
        return fail(err, CODE_SHAPE, "the target is no path");
    if (connect && memchr(target.text, '/', target.size) != NULL)
        return fail(err, CODE_SHAPE, "the target of CONNECT is host:port");
    return 0;
}

static int check_method(struct line l, struct error *err)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (l.size == strlen(methods[i]) && memcmp(l.text, methods[i], l.size) == 0)
            return 0;
    return fail(err, "E_HTTP_METHOD", "a method that is not spoken here");
}

static int check_request_line(struct line l, struct seen *seen, struct error *err)
{
    const char *space = memchr(l.text, ' ', l.size);
    if (space == NULL)
        return fail(err, CODE_SHAPE, "no request line");
    struct line method = {l.text, (size_t)(space - l.text)};
    struct line rest = {space + 1, l.size - method.size - 1};
    const char *second = memchr(rest.text, ' ', rest.size);
    if (second == NULL)
        return fail(err, "E_HTTP_VERSION", "no version in the request line");
    struct line target = {rest.text, (size_t)(second - rest.text)};
    struct line version = {second + 1, rest.size - target.size - 1};
    if (check_method(method, err) < 0 || check_target(method, target, err) < 0)
        return -1;
    return check_version(version, seen, err);
}

static int check_status_line(struct line l, struct seen *seen, struct error *err)
{
    if (l.size < 12 || l.text[8] != ' ')
        return fail(err, CODE_SHAPE, "no status line");
    if (check_version((struct line){l.text, 8}, seen, err) < 0)
        return -1;
    const char *code = l.text + 9;
    if (code[0] < '1' || code[0] > '5' || !is_digit(code[1]) || !is_digit(code[2]) || (l.size > 12 && l.text[12] != ' '))
        return fail(err, CODE_SHAPE, "no status of three digits");
    return 0;
}

/* ---- Header lines ----------------------------------------------------------------------------------------------- */

static struct line trim(struct line l)
{
    while (l.size > 0 && (l.text[0] == ' ' || l.text[0] == '\t')) {
        l.text++;
        l.size--;
    }
    while (l.size > 0 && (l.text[l.size - 1] == ' ' || l.text[l.size - 1] == '\t'))
        l.size--;
    return l;
}

static int check_host(struct line value, struct seen *seen, struct error *err)
{
    if (++seen->hosts > 1)
        return fail(err, "E_HTTP_HOST", "more than one Host");
    if (value.size == 0)
        return fail(err, "E_HTTP_HOST", "an empty Host");
    for (size_t i = 0; i < value.size; i++) {
        char c = value.text[i];
        if (!(is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr(".-_:[]", c) != NULL) || c == 0)
            return fail(err, "E_HTTP_HOST", "a byte in Host that does not belong there");
    }
    return 0;
}

static int check_length(struct line value, struct seen *seen, struct error *err)
{
    if (++seen->lengths > 1)
        return fail(err, "E_HTTP_LENGTH", "more than one Content-Length");
    bool good = value.size > 0 && value.size <= LENGTH_MAX;
    for (size_t i = 0; i < value.size && good; i++)
        good = is_digit(value.text[i]);
    return good ? 0 : fail(err, "E_HTTP_LENGTH", "Content-Length is not a plain number");
}

static int check_encoding(struct line value, struct seen *seen, struct error *err)
{
    if (++seen->encodings > 1)
        return fail(err, "E_HTTP_LENGTH", "more than one Transfer-Encoding");
    if (value.size != 7 || memcmp(value.text, "chunked", 7) != 0)
        return fail(err, "E_HTTP_LENGTH", "a Transfer-Encoding other than chunked");
    return 0;
}

static int check_header(struct line l, enum head_kind kind, struct seen *seen, struct error *err)
{
    if (++seen->headers > HTTP_HEADERS_MAX)
        return fail(err, "E_HTTP_HEAD_SIZE", "more than %d headers", HTTP_HEADERS_MAX);
    if (l.text[0] == ' ' || l.text[0] == '\t')
        return fail(err, CODE_SHAPE, "a folded header line");
    struct line name = {l.text, 0};
    while (name.size < l.size && is_token_char((unsigned char)l.text[name.size]))
        name.size++;
    if (name.size == 0 || name.size == l.size || l.text[name.size] != ':')
        return fail(err, CODE_SHAPE, "a header line without a clean name and colon");
    struct line value = trim((struct line){l.text + name.size + 1, l.size - name.size - 1});
    if (kind == HEAD_REQUEST && line_is(name, "Host"))
        return check_host(value, seen, err);
    if (line_is(name, "Content-Length"))
        return check_length(value, seen, err);
    if (line_is(name, "Transfer-Encoding"))
        return check_encoding(value, seen, err);
    return 0;
}

static int check_together(enum head_kind kind, const struct seen *seen, struct error *err)
{
    if (seen->lengths > 0 && seen->encodings > 0)
        return fail(err, "E_HTTP_LENGTH", "both Content-Length and Transfer-Encoding");
    if (seen->encodings > 0 && seen->minor == 0)
        return fail(err, "E_HTTP_LENGTH", "Transfer-Encoding in HTTP/1.0");
    if (kind == HEAD_REQUEST && seen->minor == 1 && seen->hosts == 0)
        return fail(err, "E_HTTP_HOST", "no Host");
    return 0;
}

static int wait_for_more(size_t size, struct error *err)
{
    if (size >= HTTP_HEAD_MAX)
        return fail(err, "E_HTTP_HEAD_SIZE", "the head is larger than %d bytes", HTTP_HEAD_MAX);
    return 0;
}

int head_guard(const char *data, size_t size, enum head_kind kind, struct error *err)
{
    struct seen seen = {0};
    struct line l;
    size_t at = 0;
    size_t limit = size < HTTP_HEAD_MAX ? size : HTTP_HEAD_MAX;
    int r = next_line(data, limit, &at, &l, err);
    if (r <= 0)
        return r < 0 ? -1 : wait_for_more(size, err);
    if ((kind == HEAD_REQUEST ? check_request_line(l, &seen, err) : check_status_line(l, &seen, err)) < 0)
        return -1;
    for (;;) {
        r = next_line(data, limit, &at, &l, err);
        if (r <= 0)
            return r < 0 ? -1 : wait_for_more(size, err);
        if (l.size == 0)
            return check_together(kind, &seen, err) < 0 ? -1 : (int)at;
        if (check_header(l, kind, &seen, err) < 0)
            return -1;
    }
}
