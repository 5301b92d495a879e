/* The document `env` (documents.md): values sealed to one host; and the plaintext inside. */
#ifndef KLY_PROTO_ENV_DOC_H
#define KLY_PROTO_ENV_DOC_H

#include <cjson/cJSON.h>

#include "proto/order.h"

#define ENV_PLAIN_MAX  (190 * 1024) /* its base64 and frame just fit a payload */
#define ENV_CT_MAX     (ENV_PLAIN_MAX + 16)
#define ENV_VALUES_MAX 128
#define ENV_VALUE_MAX  (64 * 1024)

struct env_doc {
    char server[ID_TEXT_SIZE];
    char project[NAME_PROJECT_MAX + 1];
    uint64_t version; /* 1 to 2^53-1 */
    int64_t issued;   /* ms */
    uint8_t enc[65];
    struct buf ct; /* owned: 17 to ENV_CT_MAX bytes */
};

/* E_TYPE, E_JSON, E_MEMBER, E_CRITICAL. On failure nothing is owned. */
int env_doc_decode(const struct verified *v, struct env_doc *out, struct error *err) KLY_MUST_USE;
/* Appends the payload's JSON; refuses what env_doc_decode would. */
int env_doc_encode(const struct env_doc *e, struct buf *out, struct error *err) KLY_MUST_USE;
/* Unverified authoring use: a plane that stores what its owner uploaded, a tool that wrote these bytes just
 * now. */
int env_doc_check(struct bytes payload, struct env_doc *out, struct error *err) KLY_MUST_USE;
void env_doc_free(struct env_doc *e);
#define AUTO_ENV_DOC __attribute__((cleanup(env_doc_free)))

struct env_value {
    const char *name, *value;
};
/* The plaintext: {"values":{"NAME":"value"}}. Texts belong to `tree` when decoded, to the caller when encoded.
 */
struct env_values {
    struct env_value list[ENV_VALUES_MAX];
    size_t count;
    cJSON *tree;
};
/* E_JSON, E_MEMBER, E_TOO_LARGE. No error text ever holds a value. */
int env_values_decode(struct bytes plain, struct env_values *out, struct error *err) KLY_MUST_USE;
/* Appends; give an AUTO_WIPE buffer with limit ENV_PLAIN_MAX. Refuses what env_values_decode would. */
int env_values_encode(const struct env_values *v, struct buf *out, struct error *err) KLY_MUST_USE;
/* NULL if there is none of this name. */
const char *env_values_get(const struct env_values *v, const char *name);
/* Overwrites every value, then frees. */
void env_values_free(struct env_values *v);
#define AUTO_ENV_VALUES __attribute__((cleanup(env_values_free)))

#endif
