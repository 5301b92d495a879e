/* Who signed these bytes, and may they say this? The only place where a `struct verified` is made.
 *
 * The uplink takes envelopes apart; what arrives here is a type, payload bytes and signatures. The signatures
 * are checked over the bytes before a character of the payload is parsed. */
#ifndef KLY_TRUST_VERIFY_H
#define KLY_TRUST_VERIFY_H

#include "proto/envelope.h"
#include "proto/trust_doc.h"
#include "proto/verified.h"

#define TRUST_ROLE_KEYS_MAX 8

/* A role is filled when at least `threshold` different keys of it have signed. */
struct trust_role {
    struct trust_key keys[TRUST_ROLE_KEYS_MAX];
    size_t count;
    size_t threshold; /* 1 to count; 0: nobody can fill this role */
};

/* The pinned keys of a host. All zero: none yet, nothing verifies. */
struct trust_keys {
    struct trust_role roles[ROLE_COUNT]; /* by enum role */
};

struct signed_bytes {
    enum document_type type; /* whatever the sender claims; it is part of what is signed */
    struct bytes payload;
    const struct envelope_signature *signatures;
    size_t signature_count;
};

/* An envelope that was taken apart, for verify(); borrows from it. */
static inline struct signed_bytes signed_bytes_of(const struct envelope *e)
{
    return (struct signed_bytes){e->type, buf_view(&e->payload), e->signatures, e->signature_count};
}

/* The keys that a trust document names. E_KEY (a point off the curve), E_TRUST_ROLES (one key in two roles),
 * E_TRUST_KEYID (a key under another's name). out is filled only on success. */
int trust_keys_of(const struct trust_doc *doc, struct trust_keys *out, struct error *err) KLY_MUST_USE;

/* 0 and *out (which borrows input's payload) if a role that may sign this type has. A keyid is only a hint; a
 * key counts once; signatures that are malformed, by strangers or doubled are harmless. For `env`, out->role
 * says whether the manifest role signed (it goes first if both did). A `trust` document must be signed by the
 * current root and by the root it names itself; that its version rises is for the caller to check. E_TYPE,
 * E_TOO_LARGE, E_SIG_THRESHOLD, for `trust` also what trust_doc_decode and trust_keys_of say, E_CRYPTO. */
int verify(const struct trust_keys *keys, const struct signed_bytes *input, struct verified *out,
           struct error *err) KLY_MUST_USE;

/* The first trust document of a host: its digest must be the 32 bytes of the pin that came with enrolment, its
 * version 1, and the root key it names must have signed it. E_TYPE, E_TRUST_PIN, E_TRUST_VERSION and as
 * verify(). */
int verify_trust_first(const uint8_t *pin, const struct signed_bytes *input, struct verified *out,
                       struct error *err) KLY_MUST_USE;

#endif
