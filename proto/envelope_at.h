/* Envelopes inside other JSON: the message `document` and the answer to an enrolment. For proto/ alone. */
#ifndef KLY_PROTO_ENVELOPE_AT_H
#define KLY_PROTO_ENVELOPE_AT_H

#include "proto/envelope.h"
#include "proto/json.h"

int envelope_decode_at(const struct json_at *at, struct envelope *out, struct error *err) KLY_MUST_USE;
/* Would envelope_write write what decodes again? E_ENVELOPE, E_TOO_LARGE. */
int envelope_ready(const struct envelope *e, struct error *err) KLY_MUST_USE;
void envelope_write(struct json_writer *w, const char *name, const struct envelope *e);

#endif
