/* What all connections of one libuv loop share: the buffers that bytes are read into. An idle connection
 * therefore holds no read buffer of its own. */
#ifndef KLY_NET_LOOP_LOOP_H
#define KLY_NET_LOOP_LOOP_H

#include <stdint.h>
#include <uv.h>

#include "base/error.h"

#define NET_READ_SIZE  65536 /* bytes read from a socket at most at a time */
#define NET_PLAIN_SIZE 16384 /* bytes of one TLS record, opened */

struct net_loop {
    uv_loop_t *uv;  /* borrowed; must outlive this */
    uint8_t *read;  /* NET_READ_SIZE */
    uint8_t *plain; /* NET_PLAIN_SIZE */
};

/* Ignores SIGPIPE for the process, since libuv writes to sockets. E_NO_MEMORY. */
int net_loop_init(struct net_loop *net, uv_loop_t *uv, struct error *err) KLY_MUST_USE;
/* After the loop has run dry: no connection, listener or timer may be left. */
void net_loop_free(struct net_loop *net);

#endif
