/* The bodies of POST /agent/v1/enrol (wire.md, "Enrolment"). */
#ifndef KLY_PROTO_ENROL_H
#define KLY_PROTO_ENROL_H

#include "proto/message.h"

#define ENROL_PATH         "/agent/v1/enrol"
#define ENROL_CA_PATH      "/agent/v1/ca"
#define ENROL_REQUEST_MAX  (64 * 1024)
#define ENROL_RESPONSE_MAX MESSAGE_MAX

/* Texts are borrowed: from the caller when encoded, from `tree` when decoded. */
struct enrol_request {
    uint8_t token[32]; /* the secret */
    char server[ID_TEXT_SIZE];
    const char *csr; /* PEM, MESSAGE_PEM_MAX at most */
    uint8_t seal[65];
    char hostname[254];
    char version[VERSION_TEXT_SIZE];
    cJSON *tree;
};
struct enrol_response {
    char server[ID_TEXT_SIZE];
    const char *certificate; /* PEM */
    char plane[33];
    struct envelope trust; /* owned when decoded */
    cJSON *tree;
};

int enrol_request_encode(const struct enrol_request *r, struct buf *out, struct error *err) KLY_MUST_USE;
int enrol_request_decode(struct bytes text, struct enrol_request *out, struct error *err) KLY_MUST_USE;
void enrol_request_free(struct enrol_request *r); /* overwrites the secret */
int enrol_response_encode(const struct enrol_response *r, struct buf *out, struct error *err) KLY_MUST_USE;
int enrol_response_decode(struct bytes text, struct enrol_response *out, struct error *err) KLY_MUST_USE;
void enrol_response_free(struct enrol_response *r);
#define AUTO_ENROL_REQUEST  __attribute__((cleanup(enrol_request_free)))
#define AUTO_ENROL_RESPONSE __attribute__((cleanup(enrol_response_free)))

#endif
