#include "agent/warden/verbs.h"

#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "agent/warden/nginx.h"
#include "agent/warden/project.h"
#include "agent/warden/release.h"
#include "base/clock.h"
#include "base/names.h"
#include "ipc/layout.h"
#include "ipc/policy_table.h"

/* What a verb gets: a body of the right size, whose project the policy knows, and room for the answer, which
 * begins as a copy of the body or as zeros. */
struct call {
    const struct warden *warden;
    enum warden_verb verb;
    const struct policy_row *row; /* NULL for verbs about no project */
    const void *body;
    void *answer;
    int fd;
};
typedef int verb_fn(const struct call *call, struct error *err);

static int bad(struct error *err, const char *what)
{
    return fail(err, "E_WARDEN_REQUEST", "%s is not valid", what);
}

static int project_ensure_verb(const struct call *call, struct error *err)
{
    const struct warden_project *p = call->body;
    if (p->app_count > WARDEN_APPS_MAX)
        return bad(err, "the number of apps");
    for (uint32_t i = 0; i < p->app_count; i++)
        if (!IPC_TEXT_OK(p->apps[i]) || !name_is_app(p->apps[i]))
            return bad(err, "an app's name");
    return project_ensure(call->row, p, call->answer, err);
}

static int project_remove_verb(const struct call *call, struct error *err)
{
    const struct warden_name *name = call->body;
    struct warden_app app = {0};
    struct warden_unit unit = {.stop_s = 1};
    struct warden_unit_is is;
    memcpy(app.project, name->project, sizeof app.project);
    memcpy(unit.project, name->project, sizeof unit.project);
    for (unsigned i = 0, more = 1; more != 0; i++) {
        more = i == 0 || project_app(name->project, (i - 1) / 2, unit.app);
        unit.slot = i % 2 == 0;
        if (more == 0)
            break;
        if (unit_ask(call->warden->supervisor, WARDEN_UNIT_STATE, &unit, &is, err) < 0 ||
            (is.state != UNIT_ABSENT && is.state != UNIT_FAILED))
            return fail(err, "E_PROJECT_REMOVE", "unit %s/%s still runs: stop it first", unit.project,
                        unit.app);
        unit_forget(&unit);
        memcpy(app.app, unit.app, sizeof app.app);
        if (app.app[0] != 0 && nginx_drop(&app, call->warden->supervisor < 0, err) < 0)
            return -1;
    }
    return project_remove(name->project, err);
}

static int release_commit_verb(const struct call *call, struct error *err)
{
    const struct warden_commit *c = call->body;
    struct warden_project_is is;
    if (!IPC_TEXT_OK(c->staging) || !IPC_TEXT_OK(c->release) || name_release_sequence(c->release) == 0 ||
        !name_is_relative_path(c->staging) || c->staging[0] == '.' || strchr(c->staging, '/') != NULL)
        return bad(err, "a release's or a staging folder's name");
    project_ids(c->project, &is);
    return is.build_uid == 0 ? fail(err, "E_RELEASE", "project '%s' is not set up", c->project)
                             : release_commit(c, is.build_uid, is.group_gid, err);
}

static int release_verb(const struct call *call, struct error *err)
{
    const struct warden_name *n = call->body;
    if (!IPC_TEXT_OK(n->release) || name_release_sequence(n->release) == 0)
        return bad(err, "a release's name");
    return call->verb == WARDEN_RELEASE_TRASH ? release_trash(n, err) : release_current(n, err);
}

static int vhost_set_verb(const struct call *call, struct error *err)
{
    const struct warden_vhost *v = call->body;
    uint16_t ports[2];
    if (v->name_count == 0 || v->name_count > WARDEN_DOMAINS_MAX ||
        (v->listen != 80 && (v->listen < 1024 || v->listen > 32767)) || v->max_body_mb == 0 ||
        v->max_body_mb > 4096)
        return bad(err, "a vhost's port, size or number of names");
    for (uint32_t i = 0; i < v->name_count; i++) {
        if (!IPC_TEXT_OK(v->names[i]) || !name_is_domain(v->names[i]))
            return bad(err, "a domain");
        if (!policy_row_allows_domain(call->row, v->names[i]))
            return fail(err, "E_WARDEN_POLICY", "the policy does not give %s to project '%s'", v->names[i],
                        v->project);
    }
    return project_ports(v->project, v->app, ports, err) < 0
               ? -1
               : nginx_set(v, ports, call->warden->supervisor < 0, call->answer, err);
}

static int vhost_drop_verb(const struct call *call, struct error *err)
{
    return nginx_drop(call->body, call->warden->supervisor < 0, err);
}

static int flag_set_verb(const struct call *call, struct error *err)
{
    const struct warden_flag *f = call->body;
    struct warden_app app = {0};
    if (f->green > 1)
        return bad(err, "a slot");
    memcpy(app.project, f->project, sizeof app.project);
    memcpy(app.app, f->app, sizeof app.app);
    return nginx_flag(&app, f->green != 0, err);
}

