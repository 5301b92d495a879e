/* The agent's end of link.sock: the uplink connects, is told the whole state, and then what changes.
 *
 * Happy path: accept (user klystrr-net alone, one at a time, the newest wins) → on_connected tells all → records both
 * ways. Failures: a broken record, or a peer that does not read (LINK_OUT_MAX records wait), ends the connection; the
 * uplink comes back and is told everything again. Nothing here trusts what the uplink says but its form. */
#ifndef KLY_AGENT_LINK_H
#define KLY_AGENT_LINK_H

#include <sys/types.h>
#include <uv.h>

#include "ipc/link_api.h"
#include "trust/verify.h"

#define LINK_OUT_MAX 512

struct link_events {
    void (*on_connected)(void *ctx);
    void (*on_document)(void *ctx, const struct signed_bytes *document);
    void (*on_acked)(void *ctx, const struct link_grown *acked);
    void (*on_need_challenge)(void *ctx);
    void (*on_online)(void *ctx, const struct link_online *online);
};

struct link;

/* listener: a listening socket, taken. peer: the uid that may connect besides root. events: borrowed. */
int link_open(uv_loop_t *loop, int listener, uid_t peer, const struct link_events *events, void *ctx, struct link **out,
              struct error *err) KLY_MUST_USE;
bool link_connected(const struct link *l);
/* Sends or queues; fd (or -1) is taken. Without a connection it is dropped. */
void link_send(struct link *l, uint16_t verb, const void *body, size_t size, int fd);

#endif
