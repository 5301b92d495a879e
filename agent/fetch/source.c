#include "agent/fetch/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"

#define URL_MAX 1024

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static bool is_made_of(const char *text, size_t size, const char *more)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || (strchr(letters, text[i]) == NULL && strchr(more, text[i]) == NULL))
            return false;
    return size > 0 && text[0] != '-';
}

static int copy(char *out, size_t room, const char *text, size_t size)
{
    if (size >= room)
        return -1;
    memcpy(out, text, size);
    out[size] = '\0';
    return 0;
}

/* ":8443", or nothing. */
static int parse_port(const char *text, size_t size, unsigned *port)
{
    if (size == 0)
        return 0;
    unsigned value = 0;
    for (size_t i = 1; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (unsigned)(text[i] - '0');
        if (value > 65535)
            return -1;
    }
    *port = value;
    return text[0] == ':' && value > 0 ? 0 : -1;
}

/* "host", "host:port", "[v6]:port". */
static int parse_host(const char *text, size_t size, struct source_url *out)
{
    const char *more = ".-", *end;
    if (size > 0 && text[0] == '[') {
        end = memchr(text, ']', size);
        if (end == NULL || !is_made_of(text + 1, (size_t)(end - text) - 1, ":."))
            return -1;
        if (copy(out->host, sizeof out->host, text + 1, (size_t)(end - text) - 1) < 0)
            return -1;
        end++;
    } else {
        end = memchr(text, ':', size);
        end = end != NULL ? end : text + size;
        if (!is_made_of(text, (size_t)(end - text), more) ||
            copy(out->host, sizeof out->host, text, (size_t)(end - text)) < 0)
            return -1;
    }
    return parse_port(end, size - (size_t)(end - text), &out->port);
}

static int parse_user(const char *text, size_t size, struct source_url *out)
{
    if (!is_made_of(text, size, "._-"))
        return -1;
    return copy(out->user, sizeof out->user, text, size);
}

static bool is_path(const char *path)
{
    if (path[0] == '\0' || path[0] == '-')
        return false;
    for (const char *at = path; at != NULL; at = strchr(at + 1, '/')) {
        const char *name = at[0] == '/' ? at + 1 : at;
        size_t size = strcspn(name, "/");
        if (size == 2 && name[0] == '.' && name[1] == '.')
            return false;
    }
    return true;
}

static int bad(struct error *err, const char *why)
{
    return fail(err, "E_SOURCE_URL", "the repository's URL is not accepted: %s; it must be https://host/path, "
                "ssh://user@host/path or user@host:path", why);
}

static int parse_authority(const char *rest, struct source_url *out, struct error *err)
{
    size_t size = strcspn(rest, "/");
    const char *at = memchr(rest, '@', size);
    if (rest[size] == '\0' || !is_path(rest + size + 1))
        return bad(err, "it has no path, or one with '..' or a leading '-'");
    if (at != NULL && !out->ssh)
        return bad(err, "it carries a user or password; name them as source.credential");
    if (at != NULL && parse_user(rest, (size_t)(at - rest), out) < 0)
        return bad(err, "its user");
    const char *host = at != NULL ? at + 1 : rest;
    if (parse_host(host, size - (size_t)(host - rest), out) < 0)
        return bad(err, "its host or port");
    return 0;
}

/* user@host:path */
static int parse_short(const char *url, struct source_url *out, struct error *err)
{
    const char *at = strchr(url, '@'), *colon = strchr(url, ':');
    if (at == NULL || colon == NULL || colon < at || strstr(url, "://") != NULL || strstr(url, "::") != NULL)
        return bad(err, "neither https nor ssh");
    if (parse_user(url, (size_t)(at - url), out) < 0 || !is_made_of(at + 1, (size_t)(colon - at) - 1, ".-") ||
        copy(out->host, sizeof out->host, at + 1, (size_t)(colon - at) - 1) < 0 || !is_path(colon + 1))
        return bad(err, "its user, host or path");
    return 0;
}

int source_parse(const char *url, struct source_url *out, struct error *err)
{
    *out = (struct source_url){.user = "git"};
    size_t size = strlen(url);
    if (size > URL_MAX)
        return bad(err, "more than 1024 bytes");
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)url[i] <= 0x20 || (unsigned char)url[i] >= 0x7f || url[i] == '\\' || url[i] == '"')
            return bad(err, "it holds blanks, control bytes, quotes or letters that are not ASCII");
    if (strncmp(url, "https://", 8) == 0) {
        out->port = 443;
        return parse_authority(url + 8, out, err);
    }
    out->ssh = true;
    out->port = 22;
    if (strncmp(url, "ssh://", 6) == 0)
        return parse_authority(url + 6, out, err);
    return parse_short(url, out, err);
}

/* The words of a line; the last two are type and key. */
static int line_key(const char *line, size_t size, char *type, size_t type_room, char *key, size_t key_room)
{
    char text[4096], *words[3], *rest = text, *save = NULL;
    size_t count = 0;
    if (copy(text, sizeof text, line, size) < 0)
        return -1;
    for (char *word; count < 3 && (word = strtok_r(rest, " \t\r", &save)) != NULL; rest = NULL)
        words[count++] = word;
    size_t at = count > 0 && (strncmp(words[0], "ssh-", 4) == 0 || strncmp(words[0], "ecdsa-", 6) == 0) ? 0 : 1;
    if (count < at + 2)
        return -1;
    return copy(type, type_room, words[at], strlen(words[at])) < 0 ? -1
                                                                  : copy(key, key_room, words[at + 1], strlen(words[at + 1]));
}

bool source_knows_key(const char *lines, const void *key, size_t size)
{
    AUTO_FREE char *shown = malloc(size * 2 + 8);
    if (shown == NULL || size == 0)
        return false;
    base64_encode(key, size, shown);
    char type[64], known[3500];
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        if (line_key(lines, length, type, sizeof type, known, sizeof known) == 0 && strcmp(known, shown) == 0)
            return true;
        lines += length + (lines[length] == '\n');
    }
    return false;
}

int source_known_hosts(const char *lines, const struct source_url *url, struct buf *out, struct error *err)
{
    char type[64], known[3500];
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        if (line_key(lines, length, type, sizeof type, known, sizeof known) == 0) {
            int failed = url->port == 22 ? buf_addf(out, err, "%s %s %s\n", url->host, type, known)
                                         : buf_addf(out, err, "[%s]:%u %s %s\n", url->host, url->port, type, known);
            if (failed)
                return -1;
        }
        lines += length + (lines[length] == '\n');
    }
    return out->size > 0 ? 0 : fail(err, "E_GIT_CERTIFICATE", "no host key is pinned: source.known_hosts is empty");
}
