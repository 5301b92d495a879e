#include "agent/probe/listener.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATE_LISTEN 0x0a

/* Addresses are hex of the network-order bytes, printed as host-order words of four. */
static bool reaches_loopback_v4(const char *hex)
{
    unsigned word;
    if (sscanf(hex, "%8x", &word) != 1)
        return false;
    const unsigned char *bytes = (const unsigned char *)&word;
    return word == 0 || bytes[0] == 127;
}

static bool reaches_loopback_v6(const char *hex)
{
    if (strspn(hex, "0") == 32)
        return true;
    unsigned words[4];
    if (sscanf(hex, "%8x%8x%8x%8x", &words[0], &words[1], &words[2], &words[3]) != 4)
        return false;
    unsigned char bytes[16];
    memcpy(bytes, words, sizeof bytes);
    static const unsigned char one[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(bytes, one, 16) == 0 || (memcmp(bytes, mapped, 12) == 0 && bytes[12] == 127);
}

static bool read_line(const char *line, bool v6, struct listener *out)
{
    char address[33];
    unsigned port, state;
    uint32_t uid;
    uint64_t inode;
    int got = sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*4x %2x %*x:%*x %*x:%*x %*x %" SCNu32 " %*d %" SCNu64,
                     address, &port, &state, &uid, &inode);
    if (got != 5 || strlen(address) != (v6 ? 32u : 8u) || state != STATE_LISTEN || port == 0)
        return false;
    *out = (struct listener){.port = (uint16_t)port, .uid = uid, .inode = inode, .v6 = v6,
                             .loopback = v6 ? reaches_loopback_v6(address) : reaches_loopback_v4(address)};
    return true;
}

size_t listener_read(const char *text, bool v6, struct listener *out, size_t count)
{
    while (*text != '\0' && count < LISTENERS_MAX) {
        size_t size = strcspn(text, "\n");
        char line[512];
        if (size < sizeof line) {
            memcpy(line, text, size);
            line[size] = '\0';
            if (read_line(line, v6, &out[count]))
                count++;
        }
        text += size + (text[size] == '\n');
    }
    return count;
}
