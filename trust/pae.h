/* DSSE 1.0 pre-authentication encoding: what a signature of an envelope is over. */
#ifndef KLY_TRUST_PAE_H
#define KLY_TRUST_PAE_H

#include "base/buf.h"

/* SHA-256 of "DSSEv1" SP len(type) SP type SP len(payload) SP payload, lengths in decimal. The payload is
 * hashed where it lies, not copied. out takes 32 bytes. E_CRYPTO. */
int pae_digest(const char *payload_type, struct bytes payload, uint8_t *out, struct error *err) KLY_MUST_USE;
/* Appends the encoding itself, for a signer that is another program. E_TOO_LARGE. */
int pae_encode(const char *payload_type, struct bytes payload, struct buf *out, struct error *err) KLY_MUST_USE;

#endif
