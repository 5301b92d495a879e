#include "trust/hpke_context.h"

#include <string.h>

#include <mbedtls/gcm.h>

#include "trust/digest.h"

/* Suite identifiers (RFC 9180, 7.1 to 7.3): KEM 0x0010, KDF 0x0001, AEAD 0x0001. */
static const struct bytes kem_suite = {(const uint8_t *)"KEM\x00\x10", 5};
static const struct bytes hpke_suite = {(const uint8_t *)"HPKE\x00\x10\x00\x01\x00\x01", 10};
static const struct bytes nothing = {(const uint8_t *)"", 0};

#define LABELED_MAX (HPKE_INFO_MAX + 256)

/* "HPKE-v1", suite, label, tail: what both labeled functions are made of. */
static int labeled(struct buf *out, struct bytes suite, const char *label, struct bytes tail, struct error *err)
{
    if (buf_add_text(out, "HPKE-v1", err) < 0 || buf_add(out, suite.data, suite.size, err) < 0 ||
        buf_add_text(out, label, err) < 0)
        return -1;
    return buf_add(out, tail.data, tail.size, err);
}

static int labeled_extract(struct bytes salt, struct bytes suite, const char *label, struct bytes secret,
                           uint8_t *prk, struct error *err)
{
    AUTO_WIPE struct buf input = BUF(LABELED_MAX);
    if (labeled(&input, suite, label, secret, err) < 0)
        return -1;
    return hkdf_extract(salt, buf_view(&input), prk, err);
}

static int labeled_expand(const uint8_t *prk, struct bytes suite, const char *label, struct bytes info,
                          uint8_t *out, uint8_t size, struct error *err)
{
    AUTO_BUF struct buf input = BUF(LABELED_MAX);
    const uint8_t length[2] = {0, size};
    if (buf_add(&input, length, sizeof length, err) < 0 || labeled(&input, suite, label, info, err) < 0)
        return -1;
    return hkdf_expand(prk, buf_view(&input), out, size, err);
}

/* DHKEM's ExtractAndExpand (4.1). */
static int shared_secret(const uint8_t *dh, const uint8_t *enc, const uint8_t *recipient, uint8_t *out,
                         struct error *err)
{
    uint8_t context[HPKE_ENC_SIZE + P256_POINT_SIZE], prk[DIGEST_SIZE];
    memcpy(context, enc, HPKE_ENC_SIZE);
    memcpy(context + HPKE_ENC_SIZE, recipient, P256_POINT_SIZE);
    int rc = labeled_extract(nothing, kem_suite, "eae_prk", (struct bytes){dh, P256_SCALAR_SIZE}, prk, err);
    if (rc == 0)
        rc = labeled_expand(prk, kem_suite, "shared_secret", (struct bytes){context, sizeof context}, out,
                            DIGEST_SIZE, err);
    wipe(prk, sizeof prk);
    return rc;
}

/* KeySchedule (5.1), mode base, no pre-shared key. */
static int schedule(struct hpke_context *c, const uint8_t *shared, struct bytes info, struct error *err)
{
    uint8_t about[1 + 2 * DIGEST_SIZE] = {0}, secret[DIGEST_SIZE];
    struct bytes context = {about, sizeof about};
    if (info.size > HPKE_INFO_MAX)
        return fail(err, "E_TOO_LARGE", "info has more than %d bytes", HPKE_INFO_MAX);
    if (labeled_extract(nothing, hpke_suite, "psk_id_hash", nothing, about + 1, err) < 0 ||
        labeled_extract(nothing, hpke_suite, "info_hash", info, about + 1 + DIGEST_SIZE, err) < 0)
        return -1;
    int rc = labeled_extract((struct bytes){shared, DIGEST_SIZE}, hpke_suite, "secret", nothing, secret, err);
    if (rc == 0)
        rc = labeled_expand(secret, hpke_suite, "key", context, c->key, HPKE_KEY_SIZE, err);
    if (rc == 0)
        rc = labeled_expand(secret, hpke_suite, "base_nonce", context, c->base_nonce, HPKE_NONCE_SIZE, err);
    wipe(secret, sizeof secret);
    return rc;
}

/* Both sides: mine is the private key of this side, theirs the other's point. */
static int agree(struct hpke_context *c, const struct p256_key *mine, const uint8_t *theirs, const uint8_t *enc,
                 const uint8_t *recipient, struct bytes info, struct error *err)
{
    uint8_t dh[P256_SCALAR_SIZE], shared[DIGEST_SIZE];
    int rc = p256_ecdh(mine, theirs, dh, err);
    if (rc == 0)
        rc = shared_secret(dh, enc, recipient, shared, err);
    if (rc == 0)
        rc = schedule(c, shared, info, err);
    wipe(dh, sizeof dh);
    wipe(shared, sizeof shared);
    return rc;
}

void hpke_context_wipe(struct hpke_context *c)
{
    wipe(c, sizeof *c);
}

