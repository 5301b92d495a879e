#include "agent/probe/listener.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/durable.h"

#define TABLE_MAX (8u * 1024u * 1024u)
#define STATE_LISTEN 0x0a

/* Loopback or any address, IPv4 and IPv6, as the kernel prints them: words in host order. */
static bool loopback_or_any(const char *address)
{
    static const char *const good[] = {
        "0100007F", "00000000", "00000000000000000000000000000000", "00000000000000000000000001000000",
        "0000000000000000FFFF00000100007F",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (strcmp(address, good[i]) == 0)
            return true;
    return false;
}

static bool parse_line(const char *line, struct listener *out)
{
    char address[33];
    unsigned port, state, uid;
    uint64_t inode;
    if (sscanf(line, " %*u: %32[0-9A-F]:%4X %*[0-9A-F]:%*4X %2X %*8X:%*8X %*2X:%*8X %*8X %u %*u %" SCNu64, address, &port, &state,
               &uid, &inode) != 5 ||
        state != STATE_LISTEN)
        return false;
    *out = (struct listener){(uint16_t)port, uid, inode, loopback_or_any(address)};
    return true;
}

size_t listeners_parse(const char *table, struct listener *out, size_t most)
{
    size_t count = 0;
    while (*table != 0 && count < most) {
        size_t n = strcspn(table, "\n");
        char line[256];
        if (n < sizeof line) {
            memcpy(line, table, n);
            line[n] = 0;
            count += parse_line(line, &out[count]);
        }
        table += n + (table[n] == '\n');
    }
    return count;
}

size_t listeners_read(struct listener *out, size_t most)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        AUTO_BUF struct buf text = BUF(TABLE_MAX);
        if (durable_read(AT_FDCWD, tables[i], &text, NULL) == 0) /* no IPv6, no second table */
            count += listeners_parse(buf_text(&text), out + count, most - count);
    }
    return count;
}
