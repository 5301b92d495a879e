/* Lines of a host's `events`: what they change in the store. Inside a transaction of the caller's. Saying the
 * same thing twice changes nothing the second time. */
#ifndef KLY_PLANE_EVENTS_H
#define KLY_PLANE_EVENTS_H

#include "plane/store/store.h"
#include "proto/event.h"

struct events_result {
    char deployment[24]; /* whose row or events changed, or "" */
    bool over;           /* it is over, so the next one may go */
    bool order_stale;    /* an order was refused for its challenge: it waits again */
};
/* -1 only for the store's own errors: a line that is wrong is reported as a host event and otherwise ignored.
 */
int events_apply(struct store *s, const char *server, struct bytes line, int64_t now, struct events_result *out,
                 struct error *err) KLY_MUST_USE;
/* A host says it refused the document with that digest (event `refused`, or message `error`). */
int events_refused(struct store *s, const char *server, const char *digest, const char *code, const char *text,
                   int64_t now, struct events_result *out, struct error *err) KLY_MUST_USE;

#endif
