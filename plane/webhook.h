/* Is this delivery from the Git host that was given the secret? Pure. What a delivery says of commits is not
 * believed: it only wakes us up. */
#ifndef KLY_PLANE_WEBHOOK_H
#define KLY_PLANE_WEBHOOK_H

#include <stdbool.h>

#include "base/buf.h"

#define WEBHOOK_LABEL_SIZE 64
void webhook_label(const char *project, char *out); /* what the vault binds the secret to */

/* "sha256=<64 hex>" over the body; constant time. header may be NULL. */
bool webhook_github_ok(const char *header, struct bytes secret, struct bytes body);
/* The secret itself; constant time. */
bool webhook_gitlab_ok(const char *header, struct bytes secret);

#endif
