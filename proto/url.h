/* The two kinds of URL that documents may hold. Everything not named here is refused. */
#ifndef KLY_PROTO_URL_H
#define KLY_PROTO_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define URL_HOST_MAX   253
#define URL_PLANE_MIN  8
#define URL_PLANE_MAX  255
#define URL_SOURCE_MAX 1024

/* Where a plane is: https://host:port, no user, path, query or fragment. host is a name, an IPv4 address or an
 * IPv6 address in brackets (held here without them). */
struct plane_url {
    char host[URL_HOST_MAX + 1];
    uint16_t port;
    bool ipv6;
};
int url_plane(const char *text, struct plane_url *out, struct error *err) KLY_MUST_USE; /* E_URL */
bool url_is_plane(const char *text);

enum source_kind { SOURCE_HTTPS, SOURCE_SSH };
/* Where a repository is: https://host[:port]/path without user info, ssh://[user@]host[:port]/path, or
 * user@host:path. No control bytes, spaces, quotes, backslashes, query or fragment; nothing begins with '-'
 * where a tool could take it for an option; no "." or ".." parts. */
struct source_url {
    enum source_kind kind;
    char host[URL_HOST_MAX + 1];
    char user[65]; /* ssh; "" if none is said */
    uint16_t port; /* 0: none is said */
    bool ipv6;
    const char *path; /* borrowed from text: what follows "host[:port]/" or, in user@host:path, "host:" */
};
int url_source(const char *text, struct source_url *out, struct error *err) KLY_MUST_USE; /* E_SOURCE_URL */

#endif
