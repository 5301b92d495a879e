#include "net/tls/x509.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/names.h"
#include "net/tls/names.h"

#define TEXT_SIZE 8192 /* of one PEM */
#define SAN_SIZE  (X509_NAMES_MAX * (NAME_DOMAIN_MAX + 3))

static void free_crt(mbedtls_x509write_cert *w)
{
    mbedtls_x509write_crt_free(w);
}

#define AUTO_PK    __attribute__((cleanup(mbedtls_pk_free)))
#define AUTO_CRT   __attribute__((cleanup(mbedtls_x509_crt_free)))
#define AUTO_CSR   __attribute__((cleanup(mbedtls_x509_csr_free)))
#define AUTO_WRITE __attribute__((cleanup(free_crt)))

/* ---- Small parts ------------------------------------------------------------------------------------------------ */

static int check_p256(const mbedtls_pk_context *key, const char *what, struct error *err)
{
    if (mbedtls_pk_get_type(key) != MBEDTLS_PK_ECKEY || mbedtls_pk_ec(*key)->grp.id != MBEDTLS_ECP_DP_SECP256R1)
        return fail(err, "E_X509", "%s: not a P-256 key", what);
    return 0;
}

static int read_key(mbedtls_pk_context *key, const char *pem, const char *what, struct error *err)
{
    if (tls_parse_key(key, pem, what, err) < 0)
        return fail(err, "E_X509", "%s: no private key that can be read", what);
    return check_p256(key, what, err);
}

static int read_cert(mbedtls_x509_crt *cert, const char *pem, const char *what, struct error *err)
{
    if (tls_parse_certs(cert, pem, what, err) < 0)
        return fail(err, "E_X509", "%s: no certificate that can be read", what);
    return 0;
}

/* "CN=…" for mbedTLS, which takes commas and backslashes as its own. */
static int subject(const char *common_name, char out[80], struct error *err)
{
    size_t size = strlen(common_name);
    bool good = size > 0 && size <= 64;
    for (size_t i = 0; i < size && good; i++)
        good = isalnum((unsigned char)common_name[i]) || strchr(" ._-", common_name[i]) != NULL;
    if (!good)
        return fail(err, "E_X509", "a certificate's name is 1 to 64 letters, digits, spaces, dots, '_' or '-'");
    snprintf(out, 80, "CN=%s", common_name);
    return 0;
}

static int time_text(int64_t ms, char out[16], struct error *err)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (ms < 0 || gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 9999 - 1900)
        return fail(err, "E_X509", "a certificate's time is out of range");
    strftime(out, 16, "%Y%m%d%H%M%S", &tm);
    return 0;
}

static int64_t to_ms(const mbedtls_x509_time *time)
{
    char text[64];
    int64_t ms = 0;
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", time->year, time->mon, time->day, time->hour, time->min,
             time->sec);
    return clock_parse(text, &ms, NULL) < 0 ? 0 : ms;
}

static void common_name_of(const mbedtls_x509_name *name, char out[65])
{
    out[0] = 0;
    for (; name != NULL; name = name->next)
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0)
            snprintf(out, 65, "%.*s", (int)(name->val.len <= 64 ? name->val.len : 64), (const char *)name->val.p);
}

/* ---- Keys and requests ------------------------------------------------------------------------------------------ */

int x509_make_key(struct buf *key_pem, struct error *err)
{
    AUTO_PK mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    unsigned char text[1024];
    int r = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (r == 0)
        r = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key), tls_random, NULL);
    if (r == 0)
        r = mbedtls_pk_write_key_pem(&key, text, sizeof text);
    int added = r == 0 ? buf_add_text(key_pem, (const char *)text, err) : tls_fail(err, "E_X509", r, "making a key");
    wipe(text, sizeof text);
    return added;
}

