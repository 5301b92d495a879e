/* Turns masked output into lines of the log: `2026-11-22T00:41:54.123Z build out │ text`. What is shown is text and
 * colours (SGR sequences); everything that could move a cursor, hide or reorder text is shown as what it is: control
 * bytes and bytes that are no UTF-8 as \xNN, invisible and bidirectional controls as \uNNNN. Tabs stay. A carriage return
 * before other text starts the line over, as on a terminal; of such rewrites one a second is kept, and the last. A
 * line is at most SCRIBE_LINE_MAX bytes of text; the rest is counted, not shown. Colours end with their line. */
#ifndef KLY_SCRIBE_STAMP_H
#define KLY_SCRIBE_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define STAMP_LINE_MAX    8192u /* bytes of text; escapes that were made visible count as shown */
#define STAMP_REWRITE_MS  1000
#define STAMP_PENDING_MAX 64u

/* One stamped line, with its '\n'. 0, or -1 with err. */
typedef int (*stamp_sink)(void *context, const uint8_t *line, size_t size, struct error *err);

/* Zero-initialise, then stamp_open. Owns `line`: stamp_free. */
struct stamp {
    char tag[32]; /* "build out" */
    stamp_sink sink;
    void *context;
    struct buf line;         /* the text so far */
    int64_t began_ms;        /* when its first byte came */
    int64_t rewritten_ms;    /* when a rewrite was kept last */
    uint64_t lines;          /* given out */
    uint64_t cut;            /* bytes beyond the limit */
    uint8_t pending[STAMP_PENDING_MAX]; /* an escape sequence or a letter that is not complete */
    size_t pending_size;
    bool begun, returned, coloured;
};

/* stream: "out" or "err". Borrows context. */
void stamp_open(struct stamp *stamp, const char *phase, const char *stream, stamp_sink sink, void *context);
/* now_ms: wall clock, milliseconds since 1970. Errors are the sink's, and E_NO_MEMORY. */
int stamp_write(struct stamp *stamp, const void *data, size_t size, int64_t now_ms, struct error *err) KLY_MUST_USE;
/* Gives out a line that has no end yet. */
int stamp_finish(struct stamp *stamp, int64_t now_ms, struct error *err) KLY_MUST_USE;
void stamp_free(struct stamp *stamp);

#endif
