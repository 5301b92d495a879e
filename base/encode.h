/* Hex and base64 (RFC 4648), strict: canonical padding and trailing bits, no white space. */
#ifndef KLY_BASE_ENCODE_H
#define KLY_BASE_ENCODE_H

#include "base/buf.h"

/* out takes 2 * size + 1 bytes; lower case. */
void hex_encode(const void *data, size_t size, char *out);
/* Exactly size bytes from exactly 2 * size lower-case digits; 0 or -1. */
int hex_decode(const char *text, size_t length, uint8_t *out, size_t size) KLY_MUST_USE;

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
/* out takes BASE64_SIZE(size) bytes; standard alphabet, padded. */
void base64_encode(const void *data, size_t size, char *out);
/* URL-safe alphabet, no padding; same room. */
void base64url_encode(const void *data, size_t size, char *out);
/* Takes the standard and the URL-safe alphabet, but not mixed; padding may be absent only in the
 * URL-safe one. Appends to out. E_BASE64. */
int base64_decode(const char *text, size_t length, struct buf *out, struct error *err) KLY_MUST_USE;
/* Exactly size bytes; 0 or -1. */
int base64_decode_exact(const char *text, size_t length, uint8_t *out, size_t size) KLY_MUST_USE;

#endif