int x509_make_csr(const char *key_pem, const char *common_name, struct buf *csr_pem, struct error *err)
{
    char name[80];
    AUTO_PK mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    if (read_key(&key, key_pem, "the key of a request", err) < 0 || subject(common_name, name, err) < 0)
        return -1;
    mbedtls_x509write_csr w;
    mbedtls_x509write_csr_init(&w);
    mbedtls_x509write_csr_set_md_alg(&w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_csr_set_key(&w, &key);
    unsigned char text[TEXT_SIZE];
    int r = mbedtls_x509write_csr_set_subject_name(&w, name);
    if (r == 0)
        r = mbedtls_x509write_csr_pem(&w, text, sizeof text, tls_random, NULL);
    mbedtls_x509write_csr_free(&w);
    return r == 0 ? buf_add_text(csr_pem, (const char *)text, err) : tls_fail(err, "E_X509", r, "making a request");
}

static int read_csr(mbedtls_x509_csr *csr, const char *pem, struct error *err)
{
    size_t size = strlen(pem);
    int r = size <= X509_PEM_MAX ? mbedtls_x509_csr_parse(csr, (const unsigned char *)pem, size + 1) : MBEDTLS_ERR_X509_BAD_INPUT_DATA;
    if (r != 0)
        return tls_fail(err, "E_X509", r, "the certificate request cannot be read");
    if (check_p256(&csr->pk, "the certificate request", err) < 0)
        return -1;
    unsigned char hash[64];
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(csr->sig_md);
    r = md != NULL ? mbedtls_md(md, csr->cri.p, csr->cri.len, hash) : MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG;
    /* Whoever asks must hold the key: a request without its own good signature is somebody else's. */
    if (r == 0)
        r = mbedtls_pk_verify_ext(csr->sig_pk, csr->sig_opts, &csr->pk, csr->sig_md, hash, mbedtls_md_get_size(md), csr->sig.p,
                                  csr->sig.len);
    return r == 0 ? 0 : tls_fail(err, "E_X509", r, "the certificate request's signature");
}

int x509_check_csr(const char *csr_pem, char *common_name, struct error *err)
{
    AUTO_CSR mbedtls_x509_csr csr;
    mbedtls_x509_csr_init(&csr);
    if (read_csr(&csr, csr_pem, err) < 0)
        return -1;
    common_name_of(&csr.subject, common_name);
    return 0;
}

/* ---- Certificates ------------------------------------------------------------------------------------------------ */

/* The version-dependent setter in one place: newer versions take bytes, older ones a number. */
static int set_serial(mbedtls_x509write_cert *w, const uint8_t *serial)
{
#if MBEDTLS_VERSION_MAJOR >= 3 && MBEDTLS_VERSION_NUMBER >= 0x03040000
    unsigned char copy[X509_SERIAL_SIZE];
    memcpy(copy, serial, sizeof copy);
    return mbedtls_x509write_crt_set_serial_raw(w, copy, sizeof copy);
#else
    mbedtls_mpi number;
    mbedtls_mpi_init(&number);
    int r = mbedtls_mpi_read_binary(&number, serial, X509_SERIAL_SIZE);
    if (r == 0)
        r = mbedtls_x509write_crt_set_serial(w, &number);
    mbedtls_mpi_free(&number);
    return r;
#endif
}

/* 127 bits, the first byte 0x40 to 0x7f: positive, and the same length in every encoding. */
static int set_serial_or_random(mbedtls_x509write_cert *w, const uint8_t *given)
{
    static const uint8_t none[X509_SERIAL_SIZE];
    uint8_t serial[X509_SERIAL_SIZE];
    memcpy(serial, given, sizeof serial);
    if (memcmp(given, none, sizeof none) == 0) {
        if (tls_random(NULL, serial, sizeof serial) != 0)
            return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
        serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
    }
    serial[0] &= 0x7f;
    return set_serial(w, serial);
}

static int set_times(mbedtls_x509write_cert *w, int64_t from_ms, int64_t to_ms_, struct error *err)
{
    char from[16], to[16];
    if (time_text(from_ms, from, err) < 0 || time_text(to_ms_, to, err) < 0)
        return -1;
    if (to_ms_ <= from_ms)
        return fail(err, "E_X509", "a certificate must end after it begins");
    int r = mbedtls_x509write_crt_set_validity(w, from, to);
    return r == 0 ? 0 : tls_fail(err, "E_X509", r, "a certificate's times");
}

static int write_pem(mbedtls_x509write_cert *w, struct buf *cert_pem, struct error *err)
{
    unsigned char text[TEXT_SIZE];
    int r = mbedtls_x509write_crt_pem(w, text, sizeof text, tls_random, NULL);
    return r == 0 ? buf_add_text(cert_pem, (const char *)text, err) : tls_fail(err, "E_X509", r, "writing a certificate");
}

int x509_make_ca(const char *key_pem, const char *common_name, int64_t not_before_ms, int64_t not_after_ms,
                 struct buf *cert_pem, struct error *err)
{
    static const uint8_t random_serial[X509_SERIAL_SIZE];
    char name[80];
    AUTO_PK mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    if (read_key(&key, key_pem, "the CA's key", err) < 0 || subject(common_name, name, err) < 0)
        return -1;
    AUTO_WRITE mbedtls_x509write_cert w;
    mbedtls_x509write_crt_init(&w);
    mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&w, &key);
    mbedtls_x509write_crt_set_issuer_key(&w, &key);
    if (set_times(&w, not_before_ms, not_after_ms, err) < 0)
        return -1;
    int r = mbedtls_x509write_crt_set_subject_name(&w, name);
    r = r != 0 ? r : mbedtls_x509write_crt_set_issuer_name(&w, name);
    r = r != 0 ? r : set_serial_or_random(&w, random_serial);
    r = r != 0 ? r : mbedtls_x509write_crt_set_basic_constraints(&w, 1, 0);
    r = r != 0 ? r : mbedtls_x509write_crt_set_key_usage(&w, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN);
    r = r != 0 ? r : mbedtls_x509write_crt_set_subject_key_identifier(&w);
    if (r != 0)
        return tls_fail(err, "E_X509", r, "making a CA certificate");
    return write_pem(&w, cert_pem, err);
}

