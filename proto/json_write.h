/* Writes JSON text into a buffer, escaped, always valid UTF-8 (a byte that is not becomes U+FFFD). Errors
 * stick: write everything, then ask json_done once.
 *
 *     struct json_writer w = json_writer(&out, err);
 *     json_open(&w, NULL, '{'); json_put_text(&w, "type", "ack"); json_close(&w, '}');
 *     return json_done(&w);
 *
 * name is the member's name, or NULL inside an array and at the top. */
#ifndef KLY_PROTO_JSON_WRITE_H
#define KLY_PROTO_JSON_WRITE_H

#include "base/buf.h"

struct json_writer {
    struct buf *out; /* borrowed; its limit is the text's */
    struct error *err;
    size_t start; /* where this text began in out */
    bool failed;
    bool comma; /* the next value needs one before it */
};

static inline struct json_writer json_writer(struct buf *out, struct error *err)
{
    return (struct json_writer){.out = out, .err = err, .start = out->size};
}

void json_open(struct json_writer *w, const char *name, char bracket);         /* '{' or '[' */
void json_close(struct json_writer *w, char bracket);                          /* '}' or ']' */
void json_put_text(struct json_writer *w, const char *name, const char *text); /* NULL: null */
void json_put_bytes(struct json_writer *w, const char *name, struct bytes text);
void json_put_int(struct json_writer *w, const char *name, int64_t value);
void json_put_number(struct json_writer *w, const char *name,
                     uint64_t value); /* at most 2^53-1, else it fails */
void json_put_bool(struct json_writer *w, const char *name, bool value);
void json_put_null(struct json_writer *w, const char *name);
void json_put_hex(struct json_writer *w, const char *name, const void *data, size_t size);
void json_put_base64(struct json_writer *w, const char *name, const void *data, size_t size);
void json_put_time(struct json_writer *w, const char *name, int64_t wall_ms);
/* A value that is JSON already; checked by whoever made it. */
void json_put_raw(struct json_writer *w, const char *name, struct bytes json);
/* Any failure above: 0, or -1 with err as filled then (E_TOO_LARGE, E_NO_MEMORY, E_MEMBER); out is then as
 * before. */
int json_done(struct json_writer *w) KLY_MUST_USE;

#endif
