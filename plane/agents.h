/* The agent endpoint (proto/wire.md): one WebSocket a host, its streams, and what it is sent. */
#ifndef KLY_PLANE_AGENTS_H
#define KLY_PLANE_AGENTS_H

#include "plane/plane.h"

int agents_start(struct plane *p, struct error *err) KLY_MUST_USE;
/* Tells every host goodbye (goaway) and closes; they come back by themselves. */
void agents_stop(struct plane *p);
void agents_cut(struct plane *p);  /* what is left, and the timers */
void agents_free(struct plane *p); /* once all connections are closed */
uint32_t agents_count(const struct plane *p);

/* HTTP on the agents' port: the CA, enrolment, and the upgrade. */
extern const struct http_handler agents_handler; /* ctx: struct plane */

bool agents_online(const struct plane *p, const char *server);
/* Something was asked of this server: order it, if it is there. NULL: all of them. */
void agents_kick(struct plane *p, const char *server);
/* A new trust document is here. */
void agents_trust_changed(struct plane *p);
/* This server is not to be here any more. */
void agents_drop(struct plane *p, const char *server, const char *why);

#endif
