/* An app's process, whichever manager keeps it.
 *
 * systemd: a unit per app and slot; its output is a FIFO, which the scribe reads while the start is watched.
 * pm2: the project's daemon is a unit, and klystrr-pm2.js talks to it from a box. While a start is watched that box stays
 * and relays the candidate's output; closing it ends the relay, not the app. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent/warden_client.h"
#include "agent/agent/work.h"
#include "base/clock.h"
#include "ipc/layout.h"
#include "ipc/sock.h"
#include "ipc/unit_plan.h"

#define PM2_TIMEOUT_S   60u
#define PM2_START_MS    40000
#define DAEMON_START_MS 20000
#define WATCH_S         1200u /* a start is watched no longer than its probe may take */
#define ADAPTER         KLY_PM2 "/klystrr-pm2.js"

static void pm2_name(const struct journal_app *app, const char *release, uint32_t slot, char *out, size_t room)
{
    snprintf(out, room, "%s.%s.%u", release, app->name, slot & 1);
}

static int base_env(struct work *w, struct env_list *env, bool pm2, struct error *err)
{
    char path[256], home[256];
    const char *node = w->manifest->runtime.node;
    snprintf(path, sizeof path, "%s%s%s/usr/local/bin:/usr/bin:/bin", node != NULL ? KLY_NODE "/" : "",
             node != NULL ? node : "", node != NULL ? "/bin:" : "");
    snprintf(home, sizeof home, KLY_SRV "/%s/run", w->project);
    if (env_list_add(env, "PATH", path, err) < 0 || env_list_add(env, "HOME", home, err) < 0)
        return -1;
    snprintf(home, sizeof home, KLY_SRV "/%s/run/pm2", w->project);
    return pm2 ? env_list_add(env, "PM2_HOME", home, err) : 0;
}

static const char *const app_names[] = {"HOST", "NODE_ENV", "KLYSTRR_RELEASE", "KLYSTRR_COMMIT", "PORT"};
#define APP_NAMES (sizeof app_names / sizeof *app_names)

static const char *commit_of(const struct work *w, const char *release)
{
    return strcmp(release, w->release) == 0 && w->commit[0] != 0 ? w->commit : strchr(release, '-') + 1;
}

/* What every app gets, then what the manifest gives this one. */
static int app_env(struct work *w, unsigned app, const char *release, uint32_t slot, struct env_list *env, struct error *err)
{
    const struct manifest_app *m = &w->manifest->apps[app];
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)w->is.ports[app][slot & 1]);
    const char *values[APP_NAMES] = {"127.0.0.1", "production", release, commit_of(w, release), port};
    for (size_t i = 0; i < APP_NAMES - (m->vhost.present ? 0 : 1); i++)
        if (env_list_add(env, app_names[i], values[i], err) < 0)
            return -1;
    return env_list_add_names(env, &m->env, w->values, err);
}

static void unit_of(const struct work *w, const char *app, uint32_t slot, uint32_t stop_s, struct warden_unit *unit)
{
    *unit = (struct warden_unit){.slot = slot, .stop_s = stop_s, .memory_mb = (uint32_t)w->manifest->memory_mb,
                                 .tasks = (uint32_t)w->manifest->tasks};
    snprintf(unit->project, sizeof unit->project, "%s", w->project);
    snprintf(unit->app, sizeof unit->app, "%s", app);
    if (w->manifest->runtime.node != NULL)
        snprintf(unit->node, sizeof unit->node, "%s", w->manifest->runtime.node);
}

static int start_unit(const struct warden_unit *unit, const char *cwd, const char *const *argv, const struct env_list *env,
                      struct warden_unit_is *is, struct error *err)
{
    AUTO_WIPE struct buf text = BUF(BOX_COMMAND_MAX);
    if (box_command_pack(cwd, argv, (const char *const *)env->at, &text, err) < 0)
        return -1;
    AUTO_CLOSE int fd = memfd_sealed("command", text.data, text.size, err);
    return fd < 0 ? -1 : warden_call(WARDEN_UNIT_START, unit, sizeof *unit, fd, is, sizeof *is, err);
}

