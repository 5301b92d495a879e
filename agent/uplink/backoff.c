#include "agent/uplink/backoff.h"

#define DOUBLINGS_MAX 6 /* 1 s * 2^6 is above the ceiling */

void backoff_online(struct backoff *b, int64_t now_ms)
{
    b->online_since_ms = now_ms;
}

uint64_t backoff_ceiling(const struct backoff *b)
{
    uint64_t ceiling = BACKOFF_FIRST_MS << (b->failures < DOUBLINGS_MAX ? b->failures : DOUBLINGS_MAX);
    return ceiling < BACKOFF_CEILING_MS ? ceiling : BACKOFF_CEILING_MS;
}

uint64_t backoff_failed(struct backoff *b, int64_t now_ms, uint64_t random)
{
    if (b->online_since_ms > 0 && now_ms - b->online_since_ms >= BACKOFF_HEALTHY_MS)
        b->failures = 0;
    b->online_since_ms = 0;
    uint64_t wait = random % backoff_ceiling(b);
    if (b->failures < DOUBLINGS_MAX)
        b->failures++;
    return wait;
}

uint64_t backoff_goaway(struct backoff *b, int64_t now_ms, uint32_t retry_after_s, uint64_t random)
{
    uint64_t seconds = retry_after_s < BACKOFF_GOAWAY_MAX_S ? retry_after_s : BACKOFF_GOAWAY_MAX_S;
    return seconds * 1000 + backoff_failed(b, now_ms, random);
}
