/* What has to be readable to the plane but to nobody who only has its database: env values and webhook secrets,
 * encrypted with AES-256-GCM under a key of their own, derived (HKDF-SHA256) from the master key in
 * DIR/vault.key. */
#ifndef KLY_PLANE_VAULT_H
#define KLY_PLANE_VAULT_H

#include "base/buf.h"

#define VAULT_KEY_SIZE 32
#define VAULT_OVERHEAD (1 + 12 + 16) /* format, nonce, tag */
#define VAULT_FILE     "vault.key"

struct vault {
    uint8_t master[VAULT_KEY_SIZE];
};

/* Makes the key file (0600) if it is missing. 1: it was there. */
int vault_make(int dirfd, struct error *err) KLY_MUST_USE;
/* E_VAULT: missing, of another size, or readable by others. */
int vault_load(struct vault *v, int dirfd, struct error *err) KLY_MUST_USE;
void vault_wipe(struct vault *v);

/* label binds the bytes to their place ("env/shop/DATABASE_URL"): moved elsewhere they do not open. Appends to
 * out. */
int vault_seal(const struct vault *v, const char *label, struct bytes plain, struct buf *out,
               struct error *err) KLY_MUST_USE;
/* Appends to plain (give an AUTO_WIPE one). E_VAULT for bytes that were changed or moved, or another master
 * key. */
int vault_unseal(const struct vault *v, const char *label, struct bytes sealed, struct buf *plain,
                 struct error *err) KLY_MUST_USE;

#endif
