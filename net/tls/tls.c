/* The engine: one mbedTLS context between two memory queues.
 *
 * Happy path: tls_feed / tls_output in turns with tls_handshake until it returns 1; then tls_read and tls_write.
 * Failures: every mbedTLS error becomes one of the codes of tls.h, once; after it the engine only gives out its alert. */
#include "net/tls/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "net/tls/names.h"
#include "net/tls/tls_context.h"

#define INPUT_MAX  (128 * 1024)
#define OUTPUT_MAX (8 * 1024 * 1024)
#define HOST_MAX   253

struct tls {
    mbedtls_ssl_context ssl;
    struct tls_context *context;
    struct buf in, out;
    size_t in_used; /* bytes of in that mbedTLS has taken */
    struct tls_peer peer;
    char host[HOST_MAX + 1];
    bool in_ended, done, has_peer, full_handshake;
};

struct tls_session {
    mbedtls_ssl_session session;
    uint64_t context_id;
    char host[HOST_MAX + 1];
};

/* ---- Queues --------------------------------------------------------------------------------------------------- */

static int take_input(void *ctx, unsigned char *out, size_t size)
{
    struct tls *t = ctx;
    size_t left = t->in.size - t->in_used;
    if (left == 0)
        return t->in_ended ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    size = size < left ? size : left;
    memcpy(out, t->in.data + t->in_used, size);
    t->in_used += size;
    if (t->in_used == t->in.size) {
        buf_free(&t->in); /* an idle connection holds nothing */
        t->in_used = 0;
    }
    return (int)size;
}

static int give_output(void *ctx, const unsigned char *data, size_t size)
{
    struct tls *t = ctx;
    return buf_add(&t->out, data, size, NULL) < 0 ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)size;
}

int tls_feed(struct tls *t, const void *data, size_t size, struct error *err)
{
    if (t->in_used > 0) {
        buf_drop_front(&t->in, t->in_used);
        t->in_used = 0;
    }
    if (buf_add(&t->in, data, size, err) < 0)
        return fail(err, "E_TLS_PROTOCOL", "more than %d bytes came in that nobody read", INPUT_MAX);
    return 0;
}

void tls_feed_end(struct tls *t)
{
    t->in_ended = true;
}

struct buf *tls_output(struct tls *t)
{
    return &t->out;
}

/* ---- Errors --------------------------------------------------------------------------------------------------- */

static const char *alert_name(int alert)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {20, "bad_record_mac"},      {40, "handshake_failure"},   {42, "bad_certificate"},      {43, "unsupported_certificate"},
        {44, "certificate_revoked"}, {45, "certificate_expired"}, {46, "certificate_unknown"},  {47, "illegal_parameter"},
        {48, "unknown_ca"},          {49, "access_denied"},       {50, "decode_error"},         {51, "decrypt_error"},
        {70, "protocol_version"},    {71, "insufficient_security"}, {80, "internal_error"},     {90, "user_canceled"},
        {112, "unrecognized_name"},  {116, "certificate_required"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == alert)
            return names[i].name;
    return "an alert";
}

static int fail_verify(uint32_t flags, const char *host, struct error *err)
{
    if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0 && (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0)
        return fail(err, "E_TLS_EXPIRED", "the peer's certificate has expired (or this clock is wrong)");
    if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0 && (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0)
        return fail(err, "E_TLS_EXPIRED", "the peer's certificate is not yet valid (or this clock is wrong)");
    if (flags == MBEDTLS_X509_BADCERT_CN_MISMATCH)
        return fail(err, "E_TLS_NAME", "the peer's certificate is not for %s", host);
    char words[400];
    int size = mbedtls_x509_crt_verify_info(words, sizeof words, "", flags);
    for (int i = 0; i < size; i++)
        words[i] = words[i] == '\n' ? ' ' : words[i];
    return fail(err, "E_TLS_CA", "the peer's certificate is not trusted: %.*s", size > 0 ? size - 1 : 0, words);
}

