/* So many wrong ones a minute from one address. Pure: time comes in. */
#ifndef KLY_PLANE_LIMIT_H
#define KLY_PLANE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_SLOTS     1024
#define LIMIT_WINDOW_MS 60000

struct limit {
    int max; /* a window */
    struct {
        uint8_t address[8]; /* an IPv4 address, or the first half of an IPv6 one: the rest is the customer's to
                               choose */
        int64_t since;
        int count;
    } slot[LIMIT_SLOTS];
};

/* Has this address had its fill? peer is conn_peer()'s text. */
bool limit_reached(const struct limit *l, const char *peer, int64_t now_ms);
/* One more. When the table is full the oldest goes. */
void limit_count(struct limit *l, const char *peer, int64_t now_ms);

#endif
