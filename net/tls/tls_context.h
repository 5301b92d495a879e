/* Inside net/tls: what tls_context.c makes and tls.c uses. */
#ifndef KLY_NET_TLS_TLS_CONTEXT_H
#define KLY_NET_TLS_TLS_CONTEXT_H

#include "net/tls/compat.h"
#include "net/tls/tls.h"

struct tls_context {
    mbedtls_ssl_config config;
    mbedtls_x509_crt ca, own;
    mbedtls_pk_context key;
    uint64_t id; /* random: a saved session belongs to one context */
    bool is_server;
    bool pin_fetch; /* the peer is not checked */
    enum tls_client_cert client_cert;
};

#endif
