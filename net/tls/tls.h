/* TLS as an engine: cipher bytes in, cipher bytes out, no socket anywhere. tls_conn.h puts it on a connection.
 *
 * TLS 1.2 only, both sides: on TLS 1.3 mbedTLS 3.6 loses the peer certificate when a session is resumed. ECDHE with
 * AEAD ciphers only; curves P-256 and x25519 (clients also P-384, for servers on the Internet). No renegotiation, no
 * compression. Random bytes come from getrandom(2) alone.
 *
 * Error codes: E_TLS_CONFIG (bad certificate, key or CA text), E_TLS_CA (no trusted CA, or not for this use),
 * E_TLS_EXPIRED (or not yet valid: the text says which), E_TLS_NAME (not for this host), E_TLS_NO_CERT (the server
 * demands a client certificate), E_TLS_REFUSED (the peer sent an alert; the text names it), E_TLS_PROTOCOL, E_TLS_CLOSED
 * (cut off without close_notify), E_NO_MEMORY. */
#ifndef KLY_NET_TLS_TLS_H
#define KLY_NET_TLS_TLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define TLS_SHA256_SIZE 32
#define TLS_SYSTEM_ROOTS "/etc/ssl/certs/ca-certificates.crt"

struct tls_context; /* what many connections share; must outlive them */
struct tls;         /* one connection's engine */
struct tls_session; /* a client's saved session, for resuming */
struct tls_tickets; /* net/tls/ticket.h */

/* All texts are NUL-terminated PEM and borrowed for the call. */
struct tls_client_options {
    const char *ca_pem;   /* the only CAs trusted; NULL: the system's roots */
    const char *cert_pem; /* client certificate (chain) and its key; both or neither */
    const char *key_pem;
};

enum tls_client_cert { TLS_CLIENT_CERT_NONE, TLS_CLIENT_CERT_OPTIONAL, TLS_CLIENT_CERT_REQUIRED };

struct tls_server_options {
    const char *cert_pem; /* chain, leaf first */
    const char *key_pem;
    enum tls_client_cert client_cert; /* OPTIONAL: none is fine, a bad one is not */
    const char *client_ca_pem;        /* with OPTIONAL and REQUIRED */
    struct tls_tickets *tickets;      /* borrowed, shared, must outlive the context; NULL: no resumption */
};

struct tls_context *tls_context_client(const struct tls_client_options *options, struct error *err) KLY_MUST_USE;
struct tls_context *tls_context_server(const struct tls_server_options *options, struct error *err) KLY_MUST_USE;
/* Trusts anybody. For one use alone: to read the CA certificate that a token's pin is then compared with, over a
 * connection that nothing else is sent on. */
struct tls_context *tls_context_client_unverified_for_pin_fetch(struct error *err) KLY_MUST_USE;
void tls_context_free(struct tls_context *context); /* NULL is fine */

/* host: a DNS name or an IP address (IPv6 without brackets); never NULL or empty, it is what the certificate must name
 * (in subjectAltName: a common name alone is not enough). session may be NULL; one from another host or context is
 * ignored. Returns owned or NULL. */
struct tls *tls_new_client(struct tls_context *context, const char *host, const struct tls_session *session,
                           struct error *err) KLY_MUST_USE;
struct tls *tls_new_server(struct tls_context *context, struct error *err) KLY_MUST_USE;
void tls_free(struct tls *t); /* NULL is fine */

/* Cipher bytes from the peer; kept (at most 128 KiB) until tls_handshake or tls_read wants them. E_TLS_PROTOCOL beyond. */
int tls_feed(struct tls *t, const void *data, size_t size, struct error *err) KLY_MUST_USE;
/* The transport has ended. */
void tls_feed_end(struct tls *t);
/* 1: done, and the peer was checked; 0: feed more (or send tls_output). After -1 tls_output may hold an alert. */
int tls_handshake(struct tls *t, struct error *err) KLY_MUST_USE;
/* Bytes read; 0: none yet; TLS_END: the peer said close_notify; -1: error. */
#define TLS_END (-2)
ssize_t tls_read(struct tls *t, void *out, size_t size, struct error *err) KLY_MUST_USE;
/* Turns all of data into cipher bytes in tls_output. Only after the handshake. */
int tls_write(struct tls *t, const void *data, size_t size, struct error *err) KLY_MUST_USE;
void tls_say_goodbye(struct tls *t); /* close_notify into tls_output */
/* Cipher bytes for the peer: send them and buf_drop_front() what was sent. */
struct buf *tls_output(struct tls *t);

/* Who the peer is, from a certificate that was checked (chain, purpose, dates, name), on this very connect: also on a
 * resumed one it is checked again. */
struct tls_peer {
    uint8_t sha256[TLS_SHA256_SIZE]; /* of the certificate's DER */
    char serial[41];                 /* lower-case hex, no leading zero bytes */
    char common_name[65];
    int64_t not_before_ms, not_after_ms; /* wall clock */
    bool resumed;
};
/* NULL before the handshake is done and for a client that showed no certificate. Borrowed from t. */
const struct tls_peer *tls_peer(const struct tls *t);
/* The certificates as the peer sent them, as PEM, leaf first; for a pin fetch. Not available on resumed sessions. */
int tls_peer_chain(const struct tls *t, struct buf *pem, struct error *err) KLY_MUST_USE;
const char *tls_cipher(const struct tls *t); /* "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256" */
bool tls_resumed(const struct tls *t);

/* A client's session, once the handshake is done: owned, or NULL if the server gave no ticket. */
struct tls_session *tls_session_save(const struct tls *t);
void tls_session_free(struct tls_session *session); /* NULL is fine */

#endif