static void relay_unit(struct work *w, const struct warden_unit *unit, const char *phase)
{
    char path[128];
    unit_output_path(unit, path);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct error err;
    if (fd < 0 || scribe_pipe(&w->scribe, fd, SCRIBE_OUT, phase, &err) < 0)
        scribe_note(&w->scribe, "%s: its first output cannot be shown", phase);
}

static void release_folder(const struct work *w, const char *release, char *out, size_t room)
{
    const char *root = w->manifest->source.root;
    bool top = strcmp(root, ".") == 0;
    snprintf(out, room, "releases/%s%s%s", release, top ? "" : "/", top ? "" : root);
}

static int start_systemd(struct work *w, unsigned app, const char *release, uint32_t slot, bool relay, struct error *err)
{
    const struct manifest_app *m = &w->manifest->apps[app];
    AUTO_ENV_LIST struct env_list env = {0};
    struct warden_unit unit;
    struct warden_unit_is is;
    char cwd[400];
    release_folder(w, release, cwd, sizeof cwd);
    unit_of(w, m->name, slot, (uint32_t)m->stop_timeout, &unit);
    if (base_env(w, &env, false, err) < 0 || app_env(w, app, release, slot, &env, err) < 0 ||
        warden_call(WARDEN_UNIT_STOP, &unit, sizeof unit, -1, &is, sizeof is, err) < 0 ||
        start_unit(&unit, cwd, (const char *const *)m->run.at, &env, &is, err) < 0)
        return -1;
    w->pids[app] = is.pid;
    if (relay)
        relay_unit(w, &unit, m->name);
    return 0;
}

struct pm2_record {
    int pid, restarts;
    char status[32];
};

static int parse_record(const char *text, struct pm2_record *out, struct error *err)
{
    char code[40];
    int used = 0;
    *out = (struct pm2_record){0};
    if (sscanf(text, "ok pid=%d status=%31s restarts=%d", &out->pid, out->status, &out->restarts) == 3)
        return 0;
    if (sscanf(text, "error %39[A-Z0-9_] %n", code, &used) == 1 && used > 0)
        return fail(err, code, "%.*s", (int)strcspn(text + used, "\n"), text + used);
    return fail(err, "E_PM2", "the pm2 adapter said nothing: is pm2 installed (%s)?", KLY_PM2);
}

static int pm2_call(struct work *w, const char *verb, const char *name, uint32_t timeout_s, struct pm2_record *out,
                    struct error *err)
{
    const char *const argv[] = {"node", ADAPTER, verb, name, NULL};
    AUTO_ENV_LIST struct env_list env = {0};
    struct box_request request;
    struct box_ended ended;
    struct box_tap said, tail;
    if (base_env(w, &env, true, err) < 0)
        return -1;
    run_request(w, &request, BOX_ACTIVATE, timeout_s);
    request.argv = argv;
    request.envp = (const char *const *)env.at;
    if (run_tapped(w, &request, NULL, &said, &tail, &ended, err) < 0)
        return -1;
    return parse_record(said.tail, out, err);
}

static int daemon_unit(struct work *w, struct error *err)
{
    const char *const argv[] = {"node", ADAPTER, "daemon", NULL};
    AUTO_ENV_LIST struct env_list env = {0};
    struct warden_unit unit;
    struct warden_unit_is is;
    unit_of(w, "", 0, 30, &unit);
    if (warden_call(WARDEN_UNIT_STATE, &unit, sizeof unit, -1, &is, sizeof is, err) < 0)
        return -1;
    if (is.state == UNIT_RUNNING || is.state == UNIT_STARTING)
        return 0;
    return base_env(w, &env, true, err) < 0 ? -1 : start_unit(&unit, ".", argv, &env, &is, err);
}

