#include "trust/p256.h"

#include <string.h>

#include <mbedtls/ecdh.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/version.h>

#include "trust/digest.h"
#include "trust/random.h"

/* The library's numbers for one operation, released together. */
struct curve {
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi d, r, s;
};

static void curve_free(struct curve *c)
{
    mbedtls_ecp_group_free(&c->group);
    mbedtls_ecp_point_free(&c->point);
    mbedtls_mpi_free(&c->d); /* overwrites it */
    mbedtls_mpi_free(&c->r);
    mbedtls_mpi_free(&c->s);
}
#define AUTO_CURVE __attribute__((cleanup(curve_free)))

static int broken(int rc, const char *what, struct error *err)
{
    return fail(err, "E_CRYPTO", "%s failed (mbedTLS -0x%04x)", what, (unsigned)-rc);
}

static int curve_init(struct curve *c, struct error *err)
{
    mbedtls_ecp_group_init(&c->group);
    mbedtls_ecp_point_init(&c->point);
    mbedtls_mpi_init(&c->d);
    mbedtls_mpi_init(&c->r);
    mbedtls_mpi_init(&c->s);
    int rc = mbedtls_ecp_group_load(&c->group, MBEDTLS_ECP_DP_SECP256R1);
    return rc == 0 ? 0 : broken(rc, "loading P-256", err);
}

static int load_point(struct curve *c, const uint8_t *point, struct error *err)
{
    if (point[0] != 4)
        return fail(err, "E_KEY", "a public key must be an uncompressed point: 65 bytes that begin with 04");
    if (mbedtls_ecp_point_read_binary(&c->group, &c->point, point, P256_POINT_SIZE) != 0 ||
        mbedtls_ecp_check_pubkey(&c->group, &c->point) != 0)
        return fail(err, "E_KEY", "the public key is not a point of P-256");
    return 0;
}

static int load_scalar(struct curve *c, const uint8_t *scalar, struct error *err)
{
    int rc = mbedtls_mpi_read_binary(&c->d, scalar, P256_SCALAR_SIZE);
    if (rc != 0)
        return broken(rc, "reading a private key", err);
    if (mbedtls_ecp_check_privkey(&c->group, &c->d) != 0)
        return fail(err, "E_KEY", "the private key is not a number from 1 to n-1 of P-256");
    return 0;
}

static int store_point(const struct curve *c, uint8_t *out, struct error *err)
{
    size_t size = 0;
    int rc = mbedtls_ecp_point_write_binary(&c->group, &c->point, MBEDTLS_ECP_PF_UNCOMPRESSED, &size, out,
                                            P256_POINT_SIZE);
    if (rc != 0 || size != P256_POINT_SIZE)
        return broken(rc, "writing a point", err);
    return 0;
}

void p256_wipe(struct p256_key *key)
{
    wipe(key, sizeof *key);
}

int p256_generate(struct p256_key *key, struct error *err)
{
    AUTO_CURVE struct curve c;
    if (curve_init(&c, err) < 0)
        return -1;
    int rc = mbedtls_ecp_gen_keypair(&c.group, &c.d, &c.point, random_for_mbedtls, NULL);
    if (rc == MBEDTLS_ERR_ECP_RANDOM_FAILED)
        return fail(err, "E_RANDOM", "no random bytes for a new key");
    if (rc != 0)
        return broken(rc, "making a key", err);
    rc = mbedtls_mpi_write_binary(&c.d, key->scalar, P256_SCALAR_SIZE);
    if (rc != 0 || store_point(&c, key->point, err) < 0) {
        p256_wipe(key);
        return rc != 0 ? broken(rc, "writing a key", err) : -1;
    }
    return 0;
}

