/* Inside net/http: one message as it comes in, whoever sends it. Pure: bytes in, head and body out. */
#ifndef KLY_NET_HTTP_HTTP_MESSAGE_H
#define KLY_NET_HTTP_HTTP_MESSAGE_H

#include <llhttp.h>

#include "net/http/http.h"

#define HTTP_EXTRA_MAX 8192 /* bytes of chunk extensions and trailers together; they are dropped */

enum http_progress { HTTP_MORE, HTTP_HEAD_READ, HTTP_COMPLETE };

struct http_message {
    enum head_kind kind;
    bool head_read, complete;
    bool no_body; /* the answer to HEAD: set it before the head comes */
    struct http_head head;
    struct buf raw; /* the head while it is incomplete */
    llhttp_t parser;
    size_t extra;
    /* Body bytes as they come; -1 with *err to refuse more. */
    int (*on_body)(void *ctx, const uint8_t *data, size_t size, struct error *err);
    void *ctx;
    struct error *err; /* during a feed */
};

void http_message_init(struct http_message *m, enum head_kind kind);
void http_message_free(struct http_message *m);
/* Takes bytes and says in *used how many. HTTP_HEAD_READ comes once and before any body byte is taken; feed the rest
 * again (size 0 is fine). HTTP_COMPLETE: what is left belongs to the next message. -1: E_HTTP_*. */
int http_message_feed(struct http_message *m, const uint8_t *data, size_t size, size_t *used, struct error *err) KLY_MUST_USE;
/* The peer has ended: fine only for a response that lasts until then. 0 or -1 with E_HTTP_CUT. */
int http_message_end(struct http_message *m, struct error *err) KLY_MUST_USE;

#endif
