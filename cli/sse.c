#include "cli/sse.h"

#include <stdio.h>
#include <string.h>

void sse_init(struct sse *s, bool (*on_event)(void *ctx, const char *event, const char *data), void *ctx)
{
    *s = (struct sse){.line = BUF(SSE_LINE_MAX), .data = BUF(SSE_LINE_MAX), .on_event = on_event, .ctx = ctx};
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
}

static bool dispatch(struct sse *s)
{
    bool go_on = true;
    if (s->data.size > 0) {
        s->data.data[--s->data.size] = 0; /* the last line feed */
        go_on = s->on_event(s->ctx, s->event[0] != 0 ? s->event : "message", buf_text(&s->data));
    }
    s->data.size = 0;
    s->event[0] = 0;
    return go_on;
}

static bool take_line(struct sse *s)
{
    char *line = (char *)s->line.data;
    if (s->line.size > 0 && line[s->line.size - 1] == '\r')
        line[--s->line.size] = 0;
    if (s->line.size == 0)
        return dispatch(s);
    size_t field = strcspn(line, ":");
    const char *value = line[field] == ':' ? line + field + 1 : "";
    value += *value == ' ';
    if (field == 5 && strncmp(line, "event", 5) == 0)
        snprintf(s->event, sizeof s->event, "%s", value);
    else if (field == 2 && strncmp(line, "id", 2) == 0)
        snprintf(s->id, sizeof s->id, "%s", value);
    else if (field == 4 && strncmp(line, "data", 4) == 0)
        return buf_add_text(&s->data, value, NULL) == 0 && buf_add_text(&s->data, "\n", NULL) == 0;
    return true;
}

bool sse_feed(struct sse *s, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        const uint8_t *end = memchr(bytes, '\n', size);
        size_t n = end != NULL ? (size_t)(end - bytes) : size;
        if (buf_add(&s->line, bytes, n, NULL) < 0)
            return false;
        if (end == NULL)
            return true;
        if (!take_line(s))
            return false;
        s->line.size = 0;
        if (s->line.data != NULL)
            s->line.data[0] = 0;
        bytes += n + 1;
        size -= n + 1;
    }
    return true;
}