int hpke_context_sender(struct hpke_context *c, const struct p256_key *ephemeral, const uint8_t *recipient,
                        struct bytes info, struct error *err)
{
    return agree(c, ephemeral, recipient, ephemeral->point, recipient, info, err);
}

int hpke_context_receiver(struct hpke_context *c, const struct p256_key *key, const uint8_t *enc,
                          struct bytes info, struct error *err)
{
    return agree(c, key, enc, enc, key->point, info, err);
}

static int gcm_begin(mbedtls_gcm_context *gcm, const struct hpke_context *c, uint64_t sequence, uint8_t *nonce,
                     struct error *err)
{
    memcpy(nonce, c->base_nonce, HPKE_NONCE_SIZE);
    for (size_t i = 0; i < 8; i++)
        nonce[HPKE_NONCE_SIZE - 1 - i] ^= (uint8_t)(sequence >> (8 * i));
    mbedtls_gcm_init(gcm);
    int rc = mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, c->key, HPKE_KEY_SIZE * 8);
    return rc == 0 ? 0 : fail(err, "E_CRYPTO", "AES-128-GCM failed (mbedTLS -0x%04x)", (unsigned)-rc);
}

int hpke_context_seal(const struct hpke_context *c, uint64_t sequence, struct bytes aad, struct bytes plain,
                      struct buf *ct, struct error *err)
{
    if (plain.size > HPKE_PLAIN_MAX)
        return fail(err, "E_TOO_LARGE", "a sealed message has at most %d bytes, not %zu", HPKE_PLAIN_MAX,
                    plain.size);
    if (buf_reserve(ct, plain.size + HPKE_TAG_SIZE, err) < 0)
        return -1;
    mbedtls_gcm_context gcm;
    uint8_t nonce[HPKE_NONCE_SIZE], *out = ct->data + ct->size;
    int rc = gcm_begin(&gcm, c, sequence, nonce, err);
    if (rc == 0) {
        rc = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, plain.size, nonce, sizeof nonce, aad.data,
                                       aad.size, plain.data, out, HPKE_TAG_SIZE, out + plain.size);
        if (rc != 0)
            rc = fail(err, "E_CRYPTO", "AES-128-GCM failed (mbedTLS -0x%04x)", (unsigned)-rc);
    }
    mbedtls_gcm_free(&gcm);
    if (rc == 0) {
        ct->size += plain.size + HPKE_TAG_SIZE;
        ct->data[ct->size] = 0;
    }
    return rc;
}

int hpke_context_open(const struct hpke_context *c, uint64_t sequence, struct bytes aad, struct bytes ct,
                      struct buf *plain, struct error *err)
{
    if (ct.size < HPKE_TAG_SIZE)
        return fail(err, "E_SEAL", "a sealed message has at least %d bytes, not %zu", HPKE_TAG_SIZE, ct.size);
    size_t size = ct.size - HPKE_TAG_SIZE;
    if (size > HPKE_PLAIN_MAX)
        return fail(err, "E_TOO_LARGE", "a sealed message has at most %d bytes, not %zu", HPKE_PLAIN_MAX, size);
    if (buf_reserve(plain, size, err) < 0)
        return -1;
    mbedtls_gcm_context gcm;
    uint8_t nonce[HPKE_NONCE_SIZE];
    int rc = gcm_begin(&gcm, c, sequence, nonce, err);
    if (rc == 0 && mbedtls_gcm_auth_decrypt(&gcm, size, nonce, sizeof nonce, aad.data, aad.size, ct.data + size,
                                            HPKE_TAG_SIZE, ct.data, plain->data + plain->size) != 0) {
        /* The library overwrites what it has decrypted; our NUL must be there again. */
        rc = fail(err, "E_SEAL", "the message was sealed for another key or purpose, or was changed");
    }
    mbedtls_gcm_free(&gcm);
    if (rc == 0)
        plain->size += size;
    plain->data[plain->size] = 0;
    return rc;
}

int hpke_seal(const uint8_t *recipient, struct bytes info, struct bytes aad, struct bytes plain, uint8_t *enc,
              struct buf *ct, struct error *err)
{
    AUTO_P256 struct p256_key ephemeral = {0};
    AUTO_HPKE struct hpke_context c = {0};
    if (p256_generate(&ephemeral, err) < 0 || hpke_context_sender(&c, &ephemeral, recipient, info, err) < 0 ||
        hpke_context_seal(&c, 0, aad, plain, ct, err) < 0)
        return -1;
    memcpy(enc, ephemeral.point, HPKE_ENC_SIZE);
    return 0;
}

int hpke_open(const struct p256_key *key, const uint8_t *enc, struct bytes info, struct bytes aad,
              struct bytes ct, struct buf *plain, struct error *err)
{
    AUTO_HPKE struct hpke_context c = {0};
    if (hpke_context_receiver(&c, key, enc, info, err) < 0)
        return -1;
    return hpke_context_open(&c, 0, aad, ct, plain, err);
}
