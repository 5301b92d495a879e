/* Inside net/tls: mbedTLS 2.28 (Debian 12) and 3.6 (Debian 13) behind one set of names, and random bytes. */
#ifndef KLY_NET_TLS_COMPAT_H
#define KLY_NET_TLS_COMPAT_H

/* 3.x hides fields that have no accessor; it must be said before any of its headers is read, so they are included here alone. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/version.h>

#include <mbedtls/error.h>
#include <mbedtls/gcm.h>
#include <mbedtls/oid.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>

#include "base/error.h"

#if MBEDTLS_VERSION_MAJOR >= 3
#define TLS_BAD_CERTIFICATE MBEDTLS_ERR_SSL_BAD_CERTIFICATE
#else
#define TLS_BAD_CERTIFICATE MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE
#endif

/* mbedTLS's f_rng, over getrandom(2). state is not used. */
int tls_random(void *state, unsigned char *out, size_t size);

/* As fail(), with ": " and mbedTLS's words for its error number at the end. */
int tls_fail(struct error *err, const char *code, int number, const char *what);

/* PEM texts into mbedTLS's structures, which must be initialised. */
int tls_parse_certs(mbedtls_x509_crt *out, const char *pem, const char *what, struct error *err) KLY_MUST_USE;
int tls_parse_key(mbedtls_pk_context *out, const char *pem, const char *what, struct error *err) KLY_MUST_USE;

static inline int tls_sha256(const unsigned char *data, size_t size, unsigned char *out)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_sha256(data, size, out, 0);
#else
    return mbedtls_sha256_ret(data, size, out, 0);
#endif
}

#endif
