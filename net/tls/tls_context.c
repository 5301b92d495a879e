#include "net/tls/tls_context.h"

#include <stdlib.h>

#include "net/tls/ticket_callbacks.h"

/* AEAD with forward secrecy, nothing else. */
static const int ciphers[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,       MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,         MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

/* P-384 is for the certificates of public CAs; our own side of a connection stays with the first two. */
#if MBEDTLS_VERSION_MAJOR >= 3
static const uint16_t client_curves[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                         MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
static const uint16_t server_curves[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                         MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
#else
static const mbedtls_ecp_group_id client_curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519,
                                                     MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_NONE};
static const mbedtls_ecp_group_id server_curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_NONE};
#endif

static void set_limits(struct tls_context *context)
{
    mbedtls_ssl_config *config = &context->config;
#if MBEDTLS_VERSION_MAJOR >= 3
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_groups(config, context->is_server ? server_curves : client_curves);
#else
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_curves(config, context->is_server ? server_curves : client_curves);
#endif
    mbedtls_ssl_conf_ciphersuites(config, ciphers);
    mbedtls_ssl_conf_rng(config, tls_random, NULL);
}

static struct tls_context *new_context(bool is_server, struct error *err)
{
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for TLS");
        return NULL;
    }
    context->is_server = is_server;
    mbedtls_ssl_config_init(&context->config);
    mbedtls_x509_crt_init(&context->ca);
    mbedtls_x509_crt_init(&context->own);
    mbedtls_pk_init(&context->key);
    int r = mbedtls_ssl_config_defaults(&context->config, is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (r == 0)
        r = tls_random(NULL, (unsigned char *)&context->id, sizeof context->id);
    if (r != 0) {
        tls_fail(err, "E_NO_MEMORY", r, "setting up TLS");
        tls_context_free(context);
        return NULL;
    }
    set_limits(context);
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    mbedtls_ssl_config_free(&context->config);
    mbedtls_x509_crt_free(&context->ca);
    mbedtls_x509_crt_free(&context->own);
    mbedtls_pk_free(&context->key);
    free(context);
}

static int trust_cas(struct tls_context *context, const char *ca_pem, struct error *err)
{
    if (ca_pem != NULL) {
        if (tls_parse_certs(&context->ca, ca_pem, "the CA certificate", err) < 0)
            return -1;
    } else {
        /* A root that this library cannot read (r > 0 of them) is one that it does not trust. */
        int r = mbedtls_x509_crt_parse_file(&context->ca, TLS_SYSTEM_ROOTS);
        if (r < 0)
            return tls_fail(err, "E_TLS_CONFIG", r, "the system's CA certificates in " TLS_SYSTEM_ROOTS);
    }
    mbedtls_ssl_conf_ca_chain(&context->config, &context->ca, NULL);
    return 0;
}

static int show_cert(struct tls_context *context, const char *cert_pem, const char *key_pem, struct error *err)
{
    if (cert_pem == NULL || key_pem == NULL)
        return fail(err, "E_TLS_CONFIG", "a certificate needs its key and a key its certificate");
    if (tls_parse_certs(&context->own, cert_pem, "our certificate", err) < 0 ||
        tls_parse_key(&context->key, key_pem, "our private key", err) < 0)
        return -1;
#if MBEDTLS_VERSION_MAJOR >= 3
    int r = mbedtls_pk_check_pair(&context->own.pk, &context->key, tls_random, NULL);
#else
    int r = mbedtls_pk_check_pair(&context->own.pk, &context->key);
#endif
    if (r != 0)
        return fail(err, "E_TLS_CONFIG", "the private key does not belong to the certificate");
    r = mbedtls_ssl_conf_own_cert(&context->config, &context->own, &context->key);
    return r != 0 ? tls_fail(err, "E_TLS_CONFIG", r, "our certificate") : 0;
}

static int set_client(struct tls_context *context, const struct tls_client_options *options, struct error *err)
{
    mbedtls_ssl_conf_authmode(&context->config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_session_tickets(&context->config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
    if (trust_cas(context, options->ca_pem, err) < 0)
        return -1;
    if (options->cert_pem == NULL && options->key_pem == NULL)
        return 0;
    return show_cert(context, options->cert_pem, options->key_pem, err);
}

struct tls_context *tls_context_client(const struct tls_client_options *options, struct error *err)
{
    struct tls_context *context = new_context(false, err);
    if (context != NULL && set_client(context, options, err) < 0) {
        tls_context_free(context);
        return NULL;
    }
    return context;
}

struct tls_context *tls_context_client_unverified_for_pin_fetch(struct error *err)
{
    struct tls_context *context = new_context(false, err);
    if (context == NULL)
        return NULL;
    context->pin_fetch = true;
    mbedtls_ssl_conf_authmode(&context->config, MBEDTLS_SSL_VERIFY_NONE);
    return context;
}

static int set_server(struct tls_context *context, const struct tls_server_options *options, struct error *err)
{
    static const int modes[] = {
        [TLS_CLIENT_CERT_NONE] = MBEDTLS_SSL_VERIFY_NONE,
        [TLS_CLIENT_CERT_OPTIONAL] = MBEDTLS_SSL_VERIFY_OPTIONAL,
        [TLS_CLIENT_CERT_REQUIRED] = MBEDTLS_SSL_VERIFY_REQUIRED,
    };
    context->client_cert = options->client_cert;
    mbedtls_ssl_conf_authmode(&context->config, modes[options->client_cert]);
    if (show_cert(context, options->cert_pem, options->key_pem, err) < 0)
        return -1;
    if (mbedtls_x509_crt_check_extended_key_usage(&context->own, MBEDTLS_OID_SERVER_AUTH,
                                                  MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) != 0)
        return fail(err, "E_TLS_CONFIG", "our certificate was not made for a server");
    if (options->client_cert != TLS_CLIENT_CERT_NONE) {
        if (options->client_ca_pem == NULL)
            return fail(err, "E_TLS_CONFIG", "client certificates are asked for, but no CA to check them with was given");
        if (trust_cas(context, options->client_ca_pem, err) < 0)
            return -1;
    }
    if (options->tickets != NULL)
        mbedtls_ssl_conf_session_tickets_cb(&context->config, ticket_write, ticket_parse, options->tickets);
    return 0;
}

struct tls_context *tls_context_server(const struct tls_server_options *options, struct error *err)
{
    struct tls_context *context = new_context(true, err);
    if (context != NULL && set_server(context, options, err) < 0) {
        tls_context_free(context);
        return NULL;
    }
    return context;
}
