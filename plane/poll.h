/* New commits: the head of each project's ref is asked for every poll_seconds, and when a webhook says so. What
 * is new is deployed; the same again is not, however often it is said. */
#ifndef KLY_PLANE_POLL_H
#define KLY_PLANE_POLL_H

#include "plane/plane.h"

int poll_start(struct plane *p, struct error *err) KLY_MUST_USE;
void poll_stop(struct plane *p);
void poll_free(struct plane *p);
/* A webhook: ask now. Deliveries that come while one is being asked are one. */
int poll_now(struct plane *p, const char *project, struct error *err) KLY_MUST_USE;

#endif
