/* Who this host is: the folder /var/lib/klystrr/identity, 0700, which belongs to this process's user alone.
 *
 *   key.pem   the identity key, P-256, made here, never leaves      cert.pem  what the plane issued for it
 *   ca.pem    the plane's CA, as pinned                             token     the secret of a one-time token, put there by
 *                                                                             `klystrr enrol`; gone once it was used
 * A folder or file that somebody else owns or may open is refused with E_PERM: then it is not known who this host is. */
#ifndef KLY_UPLINK_IDENTITY_H
#define KLY_UPLINK_IDENTITY_H

#include <stdbool.h>

#include "base/buf.h"
#include "net/tls/x509.h"

#define IDENTITY_FILE_MAX   32768 /* bytes of any file */
#define IDENTITY_TOKEN_SIZE 65    /* 64 hex digits and a NUL */

struct identity {
    int dir;
    struct buf key_pem;  /* empty: none yet; wiped when freed */
    struct buf cert_pem; /* empty: not enrolled */
    struct buf ca_pem;   /* empty: not enrolled */
    struct x509_info cert, ca; /* where there is a PEM */
};

/* Opens (or makes) the folder and reads what is there. On failure nothing is held. E_PERM, E_READ, E_TOO_LARGE, and
 * E_IDENTITY when files are there but do not fit together: the text says what to do. */
int identity_open(struct identity *id, const char *folder, struct error *err) KLY_MUST_USE;
void identity_free(struct identity *id);

/* Has a certificate, of this key and from this CA. Dates are not looked at: a host's clock may be wrong. */
bool identity_enrolled(const struct identity *id);
/* The token file: 0 and its secret, 1 if there is none, -1 (E_PERM, E_TOKEN if it is no token). */
int identity_token(const struct identity *id, char secret[IDENTITY_TOKEN_SIZE], struct error *err) KLY_MUST_USE;
int identity_drop_token(const struct identity *id, struct error *err) KLY_MUST_USE;

/* A request for a certificate, with a key made and stored first if there is none yet. Appended to csr_pem. */
int identity_request(struct identity *id, const char *server, struct buf *csr_pem, struct error *err) KLY_MUST_USE;
/* Is it a certificate for this key, for a client, from this CA? E_IDENTITY. */
int identity_check(const struct identity *id, const char *cert_pem, const char *ca_pem, struct error *err) KLY_MUST_USE;
/* Checks, then makes both durable (the CA first), then uses them. On failure the old ones stay in use. */
int identity_store(struct identity *id, const char *cert_pem, const char *ca_pem, struct error *err) KLY_MUST_USE;

/* Wall-clock milliseconds when renewal is due: two thirds of the certificate's life. */
int64_t identity_renewal_ms(const struct identity *id);
/* A sentence about the certificate's dates if now is outside them or in the last third of them, else "". */
void identity_warning(const struct identity *id, int64_t now_ms, char *text, size_t size);

#endif
