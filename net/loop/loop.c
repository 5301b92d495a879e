#include "net/loop/loop.h"

#include <signal.h>
#include <stdlib.h>

int net_loop_init(struct net_loop *net, uv_loop_t *uv, struct error *err)
{
    signal(SIGPIPE, SIG_IGN);
    *net = (struct net_loop){.uv = uv, .read = malloc(NET_READ_SIZE), .plain = malloc(NET_PLAIN_SIZE)};
    if (net->read != NULL && net->plain != NULL)
        return 0;
    net_loop_free(net);
    return fail(err, "E_NO_MEMORY", "no memory for the network buffers");
}

void net_loop_free(struct net_loop *net)
{
    free(net->read);
    free(net->plain);
    *net = (struct net_loop){0};
}
