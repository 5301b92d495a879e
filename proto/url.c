#include "proto/url.h"

#include <stdlib.h>
#include <string.h>

#include "base/names.h"

/* Printable ASCII only, and none of what shells, URL parsers and terminals read differently. */
static bool clean(const char *text)
{
    for (const char *c = text; *c != 0; c++)
        if (*c <= ' ' || (unsigned char)*c >= 0x7f || strchr("\"'`\\<>{}|^$;&()*?#", *c) != NULL)
            return false;
    return true;
}

static bool is_ipv6(const char *s, size_t n)
{
    return n >= 2 && n <= 45 && strspn(s, "0123456789abcdef:.") >= n && memchr(s, ':', n) != NULL;
}

/* "[addr]" or a name or IPv4 address, up to one of the letters in `stops` or the end. Returns what follows, or
 * NULL. */
static const char *take_host(const char *s, const char *stops, char *host, bool *ipv6)
{
    *ipv6 = *s == '[';
    const char *start = s + *ipv6;
    size_t n = strcspn(start, *ipv6 ? "]" : stops);
    if (n == 0 || n > URL_HOST_MAX || (*ipv6 && (start[n] != ']' || !is_ipv6(start, n))))
        return NULL;
    memcpy(host, start, n);
    host[n] = 0;
    return *ipv6 || name_is_domain(host) ? start + n + *ipv6 : NULL;
}

/* 1 to 65535 without a leading zero. Returns what follows, or NULL. */
static const char *take_port(const char *s, uint16_t *port)
{
    size_t n = strspn(s, "0123456789");
    if (n == 0 || n > 5 || s[0] == '0')
        return NULL;
    long v = strtol(s, NULL, 10);
    if (v > 65535)
        return NULL;
    *port = (uint16_t)v;
    return s + n;
}

int url_plane(const char *text, struct plane_url *out, struct error *err)
{
    *out = (struct plane_url){0};
    size_t n = strlen(text);
    const char *rest = NULL;
    if (n >= URL_PLANE_MIN && n <= URL_PLANE_MAX && clean(text) && strncmp(text, "https://", 8) == 0)
        rest = take_host(text + 8, ":/@", out->host, &out->ipv6);
    if (rest != NULL)
        rest = *rest == ':' ? take_port(rest + 1, &out->port) : NULL;
    if (rest == NULL || *rest != 0)
        return fail(
            err, "E_URL",
            "a plane's address must look like https://plane.example.org:7443, with nothing behind the port");
    return 0;
}

bool url_is_plane(const char *text)
{
    struct plane_url ignored;
    return url_plane(text, &ignored, NULL) == 0;
}

static bool is_user(const char *s, size_t n)
{
    if (n == 0 || n > 64 || s[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= 'A' && s[i] <= 'Z') && !(s[i] >= '0' && s[i] <= '9') &&
            strchr("._-", s[i]) == NULL)
            return false;
    return true;
}

/* Not empty, no part that a tool could take for an option or that climbs. */
static bool is_path(const char *s)
{
    if (*s == 0)
        return false;
    for (const char *part = s;;) {
        size_t n = strcspn(part, "/");
        if (part[0] == '-' || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (n == 0 && part[0] != 0)
            return false; /* "//" */
        if (part[n] == 0)
            return true;
        part += n + 1;
    }
}

/* "user@" before the first '/' or ':' of the rest. Returns what follows; unchanged if there is none, NULL if it
 * is bad. */
static const char *take_user(const char *s, char *user)
{
    size_t n = strcspn(s, "@/");
    if (s[n] != '@')
        return s;
    if (!is_user(s, n))
        return NULL;
    memcpy(user, s, n);
    user[n] = 0;
    return s + n + 1;
}

/* "host[:port]/path" */
static const char *authority_and_path(const char *s, struct source_url *out)
{
    const char *rest = take_host(s, ":/@", out->host, &out->ipv6);
    if (rest != NULL && *rest == ':')
        rest = take_port(rest + 1, &out->port);
    return rest != NULL && *rest == '/' && is_path(rest + 1) ? rest + 1 : NULL;
}

/* "user@host:path", as scp and git take it. */
static const char *scp_like(const char *s, struct source_url *out)
{
    const char *rest = take_user(s, out->user);
    if (rest == NULL || rest == s)
        return NULL;
    rest = take_host(rest, ":/@", out->host, &out->ipv6);
    if (rest == NULL || *rest != ':')
        return NULL;
    return is_path(rest[1] == '/' ? rest + 2 : rest + 1) ? rest + 1 : NULL;
}

static const char *take_source(const char *text, struct source_url *out)
{
    if (strncmp(text, "https://", 8) == 0) {
        out->kind = SOURCE_HTTPS;
        return authority_and_path(text + 8, out);
    }
    out->kind = SOURCE_SSH;
    if (strncmp(text, "ssh://", 6) == 0) {
        const char *rest = take_user(text + 6, out->user);
        return rest != NULL ? authority_and_path(rest, out) : NULL;
    }
    return strstr(text, "://") == NULL ? scp_like(text, out) : NULL;
}

int url_source(const char *text, struct source_url *out, struct error *err)
{
    *out = (struct source_url){0};
    if (strlen(text) > URL_SOURCE_MAX)
        return fail(err, "E_SOURCE_URL", "a repository's URL has at most %d bytes", URL_SOURCE_MAX);
    if (!clean(text))
        return fail(err, "E_SOURCE_URL",
                    "a repository's URL may not hold spaces, control bytes, quotes, '?', '#' or other special "
                    "characters");
    const char *path = take_source(text, out);
    if (path == NULL)
        return fail(err, "E_SOURCE_URL",
                    "a repository's URL must be https://host/path (without user or password), "
                    "ssh://user@host/path or user@host:path");
    out->path = path;
    return 0;
}
