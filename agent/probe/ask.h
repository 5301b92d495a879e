/* One HTTP request to this machine, and the answer's status. Blocking, with a deadline. */
#ifndef KLY_PROBE_ASK_H
#define KLY_PROBE_ASK_H

#include <stdint.h>

#include "base/error.h"

#define ASK_BODY_MAX 65536u /* bytes of a body that are read, and dropped */
#define ASK_HEAD_MAX 65536u /* bytes of an answer's head */

struct ask {
    uint16_t port;
    const char *host; /* Host header */
    const char *path; /* "/healthz" */
    const char *header; /* NULL, or the answer's header that is wanted */
    int64_t until_ms; /* clock_mono_ms */
};
struct answer {
    unsigned status;
    char header[256]; /* its value; "" if it was not there */
};

/* Asks 127.0.0.1, and ::1 if that refuses. E_PROBE_REFUSED, E_PROBE_TIMEOUT, E_PROBE_PROTOCOL. */
int ask_once(const struct ask *ask, struct answer *out, struct error *err) KLY_MUST_USE;

#endif
