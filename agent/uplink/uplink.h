/* The hub: what happens at the agent's socket, the plane's connection and the local socket meets here, and nowhere else. */
#ifndef KLY_UPLINK_UPLINK_H
#define KLY_UPLINK_UPLINK_H

#include "net/loop/loop.h"

#define UPLINK_STATE_FOLDER "/var/lib/klystrr/identity"

struct uplink;

struct uplink_options { /* borrowed, for the uplink's life */
    const char *config; /* agent.json */
    const char *state;  /* the identity's folder */
    const char *link;   /* the agent's socket */
    int api;            /* listening socket for people, taken; -1: none */
};

/* Starts everything. Owned or NULL (E_MEMORY, E_LISTEN): the network is never a reason to fail. */
struct uplink *uplink_open(struct net_loop *net, const struct uplink_options *options, struct error *err) KLY_MUST_USE;
/* Says goodbye to the plane and closes everything; the loop runs dry within 5 seconds or so. */
void uplink_close(struct uplink *u);
/* After the loop has run dry. *u becomes NULL. */
void uplink_free(struct uplink **u);

#endif