/* The daemon's unit runs and the daemon answers. */
static int need_daemon(struct work *w, struct error *err)
{
    int64_t deadline = clock_mono_ms() + DAEMON_START_MS;
    struct pm2_record record;
    if (daemon_unit(w, err) < 0)
        return fail_in(err, "the pm2 daemon of '%s'", w->project);
    for (;;) {
        if (pm2_call(w, "ping", NULL, PM2_TIMEOUT_S, &record, err) == 0)
            return 0;
        if (strcmp(err->code, "E_PM2_DAEMON") != 0 || clock_mono_ms() >= deadline)
            return -1;
        usleep(300000);
    }
}

#define PM2_ARGS_MAX (12 + MANIFEST_ENV_MAX + MANIFEST_ARGS_MAX)
struct pm2_args {
    const char *at[PM2_ARGS_MAX];
    size_t count;
    char name[80], cwd[400], instances[8], stop[8], env_count[8];
};

static void add(struct pm2_args *a, const char *text)
{
    if (a->count < PM2_ARGS_MAX - 1)
        a->at[a->count++] = text;
}

/* node klystrr-pm2.js start NAME CWD INSTANCES STOP_SECONDS ENVCOUNT ENVNAME… -- COMMAND ARGUMENT… */
static void start_args(struct work *w, unsigned app, const char *release, uint32_t slot, struct pm2_args *a)
{
    const struct manifest_app *m = &w->manifest->apps[app];
    char folder[300];
    size_t own = APP_NAMES - (m->vhost.present ? 0 : 1);
    a->count = 0;
    pm2_name(&w->apps[app], release, slot, a->name, sizeof a->name);
    release_folder(w, release, folder, sizeof folder);
    snprintf(a->cwd, sizeof a->cwd, KLY_SRV "/%s/%s", w->project, folder);
    snprintf(a->instances, sizeof a->instances, "%d", m->instances);
    snprintf(a->stop, sizeof a->stop, "%d", m->stop_timeout);
    snprintf(a->env_count, sizeof a->env_count, "%zu", own + m->env.count);
    const char *const head[] = {"node", ADAPTER, "start", a->name, a->cwd, a->instances, a->stop, a->env_count};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        add(a, head[i]);
    for (size_t i = 0; i < own; i++)
        add(a, app_names[i]);
    for (size_t i = 0; i < m->env.count; i++)
        add(a, m->env.at[i]);
    add(a, "--");
    for (size_t i = 0; i < m->run.count; i++)
        add(a, m->run.at[i]);
    a->at[a->count] = NULL;
}

/* The adapter's record, from its own pipe, while the box goes on. */
static int read_record(struct work *w, int from, char *text, size_t room, struct error *err)
{
    int64_t deadline = clock_mono_ms() + PM2_START_MS;
    size_t used = 0;
    while (used < room - 1 && memchr(text, '\n', used) == NULL) {
        struct pollfd fds[2] = {{from, POLLIN, 0}, {w->cancel, POLLIN, 0}};
        int64_t left = deadline - clock_mono_ms();
        if (left <= 0 || (poll(fds, 2, (int)left) < 0 && errno != EINTR))
            return fail(err, "E_PM2_TIMEOUT", "pm2 did not start the app in %d s", PM2_START_MS / 1000);
        if (fds[1].revents != 0)
            return fail(err, "E_CANCELLED", "cancelled");
        ssize_t n = fds[0].revents != 0 ? read(from, text + used, room - 1 - used) : 1;
        if (n <= 0)
            break;
        used += fds[0].revents != 0 ? (size_t)n : 0;
    }
    text[used] = 0;
    return 0;
}