/* What mbedTLS refuses without a word, or we refuse after it: the peer is told too. */
static void say_refused(struct tls *t, unsigned char alert)
{
    (void)mbedtls_ssl_send_alert_message(&t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
}

static int fail_tls(struct tls *t, int number, struct error *err)
{
    switch (number) {
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
        return fail_verify(mbedtls_ssl_get_verify_result(&t->ssl), t->host, err);
    case TLS_BAD_CERTIFICATE: /* also: made for another use */
        return fail(err, "E_TLS_CA", "the peer's certificate cannot be taken (is it one for this use?)");
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        return fail(err, "E_TLS_REFUSED", "the peer refused: %s (alert %d)", alert_name(t->ssl.in_msg[1]), t->ssl.in_msg[1]);
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        say_refused(t, MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
        return fail(err, "E_TLS_NO_CERT", "the peer showed no certificate");
    case 0:
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return fail(err, "E_TLS_CLOSED", "the connection was cut off%s", t->done ? " without a goodbye" : " in the TLS handshake");
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
        return fail(err, "E_NO_MEMORY", "no memory for TLS");
    default:
        return tls_fail(err, "E_TLS_PROTOCOL", number, "TLS");
    }
}

/* ---- Making --------------------------------------------------------------------------------------------------- */

static struct tls *new_engine(struct tls_context *context, struct error *err)
{
    struct tls *t = calloc(1, sizeof *t);
    if (t == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for TLS");
        return NULL;
    }
    t->context = context;
    t->in = BUF(INPUT_MAX);
    t->out = BUF(OUTPUT_MAX);
    mbedtls_ssl_init(&t->ssl);
    int r = mbedtls_ssl_setup(&t->ssl, &context->config);
    if (r != 0) {
        tls_fail(err, "E_NO_MEMORY", r, "setting up TLS");
        tls_free(t);
        return NULL;
    }
    mbedtls_ssl_set_bio(&t->ssl, t, give_output, take_input, NULL);
    return t;
}

struct tls *tls_new_server(struct tls_context *context, struct error *err)
{
    if (!context->is_server) {
        fail(err, "E_TLS_CONFIG", "a client's TLS context cannot serve");
        return NULL;
    }
    return new_engine(context, err);
}

/* An address goes into no server name indication (RFC 6066 section 3), but must be set to something: newer versions of
 * mbedTLS refuse to connect without. The names are compared in check_names in any case. */
static int set_host(struct tls *t, const char *host)
{
    uint8_t ip[16];
    memcpy(t->host, host, strlen(host) + 1);
    return mbedtls_ssl_set_hostname(&t->ssl, tls_ip_bytes(host, ip) > 0 ? NULL : host);
}

struct tls *tls_new_client(struct tls_context *context, const char *host, const struct tls_session *session, struct error *err)
{
    if (context->is_server || host == NULL || host[0] == 0 || strlen(host) > HOST_MAX) {
        fail(err, "E_TLS_CONFIG", "a TLS client needs a client's context and the name of its server");
        return NULL;
    }
    struct tls *t = new_engine(context, err);
    if (t == NULL)
        return NULL;
    int r = set_host(t, host);
    if (r == 0 && session != NULL && session->context_id == context->id && strcmp(session->host, host) == 0)
        r = mbedtls_ssl_set_session(&t->ssl, &session->session);
    if (r != 0) {
        tls_fail(err, "E_TLS_CONFIG", r, "setting up TLS");
        tls_free(t);
        return NULL;
    }
    return t;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    mbedtls_ssl_free(&t->ssl);
    buf_free(&t->in);
    buf_free(&t->out);
    free(t);
}

/* ---- Handshake ------------------------------------------------------------------------------------------------ */

static int64_t to_ms(const mbedtls_x509_time *time)
{
    char text[CLOCK_TEXT_SIZE + 32];
    int64_t ms = 0;
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", time->year, time->mon, time->day, time->hour, time->min,
             time->sec);
    return clock_parse(text, &ms, NULL) < 0 ? 0 : ms;
}

static int remember_peer(struct tls *t, const mbedtls_x509_crt *cert, struct error *err)
{
    struct tls_peer *peer = &t->peer;
    if (tls_sha256(cert->raw.p, cert->raw.len, peer->sha256) != 0)
        return fail(err, "E_TLS_PROTOCOL", "the peer's certificate cannot be hashed");
    const unsigned char *serial = cert->serial.p;
    size_t size = cert->serial.len;
    for (; size > 1 && serial[0] == 0; size--)
        serial++;
    hex_encode(serial, size <= 20 ? size : 20, peer->serial);
    for (const mbedtls_x509_name *name = &cert->subject; name != NULL; name = name->next)
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0)
            snprintf(peer->common_name, sizeof peer->common_name, "%.*s", (int)(name->val.len <= 64 ? name->val.len : 64),
                     (const char *)name->val.p);
    peer->not_before_ms = to_ms(&cert->valid_from);
    peer->not_after_ms = to_ms(&cert->valid_to);
    peer->resumed = !t->full_handshake;
    t->has_peer = true;
    return 0;
}

