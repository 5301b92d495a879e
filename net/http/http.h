/* HTTP/1.1 messages: what server and client share. Heads pass head_guard, then llhttp in strict mode. */
#ifndef KLY_NET_HTTP_HTTP_H
#define KLY_NET_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/http/head_guard.h"

struct http_header {
    const char *name; /* as sent; compare without case */
    const char *value;
};

/* A received head. All texts live as long as the exchange or the client it came from. */
struct http_head {
    const char *method; /* requests: "GET" … */
    const char *target; /* as sent: "/a%20b?x=1" */
    const char *path;   /* before '?', percent-decoded; never with NUL; "" for CONNECT */
    const char *query;  /* after '?', as sent, or "" */
    int status;         /* responses: 100 to 599 */
    int minor;          /* HTTP/1.minor */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    char *text; /* what the pointers point into; owned by the exchange or client */
};

/* The first header of that name (case-insensitive), or NULL. */
const char *http_header(const struct http_head *head, const char *name);
/* Is token an element of the comma-separated header (case-insensitive)? */
bool http_header_has(const struct http_head *head, const char *name, const char *token);
/* The decoded value of key in a query ("a=1&b=x%20y", '+' is a space) into out: its length, or -1 if missing, malformed or
 * longer than room - 1. */
int http_query(const char *query, const char *key, char *out, size_t room);
const char *http_reason(int status);

/* ---- Inside the module ------------------------------------------------------------------------------------- */

/* Reads one head that head_guard accepted (exactly its bytes). E_HTTP_HEAD, E_NO_MEMORY. */
int http_head_read(struct http_head *head, enum head_kind kind, const char *data, size_t size, struct error *err) KLY_MUST_USE;
void http_head_free(struct http_head *head);
/* Appends "Name: value\r\n"; refuses (E_HTTP_HEADER) names that are no tokens and values with control bytes. */
int http_add_header(struct buf *out, const char *name, const char *value, struct error *err) KLY_MUST_USE;

#endif
