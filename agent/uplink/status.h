/* What the read-only socket tells: the agent's words as relayed, and how the connection to the plane is. Pure. */
#ifndef KLY_UPLINK_STATUS_H
#define KLY_UPLINK_STATUS_H

#include <stdbool.h>

#include "base/buf.h"

/* Texts are borrowed; "" where there is nothing to say. Times are wall clock, 0: never. */
struct status_link {
    const char *server, *url, *plane;
    bool online, resumed;
    int64_t since_ms; /* online or offline since */
    struct error why; /* offline: the reason */
    int64_t last_ack_ms;
    const char *warning; /* about the certificate */
    int64_t relayed_ms;  /* when the agent told its status */
};

/* The agent's words (the shape is in ipc/control_api.h) with `link` put in: {"online","text","since"} and, beyond what the
 * agent's own answer has, "code","url","plane","resumed","last_ack","warning","relayed" (null where there is nothing).
 * agent: JSON; if it is empty, because the agent is not there, the answer has `server` and `link` only.
 * E_TOO_LARGE, E_JSON. */
int status_write(const struct status_link *link, struct bytes agent, struct buf *out, struct error *err) KLY_MUST_USE;
/* {"projects":[…]}: that member of the agent's words; [] without it. */
int status_write_projects(struct bytes agent, struct buf *out, struct error *err) KLY_MUST_USE;

#endif
