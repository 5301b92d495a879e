/* Who listens on a TCP port, by the kernel's table (proc(5): /proc/net/tcp and tcp6). Pure: takes the table's text. */
#ifndef KLY_PROBE_LISTENER_H
#define KLY_PROBE_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTENERS_MAX 256u /* in one answer; more are not looked at */

struct listener {
    uint16_t port;
    uint32_t uid;   /* of the process that made the socket */
    uint64_t inode; /* of the socket: "socket:[…]" in /proc/PID/fd */
    bool v6;
    bool loopback; /* reached through 127.0.0.1 or ::1 : bound to that, or to all addresses */
};

/* Appends the listening sockets that the text names, from out[count] on; returns the new count. Lines that are no
 * such table's are passed over. */
size_t listener_read(const char *text, bool v6, struct listener *out, size_t count);

#endif
