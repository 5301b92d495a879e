/* The document `order` (documents.md): which commit or release, on which host, once. */
#ifndef KLY_PROTO_ORDER_H
#define KLY_PROTO_ORDER_H

#include <stdbool.h>

#include "base/names.h"
#include "proto/verified.h"

#define ID_TEXT_SIZE   21 /* "srv_" or "dep_", 16 hex, NUL */
#define CHALLENGE_SIZE 32

enum order_action { ORDER_DEPLOY, ORDER_ACTIVATE, ORDER_CANCEL };

struct order {
    char server[ID_TEXT_SIZE];
    char project[NAME_PROJECT_MAX + 1];
    uint64_t sequence; /* 1 to 2^53-1 */
    uint8_t challenge[CHALLENGE_SIZE];
    int64_t issued; /* ms */
    char deployment[ID_TEXT_SIZE];
    enum order_action action;
    char commit[65];                    /* deploy */
    char release[NAME_RELEASE_MAX + 1]; /* activate */
    char target[ID_TEXT_SIZE];          /* cancel: a deployment */
    bool has_env;                       /* deploy, activate; false: the manifest has no names */
    uint8_t manifest[32];               /* deploy, activate: digests */
    uint8_t env[32];
};

/* E_TYPE (not an order, or `type` says otherwise), E_JSON, E_MEMBER, E_CRITICAL. Members an action has no use
 * for are not read. */
int order_decode(const struct verified *v, struct order *out, struct error *err) KLY_MUST_USE;
/* Appends the payload's JSON; refuses (E_MEMBER) what order_decode would. */
int order_encode(const struct order *o, struct buf *out, struct error *err) KLY_MUST_USE;
/* Unverified authoring use: would these bytes decode? For whoever wrote them just now, never for what came from
 * outside. */
int order_check(struct bytes payload, struct order *out, struct error *err) KLY_MUST_USE;

const char *order_action_name(enum order_action action); /* "deploy" */

#endif
