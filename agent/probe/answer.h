/* An HTTP response as it comes in: status and one header; the body is counted and thrown away. llhttp, strict mode. */
#ifndef KLY_PROBE_ANSWER_H
#define KLY_PROBE_ANSWER_H

#include <llhttp.h>
#include <stdbool.h>

#include "base/error.h"

#define ANSWER_HEAD_MAX (32u * 1024u)
#define ANSWER_BODY_MAX (64u * 1024u) /* more is not read: the status is what counts */

struct answer {
    llhttp_t parser;
    llhttp_settings_t settings;
    const char *wanted;  /* header name, or NULL */
    char name[64];
    char value[256];     /* of the wanted header; "" if it was not there */
    bool in_wanted, in_value, head_done, complete;
    size_t head_bytes, body_bytes;
};

void answer_init(struct answer *a, const char *wanted_header);
/* E_PROBE_PROTOCOL. After head_done the status is known: answer_status. */
int answer_feed(struct answer *a, const char *data, size_t size, struct error *err) KLY_MUST_USE;
int answer_status(const struct answer *a);

#endif
