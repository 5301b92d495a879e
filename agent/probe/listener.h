/* Who listens: the kernel's tables /proc/net/tcp and tcp6 (proc(5)), read as text. */
#ifndef KLY_PROBE_LISTENER_H
#define KLY_PROBE_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listener {
    uint16_t port;
    uint32_t uid;
    uint64_t inode;
    bool reachable; /* bound to the loopback or to every address: 127.0.0.1 or [::1] gets there */
};

/* The listening sockets in one table's text, `most` at most; returns how many. Lines that are not of the table's form
 * are passed over. */
size_t listeners_parse(const char *table, struct listener *out, size_t most);
/* Both tables of this machine. */
size_t listeners_read(struct listener *out, size_t most);

#endif
