/* The uplink's end of link.sock (ipc/link_api.h): connects, and connects again for ever.
 *
 * Happy path: link_open → on_record for every record the agent sends; link_send to answer.
 * Failures: a broken record, a lost or stuck agent: on_lost, then a new attempt within a second. The agent tells its whole
 * state again on the new connection, so nothing is kept for it.
 * Close: link_close; no callback comes after it. */
#ifndef KLY_UPLINK_LINK_H
#define KLY_UPLINK_LINK_H

#include <stdbool.h>

#include "ipc/link_api.h"
#include "ipc/record.h"
#include "net/loop/loop.h"

#define LINK_QUEUE_MAX 256 /* records waiting for an agent that does not read; one more ends the connection */
#define LINK_RETRY_MS  500

struct link;

struct link_events {
    /* Takes the descriptors it wants out of the record; the others are closed. -1: the record breaks the protocol, the
     * connection ends with this error. */
    int (*on_record)(void *ctx, struct ipc_record *record, struct error *err);
    /* why is NULL if the agent just closed. Not called for attempts that never connected. */
    void (*on_lost)(void *ctx, const struct error *why);
};

/* Starts connecting. path and events are borrowed, for the link's life. Owned or NULL (E_MEMORY). */
struct link *link_open(struct net_loop *net, const char *path, const struct link_events *events, void *ctx,
                       struct error *err) KLY_MUST_USE;
/* *l becomes NULL; the loop must run once more to give the memory back. */
void link_close(struct link **l);
bool link_connected(const struct link *l);
/* Records that wait because the agent has not read those before. */
unsigned link_waiting(const struct link *l);
/* Sends, or queues, one record. body is copied; fd (or -1) is taken in any case. Without a connection it is dropped:
 * whoever connects next is told everything again. Never calls back from inside. */
void link_send(struct link *l, uint16_t verb, const void *body, size_t size, int fd);

#endif
