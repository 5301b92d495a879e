/* What is kept for 90 days and then gone: logs, revoked API keys, what hosts said of themselves. Time comes in.
 */
#ifndef KLY_PLANE_RETENTION_H
#define KLY_PLANE_RETENTION_H

#include "plane/logstore.h"
#include "plane/store/store.h"

#define RETENTION_MS (INT64_C(90) * 24 * 3600 * 1000)

/* Removes what is older. *removed: logs that went. */
int retention_run(struct store *s, struct logstore *logs, int64_t now, int64_t *removed,
                  struct error *err) KLY_MUST_USE;

#endif
