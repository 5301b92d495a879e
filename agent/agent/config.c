#include "agent/agent/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/names.h"
#include "proto/json.h"

static int check_owner(int fd, const char *path, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return fail(err, "E_READ", "%s is no regular file", path);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022) != 0)
        return fail(err, "E_PERM", "%s must belong to root and be writable by nobody else", path);
    return 0;
}

int config_load(const char *path, struct buf *out, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 1 : fail_errno(err, "E_READ", errno, "%s could not be opened", path);
    if (check_owner(fd, path, err) < 0)
        return -1;
    char block[4096];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "E_READ", errno, "%s could not be read", path);
        if (n == 0)
            return 0;
        if (buf_add(out, block, (size_t)n, err) < 0)
            return -1;
    }
}

int config_parse(struct bytes text, struct agent_config *out, struct error *err)
{
    struct json_limits limits = json_strict(AGENT_CONFIG_MAX);
    AUTO_JSON cJSON *tree = NULL;
    struct json_at top;
    struct error why = {0};
    *out = (struct agent_config){0};
    if (json_parse(text, &limits, &tree, &why) < 0 || json_top(tree, &top, &why) < 0 ||
        json_named_copy(&top, "server", JSON_REQUIRED, name_is_server, "a server's id", out->server, sizeof out->server,
                        &why) < 0 ||
        json_hex(&top, "trust", JSON_REQUIRED, out->trust_pin, sizeof out->trust_pin, &why) < 0)
        return fail(err, "E_CONFIG", "%s", why.text);
    return 0;
}

int config_read(const char *path, struct agent_config *out, struct error *err)
{
    AUTO_BUF struct buf text = BUF(AGENT_CONFIG_MAX);
    int rc = config_load(path, &text, err);
    if (rc != 0)
        return rc;
    if (config_parse(buf_view(&text), out, err) < 0)
        return fail_in(err, "%s", path);
    return 0;
}
