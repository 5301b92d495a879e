/* Random bytes, from the kernel's getrandom(2) and nothing else: no pool of our own, no fallback. */
#ifndef KLY_TRUST_RANDOM_H
#define KLY_TRUST_RANDOM_H

#include <stddef.h>

#include "base/error.h"

/* Fills out or fails with E_RANDOM, and then out is all zero: never use it. Waits at boot until the kernel has
 * entropy. */
int random_bytes(void *out, size_t size, struct error *err) KLY_MUST_USE;

/* The same as a callback for mbedTLS; context is unused. */
int random_for_mbedtls(void *context, unsigned char *out, size_t size);

#endif
