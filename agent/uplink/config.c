#include "agent/uplink/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/names.h"
#include "proto/json.h"

/* The default port is left out, as RFC 9110 section 7.2 has it. */
static void write_authority(struct config *c)
{
    const char *open = c->plane.ipv6 ? "[" : "", *close = c->plane.ipv6 ? "]" : "";
    int n = snprintf(c->authority, sizeof c->authority, "%s%s%s", open, c->plane.host, close);
    if (c->plane.port != 443)
        snprintf(c->authority + n, sizeof c->authority - (size_t)n, ":%u", (unsigned)c->plane.port);
}

static int read_members(const struct json_at *top, struct config *out, struct error *err)
{
    static const char *const modes[] = {"direct", NULL};
    const char *server, *url;
    int mode;
    uint8_t trust[32]; /* the agent's to use; checked here so that both programs refuse the same file */
    if (json_named(top, "server", JSON_REQUIRED, name_is_server, "a server's id", &server, err) < 0 ||
        json_text(top, "plane", JSON_REQUIRED, URL_PLANE_MAX, &url, err) < 0 ||
        json_hex(top, "ca", JSON_REQUIRED, out->ca, sizeof out->ca, err) < 0 ||
        json_hex(top, "trust", JSON_REQUIRED, trust, sizeof trust, err) < 0 ||
        json_word(top, "mode", JSON_REQUIRED, modes, &mode, err) < 0 || url_plane(url, &out->plane, err) < 0)
        return -1;
    snprintf(out->server, sizeof out->server, "%s", server);
    snprintf(out->url, sizeof out->url, "%s", url);
    write_authority(out);
    return 0;
}

int config_parse(struct bytes text, struct config *out, struct error *err)
{
    struct json_limits limits = json_strict(CONFIG_FILE_MAX);
    AUTO_JSON cJSON *tree = NULL;
    struct json_at top;
    struct error why = {0};
    *out = (struct config){0};
    if (json_parse(text, &limits, &tree, &why) < 0 || json_top(tree, &top, &why) < 0 || read_members(&top, out, &why) < 0)
        return fail(err, "E_CONFIG", "%s", why.text);
    return 0;
}

/* Root's alone to write. Whoever starts this program by hand as another user may bring a file of their own: it gives
 * them nothing they do not have. */
static int check_owner(int fd, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return fail(err, "E_READ", "it is no regular file");
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022) != 0)
        return fail(err, "E_PERM", "it must belong to root and be writable by nobody else (chmod 644)");
    return 0;
}

int config_read(const char *path, struct config *out, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 1 : fail_errno(err, "E_READ", errno, "%s could not be opened", path);
    char text[CONFIG_FILE_MAX + 1];
    size_t size = 0;
    ssize_t n = 1;
    if (check_owner(fd, err) < 0) {
        fail_in(err, "%s", path);
        return -1;
    }
    while (size < sizeof text && (n = read(fd, text + size, sizeof text - size)) > 0)
        size += (size_t)n;
    if (n < 0)
        return fail_errno(err, "E_READ", errno, "%s could not be read", path);
    if (config_parse((struct bytes){(const uint8_t *)text, size}, out, err) < 0)
        return fail_in(err, "%s", path);
    return 0;
}
