/* One attempt to come online, and when the next is due. Part of the hub (story in uplink.c). */
#ifndef KLY_UPLINK_ATTEMPT_H
#define KLY_UPLINK_ATTEMPT_H

#include "agent/uplink/hub.h"

/* Looks at agent.json, the agent, the identity and the token, and enrols or connects. Does nothing unless the state is
 * UPLINK_WAITING. The retry timer's callback. */
void attempt_now(void *uplink);
/* An attempt failed or a connection ended because of the plane or the network: offline, and again after the backoff. */
void attempt_again(struct uplink *u, const struct error *cause);

#endif
