/* Env values sealed to one host and bound to server, project and version (proto/documents.md, "env"). */
#ifndef KLY_TRUST_SEAL_H
#define KLY_TRUST_SEAL_H

#include "trust/hpke.h"

#define SEAL_PLAIN_MAX (192 * 1024)
#define SEAL_CT_MAX    (SEAL_PLAIN_MAX + HPKE_TAG_SIZE)

/* plain is the JSON {"values":{…}}. Fills enc (HPKE_ENC_SIZE bytes), appends to ct. E_TOO_LARGE beyond
 * SEAL_PLAIN_MAX, E_NAME for a server or project that is none, and what hpke_seal says. */
int seal_env(const uint8_t *recipient, const char *server, const char *project, uint64_t version,
             struct bytes plain, uint8_t *enc, struct buf *ct, struct error *err) KLY_MUST_USE;
/* The other way; plain should be an AUTO_WIPE buffer. What it gives was encrypted by anyone who knows the
 * public key: check it as strictly as any other input. E_SEAL, E_KEY, E_TOO_LARGE, E_NAME. */
int unseal_env(const struct p256_key *key, const char *server, const char *project, uint64_t version,
               const uint8_t *enc, struct bytes ct, struct buf *plain, struct error *err) KLY_MUST_USE;

#endif
