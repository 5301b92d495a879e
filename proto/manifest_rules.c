#include "proto/manifest_rules.h"

#include <stdio.h>
#include <string.h>

#include "base/encode.h"

bool manifest_is_known_host(const char *s)
{
    static const char *const kinds[] = {"ssh-ed25519 ", "ecdsa-sha2-nistp256 ", "ecdsa-sha2-nistp384 ",
                                        "ecdsa-sha2-nistp521 ", "ssh-rsa "};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(kinds[i]);
        if (strncmp(s, kinds[i], n) != 0)
            continue;
        AUTO_BUF struct buf key = BUF(4096);
        return base64_decode(s + n, strlen(s + n), &key, NULL) == 0 && key.size >= 32;
    }
    return false;
}

bool manifest_is_pem(const char *s)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    if (strncmp(s, begin, sizeof begin - 1) != 0 || strstr(s, end) == NULL || strstr(s, "PRIVATE KEY") != NULL)
        return false;
    for (; *s != 0; s++)
        if (((unsigned char)*s < ' ' && *s != '\n' && *s != '\r') || (unsigned char)*s >= 0x7f)
            return false;
    return true;
}

bool manifest_is_integrity(const char *s)
{
    uint8_t digest[64];
    return strncmp(s, "sha512-", 7) == 0 && strlen(s + 7) == 88 &&
           base64_decode_exact(s + 7, 88, digest, sizeof digest) == 0;
}

bool manifest_is_argument(const char *s)
{
    for (; *s != 0; s++)
        if (((unsigned char)*s < ' ' && *s != '\t' && *s != '\n') || *s == 0x7f)
            return false;
    return true;
}

#define PROBE_PATH_MAX 1024

bool manifest_is_probe_path(const char *s)
{
    if (s[0] != '/' || strlen(s) > PROBE_PATH_MAX)
        return false;
    for (; *s != 0; s++)
        if (*s <= ' ' || (unsigned char)*s >= 0x7f || *s == '#')
            return false;
    return true;
}

bool manifest_is_inner_path(const char *s)
{
    return name_is_relative_path(s) && strcmp(s, ".") != 0;
}

/* ---- rules between members ---- */

/* The credential's name names a value only: no process ever has it in its environment. */
static bool is_credential(const struct manifest *m, const char *name)
{
    return m->source.credential != NULL && strcmp(m->source.credential, name) == 0;
}

static int listed(const struct env_names *used, const struct manifest *m, const char *where, struct error *err)
{
    for (size_t i = 0; i < used->count; i++) {
        if (!env_names_have(&m->env, used->at[i]))
            return fail(err, "E_MEMBER", "%s[%zu]: %s is not among env.names", where, i, used->at[i]);
        if (is_credential(m, used->at[i]))
            return fail(err, "E_MEMBER", "%s[%zu]: %s is source.credential, which only the fetch may see",
                        where, i, used->at[i]);
    }
    return 0;
}

static int env_rules(const struct manifest *m, struct error *err)
{
    char where[48];
    for (size_t i = 0; i < m->env.count; i++)
        if (name_is_dangerous_env(m->env.at[i]) && !env_names_have(&m->allow, m->env.at[i]) &&
            !is_credential(m, m->env.at[i]))
            return fail(err, "E_ENV_NAME",
                        "env.names[%zu]: %s changes how loaders or tools behave: rename it, or list it in "
                        "env.allow too",
                        i, m->env.at[i]);
    if (m->source.credential != NULL && !env_names_have(&m->env, m->source.credential))
        return fail(err, "E_MEMBER", "source.credential: %s is not among env.names", m->source.credential);
    if (listed(&m->public_names, m, "env.public", err) < 0)
        return -1;
    for (enum phase p = PHASE_INSTALL; p <= PHASE_RELEASE; p++) {
        snprintf(where, sizeof where, "phases.%s.env", phase_name(p));
        if (listed(&m->phases[p].env, m, where, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < m->app_count; i++) {
        snprintf(where, sizeof where, "apps[%zu].env", i);
        if (listed(&m->apps[i].env, m, where, err) < 0)
            return -1;
    }
    return 0;
}

static bool share_domain(const struct manifest_vhost *a, const struct manifest_vhost *b, const char **which)
{
    for (size_t i = 0; i < a->name_count; i++)
        for (size_t k = 0; k < b->name_count; k++)
            if (strcmp(*which = a->names[i], b->names[k]) == 0)
                return true;
    return false;
}

static int app_rules(const struct manifest *m, struct error *err)
{
    const char *domain;
    for (size_t i = 0; i < m->app_count; i++) {
        const struct manifest_app *a = &m->apps[i];
        if (a->process == PROCESS_SYSTEMD && a->instances > 1)
            return fail(err, "E_MEMBER", "apps[%zu].instances: more than 1 needs process \"pm2\"", i);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(m->apps[k].name, a->name) == 0)
                return fail(err, "E_MEMBER", "apps[%zu].name: apps[%zu] is called %s too", i, k, a->name);
            if (share_domain(&m->apps[k].vhost, &a->vhost, &domain))
                return fail(err, "E_MEMBER", "apps[%zu].vhost.names: apps[%zu] has %s too", i, k, domain);
        }
    }
    return 0;
}

static bool inside(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    return strncmp(inner, outer, n) == 0 && (inner[n] == 0 || inner[n] == '/');
}

/* A link or a writable folder inside another would be made by whoever owns the outer one. */
static int path_rules(const struct manifest *m, struct error *err)
{
    const char *all[2 * MANIFEST_PATHS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < m->shared_count; i++)
        all[n++] = m->shared[i];
    for (size_t i = 0; i < m->writable_count; i++)
        all[n++] = m->writable[i];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (i != k && inside(all[i], all[k]))
                return fail(err, "E_MEMBER", "shared, writable: %.80s lies in %.80s", all[i], all[k]);
    return 0;
}

int manifest_rules(const struct manifest *m, struct error *err)
{
    return env_rules(m, err) < 0 || app_rules(m, err) < 0 || path_rules(m, err) < 0 ? -1 : 0;
}
