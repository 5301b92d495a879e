/* Keys and signatures to and from the forms of other tools: PEM, SubjectPublicKeyInfo, DER. */
#include "trust/p256.h"

#include <stdio.h>
#include <string.h>

#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>

#include "trust/digest.h"
#include "trust/random.h"

/* SubjectPublicKeyInfo (RFC 5480) of an uncompressed P-256 point, up to the point. */
static const uint8_t spki_head[26] = {
    0x30, 0x59,                                                 /* SEQUENCE, 89 bytes */
    0x30, 0x13,                                                 /* SEQUENCE: algorithm */
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,       /* id-ecPublicKey */
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, /* prime256v1 */
    0x03, 0x42, 0x00,                                           /* BIT STRING, 66 bytes, none unused */
};
#define SPKI_SIZE (sizeof spki_head + P256_POINT_SIZE)

/* PKCS#8 (RFC 5958) around an ECPrivateKey (RFC 5915), up to the scalar and from there to the point. */
/* clang-format off */
static const uint8_t pkcs8_head[36] = {
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00,                         /* SEQUENCE, 135 bytes; version 0 */
    0x30, 0x13,                                                 /* SEQUENCE: algorithm, as above */
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,       /* OCTET STRING: SEQUENCE, version 1, OCTET STRING */
};
/* clang-format on */
static const uint8_t pkcs8_middle[5] = {0xa1, 0x44, 0x03, 0x42, 0x00}; /* [1] BIT STRING */
#define PKCS8_SIZE (sizeof pkcs8_head + P256_SCALAR_SIZE + sizeof pkcs8_middle + P256_POINT_SIZE)

static void spki(const uint8_t *point, uint8_t *out)
{
    memcpy(out, spki_head, sizeof spki_head);
    memcpy(out + sizeof spki_head, point, P256_POINT_SIZE);
}

int p256_keyid(const uint8_t *point, uint8_t *out, struct error *err)
{
    uint8_t der[SPKI_SIZE];
    spki(point, der);
    return digest_of(der, sizeof der, out, err);
}

static int add_pem(const char *label, struct bytes der, struct buf *out, struct error *err)
{
    char begin[64], end[64];
    snprintf(begin, sizeof begin, "-----BEGIN %s-----\n", label);
    snprintf(end, sizeof end, "-----END %s-----\n", label);
    uint8_t pem[512];
    size_t size = 0;
    int rc = mbedtls_pem_write_buffer(begin, end, der.data, der.size, pem, sizeof pem, &size);
    if (rc != 0)
        return fail(err, "E_CRYPTO", "writing PEM failed (mbedTLS -0x%04x)", (unsigned)-rc);
    int added = buf_add(out, pem, size - 1, err); /* size counts a NUL */
    wipe(pem, sizeof pem);
    return added;
}

int p256_write_pem(const struct p256_key *key, struct buf *out, struct error *err)
{
    uint8_t der[PKCS8_SIZE], *at = der;
    memcpy(at, pkcs8_head, sizeof pkcs8_head);
    at += sizeof pkcs8_head;
    memcpy(at, key->scalar, P256_SCALAR_SIZE);
    at += P256_SCALAR_SIZE;
    memcpy(at, pkcs8_middle, sizeof pkcs8_middle);
    at += sizeof pkcs8_middle;
    memcpy(at, key->point, P256_POINT_SIZE);
    int rc = add_pem("PRIVATE KEY", (struct bytes){der, sizeof der}, out, err);
    wipe(der, sizeof der);
    return rc;
}

int p256_write_public_pem(const uint8_t *point, struct buf *out, struct error *err)
{
    uint8_t der[SPKI_SIZE];
    spki(point, der);
    return add_pem("PUBLIC KEY", (struct bytes){der, sizeof der}, out, err);
}

/* mbedTLS's PEM reader wants a NUL that its size counts. */
static int terminated(struct bytes pem, struct buf *text, struct error *err)
{
    if (pem.size == 0 || pem.size > P256_PEM_MAX || memchr(pem.data, 0, pem.size) != NULL)
        return fail(err, "E_KEY", "a key file has 1 to %d bytes of text", P256_PEM_MAX);
    return buf_add(text, pem.data, pem.size, err);
}

