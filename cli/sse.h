/* Server-Sent Events, read piece by piece (WHATWG HTML, section 9.2). */
#ifndef KLY_CLI_SSE_H
#define KLY_CLI_SSE_H

#include "base/buf.h"

#define SSE_LINE_MAX (512u * 1024u)

struct sse {
    struct buf line, data;
    char event[32], id[64];
    bool (*on_event)(void *ctx, const char *event, const char *data);
    void *ctx;
};
void sse_init(struct sse *s, bool (*on_event)(void *ctx, const char *event, const char *data), void *ctx);
bool sse_feed(struct sse *s, const uint8_t *bytes, size_t size); /* false: on_event said stop, or a line was too long */
void sse_free(struct sse *s);

#endif
