/* Inside net/tls: does a certificate name this host? mbedTLS 2.28 knows nothing of IP addresses, and both versions take a
 * common name where there is no subjectAltName (RFC 6125 says not to). */
#ifndef KLY_NET_TLS_NAMES_H
#define KLY_NET_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/tls/compat.h"

/* 4 or 16 bytes of a numeric address into out (16), or 0 if host is none. */
size_t tls_ip_bytes(const char *host, uint8_t *out);
/* subjectAltName only: an equal address, an equal name, or one whole left label under "*.". */
bool tls_cert_names(const mbedtls_x509_crt *cert, const char *host);

#endif
