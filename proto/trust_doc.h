/* The document `trust` (documents.md): the plane and the keys of each role. */
#ifndef KLY_PROTO_TRUST_DOC_H
#define KLY_PROTO_TRUST_DOC_H

#include "proto/order.h"
#include "proto/url.h"

#define TRUST_URLS_MAX  4
#define TRUST_HOSTS_MAX 256
#define TRUST_KEYS_MAX  16 /* listed; three are used */

struct trust_key {
    uint8_t keyid[32]; /* as the document says: compare with p256_keyid(point) before use */
    uint8_t point[65]; /* whether it lies on the curve is for trust/ to say */
};
struct trust_host {
    char server[ID_TEXT_SIZE];
    uint8_t seal[65];
};
struct trust_doc {
    uint64_t version;        /* 1 to 2^53-1 */
    int64_t issued, expires; /* ms */
    char plane[33];          /* id: 32 hex */
    char urls[TRUST_URLS_MAX][URL_PLANE_MAX + 1];
    size_t url_count;                   /* 1 to TRUST_URLS_MAX */
    uint8_t ca[32];                     /* SHA-256 of the CA certificate's DER */
    struct trust_key roles[ROLE_COUNT]; /* by enum role: one key each, all different */
    struct trust_host *hosts;           /* owned when decoded */
    size_t host_count;                  /* 0 to TRUST_HOSTS_MAX, no server twice */
};

/* E_TYPE, E_JSON, E_MEMBER, E_CRITICAL, E_UNSUPPORTED (a role of several keys, a mode other than direct),
 * E_TRUST_ROLES (one key in two roles). On failure nothing is owned. */
int trust_doc_decode(const struct verified *v, struct trust_doc *out, struct error *err) KLY_MUST_USE;
/* Appends the payload's JSON; refuses what trust_doc_decode would. */
int trust_doc_encode(const struct trust_doc *t, struct buf *out, struct error *err) KLY_MUST_USE;
/* Unverified use, for two who have no key to verify with yet: the owner's tool that wrote these bytes just now,
 * and whoever pins version 1 by digest or looks up in it the root key that must have signed it. Believe nothing
 * of it until verified. */
int trust_doc_check(struct bytes payload, struct trust_doc *out, struct error *err) KLY_MUST_USE;
void trust_doc_free(struct trust_doc *t);
#define AUTO_TRUST_DOC __attribute__((cleanup(trust_doc_free)))

#endif
