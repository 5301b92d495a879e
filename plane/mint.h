/* Documents the plane signs with its order key: orders and env bundles; and the look at documents that owners
 * upload. Pure but for randomness: no I/O, no clock. */
#ifndef KLY_PLANE_MINT_H
#define KLY_PLANE_MINT_H

#include "proto/env_doc.h"
#include "proto/envelope.h"
#include "proto/manifest.h"
#include "proto/order.h"
#include "proto/trust_doc.h"
#include "trust/digest.h"
#include "trust/p256.h"

/* Appends the envelope; digest (DIGEST_TEXT_SIZE) is the payload's. */
int mint_order(const struct p256_key *key, const struct order *order, struct buf *envelope, char *digest,
               struct error *err) KLY_MUST_USE;

struct mint_env {
    const char *server, *project;
    uint64_t version;
    int64_t issued;
    const uint8_t *seal; /* the host's public point */
    struct bytes values; /* {"values":{…}}, in clear */
};
/* Sealed by HPKE with a fresh key each time: keep what comes out. */
int mint_env(const struct p256_key *key, const struct mint_env *what, struct buf *envelope, char *digest,
             struct error *err) KLY_MUST_USE;

/* An uploaded trust document. previous: the newest one known, or NULL for the first. Its own root key must have
 * signed, and the previous one's; the plane, its CA and the order key must be these; version exactly one more.
 */
struct mint_plane {
    const char *id;
    const uint8_t *ca_sha256, *order_point;
};
int mint_check_trust(struct bytes envelope, const struct trust_doc *previous, const struct mint_plane *self,
                     struct trust_doc *out, char *digest, struct error *err) KLY_MUST_USE;
/* An uploaded manifest: signed by the trust document's manifest key, for this project. */
int mint_check_manifest(struct bytes envelope, const struct trust_doc *trust, const char *project,
                        struct manifest *out, char *digest, struct error *err) KLY_MUST_USE;

#endif
