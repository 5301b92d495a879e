/* How every decoder of a signed document begins. For proto/ alone. */
#ifndef KLY_PROTO_DOCUMENT_H
#define KLY_PROTO_DOCUMENT_H

#include "proto/envelope.h"
#include "proto/json.h"

/* E_TYPE unless what was verified is a document of this type. */
int document_is(const struct verified *v, enum document_type type, struct error *err) KLY_MUST_USE;
/* Checks and parses the payload; demands an object whose `type` is the type's name; applies the rule of
 * `critical` with the members in known[] (ends with NULL; `type` and `critical` need not stand there). The tree
 * is the caller's. */
int document_open(struct bytes payload, enum document_type type, const char *const *known, cJSON **tree,
                  struct json_at *top, struct error *err) KLY_MUST_USE;
/* `issued` and, unless expires is NULL, `expires`, which must be later. */
int document_times(const struct json_at *top, int64_t *issued, int64_t *expires,
                   struct error *err) KLY_MUST_USE;

#endif
