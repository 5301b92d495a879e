/* HPKE (RFC 9180), base mode, one message: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. */
#ifndef KLY_TRUST_HPKE_H
#define KLY_TRUST_HPKE_H

#include "trust/p256.h"

#define HPKE_ENC_SIZE  P256_POINT_SIZE
#define HPKE_TAG_SIZE  16
#define HPKE_PLAIN_MAX (256 * 1024) /* bytes of one message */
#define HPKE_INFO_MAX  1024

/* Encrypts plain to the owner of recipient (65 bytes). Fills enc (HPKE_ENC_SIZE bytes) and appends plain.size +
 * HPKE_TAG_SIZE bytes to ct. E_KEY, E_TOO_LARGE, E_RANDOM, E_CRYPTO. */
int hpke_seal(const uint8_t *recipient, struct bytes info, struct bytes aad, struct bytes plain, uint8_t *enc,
              struct buf *ct, struct error *err) KLY_MUST_USE;
/* Decrypts; appends to plain (give an AUTO_WIPE one). On any failure plain is as before. E_KEY for an enc that
 * is no point, E_SEAL for a message that is not for this key or info, or was changed. */
int hpke_open(const struct p256_key *key, const uint8_t *enc, struct bytes info, struct bytes aad,
              struct bytes ct, struct buf *plain, struct error *err) KLY_MUST_USE;

#endif
