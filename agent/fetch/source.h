/* Where a repository is: which URLs are taken, and which ssh host keys. Pure. */
#ifndef KLY_FETCH_SOURCE_H
#define KLY_FETCH_SOURCE_H

#include <stdbool.h>

#include "base/buf.h"

struct source_url {
    bool ssh;       /* else https */
    char user[64];  /* ssh: "git" if the URL names none */
    char host[256]; /* without brackets */
    unsigned port;  /* 22 or 443 if the URL names none */
};

/* https://host[:port]/path without user info, ssh://[user@]host[:port]/path, or user@host:path. E_SOURCE_URL. */
int source_parse(const char *url, struct source_url *out, struct error *err) KLY_MUST_USE;

/* Is this key (the raw blob, RFC 4253 section 6.6) on one of the lines "type base64"? A host name before the type is
 * allowed and ignored: all lines were pinned for this one host. */
bool source_knows_key(const char *lines, const void *key, size_t size);
/* The lines as a known_hosts file for this host (sshd(8)). */
int source_known_hosts(const char *lines, const struct source_url *url, struct buf *out, struct error *err) KLY_MUST_USE;

#endif