/* One entry of subjectAltName: tag, length (short or one-byte form: a name has 253 letters at most), bytes. */
static size_t put_entry(uint8_t *out, uint8_t tag, const void *data, size_t size)
{
    size_t head = 0;
    out[head++] = tag;
    if (size > 127)
        out[head++] = 0x81;
    out[head++] = (uint8_t)size;
    memcpy(out + head, data, size);
    return head + size;
}

static int san_entries(const char *const *names, uint8_t *out, size_t *used, struct error *err)
{
    *used = 0;
    for (size_t i = 0; i < X509_NAMES_MAX && names[i] != NULL; i++) {
        uint8_t ip[16];
        size_t ip_size = tls_ip_bytes(names[i], ip);
        if (ip_size == 0 && !name_is_domain(names[i]) && strcmp(names[i], "localhost") != 0)
            return fail(err, "E_X509", "'%.260s' is neither a domain nor an IP address", names[i]);
        if (ip_size > 0)
            *used += put_entry(out + *used, MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7, ip, ip_size);
        else
            *used += put_entry(out + *used, MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2, names[i], strlen(names[i]));
    }
    return 0;
}

/* mbedTLS 2.28 cannot write this extension: SEQUENCE (RFC 5280 section 4.2.1.6) of the entries, by hand. */
static int set_names(mbedtls_x509write_cert *w, const char *const *names, struct error *err)
{
    uint8_t entries[SAN_SIZE], der[SAN_SIZE + 4];
    size_t size = 0, head = 0;
    if (san_entries(names, entries, &size, err) < 0)
        return -1;
    if (size == 0)
        return 0;
    der[head++] = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    if (size > 255) {
        der[head++] = 0x82;
        der[head++] = (uint8_t)(size >> 8);
    } else if (size > 127) {
        der[head++] = 0x81;
    }
    der[head++] = (uint8_t)size;
    memcpy(der + head, entries, size);
    int r = mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
                                                der, head + size);
    return r == 0 ? 0 : tls_fail(err, "E_X509", r, "a certificate's names");
}

static int set_use(mbedtls_x509write_cert *w, enum x509_use use)
{
    /* SEQUENCE of one OID: id-kp-clientAuth (…3.2) or id-kp-serverAuth (…3.1). */
    uint8_t eku[] = {0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, use == X509_CLIENT ? 0x02 : 0x01};
    int r = mbedtls_x509write_crt_set_basic_constraints(w, 0, -1);
    r = r != 0 ? r : mbedtls_x509write_crt_set_key_usage(w, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    return r != 0 ? r
                  : mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                                        MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 1, eku, sizeof eku);
}

static int set_parties(mbedtls_x509write_cert *w, const char *common_name, const mbedtls_x509_crt *ca, struct error *err)
{
    char name[80], issuer[80], issuer_cn[65];
    common_name_of(&ca->subject, issuer_cn);
    if (subject(common_name, name, err) < 0 || subject(issuer_cn, issuer, err) < 0)
        return -1;
    int r = mbedtls_x509write_crt_set_subject_name(w, name);
    r = r != 0 ? r : mbedtls_x509write_crt_set_issuer_name(w, issuer);
    return r == 0 ? 0 : tls_fail(err, "E_X509", r, "a certificate's parties");
}

