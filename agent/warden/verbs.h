/* The table of verbs: what may be asked, how large it is, whether it starts something new, and who does it. */
#ifndef KLY_WARDEN_VERBS_H
#define KLY_WARDEN_VERBS_H

#include "agent/warden/unit.h"
#include "ipc/record.h"

struct warden {
    bool systemd; /* is PID 1 */
    const struct unit_manager *units;
    gid_t readers; /* the agent's group: reads apps' output */
};

/* Answers one request on its connection. A refusal is one line in the journal. Closes what came with it. */
void verbs_serve(const struct warden *warden, int conn, struct ipc_record *request);

#endif