static int log_ends(struct work *w, struct box_request *r, const char *phase, struct error *err)
{
    int out[2], errors[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return fail_errno(err, "E_NO_MEMORY", errno, "no pipe");
    if (pipe2(errors, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return fail_errno(err, "E_NO_MEMORY", errno, "no pipe");
    }
    r->out = out[1];
    r->err = errors[1];
    r->give = true;
    int rc = scribe_pipe(&w->scribe, out[0], SCRIBE_OUT, phase, err);
    return scribe_pipe(&w->scribe, errors[0], SCRIBE_ERR, phase, err) < 0 || rc < 0 ? -1 : 0;
}

static int start_watched(struct work *w, unsigned app, struct box_request *r, bool relay, char *text, size_t room,
                         struct error *err)
{
    int record[2], stay[2];
    if (pipe2(record, O_CLOEXEC) < 0)
        return fail_errno(err, "E_NO_MEMORY", errno, "no pipe");
    AUTO_CLOSE int record_end = record[0];
    if (pipe2(stay, O_CLOEXEC) < 0) {
        close(record[1]);
        return fail_errno(err, "E_NO_MEMORY", errno, "no pipe");
    }
    AUTO_CLOSE int stay_end = stay[1]; /* standard input: the relay goes on until it ends */
    r->in = stay[0];
    r->extra[0] = record[1];
    r->start.extra_fds = 1;
    AUTO_CLOSE int box = relay && log_ends(w, r, w->manifest->apps[app].name, err) < 0 ? -1 : box_open(r, err);
    close(record[1]);
    close(stay[0]);
    if (box < 0 || read_record(w, record_end, text, room, err) < 0)
        return -1;
    if (relay) {
        w->watches[app] = take_fd(&box);
        w->stays[app] = take_fd(&stay_end);
    }
    return 0;
}

static int start_pm2(struct work *w, unsigned app, const char *release, uint32_t slot, bool relay, struct error *err)
{
    AUTO_ENV_LIST struct env_list env = {0};
    struct box_request request;
    struct pm2_record record;
    struct pm2_args args;
    char text[700];
    if (need_daemon(w, err) < 0 || base_env(w, &env, true, err) < 0 || app_env(w, app, release, slot, &env, err) < 0)
        return -1;
    start_args(w, app, release, slot, &args);
    run_request(w, &request, BOX_ACTIVATE, relay ? WATCH_S : PM2_TIMEOUT_S);
    request.argv = args.at;
    request.envp = (const char *const *)env.at;
    if (start_watched(w, app, &request, relay, text, sizeof text, err) < 0 || parse_record(text, &record, err) < 0)
        return -1;
    w->pids[app] = record.pid;
    return 0;
}

int process_start(struct work *w, unsigned app, const char *release, uint32_t slot, bool relay, struct error *err)
{
    int rc = w->manifest->apps[app].process == PROCESS_PM2 ? start_pm2(w, app, release, slot, relay, err)
                                                           : start_systemd(w, app, release, slot, relay, err);
    return rc < 0 ? fail_in(err, "app %s could not be started", w->manifest->apps[app].name) : 0;
}

int process_state(struct work *w, const struct journal_app *app, const char *release, struct process_state *out,
                  struct error *err)
{
    char name[80];
    *out = (struct process_state){0};
    if (app->pm2 != 0) {
        struct pm2_record record;
        pm2_name(app, release, app->slot, name, sizeof name);
        if (pm2_call(w, "list", name, PM2_TIMEOUT_S, &record, err) < 0)
            return -1;
        out->running = strcmp(record.status, "online") == 0;
        out->pid = record.pid;
        out->restarts = (uint32_t)record.restarts;
        snprintf(out->status, sizeof out->status, "%s", record.status);
        return 0;
    }
    static const char *const names[] = {"absent", "starting", "running", "stopping", "failed"};
    struct warden_unit unit;
    struct warden_unit_is is;
    unit_of(w, app->name, app->slot, 1, &unit);
    if (warden_call(WARDEN_UNIT_STATE, &unit, sizeof unit, -1, &is, sizeof is, err) < 0)
        return -1;
    out->running = is.state == UNIT_RUNNING;
    out->pid = is.pid;
    out->restarts = is.restarts;
    snprintf(out->status, sizeof out->status, "%s", is.state < 5 ? names[is.state] : "unknown");
    return 0;
}

int process_stop(struct work *w, const struct journal_app *app, const char *release, uint32_t stop_s, struct error *err)
{
    struct warden_unit unit;
    struct warden_unit_is is;
    struct pm2_record record;
    char name[80];
    if (app->pm2 == 0) {
        unit_of(w, app->name, app->slot, stop_s, &unit);
        return warden_call(WARDEN_UNIT_STOP, &unit, sizeof unit, -1, &is, sizeof is, err);
    }
    unit_of(w, "", 0, 1, &unit);
    if (warden_call(WARDEN_UNIT_STATE, &unit, sizeof unit, -1, &is, sizeof is, err) < 0)
        return -1;
    if (is.state != UNIT_RUNNING && is.state != UNIT_STARTING)
        return 0; /* without its daemon none of its apps runs */
    pm2_name(app, release, app->slot, name, sizeof name);
    return pm2_call(w, "stop", name, PM2_TIMEOUT_S + stop_s, &record, err);
}

int process_stop_live(struct work *w, struct error *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < w->old.app_count; i++)
        if (process_stop(w, &w->old.apps[i], w->old.release, 30, err) < 0)
            rc = fail_in(err, "app %s could not be stopped", w->old.apps[i].name);
    return rc;
}

/* The daemon that was looked at before still runs: so do its apps, or it starts them again itself. */
static bool same_daemon(struct work *w, int32_t *pid)
{
    struct warden_unit unit;
    struct warden_unit_is is;
    struct error ignored;
    unit_of(w, "", 0, 1, &unit);
    *pid = 0;
    if (warden_call(WARDEN_UNIT_STATE, &unit, sizeof unit, -1, &is, sizeof is, &ignored) < 0 || is.state != UNIT_RUNNING)
        return false;
    *pid = is.pid;
    return w->daemon_pid != 0 && is.pid == w->daemon_pid;
}

static int apply_one(struct work *w, unsigned app, unsigned *started, struct error *err)
{
    const struct journal_app *live = journal_live_app(&w->old, w->manifest->apps[app].name);
    struct process_state state;
    struct warden_flag flag = {0}, is;
    if (live == NULL)
        return 0;
    if (live->web != 0) {
        snprintf(flag.project, sizeof flag.project, "%s", w->project);
        snprintf(flag.app, sizeof flag.app, "%s", live->name);
        flag.green = live->slot;
        if (warden_call(WARDEN_FLAG_SET, &flag, sizeof flag, -1, &is, sizeof is, err) < 0)
            return -1;
    }
    int32_t pid;
    if (live->pm2 != 0 && same_daemon(w, &pid))
        return 0;
    if (process_state(w, live, w->old.release, &state, err) == 0 && strcmp(state.status, "absent") != 0 &&
        strcmp(state.status, "failed") != 0 && strcmp(state.status, "errored") != 0 && strcmp(state.status, "stopped") != 0)
        return 0; /* untouched when only Klystrr was restarted */
    (*started)++;
    return process_start(w, app, w->old.release, live->slot, false, err);
}

int process_apply_live(struct work *w, unsigned *started, struct error *err)
{
    int rc = 0;
    *started = 0;
    if (work_prepare(w, -1, 0, 0, NULL, err) < 0)
        return -1;
    for (unsigned i = 0; i < w->manifest->app_count; i++)
        if (apply_one(w, i, started, err) < 0)
            rc = -1;
    if (rc < 0 || !same_daemon(w, &w->daemon_pid))
        w->daemon_pid = rc < 0 ? 0 : w->daemon_pid;
    return rc;
}