int x509_issue(const struct x509_issue *what, struct buf *cert_pem, struct error *err)
{
    AUTO_PK mbedtls_pk_context ca_key;
    mbedtls_pk_init(&ca_key);
    AUTO_CRT mbedtls_x509_crt ca;
    mbedtls_x509_crt_init(&ca);
    AUTO_CSR mbedtls_x509_csr csr;
    mbedtls_x509_csr_init(&csr);
    if (x509_check_key(what->ca_cert_pem, what->ca_key_pem, err) < 0 ||
        read_key(&ca_key, what->ca_key_pem, "the CA's key", err) < 0 ||
        read_cert(&ca, what->ca_cert_pem, "the CA's certificate", err) < 0 || read_csr(&csr, what->csr_pem, err) < 0)
        return -1;
    AUTO_WRITE mbedtls_x509write_cert w;
    mbedtls_x509write_crt_init(&w);
    mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&w, &csr.pk);
    mbedtls_x509write_crt_set_issuer_key(&w, &ca_key);
    if (set_parties(&w, what->common_name, &ca, err) < 0 || set_times(&w, what->not_before_ms, what->not_after_ms, err) < 0 ||
        set_names(&w, what->names, err) < 0)
        return -1;
    int r = set_serial_or_random(&w, what->serial);
    r = r != 0 ? r : set_use(&w, what->use);
    r = r != 0 ? r : mbedtls_x509write_crt_set_subject_key_identifier(&w);
    r = r != 0 ? r : mbedtls_x509write_crt_set_authority_key_identifier(&w);
    if (r != 0)
        return tls_fail(err, "E_X509", r, "issuing a certificate");
    return write_pem(&w, cert_pem, err);
}

/* ---- Reading ------------------------------------------------------------------------------------------------------ */

int x509_read(const char *cert_pem, struct x509_info *info, struct error *err)
{
    AUTO_CRT mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    if (read_cert(&cert, cert_pem, "the certificate", err) < 0)
        return -1;
    *info = (struct x509_info){.not_before_ms = to_ms(&cert.valid_from), .not_after_ms = to_ms(&cert.valid_to)};
    if (tls_sha256(cert.raw.p, cert.raw.len, info->sha256) != 0)
        return fail(err, "E_X509", "the certificate cannot be hashed");
    const unsigned char *serial = cert.serial.p;
    size_t size = cert.serial.len;
    for (; size > 1 && serial[0] == 0; size--)
        serial++;
    hex_encode(serial, size <= 20 ? size : 20, info->serial);
    common_name_of(&cert.subject, info->common_name);
    info->is_ca = cert.ca_istrue != 0;
    return 0;
}

/* Dates are judged elsewhere, by a clock that may not be trusted here. */
static uint32_t without_dates(uint32_t flags)
{
    return flags & ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
}

static int ignore_dates(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    (void)ctx;
    (void)cert;
    (void)depth;
    *flags = without_dates(*flags);
    return 0;
}

int x509_check_issued_by(const char *cert_pem, const char *ca_pem, enum x509_use use, struct error *err)
{
    AUTO_CRT mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    AUTO_CRT mbedtls_x509_crt ca;
    mbedtls_x509_crt_init(&ca);
    if (read_cert(&cert, cert_pem, "the certificate", err) < 0 || read_cert(&ca, ca_pem, "the CA's certificate", err) < 0)
        return -1;
    uint32_t flags = 0;
    int r = mbedtls_x509_crt_verify(&cert, &ca, NULL, NULL, &flags, ignore_dates, NULL);
    if (r != 0 || flags != 0)
        return fail(err, "E_X509", "the certificate was not issued by this CA");
    const char *oid = use == X509_CLIENT ? MBEDTLS_OID_CLIENT_AUTH : MBEDTLS_OID_SERVER_AUTH; /* of the same size */
    r = mbedtls_x509_crt_check_extended_key_usage(&cert, oid, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH));
    return r == 0 ? 0 : fail(err, "E_X509", "the certificate was made for another use");
}

int x509_check_key(const char *cert_pem, const char *key_pem, struct error *err)
{
    AUTO_CRT mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    AUTO_PK mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    if (read_cert(&cert, cert_pem, "the certificate", err) < 0 || read_key(&key, key_pem, "the key", err) < 0)
        return -1;
#if MBEDTLS_VERSION_MAJOR >= 3
    int r = mbedtls_pk_check_pair(&cert.pk, &key, tls_random, NULL);
#else
    int r = mbedtls_pk_check_pair(&cert.pk, &key);
#endif
    return r == 0 ? 0 : fail(err, "E_X509", "the private key does not belong to the certificate");
}
