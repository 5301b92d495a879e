/* What the hub's files share: its state, the one door to it, and its words. No other file of the uplink includes this. */
#ifndef KLY_UPLINK_HUB_H
#define KLY_UPLINK_HUB_H

#include "agent/uplink/backoff.h"
#include "agent/uplink/channel.h"
#include "agent/uplink/config.h"
#include "agent/uplink/enrol.h"
#include "agent/uplink/identity.h"
#include "agent/uplink/link.h"
#include "agent/uplink/local_api.h"
#include "agent/uplink/reconcile.h"
#include "agent/uplink/uplink.h"

enum uplink_state {
    UPLINK_WAITING, /* for the retry timer, or for the agent */
    UPLINK_ENROLLING,
    UPLINK_CONNECTING, /* until the plane's welcome */
    UPLINK_ONLINE,
    UPLINK_CLOSING,
};

struct uplink {
    struct net_loop *net;
    struct uplink_options options;
    enum uplink_state state;
    struct reconcile reconcile;
    struct link *link;
    struct channel channel;
    uint8_t used_cert[32], used_ca[32]; /* what channel has, so that a session can be resumed while they stay */
    struct enrol enrol;
    struct identity identity;
    struct config config;
    struct local_api *api;
    struct loop_timer *retry, *look;
    struct backoff backoff;
    bool asked_certificate, goaway;
    int64_t asked_ms; /* for a certificate; boot clock */
    uint32_t retry_after_s;
    char plane[33], epoch[33];
    int64_t since_ms, last_ack_ms, relayed_ms; /* wall clock */
    struct error why;                          /* offline: the reason */
    int notes;
    int64_t notes_ms; /* boot clock */
};

/* A line in the log; control bytes are replaced. */
void hub_say(const char *format, ...) KLY_PRINTF(1, 2);
/* The same for what others can make us say: not too often. */
void hub_note(void *uplink, const struct error *what);
/* The one door of the state. why is only looked at for UPLINK_WAITING: the reason for being offline, or NULL if there
 * is no new one. Logs, and tells the agent, what is new. */
void hub_set_state(struct uplink *u, enum uplink_state state, const struct error *why);
void hub_tell_agent(struct uplink *u);

#endif
