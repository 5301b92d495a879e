#include "agent/uplink/identity.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "base/encode.h"

static int check_folder(int dir, const char *folder, struct error *err)
{
    struct stat st;
    if (fstat(dir, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return fail(err, "E_PERM", "'%s' must belong to user %u and be closed to others (chmod 700)", folder,
                    (unsigned)geteuid());
    return 0;
}

static int read_pem(int dir, const char *name, struct buf *out, struct error *err)
{
    int rc = durable_read_private(dir, name, out, err);
    if (rc < 0)
        return -1;
    if (rc == 0 && (out->size == 0 || memchr(out->data, 0, out->size) != NULL))
        return fail(err, "E_IDENTITY", "'%s' holds no PEM text: remove it and enrol this host again", name);
    return 0;
}

static int read_all(struct identity *id, struct error *err)
{
    if (read_pem(id->dir, "key.pem", &id->key_pem, err) < 0 || read_pem(id->dir, "cert.pem", &id->cert_pem, err) < 0 ||
        read_pem(id->dir, "ca.pem", &id->ca_pem, err) < 0)
        return -1;
    if (id->ca_pem.size > 0 && x509_read(buf_text(&id->ca_pem), &id->ca, err) < 0)
        return fail_in(err, "ca.pem cannot be read, enrol this host again");
    if (id->cert_pem.size == 0)
        return 0;
    /* The CA is stored first, so a certificate without it, or not of it, was not put there by us. */
    if (id->key_pem.size == 0 || id->ca_pem.size == 0)
        return fail(err, "E_IDENTITY", "cert.pem is there but %s is not: enrol this host again",
                    id->key_pem.size == 0 ? "key.pem" : "ca.pem");
    return x509_read(buf_text(&id->cert_pem), &id->cert, err);
}

int identity_open(struct identity *id, const char *folder, struct error *err)
{
    *id = (struct identity){.dir = -1, .key_pem = BUF(IDENTITY_FILE_MAX), .cert_pem = BUF(IDENTITY_FILE_MAX),
                            .ca_pem = BUF(IDENTITY_FILE_MAX)};
    id->dir = durable_dir(folder, 0700, err);
    if (id->dir < 0)
        return -1;
    if (check_folder(id->dir, folder, err) < 0 || read_all(id, err) < 0) {
        fail_in(err, "%s", folder);
        identity_free(id);
        return -1;
    }
    return 0;
}

void identity_free(struct identity *id)
{
    if (id->dir >= 0)
        close(id->dir);
    id->dir = -1;
    buf_wipe_free(&id->key_pem);
    buf_free(&id->cert_pem);
    buf_free(&id->ca_pem);
}

bool identity_enrolled(const struct identity *id)
{
    return id->cert_pem.size > 0 &&
           identity_check(id, buf_text(&id->cert_pem), buf_text(&id->ca_pem), NULL) == 0;
}

int identity_token(const struct identity *id, char secret[IDENTITY_TOKEN_SIZE], struct error *err)
{
    AUTO_WIPE struct buf text = BUF(256);
    int rc = durable_read_private(id->dir, "token", &text, err);
    if (rc != 0)
        return rc;
    while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
        text.size--;
    uint8_t bytes[32];
    rc = hex_decode(buf_text(&text), text.size, bytes, sizeof bytes);
    wipe(bytes, sizeof bytes);
    if (rc < 0)
        return fail(err, "E_TOKEN", "the file 'token' holds no token's secret (64 hex digits): enrol this host again");
    memcpy(secret, text.data, IDENTITY_TOKEN_SIZE - 1);
    secret[IDENTITY_TOKEN_SIZE - 1] = '\0';
    return 0;
}

int identity_drop_token(const struct identity *id, struct error *err)
{
    return durable_remove(id->dir, "token", err);
}

static int make_key(struct identity *id, struct error *err)
{
    AUTO_WIPE struct buf key = BUF(IDENTITY_FILE_MAX);
    if (x509_make_key(&key, err) < 0 || durable_replace(id->dir, "key.pem", key.data, key.size, 0600, err) < 0)
        return -1;
    return buf_add(&id->key_pem, key.data, key.size, err);
}

int identity_request(struct identity *id, const char *server, struct buf *csr_pem, struct error *err)
{
    if (id->key_pem.size == 0 && make_key(id, err) < 0)
        return -1;
    return x509_make_csr(buf_text(&id->key_pem), server, csr_pem, err);
}

int identity_check(const struct identity *id, const char *cert_pem, const char *ca_pem, struct error *err)
{
    struct error why = {0};
    if (strlen(cert_pem) > IDENTITY_FILE_MAX || strlen(ca_pem) > IDENTITY_FILE_MAX)
        return fail(err, "E_IDENTITY", "a certificate is larger than %d bytes", IDENTITY_FILE_MAX);
    if (x509_check_key(cert_pem, buf_text(&id->key_pem), &why) < 0 ||
        x509_check_issued_by(cert_pem, ca_pem, X509_CLIENT, &why) < 0)
        return fail(err, "E_IDENTITY", "the certificate does not fit this host: %s", why.text);
    return 0;
}

static int replace_text(struct buf *b, const char *text, struct error *err)
{
    if (buf_view(b).data == (const uint8_t *)text)
        return 0;
    b->size = 0;
    return buf_add_text(b, text, err);
}

int identity_store(struct identity *id, const char *cert_pem, const char *ca_pem, struct error *err)
{
    struct x509_info cert, ca;
    if (identity_check(id, cert_pem, ca_pem, err) < 0 || x509_read(cert_pem, &cert, err) < 0 ||
        x509_read(ca_pem, &ca, err) < 0)
        return -1;
    if (durable_replace(id->dir, "ca.pem", ca_pem, strlen(ca_pem), 0600, err) < 0 ||
        durable_replace(id->dir, "cert.pem", cert_pem, strlen(cert_pem), 0600, err) < 0 ||
        replace_text(&id->ca_pem, ca_pem, err) < 0 || replace_text(&id->cert_pem, cert_pem, err) < 0)
        return -1;
    id->cert = cert;
    id->ca = ca;
    return 0;
}

int64_t identity_renewal_ms(const struct identity *id)
{
    return id->cert.not_before_ms + (id->cert.not_after_ms - id->cert.not_before_ms) / 3 * 2;
}

void identity_warning(const struct identity *id, int64_t now_ms, char *text, size_t size)
{
    char until[CLOCK_TEXT_SIZE], from[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
    clock_format(id->cert.not_after_ms, until);
    clock_format(id->cert.not_before_ms, from);
    clock_format(now_ms, now);
    if (now_ms > id->cert.not_after_ms)
        snprintf(text, size, "this host's certificate expired on %s: enrol it again (or mend its clock, which says %s)", until, now);
    else if (now_ms < id->cert.not_before_ms)
        snprintf(text, size, "this host's certificate is valid from %s, but its clock says %s: mend the clock", from, now);
    else if (now_ms > identity_renewal_ms(id))
        snprintf(text, size, "this host's certificate ends on %s and could not be renewed yet", until);
    else
        snprintf(text, size, "%s", "");
}
