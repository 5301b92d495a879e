/* Signing: payload bytes to an envelope. For the owner's tools and the plane; a host never signs documents. */
#ifndef KLY_TRUST_SIGN_H
#define KLY_TRUST_SIGN_H

#include "proto/envelope.h"
#include "trust/p256.h"

/* One signature over the payload as a document of this type, with the key's id as hint. E_TYPE, E_CRYPTO,
 * E_KEY. */
int sign_payload(const struct p256_key *key, enum document_type type, struct bytes payload,
                 struct envelope_signature *out, struct error *err) KLY_MUST_USE;
/* Appends the envelope's JSON, signed by count (1 to ENVELOPE_SIGNATURES_MAX) keys. E_TOO_LARGE, E_ENVELOPE and
 * as above. */
int sign_document(const struct p256_key *const *keys, size_t count, enum document_type type,
                  struct bytes payload, struct buf *out, struct error *err) KLY_MUST_USE;
/* For keys that live elsewhere: the bytes to sign (give them to openssl, a KMS, a token), and the DER signature
 * that came back, checked against the public key, as one for an envelope. E_SIG if it is not this key's over
 * these bytes. */
int sign_preimage(enum document_type type, struct bytes payload, struct buf *out,
                  struct error *err) KLY_MUST_USE;
int sign_import(const uint8_t *point, enum document_type type, struct bytes payload, struct bytes der,
                struct envelope_signature *out, struct error *err) KLY_MUST_USE;

#endif
