#include "agent/confine/plan.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/names.h"
#include "ipc/layout.h"
#include "ipc/record.h"

#define LOWEST_UID 100 /* below are the system's own users: no box is ever one of them */

#define MEMORY    NULL, TMP_MEMORY
#define FRESH(in) in, TMP_FRESH
#define KEPT(in)  in, TMP_KEPT
#define LIVE                                                                                                   \
    {                                                                                                          \
        {"%P/releases", NULL}, {"%P/shared", NULL},                                                            \
        {                                                                                                      \
            "%P/run", NULL                                                                                     \
        }                                                                                                      \
    }

/* name, user, program, filter, home, cwd, tmp, what it sees, umask, folders.
 * A build's home lies in memory. What a release may write in is decided by owner and mode: its tree belongs to
 * the build user, its writable paths to the project's group. */
/* clang-format off */
static const struct profile profiles[BOX_PROFILES] = {
    [BOX_FETCH] = {"fetch", "kb-", "klystrr-fetch", "fetch", BOX_HOME_PATH, "%P", MEMORY,
        SEES_SELF | SEES_NET, 022, {{"%P/mirror.git", NULL}, {"%P/staging", NULL}}},
    [BOX_BUILD] = {"build", "kb-", NULL, "build", BOX_HOME_PATH, "%P/releases/%S", FRESH("%P/cache"),
        SEES_SELF | SEES_NET | SEES_NODE | SEES_SUBJECT, 022,
        {{"%P/staging/%S", "%P/releases/%S"}, {"%P/cache", NULL}}},
    [BOX_RELEASE] = {"release", "ka-", NULL, "build", BOX_HOME_PATH, "%P/releases/%S", FRESH("%P/run"),
        SEES_SELF | SEES_NET | SEES_NODE | SEES_SUBJECT, 022, {{"%P/releases/%S", NULL}, {"%P/shared", NULL}}},
    [BOX_ACTIVATE] = {"activate", "ka-", NULL, "build", "%P/run", "%P", KEPT("%P/run"),
        SEES_NET | SEES_NODE | SEES_PM2, 077, LIVE},
    [BOX_APP] = {"app", "ka-", NULL, "app", "%P/run", "%P", KEPT("%P/run"),
        SEES_NET | SEES_NODE | SEES_PM2, 077, LIVE},
    [BOX_PROBE] = {"probe", KLY_USER_PROBE, "klystrr-probe", "probe", BOX_HOME_PATH, BOX_HOME_PATH, MEMORY,
        SEES_SELF | SEES_NET, 077, {{NULL, NULL}}},
    [BOX_NODE] = {"node", KLY_USER_NODE, NULL, "build", BOX_HOME_PATH, KLY_NODE "/.staging-%N", MEMORY,
        SEES_SELF | SEES_NET, 022, {{KLY_NODE "/.staging-%N", NULL}}},
    [BOX_TIDY] = {"tidy", "kb-", "klystrr-fetch", "fetch", BOX_HOME_PATH, "%P", MEMORY,
        SEES_SELF, 022, {{"%P/staging", NULL}}},
    [BOX_TIDY_APP] = {"tidy_app", "ka-", "klystrr-fetch", "fetch", BOX_HOME_PATH, "%P", MEMORY,
        SEES_SELF, 022, {{"%P/staging", NULL}}},
    [BOX_SCRIBE] = {"scribe", KLY_USER_LOG, "klystrr-scribe", "scribe", BOX_HOME_PATH, BOX_HOME_PATH, MEMORY,
        SEES_SELF, 077, {{NULL, NULL}}},
};
/* clang-format on */

bool plan_sees(const struct plan *plan, enum sight what)
{
    return (plan->profile->sees & (unsigned)what) != 0;
}

static bool of_project(const struct profile *profile)
{
    return strlen(profile->user) == 3;
}

/* A subject is one folder name: a release's, or staging's own. */
static bool subject_ok(const char *s)
{
    return name_is_relative_path(s) && strchr(s, '/') == NULL && s[0] != '.';
}

