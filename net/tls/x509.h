/* Keys, certificate requests and certificates: all P-256 with SHA-256, PEM text in and out. A CA made here is good for
 * signing certificates only (pathlen 0); what it issues is good for one use, client or server. Outputs are appended. */
#ifndef KLY_NET_TLS_X509_H
#define KLY_NET_TLS_X509_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define X509_PEM_MAX     65536
#define X509_NAMES_MAX   16
#define X509_SERIAL_SIZE 16

enum x509_use { X509_CLIENT, X509_SERVER };

/* A fresh P-256 private key ("EC PRIVATE KEY"). Wipe it after use. */
int x509_make_key(struct buf *key_pem, struct error *err) KLY_MUST_USE;
/* common_name: 1 to 64 letters of [A-Za-z0-9 ._-]. E_X509. */
int x509_make_csr(const char *key_pem, const char *common_name, struct buf *csr_pem, struct error *err) KLY_MUST_USE;
int x509_make_ca(const char *key_pem, const char *common_name, int64_t not_before_ms, int64_t not_after_ms,
                 struct buf *cert_pem, struct error *err) KLY_MUST_USE;

struct x509_issue {
    const char *ca_cert_pem, *ca_key_pem;
    const char *csr_pem;     /* its signature is checked; P-256 only; nothing but its key is taken over */
    const char *common_name; /* of the subject */
    enum x509_use use;
    const char *names[X509_NAMES_MAX]; /* subjectAltName, NULL-terminated if fewer: domains and IP addresses */
    uint8_t serial[X509_SERIAL_SIZE];  /* all zero: a random one (never negative) */
    int64_t not_before_ms, not_after_ms;
};
int x509_issue(const struct x509_issue *what, struct buf *cert_pem, struct error *err) KLY_MUST_USE;

struct x509_info {
    uint8_t sha256[32]; /* of the DER: what a pin is compared with */
    char serial[41];    /* lower-case hex, no leading zero bytes */
    char common_name[65];
    int64_t not_before_ms, not_after_ms;
    bool is_ca;
};
/* The first certificate of a PEM text. E_X509. */
int x509_read(const char *cert_pem, struct x509_info *info, struct error *err) KLY_MUST_USE;
/* Is this certificate signed by this CA and made for this use? Dates are not looked at. E_X509. */
int x509_check_issued_by(const char *cert_pem, const char *ca_pem, enum x509_use use, struct error *err) KLY_MUST_USE;
/* Does the private key belong to the certificate? E_X509. */
int x509_check_key(const char *cert_pem, const char *key_pem, struct error *err) KLY_MUST_USE;
/* Is this a request with a P-256 key and a good signature? Gives its common name (65 bytes). E_X509. */
int x509_check_csr(const char *csr_pem, char *common_name, struct error *err) KLY_MUST_USE;

#endif
