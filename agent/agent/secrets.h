/* The seal key, and env values while they are needed: on disk they lie only sealed. */
#ifndef KLY_AGENT_SECRETS_H
#define KLY_AGENT_SECRETS_H

#include "proto/env_doc.h"
#include "trust/p256.h"

/* Reads dirfd/seal.key (private to this user), or makes it once. E_PERM, E_KEY, E_WRITE. */
int secrets_key(int dirfd, struct p256_key *out, struct error *err) KLY_MUST_USE;
/* Opens what is sealed to this host, server and project. No error text holds a value. Free with env_values_free. */
int secrets_open(const struct p256_key *key, const struct env_doc *doc, struct env_values *out, struct error *err) KLY_MUST_USE;
/* Replaces every value (and every line of 6 bytes or more of one) in a sentence by "[MASKED]"; for texts that quote
 * what another program said. */
void secrets_mask_text(const struct env_values *values, char *text, size_t room);

#endif
