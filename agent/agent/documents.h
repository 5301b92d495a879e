/* Documents that were accepted, as they came, on disk: a file each, named by kind and digest. Reading one verifies it
 * again, so a changed file is never believed. Env documents stay sealed here. */
#ifndef KLY_AGENT_DOCUMENTS_H
#define KLY_AGENT_DOCUMENTS_H

#include "trust/verify.h"

/* Makes dirfd/<kind>-<digest in hex> durable. */
int documents_store(int dirfd, const struct signed_bytes *document, const uint8_t *digest, struct error *err) KLY_MUST_USE;
/* Reads it, checks type and digest and verifies it; out->payload is borrowed from keep, which must live as long. The
 * trust document is checked by its digest alone, which the journal vouches for. Returns 1 if there is no such file;
 * -1: E_READ, E_DOCUMENT and what verify() says. keys NULL for trust. */
int documents_load(int dirfd, enum document_type type, const uint8_t *digest, const struct trust_keys *keys,
                   struct envelope *keep, struct verified *out, struct error *err) KLY_MUST_USE;
void documents_remove(int dirfd, enum document_type type, const uint8_t *digest);
/* Is there any document at all? Then a missing journal was lost. */
bool documents_any(int dirfd);

#endif
