/* The table of verbs: what may be asked, how large it is, whether it starts something new, and who does it. */
#ifndef KLY_WARDEN_VERBS_H
#define KLY_WARDEN_VERBS_H

#include "agent/warden/unit.h"
#include "ipc/record.h"

struct warden {
    int supervisor; /* connection to klystrr-supervise; -1: systemd is PID 1 */
    gid_t readers;  /* the agent's group: reads apps' output */
};

/* A stop that was asked for and is not over: the answer waits, the warden does not. */
struct waiting {
    bool active;
    struct warden_unit unit;
    uint32_t serial;
    int64_t until_ms; /* of the monotonic clock: then it is answered as it stands */
};

/* Answers one request on its connection, or fills *waiting. A refusal is one line in the journal. Closes what
 * came with it. */
void verbs_serve(const struct warden *warden, int conn, struct ipc_record *request, struct waiting *waiting);
/* Answers a waiting stop once the unit is gone. */
void verbs_look_again(const struct warden *warden, int conn, struct waiting *waiting);

#endif
