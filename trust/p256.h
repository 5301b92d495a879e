/* Keys on NIST P-256: ECDSA with SHA-256 (FIPS 186-4), signatures as raw r then s (IEEE P1363), and ECDH. */
#ifndef KLY_TRUST_P256_H
#define KLY_TRUST_P256_H

#include "base/buf.h"

#define P256_POINT_SIZE  65 /* 0x04, x, y: uncompressed; no other form is accepted anywhere */
#define P256_SCALAR_SIZE 32
#define P256_SIG_SIZE    64
#define P256_KEYID_SIZE  32
#define P256_PEM_MAX     4096 /* bytes of a key file */

/* A private key with its public point. Wipe it when done: AUTO_P256 struct p256_key key = {0}; */
struct p256_key {
    uint8_t scalar[P256_SCALAR_SIZE];
    uint8_t point[P256_POINT_SIZE];
};

void p256_wipe(struct p256_key *key);
#define AUTO_P256 __attribute__((cleanup(p256_wipe)))

/* E_RANDOM, E_CRYPTO. */
int p256_generate(struct p256_key *key, struct error *err) KLY_MUST_USE;
/* Takes a scalar of 1 to n-1, computes the point. E_KEY. */
int p256_from_scalar(const uint8_t *scalar, struct p256_key *key, struct error *err) KLY_MUST_USE;
/* Reads a PEM file's bytes: PKCS#8 ("PRIVATE KEY") or SEC1 ("EC PRIVATE KEY"), not encrypted, P-256. The public
 * point is computed, never believed. E_KEY. */
int p256_read_pem(struct bytes pem, struct p256_key *key, struct error *err) KLY_MUST_USE;
/* Appends PKCS#8 PEM, as openssl writes it. Give a buffer that wipes itself (AUTO_WIPE). */
int p256_write_pem(const struct p256_key *key, struct buf *out, struct error *err) KLY_MUST_USE;

/* 0 if the 65 bytes are a point on the curve (not infinity), else E_KEY. */
int p256_check_point(const uint8_t *point, struct error *err) KLY_MUST_USE;
/* SubjectPublicKeyInfo as PEM, both ways. Reading checks the point. E_KEY. */
int p256_write_public_pem(const uint8_t *point, struct buf *out, struct error *err) KLY_MUST_USE;
int p256_read_public_pem(struct bytes pem, uint8_t *point, struct error *err) KLY_MUST_USE;
/* SHA-256 of the DER SubjectPublicKeyInfo; out takes P256_KEYID_SIZE bytes. E_CRYPTO. */
int p256_keyid(const uint8_t *point, uint8_t *out, struct error *err) KLY_MUST_USE;

/* Fills P256_SIG_SIZE bytes. Deterministic (RFC 6979): the same message gives the same signature. E_CRYPTO. */
int p256_sign(const struct p256_key *key, struct bytes message, uint8_t *sig, struct error *err) KLY_MUST_USE;
int p256_sign_digest(const struct p256_key *key, const uint8_t *digest, uint8_t *sig,
                     struct error *err) KLY_MUST_USE;
/* 0 if sig (exactly P256_SIG_SIZE bytes, r and s in 1 to n-1) is this key's signature over the message; else
 * E_SIG, and E_KEY for a point that is none. High s is accepted: a signature is no identity. */
int p256_verify(const uint8_t *point, struct bytes message, struct bytes sig, struct error *err) KLY_MUST_USE;
int p256_verify_digest(const uint8_t *point, const uint8_t *digest, struct bytes sig,
                       struct error *err) KLY_MUST_USE;
/* For the owner's signing tool alone: DER SEQUENCE{r, s}, strictly encoded, from openssl, a KMS or a token.
 * E_SIG. */
int p256_sig_from_der(struct bytes der, uint8_t *sig, struct error *err) KLY_MUST_USE;

/* The x coordinate of key times point: 32 bytes, secret. Checks the point. E_KEY, E_CRYPTO. */
int p256_ecdh(const struct p256_key *key, const uint8_t *point, uint8_t *shared,
              struct error *err) KLY_MUST_USE;

#endif