/* mbedTLS takes a resumed session's certificate as it was. Here it is looked at again, as if it had just been shown. The
 * session keeps the peer's own certificate without the ones between it and the root; so a client, whose server may be one
 * of the Internet's, looks at the dates, and a server, whose clients its CA signed directly, at everything. */
static int check_resumed(struct tls *t, mbedtls_x509_crt *cert, struct error *err)
{
    uint32_t flags = 0;
    if (t->context->is_server) {
        int r = mbedtls_x509_crt_verify(cert, &t->context->ca, NULL, NULL, &flags, NULL, NULL);
        if (r != 0 && flags == 0)
            flags = MBEDTLS_X509_BADCERT_OTHER;
    } else {
        flags |= mbedtls_x509_time_is_past(&cert->valid_to) ? MBEDTLS_X509_BADCERT_EXPIRED : 0;
        flags |= mbedtls_x509_time_is_future(&cert->valid_from) ? MBEDTLS_X509_BADCERT_FUTURE : 0;
    }
    return flags != 0 ? fail_verify(flags, t->host, err) : 0;
}

/* What mbedTLS leaves to us: an optional certificate must still be a good one, names are taken from subjectAltName only,
 * and what was resumed is checked anew. */
static int check_peer(struct tls *t, struct error *err)
{
    const struct tls_context *context = t->context;
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&t->ssl);
    if (context->is_server && context->client_cert == TLS_CLIENT_CERT_NONE)
        return 0;
    if (cert == NULL) {
        if (context->is_server && context->client_cert == TLS_CLIENT_CERT_OPTIONAL)
            return 0;
        return fail(err, "E_TLS_NO_CERT", "the peer showed no certificate");
    }
    if (context->pin_fetch)
        return remember_peer(t, cert, err);
    if (t->full_handshake) {
        uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);
        if (flags != 0)
            return fail_verify(flags, t->host, err);
    } else if (check_resumed(t, (mbedtls_x509_crt *)cert, err) < 0) {
        return -1;
    }
    if (!context->is_server && !tls_cert_names(cert, t->host))
        return fail(err, "E_TLS_NAME", "the peer's certificate is not for %s", t->host);
    return remember_peer(t, cert, err);
}

static bool handshake_over(const struct tls *t)
{
    return t->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER;
}

