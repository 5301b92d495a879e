/* The signed documents the store holds, decoded. They were verified when they were uploaded. */
#ifndef KLY_PLANE_DOCUMENTS_H
#define KLY_PLANE_DOCUMENTS_H

#include "plane/mint.h"
#include "plane/store/store.h"
#include "plane/vault.h"

/* The newest. 1: none yet. digest (65 bytes) and envelope may be NULL. */
int documents_trust(struct store *s, struct trust_doc *out, char *digest, struct error *err) KLY_MUST_USE;
int documents_manifest(struct store *s, const char *project, struct manifest *out, char *digest,
                       struct buf *envelope, struct error *err) KLY_MUST_USE;

/* All values of a project, in clear, as {"values":{…}}. Give an AUTO_WIPE buffer. */
int documents_values(struct store *s, const struct vault *v, const char *project, struct buf *json,
                     struct error *err) KLY_MUST_USE;
/* One value. 1: not set. */
int documents_value(struct store *s, const struct vault *v, const char *project, const char *name,
                    struct buf *value, struct error *err) KLY_MUST_USE;
/* The label a value is encrypted under; out takes DOCUMENTS_LABEL_SIZE bytes. */
#define DOCUMENTS_LABEL_SIZE 192
void documents_env_label(const char *project, const char *name, char *out);

struct documents_sealed {
    const char *server, *project;
    const uint8_t *seal;
    int64_t version, now;
};
/* The env document of that version for that server, made once and kept. */
int documents_env(struct store *s, const struct vault *v, const struct p256_key *order_key,
                  const struct documents_sealed *what, struct buf *envelope, char *digest,
                  struct error *err) KLY_MUST_USE;

#endif
