/* The read-only socket for people, /run/klystrr/agent.sock: HTTP/1.1 and JSON, GET and HEAD. It tells what the uplink was
 * told; who wants to hear the agent itself asks as root. A browser cannot ask: `Host: localhost` is demanded, `Origin` refused.
 *
 *   curl --unix-socket /run/klystrr/agent.sock http://localhost/v1/status */
#ifndef KLY_UPLINK_LOCAL_API_H
#define KLY_UPLINK_LOCAL_API_H

#include "base/buf.h"
#include "net/loop/loop.h"

#define LOCAL_API_CONNECTIONS 32
#define LOCAL_API_DEADLINE_MS 5000

struct local_api;

/* Each appends one JSON value. */
struct local_api_source {
    int (*status)(void *ctx, struct buf *out, struct error *err);
    int (*projects)(void *ctx, struct buf *out, struct error *err);
    int (*health)(void *ctx, struct buf *out, struct error *err);
};

/* Takes the listening socket, also on failure. source is borrowed and static. Owned or NULL. */
struct local_api *local_api_open(struct net_loop *net, int listener, const struct local_api_source *source, void *ctx,
                                 struct error *err) KLY_MUST_USE;
/* *api becomes NULL; the loop must run on until its connections are closed. NULL is fine. */
void local_api_close(struct local_api **api);

#endif
