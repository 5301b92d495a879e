/* How long to wait before the next attempt to reach the plane. Pure: times and random numbers come in.
 *
 * Full jitter: the n-th failure in a row waits a random time below min(60 s, 1 s * 2^n), so that a thousand hosts whose
 * plane restarts do not come back at once. A connection counts as a success only after 60 healthy seconds: a plane that
 * accepts and drops is not hammered. */
#ifndef KLY_UPLINK_BACKOFF_H
#define KLY_UPLINK_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS     UINT64_C(1000)  /* ceiling of the first wait */
#define BACKOFF_CEILING_MS   UINT64_C(60000) /* … and of all later ones */
#define BACKOFF_HEALTHY_MS   INT64_C(60000)
#define BACKOFF_GOAWAY_MAX_S 3600u /* more is taken as this */

/* Zero-initialise. */
struct backoff {
    uint32_t failures;       /* in a row; stops counting when the ceiling is reached */
    int64_t online_since_ms; /* boot clock; 0: not online */
};

/* welcome came. now_ms: the boot clock, above 0. */
void backoff_online(struct backoff *b, int64_t now_ms);
/* An attempt failed or a connection ended. Milliseconds until the next; random: 64 fresh random bits. */
uint64_t backoff_failed(struct backoff *b, int64_t now_ms, uint64_t random);
/* The same after goaway: the plane's own wish first, the jitter on top. */
uint64_t backoff_goaway(struct backoff *b, int64_t now_ms, uint32_t retry_after_s, uint64_t random);
/* The ceiling that the next wait stays below, in milliseconds. */
uint64_t backoff_ceiling(const struct backoff *b);

#endif