static int check_unit(const struct warden_unit *u, struct error *err)
{
    bool daemon = u->app[0] == 0;
    if (!IPC_TEXT_OK(u->node) || u->slot > (daemon ? 0u : 1u) ||
        (u->node[0] != 0 && !name_is_node_version(u->node)) || u->stop_s > 300)
        return bad(err, "a unit's slot, Node version or grace");
    return 0;
}

static int unit_start_verb(const struct call *call, struct error *err)
{
    struct warden_unit unit;
    struct warden_unit_is *is = call->answer;
    struct warden_project_is ids;
    int supervisor = call->warden->supervisor;
    memcpy(&unit, call->body, sizeof unit);
    if (check_unit(&unit, err) < 0 || unit.stop_s == 0 || call->fd < 0)
        return unit.stop_s == 0 || call->fd < 0 ? bad(err, "a unit's grace or command") : -1;
    if (call->row->memory_mb != 0 && (unit.memory_mb == 0 || unit.memory_mb > call->row->memory_mb))
        unit.memory_mb = call->row->memory_mb;
    if (call->row->tasks != 0 && (unit.tasks == 0 || unit.tasks > call->row->tasks))
        unit.tasks = call->row->tasks;
    project_ids(unit.project, &ids);
    if (ids.app_uid < 100)
        return fail(err, "E_UNIT", "project '%s' is not set up", unit.project);
    if (unit_ask(supervisor, WARDEN_UNIT_STATE, &unit, is, err) < 0 || is->state == UNIT_RUNNING ||
        is->state == UNIT_STOPPING)
        return is->state == UNIT_STOPPING  ? fail(err, "E_UNIT_STOPPING", "the unit is still stopping")
               : is->state == UNIT_RUNNING ? 0
                                           : -1;
    return unit_prepare(&unit, call->fd, ids.app_uid, call->warden->readers, err) < 0
               ? -1
               : unit_ask(supervisor, WARDEN_UNIT_START, &unit, is, err);
}

static int unit_verb(const struct call *call, struct error *err)
{
    return check_unit(call->body, err) < 0
               ? -1
               : unit_ask(call->warden->supervisor, call->verb, call->body, call->answer, err);
}

static int node_verb(const struct call *call, struct error *err)
{
    struct warden_node *n = call->answer;
    const struct passwd *user = getpwnam(KLY_USER_NODE);
    if (!IPC_TEXT_OK(n->version) || !name_is_node_version(n->version))
        return bad(err, "a Node version");
    if (user == NULL || user->pw_uid < 100)
        return fail(err, "E_NODE", "there is no user " KLY_USER_NODE);
    return call->verb == WARDEN_NODE_PUBLISH ? node_publish(n, err)
                                             : node_ensure(n, user->pw_uid, user->pw_gid, err);
}

/* What a body begins with. All but a Node's: a project's name, then maybe an app's; a unit's may be empty. */
enum begins { NODE, PROJECT, APP, UNIT };

/* clang-format off */
static const struct verb {
    const char *name;
    verb_fn *run;
    size_t body, answer; /* answer 0: the body comes back */
    enum begins begins;
    bool makes_new, takes_fd; /* makes_new: not while the project is paused */
} verbs[WARDEN_VERBS] = {
#define BODY(type)     sizeof(struct warden_##type), 0
#define ANSWERED(type) sizeof(struct warden_##type), sizeof(struct warden_##type##_is)
    [WARDEN_PROJECT_ENSURE] = {"project_ensure", project_ensure_verb, ANSWERED(project), PROJECT, true, false},
    [WARDEN_PROJECT_REMOVE] = {"project_remove", project_remove_verb, BODY(name), PROJECT, false, false},
    [WARDEN_RELEASE_COMMIT] = {"release_commit", release_commit_verb, BODY(commit), PROJECT, true, false},
    [WARDEN_RELEASE_TRASH] = {"release_trash", release_verb, BODY(name), PROJECT, false, false},
    [WARDEN_CURRENT_SET] = {"current_set", release_verb, BODY(name), PROJECT, false, false},
    [WARDEN_VHOST_SET] = {"vhost_set", vhost_set_verb, ANSWERED(vhost), APP, true, false},
    [WARDEN_VHOST_DROP] = {"vhost_drop", vhost_drop_verb, BODY(app), APP, false, false},
    [WARDEN_FLAG_SET] = {"flag_set", flag_set_verb, BODY(flag), APP, false, false},
    [WARDEN_UNIT_START] = {"unit_start", unit_start_verb, ANSWERED(unit), UNIT, false, true},
    [WARDEN_UNIT_STOP] = {"unit_stop", unit_verb, ANSWERED(unit), UNIT, false, false},
    [WARDEN_UNIT_STATE] = {"unit_state", unit_verb, ANSWERED(unit), UNIT, false, false},
    [WARDEN_NODE_ENSURE] = {"node_ensure", node_verb, BODY(node), NODE, true, false},
    [WARDEN_NODE_PUBLISH] = {"node_publish", node_verb, BODY(node), NODE, true, false},
};
/* clang-format on */