int tls_handshake(struct tls *t, struct error *err)
{
    if (t->done)
        return 1;
    while (!handshake_over(t)) {
        /* Only a full handshake passes through this state. */
        t->full_handshake |= t->ssl.state == MBEDTLS_SSL_SERVER_CERTIFICATE;
        size_t left = t->in.size - t->in_used;
        int r = mbedtls_ssl_handshake_step(&t->ssl);
        if (r == MBEDTLS_ERR_SSL_WANT_READ && (t->in.size - t->in_used == left || t->in.size == 0)) {
            if (t->in_ended && t->in.size == 0)
                return fail_tls(t, MBEDTLS_ERR_SSL_CONN_EOF, err);
            return 0;
        }
        if (r != 0 && r != MBEDTLS_ERR_SSL_WANT_READ && r != MBEDTLS_ERR_SSL_WANT_WRITE)
            return fail_tls(t, r, err);
    }
    if (check_peer(t, err) < 0) {
        say_refused(t, MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
        return -1;
    }
    t->done = true;
    return 1;
}

/* ---- Bytes ---------------------------------------------------------------------------------------------------- */

ssize_t tls_read(struct tls *t, void *out, size_t size, struct error *err)
{
    if (!t->done)
        return fail(err, "E_TLS_PROTOCOL", "reading before the handshake is done");
    for (;;) {
        size_t left = t->in.size - t->in_used;
        int r = mbedtls_ssl_read(&t->ssl, out, size);
        if (r > 0)
            return r;
        if (r == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
            return TLS_END;
        if (r != MBEDTLS_ERR_SSL_WANT_READ && r != MBEDTLS_ERR_SSL_WANT_WRITE)
            return fail_tls(t, r, err);
        if (t->in.size == 0 || t->in.size - t->in_used == left)
            return 0;
    }
}

int tls_write(struct tls *t, const void *data, size_t size, struct error *err)
{
    if (!t->done)
        return fail(err, "E_TLS_PROTOCOL", "writing before the handshake is done");
    const unsigned char *next = data;
    while (size > 0) {
        int r = mbedtls_ssl_write(&t->ssl, next, size); /* one record, 16 KiB, at most */
        if (r <= 0)
            return fail_tls(t, r, err);
        next += r;
        size -= (size_t)r;
    }
    return 0;
}

void tls_say_goodbye(struct tls *t)
{
    /* It is a courtesy: if it cannot be said, the connection closes anyway. */
    if (t->done)
        (void)mbedtls_ssl_close_notify(&t->ssl);
}

/* ---- Who, and again ------------------------------------------------------------------------------------------- */

const struct tls_peer *tls_peer(const struct tls *t)
{
    return t->done && t->has_peer ? &t->peer : NULL;
}

const char *tls_cipher(const struct tls *t)
{
    return mbedtls_ssl_get_ciphersuite(&t->ssl);
}

bool tls_resumed(const struct tls *t)
{
    return t->done && !t->full_handshake;
}

int tls_peer_chain(const struct tls *t, struct buf *pem, struct error *err)
{
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&t->ssl);
    if (cert == NULL || !t->done)
        return fail(err, "E_TLS_NO_CERT", "the peer showed no certificate");
    for (; cert != NULL && cert->raw.p != NULL; cert = cert->next) {
        unsigned char text[8192];
        size_t size = 0;
        int r = mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", cert->raw.p,
                                         cert->raw.len, text, sizeof text, &size);
        if (r != 0)
            return tls_fail(err, "E_TLS_PROTOCOL", r, "the peer's certificate");
        if (buf_add_text(pem, (const char *)text, err) < 0)
            return -1;
    }
    return 0;
}

struct tls_session *tls_session_save(const struct tls *t)
{
    struct tls_session *saved = t->done && !t->context->is_server ? calloc(1, sizeof *saved) : NULL;
    if (saved == NULL)
        return NULL;
    mbedtls_ssl_session_init(&saved->session);
    if (mbedtls_ssl_get_session(&t->ssl, &saved->session) != 0 || saved->session.ticket_len == 0) {
        tls_session_free(saved);
        return NULL;
    }
    saved->context_id = t->context->id;
    memcpy(saved->host, t->host, sizeof saved->host);
    return saved;
}

void tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    mbedtls_ssl_session_free(&session->session);
    free(session);
}
