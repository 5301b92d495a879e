/* The inside of hpke.c, for it and its tests alone: a context whose ephemeral key and sequence number the
 * caller chooses. Choosing both twice for one recipient gives the plaintexts away: included nowhere else. */
#ifndef KLY_TRUST_HPKE_CONTEXT_H
#define KLY_TRUST_HPKE_CONTEXT_H

#include "trust/hpke.h"

#define HPKE_KEY_SIZE   16
#define HPKE_NONCE_SIZE 12

struct hpke_context {
    uint8_t key[HPKE_KEY_SIZE];
    uint8_t base_nonce[HPKE_NONCE_SIZE];
};

void hpke_context_wipe(struct hpke_context *c);
#define AUTO_HPKE __attribute__((cleanup(hpke_context_wipe)))

int hpke_context_sender(struct hpke_context *c, const struct p256_key *ephemeral, const uint8_t *recipient,
                        struct bytes info, struct error *err) KLY_MUST_USE;
int hpke_context_receiver(struct hpke_context *c, const struct p256_key *key, const uint8_t *enc,
                          struct bytes info, struct error *err) KLY_MUST_USE;
int hpke_context_seal(const struct hpke_context *c, uint64_t sequence, struct bytes aad, struct bytes plain,
                      struct buf *ct, struct error *err) KLY_MUST_USE;
int hpke_context_open(const struct hpke_context *c, uint64_t sequence, struct bytes aad, struct bytes ct,
                      struct buf *plain, struct error *err) KLY_MUST_USE;

#endif
