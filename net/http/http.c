#include "net/http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Looking things up ------------------------------------------------------------------------------------------ */

const char *http_header(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

static bool list_has(const char *list, const char *token)
{
    size_t size = strlen(token);
    while (*list != 0) {
        list += strspn(list, " \t,");
        size_t part = strcspn(list, ",");
        size_t used = part;
        while (used > 0 && (list[used - 1] == ' ' || list[used - 1] == '\t'))
            used--;
        if (used == size && strncasecmp(list, token, size) == 0)
            return true;
        list += part;
    }
    return false;
}

bool http_header_has(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (strcasecmp(head->headers[i].name, name) == 0 && list_has(head->headers[i].value, token))
            return true;
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes size bytes into out (size + 1 bytes are always enough); the length, or -1 (malformed, or a NUL). */
static int unescape(const char *in, size_t size, bool plus, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        char c = in[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_digit(in[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(in[i + 2]) : -1;
            if (low < 0 || high * 16 + low == 0)
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = 0;
    return (int)n;
}

int http_query(const char *query, const char *key, char *out, size_t room)
{
    size_t key_size = strlen(key);
    for (const char *at = query; *at != 0;) {
        size_t part = strcspn(at, "&");
        if (part > key_size && strncmp(at, key, key_size) == 0 && at[key_size] == '=') {
            size_t size = part - key_size - 1;
            return size < room ? unescape(at + key_size + 1, size, true, out) : -1;
        }
        at += part;
        at += *at == '&';
    }
    return -1;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {100, "Continue"}, {101, "Switching Protocols"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
        {206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"}, {304, "Not Modified"},
        {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
        {406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"}, {411, "Length Required"},
        {412, "Precondition Failed"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
        {421, "Misdirected Request"}, {422, "Unprocessable Content"}, {426, "Upgrade Required"}, {428, "Precondition Required"},
        {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
        {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

/* ---- Reading a head that the guard has accepted ------------------------------------------------------------------- */

static char *end_of_line(char *at)
{
    char *end = strstr(at, "\r\n"); /* there is one: the guard saw it, and no NUL */
    *end = 0;
    return end + 2;
}

static int read_target(struct http_head *head, char *room, struct error *err)
{
    const char *question = strchr(head->target, '?');
    size_t size = question != NULL ? (size_t)(question - head->target) : strlen(head->target);
    head->query = question != NULL ? question + 1 : "";
    head->path = "";
    if (strcmp(head->method, "CONNECT") == 0)
        return 0;
    if (unescape(head->target, size, false, room) < 0)
        return fail(err, "E_HTTP_HEAD", "a malformed %%-escape in the target");
    head->path = room;
    return 0;
}

static int read_first_line(struct http_head *head, enum head_kind kind, char *line, char *room, struct error *err)
{
    if (kind == HEAD_RESPONSE) {
        head->minor = line[7] - '0';
        head->status = atoi(line + 9);
        head->method = head->target = head->path = head->query = "";
        return 0;
    }
    head->method = line;
    line = strchr(line, ' ');
    *line++ = 0;
    head->target = line;
    line = strchr(line, ' ');
    *line++ = 0;
    head->minor = line[7] - '0';
    return read_target(head, room, err);
}

static void read_header(struct http_header *header, char *line)
{
    char *value = strchr(line, ':');
    *value++ = 0;
    value += strspn(value, " \t");
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        value[--size] = 0;
    *header = (struct http_header){line, value};
}

int http_head_read(struct http_head *head, enum head_kind kind, const char *data, size_t size, struct error *err)
{
    *head = (struct http_head){.text = malloc(2 * size + 2)}; /* the head, and the decoded path, which is shorter */
    if (head->text == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for an HTTP head");
    memcpy(head->text, data, size);
    head->text[size] = 0;
    char *line = head->text, *next = end_of_line(line);
    int r = read_first_line(head, kind, line, head->text + size + 1, err);
    for (line = next; r == 0; line = next) {
        next = end_of_line(line);
        if (*line == 0)
            break;
        read_header(&head->headers[head->header_count++], line);
    }
    if (r < 0)
        http_head_free(head);
    return r;
}

void http_head_free(struct http_head *head)
{
    free(head->text);
    *head = (struct http_head){0};
}

/* ---- Writing ------------------------------------------------------------------------------------------------------ */

int http_add_header(struct buf *out, const char *name, const char *value, struct error *err)
{
    bool good = name[0] != 0 && name[strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == 0;
    for (const char *c = value; *c != 0 && good; c++)
        good = (unsigned char)*c >= 0x20 && *c != 0x7f;
    if (!good)
        return fail(err, "E_HTTP_HEADER", "a header that cannot be sent: %.40s", name);
    return buf_addf(out, err, "%s: %s\r\n", name, value);
}
