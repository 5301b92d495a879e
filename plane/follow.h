/* Server-sent events of one deployment: what is stored, then what comes, until its result and its whole log
 * were sent. */
#ifndef KLY_PLANE_FOLLOW_H
#define KLY_PLANE_FOLLOW_H

#include "plane/plane.h"

int follow_start(struct plane *p, struct error *err) KLY_MUST_USE;
void follow_stop(struct plane *p); /* ends all streams */
void follow_free(struct plane *p);
/* Begins the answer on x. after: the Last-Event-ID header, or NULL. The exchange's drain and gone must be told
 * to follow_drain and follow_gone, which answer true if x is one of ours. */
void follow_begin(struct plane *p, struct http_exchange *x, const char *deployment, const char *after);
bool follow_drain(struct plane *p, struct http_exchange *x);
bool follow_gone(struct plane *p, struct http_exchange *x);
/* There is more to tell of this deployment. */
void follow_changed(struct plane *p, const char *deployment);

#endif