int p256_from_scalar(const uint8_t *scalar, struct p256_key *key, struct error *err)
{
    AUTO_CURVE struct curve c;
    if (curve_init(&c, err) < 0 || load_scalar(&c, scalar, err) < 0)
        return -1;
    int rc = mbedtls_ecp_mul(&c.group, &c.point, &c.d, &c.group.G, random_for_mbedtls, NULL);
    if (rc != 0)
        return broken(rc, "computing a public key", err);
    uint8_t point[P256_POINT_SIZE];
    if (store_point(&c, point, err) < 0)
        return -1;
    memmove(key->scalar, scalar, P256_SCALAR_SIZE);
    memcpy(key->point, point, P256_POINT_SIZE);
    return 0;
}

int p256_check_point(const uint8_t *point, struct error *err)
{
    AUTO_CURVE struct curve c;
    return curve_init(&c, err) < 0 ? -1 : load_point(&c, point, err);
}

int p256_sign_digest(const struct p256_key *key, const uint8_t *digest, uint8_t *sig, struct error *err)
{
    AUTO_CURVE struct curve c;
    if (curve_init(&c, err) < 0 || load_scalar(&c, key->scalar, err) < 0)
        return -1;
    int rc = mbedtls_ecdsa_sign_det_ext(&c.group, &c.r, &c.s, &c.d, digest, DIGEST_SIZE, MBEDTLS_MD_SHA256,
                                        random_for_mbedtls, NULL);
    if (rc == 0)
        rc = mbedtls_mpi_write_binary(&c.r, sig, P256_SIG_SIZE / 2);
    if (rc == 0)
        rc = mbedtls_mpi_write_binary(&c.s, sig + P256_SIG_SIZE / 2, P256_SIG_SIZE / 2);
    return rc == 0 ? 0 : broken(rc, "signing", err);
}

int p256_sign(const struct p256_key *key, struct bytes message, uint8_t *sig, struct error *err)
{
    uint8_t digest[DIGEST_SIZE];
    if (digest_of(message.data, message.size, digest, err) < 0)
        return -1;
    return p256_sign_digest(key, digest, sig, err);
}

int p256_verify_digest(const uint8_t *point, const uint8_t *digest, struct bytes sig, struct error *err)
{
    if (sig.size != P256_SIG_SIZE)
        return fail(err, "E_SIG", "a signature has %d bytes (r, then s), not %zu", P256_SIG_SIZE, sig.size);
    AUTO_CURVE struct curve c;
    if (curve_init(&c, err) < 0 || load_point(&c, point, err) < 0)
        return -1;
    int rc = mbedtls_mpi_read_binary(&c.r, sig.data, P256_SIG_SIZE / 2);
    if (rc == 0)
        rc = mbedtls_mpi_read_binary(&c.s, sig.data + P256_SIG_SIZE / 2, P256_SIG_SIZE / 2);
    if (rc != 0)
        return broken(rc, "reading a signature", err);
    /* Checks the range of r and s, too. */
    rc = mbedtls_ecdsa_verify(&c.group, digest, DIGEST_SIZE, &c.point, &c.r, &c.s);
    return rc == 0 ? 0 : fail(err, "E_SIG", "the signature is not this key's");
}

int p256_verify(const uint8_t *point, struct bytes message, struct bytes sig, struct error *err)
{
    uint8_t digest[DIGEST_SIZE];
    if (digest_of(message.data, message.size, digest, err) < 0)
        return -1;
    return p256_verify_digest(point, digest, sig, err);
}

int p256_ecdh(const struct p256_key *key, const uint8_t *point, uint8_t *shared, struct error *err)
{
    AUTO_CURVE struct curve c;
    if (curve_init(&c, err) < 0 || load_point(&c, point, err) < 0 || load_scalar(&c, key->scalar, err) < 0)
        return -1;
    int rc = mbedtls_ecdh_compute_shared(&c.group, &c.r, &c.point, &c.d, random_for_mbedtls, NULL);
    if (rc == 0)
        rc = mbedtls_mpi_write_binary(&c.r, shared, P256_SCALAR_SIZE);
    return rc == 0 ? 0 : broken(rc, "ECDH", err);
}
