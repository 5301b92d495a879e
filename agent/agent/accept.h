/* May this document be believed, and this order run? Checks in the order of proto/documents.md: signature, type, target,
 * challenge, sequence, digests, policy. The first that fails is the error, and nothing has changed by then. What is
 * accepted is durable, document first and journal then, before accept_document returns. */
#ifndef KLY_AGENT_ACCEPT_H
#define KLY_AGENT_ACCEPT_H

#include "agent/agent/documents.h"
#include "agent/agent/journal.h"
#include "agent/agent/policy.h"
#include "proto/env_doc.h"
#include "trust/p256.h"

#define CHALLENGES_MAX     8
#define CHALLENGE_AGE_MS   (10 * 60 * 1000)
#define VERSION_JUMP_MAX   1000000u

struct challenge {
    uint8_t bytes[CHALLENGE_SIZE];
    int64_t made_ms; /* CLOCK_BOOTTIME */
};

struct acceptor {
    char server[ID_TEXT_SIZE];
    uint8_t pin[32];
    int dirfd;               /* where documents lie; borrowed */
    struct journal *journal; /* borrowed */
    const struct policy *policy; /* borrowed */
    struct p256_key seal;
    struct trust_keys keys;  /* all zero until a trust document was accepted */
    struct challenge challenges[CHALLENGES_MAX]; /* a ring; newest is challenge_at */
    unsigned challenge_at;
};

struct accept_now {
    int64_t wall_ms, boot_ms;
};

enum accept_result {
    ACCEPT_REFUSED = -1,
    ACCEPT_KNOWN,  /* had it already */
    ACCEPT_STORED, /* trust, manifest or env: new here */
    ACCEPT_ORDER,  /* out->order is to be carried out; its sequence is used up */
    ACCEPT_WANT    /* an order that names a document that is not here: ask for it, then try again */
};

struct accepted {
    char project[NAME_PROJECT_MAX + 1]; /* "" for trust, and until it is known */
    uint8_t digest[32];                 /* of the document */
    struct order order;
    enum document_type want_type;
    uint8_t want[32];
};

/* Loads the keys of the trust document that the journal names. */
int accept_load(struct acceptor *a, struct error *err) KLY_MUST_USE;
/* A new challenge; older ones stay good for their time. */
int accept_challenge(struct acceptor *a, int64_t boot_ms, struct error *err) KLY_MUST_USE;
enum accept_result accept_document(struct acceptor *a, const struct signed_bytes *document, const struct accept_now *now,
                                   struct accepted *out, struct error *err) KLY_MUST_USE;

/* A manifest or env that was accepted, from disk, verified again. 1: it is not there. */
int accept_manifest(struct acceptor *a, const uint8_t *digest, struct manifest *out, struct error *err) KLY_MUST_USE;
/* *signed_by_owner (may be NULL): the manifest role signed it. */
int accept_env(struct acceptor *a, const uint8_t *digest, struct env_doc *out, bool *signed_by_owner,
               struct error *err) KLY_MUST_USE;
/* Do manifest and env (by digest; all zero: none) go together on this host, for this project? Fills values.
 * E_DIGESTS, E_ENV_SIGNED, E_ENV_VERSION, E_ENV_MISSING. */
int accept_pair(struct acceptor *a, const struct manifest *m, const uint8_t *env, struct env_values *values,
                struct error *err) KLY_MUST_USE;

#endif
