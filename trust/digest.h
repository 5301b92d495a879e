/* SHA-256, HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869). */
#ifndef KLY_TRUST_DIGEST_H
#define KLY_TRUST_DIGEST_H

#include <mbedtls/sha256.h>

#include "base/buf.h"

#define DIGEST_SIZE      32
#define DIGEST_TEXT_SIZE 65 /* lower-case hex and a NUL */

/* A digest that grows. Begin, add any number of times, end once (also to give up). Adding nothing is allowed.
 * A failure of the library on the way is remembered and reported by digest_end. */
struct digest {
    mbedtls_sha256_context sha;
    int failed;
};

void digest_begin(struct digest *d);
void digest_add(struct digest *d, const void *data, size_t size);
/* Fills out (DIGEST_SIZE bytes) and releases d. E_CRYPTO. */
int digest_end(struct digest *d, uint8_t *out, struct error *err) KLY_MUST_USE;

/* In one go. E_CRYPTO. */
int digest_of(const void *data, size_t size, uint8_t *out, struct error *err) KLY_MUST_USE;
/* HMAC-SHA256 over message; out takes DIGEST_SIZE bytes. Compare with equal_secret(). E_CRYPTO. */
int digest_hmac(struct bytes key, struct bytes message, uint8_t *out, struct error *err) KLY_MUST_USE;

/* HKDF's two steps. An empty salt is DIGEST_SIZE zeros, as RFC 5869 says. out of extract: DIGEST_SIZE bytes;
 * prk has DIGEST_SIZE bytes; size of expand is at most 255 * DIGEST_SIZE (E_TOO_LARGE). E_CRYPTO. */
int hkdf_extract(struct bytes salt, struct bytes secret, uint8_t *prk, struct error *err) KLY_MUST_USE;
int hkdf_expand(const uint8_t *prk, struct bytes info, uint8_t *out, size_t size,
                struct error *err) KLY_MUST_USE;

#endif
