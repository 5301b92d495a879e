/* What has been verified, as a type: the decoders of documents take nothing else, so a byte that no pinned key
 * has signed cannot reach them.
 *
 * ONLY trust/verify.c makes a `struct verified` (and tests do); a check of the sources keeps it so. It stands
 * here and not in trust/ because the arrow points from trust/ down to proto/. */
#ifndef KLY_PROTO_VERIFIED_H
#define KLY_PROTO_VERIFIED_H

#include <stdint.h>

#include "base/buf.h"

/* Kinds of documents; the numbers are those of ipc/link_api.h. */
enum document_type { DOCUMENT_TRUST = 1, DOCUMENT_MANIFEST, DOCUMENT_ENV, DOCUMENT_ORDER };

/* Who may sign (documents.md, "Envelope"). */
enum role { ROLE_ROOT, ROLE_MANIFEST, ROLE_ORDER };
#define ROLE_COUNT 3

struct verified {
    struct bytes payload; /* borrowed: the very bytes the signature is over */
    enum document_type type;
    enum role role;     /* whose signature counted */
    uint8_t digest[32]; /* SHA-256 of payload */
};

#endif
