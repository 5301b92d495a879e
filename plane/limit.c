#include "plane/limit.h"

#include <arpa/inet.h>
#include <string.h>

static void address_of(const char *peer, uint8_t *out)
{
    uint8_t v6[16];
    memset(out, 0, 8);
    if (inet_pton(AF_INET6, peer, v6) == 1) {
        static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        memcpy(out, memcmp(v6, mapped, 12) == 0 ? v6 + 8 : v6, 8);
    } else if (inet_pton(AF_INET, peer, out + 4) == 1) {
        out[2] = out[3] = 0xff;
    }
}

static int find(const struct limit *l, const uint8_t *address)
{
    for (int i = 0; i < LIMIT_SLOTS; i++)
        if (l->slot[i].count > 0 && memcmp(l->slot[i].address, address, 8) == 0)
            return i;
    return -1;
}

bool limit_reached(const struct limit *l, const char *peer, int64_t now_ms)
{
    uint8_t address[8];
    address_of(peer, address);
    int i = find(l, address);
    return i >= 0 && now_ms - l->slot[i].since < LIMIT_WINDOW_MS && l->slot[i].count >= l->max;
}

static int oldest(const struct limit *l)
{
    int best = 0;
    for (int i = 0; i < LIMIT_SLOTS; i++) {
        if (l->slot[i].count == 0)
            return i;
        if (l->slot[i].since < l->slot[best].since)
            best = i;
    }
    return best;
}

void limit_count(struct limit *l, const char *peer, int64_t now_ms)
{
    uint8_t address[8];
    address_of(peer, address);
    int i = find(l, address);
    if (i < 0 || now_ms - l->slot[i].since >= LIMIT_WINDOW_MS) {
        if (i < 0)
            i = oldest(l);
        memcpy(l->slot[i].address, address, 8);
        l->slot[i].since = now_ms;
        l->slot[i].count = 0;
    }
    l->slot[i].count++;
}
