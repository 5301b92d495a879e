/* The enrolment token klt1_… as a person pastes it (wire.md, "Enrolment"). It holds a secret. */
#ifndef KLY_PROTO_TOKEN_H
#define KLY_PROTO_TOKEN_H

#include "proto/order.h"
#include "proto/url.h"

#define TOKEN_SECRET_SIZE 32
#define TOKEN_BYTES_MAX   (1 + 32 + 8 + 32 + 32 + URL_PLANE_MAX)
#define TOKEN_TEXT_SIZE   (5 + (TOKEN_BYTES_MAX + 2) / 3 * 4 + 1)

struct token {
    uint8_t secret[TOKEN_SECRET_SIZE];
    char server[ID_TEXT_SIZE];
    uint8_t ca[32];    /* SHA-256 of the CA certificate's DER */
    uint8_t trust[32]; /* digest of trust version 1 */
    char url[URL_PLANE_MAX + 1];
};

/* out takes TOKEN_TEXT_SIZE bytes. E_TOKEN. */
int token_encode(const struct token *t, char *out, struct error *err) KLY_MUST_USE;
/* E_TOKEN; the error never repeats the text. */
int token_decode(const char *text, struct token *out, struct error *err) KLY_MUST_USE;
void token_wipe(struct token *t);
#define AUTO_TOKEN __attribute__((cleanup(token_wipe)))

#endif