static int check_start(const struct box_start *s, struct error *err)
{
    if (s->profile == 0 || s->profile >= BOX_PROFILES || !IPC_TEXT_OK(s->project) || !IPC_TEXT_OK(s->subject) ||
        !IPC_TEXT_OK(s->node))
        return fail(err, "E_BOX_START", "a box of unknown profile %u, or with names that are no text",
                    s->profile);
    const struct profile *profile = &profiles[s->profile];
    if (of_project(profile) ? !name_is_project(s->project) : s->project[0] != 0)
        return fail(err, "E_BOX_START", "'%s' is no project for profile %s", s->project, profile->name);
    if ((profile->sees & SEES_SUBJECT) != 0 ? !subject_ok(s->subject) : s->subject[0] != 0)
        return fail(err, "E_BOX_START", "'%s' is no subject for profile %s", s->subject, profile->name);
    bool node = (profile->sees & SEES_NODE) != 0 || s->profile == BOX_NODE;
    if (s->node[0] != 0 ? !node || !name_is_node_version(s->node) : s->profile == BOX_NODE)
        return fail(err, "E_BOX_START", "'%s' is no Node version for profile %s", s->node, profile->name);
    if (s->timeout_s < 1 || s->timeout_s > 7200 || s->stop_s > 300 || s->extra_fds > 2)
        return fail(err, "E_BOX_START", "timeout %u (1-7200), grace %u (0-300) or %u extra descriptors (0-2)",
                    s->timeout_s, s->stop_s, s->extra_fds);
    return 0;
}

static int check_policy(struct plan *plan, const struct policy_table *policy, struct error *err)
{
    const struct policy_row *row = policy_row_for(policy, plan->start.project);
    if (row == NULL)
        return fail(err, "E_BOX_POLICY", "the policy knows no project '%s'", plan->start.project);
    /* Paused: nothing new is made. What was released before may run, be started again and be tidied up. */
    uint32_t profile = plan->start.profile;
    bool makes_new = profile == BOX_FETCH || profile == BOX_BUILD || profile == BOX_RELEASE;
    if (row->paused != 0 && makes_new)
        return fail(err, "E_BOX_POLICY", "project '%s' is paused by the policy", plan->start.project);
    uint32_t *memory = &plan->start.memory_mb, *tasks = &plan->start.tasks;
    if (row->memory_mb != 0 && (*memory == 0 || *memory > row->memory_mb))
        *memory = row->memory_mb;
    if (row->tasks != 0 && (*tasks == 0 || *tasks > row->tasks))
        *tasks = row->tasks;
    return 0;
}

/* The files themselves, not NSS: a box's user is one that this machine's root made. */
static int find_user(const char *users, struct plan *plan, struct error *err)
{
    FILE *file = fopen(users, "re");
    struct passwd *entry = NULL;
    while (file != NULL && (entry = fgetpwent(file)) != NULL && strcmp(entry->pw_name, plan->user) != 0)
        continue;
    plan->uid = entry != NULL ? entry->pw_uid : 0;
    plan->gid = plan->group = entry != NULL ? entry->pw_gid : 0;
    if (file != NULL)
        fclose(file);
    if (plan->uid < LOWEST_UID || plan->gid < LOWEST_UID)
        return fail(err, "E_BOX_USER", "there is no user '%s' that a box may have", plan->user);
    return 0;
}

static int find_group(const char *groups, struct plan *plan, struct error *err)
{
    char name[40];
    snprintf(name, sizeof name, "kp-%s", plan->start.project);
    FILE *file = fopen(groups, "re");
    struct group *entry = NULL;
    while (file != NULL && (entry = fgetgrent(file)) != NULL && strcmp(entry->gr_name, name) != 0)
        continue;
    plan->group = entry != NULL ? entry->gr_gid : 0;
    if (file != NULL)
        fclose(file);
    if (plan->group < LOWEST_UID)
        return fail(err, "E_BOX_USER", "there is no group '%s'", name);
    return 0;
}

int plan_make(const struct box_start *start, const struct policy_table *policy, const char *users,
              const char *groups, struct plan *plan, struct error *err)
{
    if (check_start(start, err) < 0)
        return -1;
    *plan = (struct plan){.start = *start, .profile = &profiles[start->profile], .box = getpid()};
    bool project = of_project(plan->profile);
    snprintf(plan->user, sizeof plan->user, "%s%s", plan->profile->user, project ? start->project : "");
    snprintf(plan->root, sizeof plan->root, KLY_SRV "/%s", start->project);
    if (plan_sees(plan, SEES_NODE) && start->node[0] != 0)
        snprintf(plan->node, sizeof plan->node, KLY_NODE "/%s", start->node);
    if (project && check_policy(plan, policy, err) < 0)
        return -1;
    return find_user(users, plan, err) < 0 || (project && find_group(groups, plan, err) < 0) ? -1 : 0;
}

void plan_path(const struct plan *plan, const char *template, char out[PLAN_PATH])
{
    size_t used = 0;
    for (const char *at = template; *at != 0 && used < PLAN_PATH - 1; at++) {
        const char *text = NULL;
        if (*at == '%')
            text = *++at == 'P' ? plan->root : *at == 'S' ? plan->start.subject : plan->start.node;
        used += (size_t)snprintf(out + used, PLAN_PATH - used, text != NULL ? "%s" : "%.1s",
                                 text != NULL ? text : at);
    }
}
