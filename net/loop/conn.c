#include "net/loop/conn.h"

/* The part that every kind of connection shares: hand the call to the kind. */

void conn_set_events(struct conn *c, const struct conn_events *events, void *ctx)
{
    c->events = events;
    c->ctx = ctx;
}

int conn_write(struct conn *c, const void *data, size_t size, struct error *err)
{
    if (c->closing)
        return fail(err, "E_CONN_CLOSED", "the connection is closing");
    return c->ops->write(c, data, size, err);
}

size_t conn_queued(const struct conn *c)
{
    return c->ops->queued(c);
}

bool conn_is_open(const struct conn *c)
{
    return c->open && !c->closing;
}

void conn_pause(struct conn *c)
{
    c->ops->pause(c);
}

void conn_resume(struct conn *c)
{
    if (!c->closing)
        c->ops->resume(c);
}

void conn_set_idle(struct conn *c, uint32_t idle_ms)
{
    c->ops->set_idle(c, idle_ms);
}

void conn_finish(struct conn *c)
{
    if (!c->closing)
        c->ops->finish(c);
}

void conn_close(struct conn *c)
{
    c->ops->close(c, NULL);
}

void conn_fail(struct conn *c, const struct error *reason)
{
    c->ops->close(c, reason);
}

struct net_loop *conn_loop(const struct conn *c)
{
    return c->net;
}
