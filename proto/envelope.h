/* DSSE envelopes (documents.md, "Envelope"): taken apart and put together. Nothing here is verified. */
#ifndef KLY_PROTO_ENVELOPE_H
#define KLY_PROTO_ENVELOPE_H

#include "proto/json_write.h"
#include "proto/verified.h"

#define ENVELOPE_MAX            (384 * 1024)
#define PAYLOAD_MAX             (256 * 1024)
#define ENVELOPE_SIGNATURES_MAX 8

struct envelope_signature {
    bool has_keyid; /* false: absent, or not 64 lower-case hex digits; it is a hint only */
    bool malformed; /* sig is not base64 of 64 bytes: never counts, and harms no other */
    uint8_t keyid[32];
    uint8_t sig[64]; /* r, s */
};

struct envelope {
    enum document_type type;
    struct buf payload; /* owned: envelope_free */
    struct envelope_signature signatures[ENVELOPE_SIGNATURES_MAX];
    size_t signature_count; /* 1 to ENVELOPE_SIGNATURES_MAX when decoded */
};

/* E_JSON, E_TOO_LARGE, E_ENVELOPE (a member is missing or wrong), E_TYPE (unknown payload type). On failure
 * nothing is owned. The payload's base64 may be in the standard or the URL-safe alphabet, padded, without white
 * space or stray bits. */
int envelope_decode(struct bytes text, struct envelope *out, struct error *err) KLY_MUST_USE;
/* Appends the JSON text; standard base64. E_TOO_LARGE, E_ENVELOPE. */
int envelope_encode(const struct envelope *e, struct buf *out, struct error *err) KLY_MUST_USE;
void envelope_free(struct envelope *e);
#define AUTO_ENVELOPE __attribute__((cleanup(envelope_free)))

/* "application/vnd.klystrr.trust.v1+json", and back (exact bytes; E_TYPE). */
const char *document_payload_type(enum document_type type);
int document_type_of(const char *payload_type, enum document_type *out, struct error *err) KLY_MUST_USE;
/* "trust", "manifest", "env", "order". */
const char *document_type_name(enum document_type type);

#endif