static int scalar_of(mbedtls_pk_context *pk, uint8_t *scalar, struct error *err)
{
    if (!mbedtls_pk_can_do(pk, MBEDTLS_PK_ECKEY))
        return fail(err, "E_KEY", "the key is not an elliptic-curve key");
    const mbedtls_ecp_keypair *pair = mbedtls_pk_ec(*pk);
#if MBEDTLS_VERSION_MAJOR >= 3
    const mbedtls_ecp_group_id curve = pair->MBEDTLS_PRIVATE(grp).id;
    const mbedtls_mpi *d = &pair->MBEDTLS_PRIVATE(d);
#else
    const mbedtls_ecp_group_id curve = pair->grp.id;
    const mbedtls_mpi *d = &pair->d;
#endif
    if (curve != MBEDTLS_ECP_DP_SECP256R1)
        return fail(err, "E_KEY", "the key is on another curve than P-256 (prime256v1)");
    if (mbedtls_mpi_write_binary(d, scalar, P256_SCALAR_SIZE) != 0)
        return fail(err, "E_KEY", "the private key is too long");
    return 0;
}

int p256_read_pem(struct bytes pem, struct p256_key *key, struct error *err)
{
    AUTO_WIPE struct buf text = BUF(P256_PEM_MAX);
    if (terminated(pem, &text, err) < 0)
        return -1;
    uint8_t scalar[P256_SCALAR_SIZE];
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
#if MBEDTLS_VERSION_MAJOR >= 3
    int rc = mbedtls_pk_parse_key(&pk, text.data, text.size + 1, NULL, 0, random_for_mbedtls, NULL);
#else
    int rc = mbedtls_pk_parse_key(&pk, text.data, text.size + 1, NULL, 0);
#endif
    if (rc != 0)
        rc = fail(err, "E_KEY", "the file is not an unencrypted private key in PEM (PKCS#8 or SEC1)");
    else
        rc = scalar_of(&pk, scalar, err);
    mbedtls_pk_free(&pk);
    if (rc == 0)
        rc = p256_from_scalar(scalar, key, err);
    wipe(scalar, sizeof scalar);
    return rc;
}

int p256_read_public_pem(struct bytes pem, uint8_t *point, struct error *err)
{
    AUTO_BUF struct buf text = BUF(P256_PEM_MAX);
    if (terminated(pem, &text, err) < 0)
        return -1;
    mbedtls_pem_context reader;
    mbedtls_pem_init(&reader);
    size_t used = 0;
    int rc = mbedtls_pem_read_buffer(&reader, "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----",
                                     text.data, NULL, 0, &used);
    if (rc == 0) {
#if MBEDTLS_VERSION_MAJOR >= 3
        size_t size = 0;
        const uint8_t *der = mbedtls_pem_get_buffer(&reader, &size);
#else
        size_t size = reader.buflen;
        const uint8_t *der = reader.buf;
#endif
        /* One key, one encoding: the only SubjectPublicKeyInfo of a P-256 point has this head. */
        if (size != SPKI_SIZE || memcmp(der, spki_head, sizeof spki_head) != 0)
            rc = -1;
        else
            memcpy(point, der + sizeof spki_head, P256_POINT_SIZE);
    }
    mbedtls_pem_free(&reader);
    if (rc != 0)
        return fail(err, "E_KEY", "the file is not a public P-256 key in PEM (an uncompressed point)");
    return p256_check_point(point, err);
}

/* One positive DER INTEGER of at most 32 bytes at *at, right-aligned into out. */
static int der_integer(const uint8_t **at, const uint8_t *end, uint8_t *out)
{
    if (end - *at < 2 || (*at)[0] != 0x02)
        return -1;
    size_t size = (*at)[1];
    const uint8_t *value = *at + 2;
    if (size == 0 || size > 33 || size > (size_t)(end - value) || (value[0] & 0x80) != 0)
        return -1;
    *at = value + size;
    if (value[0] == 0 && size > 1) { /* a zero in front is there only to keep the number positive */
        if ((value[1] & 0x80) == 0)
            return -1;
        value++;
        size--;
    }
    if (size > 32)
        return -1;
    memset(out, 0, 32 - size);
    memcpy(out + 32 - size, value, size);
    return 0;
}

int p256_sig_from_der(struct bytes der, uint8_t *sig, struct error *err)
{
    uint8_t raw[P256_SIG_SIZE];
    const uint8_t *at = der.data, *end = der.data + der.size;
    /* Two integers of at most 35 bytes: the length is always one byte. */
    if (der.size < 8 || at[0] != 0x30 || at[1] != der.size - 2)
        return fail(err, "E_SIG", "not a DER signature (SEQUENCE of two INTEGERs)");
    at += 2;
    if (der_integer(&at, end, raw) < 0 || der_integer(&at, end, raw + 32) < 0 || at != end)
        return fail(err, "E_SIG", "not a strictly encoded DER signature of P-256");
    memcpy(sig, raw, sizeof raw);
    return 0;
}
