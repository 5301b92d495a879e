/* Looks at the raw head of an HTTP/1 message before any parser does, and refuses what two parsers could read in two
 * ways (RFC 9112 sections 2.2, 5, 6; request smuggling). Pure. */
#ifndef KLY_NET_HTTP_HEAD_GUARD_H
#define KLY_NET_HTTP_HEAD_GUARD_H

#include <stddef.h>

#include "base/error.h"

#define HTTP_HEAD_MAX    16384 /* bytes, blank line included */
#define HTTP_HEADERS_MAX 64

enum head_kind { HEAD_REQUEST, HEAD_RESPONSE };

/* Size of the head (blank line included) once it is complete and good; 0: more bytes are needed; -1: refused with
 * E_HTTP_HEAD (shape), E_HTTP_HEAD_SIZE, E_HTTP_METHOD, E_HTTP_VERSION, E_HTTP_HOST or E_HTTP_LENGTH (body framing).
 *
 * Demanded: CRLF line ends only, no folded lines, no control bytes (tab in values aside), a token before each colon and
 * nothing between, at most 64 headers, HTTP/1.0 or 1.1, a method of GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT, a target of
 * visible ASCII, exactly one Host in a request (none is fine in 1.0), Content-Length at most once and digits only,
 * Transfer-Encoding at most once, exactly "chunked", in 1.1 only, never both. */
int head_guard(const char *data, size_t size, enum head_kind kind, struct error *err) KLY_MUST_USE;

#endif