/* An app's name lies behind the project's in all bodies that have one. */
_Static_assert(offsetof(struct warden_app, app) == 32 && offsetof(struct warden_vhost, app) == 32 &&
                   offsetof(struct warden_flag, app) == 32 && offsetof(struct warden_unit, app) == 32,
               "apps' names");

static int check_names(const struct verb *verb, const struct warden_app *body, struct error *err)
{
    if (!IPC_TEXT_OK(body->project) || !name_is_project(body->project))
        return bad(err, "a project's name");
    if (verb->begins != PROJECT &&
        (!IPC_TEXT_OK(body->app) || (!name_is_app(body->app) && (verb->begins == APP || body->app[0] != 0))))
        return bad(err, "an app's name");
    return 0;
}

static int check_policy(const struct verb *verb, struct call *call, struct error *err)
{
    static struct policy_table table;
    const char *project = call->body;
    if (verb->begins == NODE)
        return 0;
    if (check_names(verb, call->body, err) < 0 || policy_table_load(POLICY_TABLE_PATH, &table, err) < 0)
        return -1;
    call->row = policy_row_for(&table, project);
    if (call->row == NULL)
        return fail(err, "E_WARDEN_POLICY", "the policy knows no project '%s'", project);
    if (call->row->paused != 0 && verb->makes_new)
        return fail(err, "E_WARDEN_PAUSED", "project '%s' is paused by the policy", project);
    return 0;
}

static int serve(const struct verb *verb, struct call *call, struct ipc_record *request, struct error *err)
{
    if (verb == NULL || verb->run == NULL)
        return fail(err, "E_WARDEN_VERB", "there is no verb %u", request->head.verb);
    call->body = ipc_body(request, verb->body);
    if (call->body == NULL || request->fd_count != (verb->takes_fd ? 1u : 0u))
        return fail(err, "E_WARDEN_REQUEST", "%s of %u bytes and %u descriptors is not valid", verb->name,
                    request->head.size, request->fd_count);
    call->fd = verb->takes_fd ? request->fds[0] : -1;
    if (verb->answer == 0)
        memcpy(call->answer, call->body, verb->body);
    return check_policy(verb, call, err) < 0 ? -1 : verb->run(call, err);
}

#define STOP_SLACK_MS 10000 /* beyond the grace, for SIGKILL and what the manager does after it */

void verbs_look_again(const struct warden *warden, int conn, struct waiting *waiting)
{
    struct warden_unit_is is = {0};
    struct error err = {0};
    int rc = unit_ask(warden->supervisor, WARDEN_UNIT_STATE, &waiting->unit, &is, &err);
    if (rc == 0 && is.state == UNIT_STOPPING && clock_mono_ms() < waiting->until_ms)
        return;
    waiting->active = false;
    if (rc < 0)
        ipc_tell_error(conn, waiting->serial, &err);
    else
        ipc_tell(conn, WARDEN_UNIT_STOP, waiting->serial, &is, sizeof is);
}

static void wait_for_stop(const struct ipc_record *request, struct waiting *waiting)
{
    *waiting = (struct waiting){.active = true, .serial = request->head.serial};
    memcpy(&waiting->unit, request->body, sizeof waiting->unit);
    waiting->until_ms = clock_mono_ms() + (int64_t)waiting->unit.stop_s * 1000 + STOP_SLACK_MS;
}

void verbs_serve(const struct warden *warden, int conn, struct ipc_record *request, struct waiting *waiting)
{
    _Alignas(16) static uint8_t answer[IPC_BODY_MAX];
    struct error err = {0};
    const struct verb *verb = request->head.verb < WARDEN_VERBS ? &verbs[request->head.verb] : NULL;
    struct call call = {.warden = warden, .verb = request->head.verb, .answer = answer, .fd = -1};
    memset(answer, 0, sizeof answer);
    if (serve(verb, &call, request, &err) < 0) {
        fprintf(stderr, "<4>klystrr-warden: refused %s: %s: %s\n",
                verb != NULL && verb->name != NULL ? verb->name : "?", err.code, err.text);
        ipc_tell_error(conn, request->head.serial, &err);
    } else if (request->head.verb == WARDEN_UNIT_STOP &&
               ((const struct warden_unit_is *)(const void *)answer)->state == UNIT_STOPPING)
        wait_for_stop(request, waiting);
    else
        ipc_tell(conn, request->head.verb, request->head.serial, answer,
                 verb->answer != 0 ? verb->answer : verb->body);
    ipc_close_fds(request);
}
