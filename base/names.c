#include "base/names.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool hex(const char *s, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!digit(s[i]) && !(s[i] >= 'a' && s[i] <= 'f'))
            return false;
    return true;
}

static bool label(const char *s, size_t max)
{
    size_t length = strlen(s);
    if (length == 0 || length > max || !lower(s[0]) || s[length - 1] == '-')
        return false;
    for (size_t i = 1; i < length; i++) {
        if (!lower(s[i]) && !digit(s[i]) && s[i] != '-')
            return false;
        if (s[i] == '-' && s[i - 1] == '-')
            return false;
    }
    return true;
}

bool name_is_project(const char *s)
{
    return label(s, NAME_PROJECT_MAX);
}

bool name_is_app(const char *s)
{
    return label(s, NAME_APP_MAX);
}

static bool prefixed_id(const char *s, const char *prefix)
{
    return strlen(s) == 20 && strncmp(s, prefix, 4) == 0 && hex(s + 4, 16);
}

bool name_is_server(const char *s)
{
    return prefixed_id(s, "srv_");
}

bool name_is_deployment(const char *s)
{
    return prefixed_id(s, "dep_");
}

bool name_is_env(const char *s)
{
    size_t length = strlen(s);
    if (length == 0 || length > NAME_ENV_MAX || digit(s[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!lower(s[i]) && !(s[i] >= 'A' && s[i] <= 'Z') && !digit(s[i]) && s[i] != '_')
            return false;
    return true;
}

bool name_is_commit(const char *s)
{
    size_t length = strlen(s);
    return (length == 40 || length == 64) && hex(s, length);
}

static bool ref_part(const char *s, size_t length)
{
    if (length == 0 || s[0] == '.' || s[length - 1] == '.')
        return false;
    if (length >= 5 && strncmp(s + length - 5, ".lock", 5) == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c >= 0x7f || strchr("~^:?*[\\", c) != NULL)
            return false;
        if (i > 0 && ((c == '.' && s[i - 1] == '.') || (c == '{' && s[i - 1] == '@')))
            return false;
    }
    return true;
}

bool name_is_ref(const char *s)
{
    size_t skip = strncmp(s, "refs/heads/", 11) == 0 ? 11 : strncmp(s, "refs/tags/", 10) == 0 ? 10 : 0;
    if (skip == 0 || strlen(s) > NAME_PATH_MAX)
        return false;
    for (const char *part = s + skip;;) {
        size_t length = strcspn(part, "/");
        if (!ref_part(part, length))
            return false;
        if (part[length] == 0)
            return true;
        part += length + 1;
    }
}

bool name_is_domain(const char *s)
{
    if (strlen(s) > NAME_DOMAIN_MAX)
        return false;
    for (const char *part = s;;) {
        size_t length = strcspn(part, ".");
        if (length == 0 || length > 63 || part[0] == '-' || part[length - 1] == '-')
            return false;
        for (size_t i = 0; i < length; i++)
            if (!lower(part[i]) && !digit(part[i]) && part[i] != '-')
                return false;
        if (part[length] == 0)
            return true;
        part += length + 1;
    }
}

static const char *canonical_number(const char *s, size_t max_digits)
{
    size_t length = strspn(s, "0123456789");
    if (length == 0 || length > max_digits || (s[0] == '0' && length > 1))
        return NULL;
    return s + length;
}

bool name_is_node_version(const char *s)
{
    for (int part = 0; part < 3; part++) {
        s = canonical_number(s, 4);
        if (s == NULL || (part < 2 && *s != '.'))
            return false;
        s += part < 2;
    }
    return *s == 0;
}

uint64_t name_release_sequence(const char *s)
{
    const char *dash = canonical_number(s, 16);
    if (dash == NULL || *dash != '-' || strlen(dash + 1) != 12 || !hex(dash + 1, 12))
        return 0;
    uint64_t sequence = 0;
    for (; s < dash; s++)
        sequence = sequence * 10 + (uint64_t)(*s - '0');
    return sequence <= (UINT64_C(1) << 53) - 1 ? sequence : 0;
}

bool name_is_relative_path(const char *s)
{
    size_t length = strlen(s);
    if (length == 0 || length > NAME_PATH_MAX || s[0] == '/')
        return false;
    if (strcmp(s, ".") == 0)
        return true;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f || s[i] == '\\')
            return false;
    for (const char *part = s;;) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (part[n] == 0)
            return true;
        part += n + 1;
    }
}

bool name_is_dangerous_env(const char *s)
{
    static const char *const prefixes[] = {"LD_",  "GIT_", "npm_config_", "PM2_",  "NODE_EXTRA_",
                                           "SSH_", "XDG_", "BASH_FUNC_",  "DYLD_", "GLIBC_", "MALLOC_"};
    static const char *const names[] = {
        "NODE_OPTIONS", "NODE_PATH", "NODE_V8_COVERAGE", "NODE_REPL_EXTERNAL_MODULE", "NODE_CHANNEL_FD",
        "NODE_CLUSTER_SCHED_POLICY", "NODE_UNIQUE_ID", "NODE_PENDING_DEPRECATION", "PATH", "BASH_ENV", "ENV",
        "SHELL", "IFS", "HOME", "USER", "LOGNAME", "PORT", "HOST", "TMPDIR", "PYTHONPATH", "PYTHONSTARTUP",
        "PYTHONHOME", "PERL5LIB", "PERL5OPT", "RUBYOPT", "RUBYLIB", "LOCPATH", "GCONV_PATH", "NLSPATH",
        "HOSTALIASES", "RES_OPTIONS", "RESOLV_HOST_CONF", "PROMPT_COMMAND", "PS4", "EDITOR", "VISUAL", "PAGER",
        "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "OPENSSL_CONF", "OPENSSL_MODULES",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY",
        "PROXY", "CC", "CXX", "MAKEFLAGS", "CFLAGS", "LDFLAGS",
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncasecmp(s, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(s, names[i]) == 0)
            return true;
    size_t length = strlen(s);
    return length >= 6 && strcasecmp(s + length - 6, "_PROXY") == 0;
}
