/* klystrr-fetch: everything that touches a repository or a tree that came from one, run inside a box as the build
 * user. What it says, and with which codes: result.h. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fetch/checkout.h"
#include "agent/fetch/entry.h"
#include "agent/fetch/finish.h"
#include "agent/fetch/limits.h"
#include "agent/fetch/mirror.h"
#include "agent/fetch/result.h"
#include "agent/fetch/tree.h"
#include "base/names.h"

struct options {
    const char *mirror, *staging, *ref, *commit, *since, *dir;
    struct session_options session;
    struct finish_plan plan;
    char ca_path[40];
    uint64_t max_mb;
    bool best_effort, group_given;
};

enum option_key {
    KEY_MIRROR = 256, KEY_STAGING, KEY_URL, KEY_REF, KEY_COMMIT, KEY_SINCE, KEY_CA, KEY_CA_FD, KEY_KNOWN_HOSTS_FD,
    KEY_CREDENTIAL_FD, KEY_USER, KEY_MAX_MB, KEY_STALL, KEY_DEADLINE, KEY_SHARED, KEY_WRITABLE, KEY_GROUP,
    KEY_KNOWN_AS, KEY_DIR, KEY_BEST_EFFORT
};

static const struct option known_options[] = {
    {"mirror", required_argument, NULL, KEY_MIRROR},
    {"staging", required_argument, NULL, KEY_STAGING},
    {"url", required_argument, NULL, KEY_URL},
    {"ref", required_argument, NULL, KEY_REF},
    {"commit", required_argument, NULL, KEY_COMMIT},
    {"since", required_argument, NULL, KEY_SINCE},
    {"ca", required_argument, NULL, KEY_CA},
    {"ca-fd", required_argument, NULL, KEY_CA_FD},
    {"known-hosts-fd", required_argument, NULL, KEY_KNOWN_HOSTS_FD},
    {"credential-fd", required_argument, NULL, KEY_CREDENTIAL_FD},
    {"user", required_argument, NULL, KEY_USER},
    {"max-mb", required_argument, NULL, KEY_MAX_MB},
    {"stall", required_argument, NULL, KEY_STALL},
    {"deadline", required_argument, NULL, KEY_DEADLINE},
    {"shared", required_argument, NULL, KEY_SHARED},
    {"writable", required_argument, NULL, KEY_WRITABLE},
    {"group", required_argument, NULL, KEY_GROUP},
    {"known-as", required_argument, NULL, KEY_KNOWN_AS},
    {"dir", required_argument, NULL, KEY_DIR},
    {"best-effort", no_argument, NULL, KEY_BEST_EFFORT},
    {NULL, 0, NULL, 0},
};

static int usage(struct error *err, const char *what, const char *value)
{
    return fail(err, "E_USAGE", "%s%s%s; verbs are fetch, finish, remove, resolve (see klystrr-fetch(8))", what,
                value != NULL ? ": " : "", value != NULL ? value : "");
}

static int number(const char *text, unsigned long most, unsigned long *out, struct error *err)
{
    char *end;
    size_t digits = strspn(text, "0123456789");
    unsigned long value = strtoul(text, &end, 10);
    if (digits == 0 || digits > 10 || *end != '\0' || value > most)
        return usage(err, "not a number in range", text);
    *out = value;
    return 0;
}

/* PATH=TARGET, cut in place. */
static int add_shared(struct finish_plan *plan, char *text, struct error *err)
{
    char *target = strchr(text, '=');
    if (target == NULL || target[1] != '/' || plan->shared_count == FINISH_PATHS_MAX)
        return usage(err, "--shared takes PATH=/TARGET, 32 at most", text);
    *target = '\0';
    if (!name_is_relative_path(text) || strcmp(text, ".") == 0)
        return usage(err, "--shared needs a relative path", text);
    plan->shared[plan->shared_count++] = (struct finish_shared){text, target + 1};
    return 0;
}

static int add_writable(struct finish_plan *plan, const char *text, struct error *err)
{
    if (plan->writable_count == FINISH_PATHS_MAX || !name_is_relative_path(text) || strcmp(text, ".") == 0)
        return usage(err, "--writable takes a relative path, 32 at most", text);
    plan->writable[plan->writable_count++] = text;
    return 0;
}

static int take_number(struct options *o, int key, const char *text, struct error *err)
{
    unsigned long value = 0, most = key == KEY_MAX_MB ? 1048576 : key == KEY_GROUP ? 0xfffffffe : 86400;
    if (number(text, most, &value, err) < 0)
        return -1;
    if (key == KEY_MAX_MB)
        o->max_mb = value;
    else if (key == KEY_STALL)
        o->session.stall_s = (unsigned)value;
    else if (key == KEY_DEADLINE)
        o->session.deadline_s = (unsigned)value;
    else if (key == KEY_KNOWN_HOSTS_FD)
        o->session.known_hosts_fd = (int)value;
    else if (key == KEY_CREDENTIAL_FD)
        o->session.credential_fd = (int)value;
    else if (key == KEY_GROUP)
        o->plan.group = (gid_t)value, o->group_given = true;
    else
        snprintf(o->ca_path, sizeof o->ca_path, "/proc/self/fd/%lu", value), o->session.ca = o->ca_path;
    return 0;
}

static const char **text_option(struct options *o, int key)
{
    switch (key) {
    case KEY_MIRROR:
        return &o->mirror;
    case KEY_STAGING:
        return &o->staging;
    case KEY_URL:
        return &o->session.url;
    case KEY_REF:
        return &o->ref;
    case KEY_COMMIT:
        return &o->commit;
    case KEY_SINCE:
        return &o->since;
    case KEY_CA:
        return &o->session.ca;
    case KEY_USER:
        return &o->session.https_user;
    case KEY_KNOWN_AS:
        return &o->plan.known_as;
    case KEY_DIR:
        return &o->dir;
    default:
        return NULL;
    }
}

static int take_options(struct options *o, int argc, char **argv, struct error *err)
{
    int key;
    opterr = 0;
    while ((key = getopt_long(argc, argv, "", known_options, NULL)) != -1) {
        const char **text = text_option(o, key);
        int failed = 0;
        if (key == '?')
            return usage(err, "unknown option, or one without its value", argv[optind - 1]);
        if (text != NULL)
            *text = optarg;
        else if (key == KEY_SHARED)
            failed = add_shared(&o->plan, optarg, err);
        else if (key == KEY_WRITABLE)
            failed = add_writable(&o->plan, optarg, err);
        else if (key == KEY_BEST_EFFORT)
            o->best_effort = true;
        else
            failed = take_number(o, key, optarg, err);
        if (failed)
            return -1;
    }
    return optind == argc ? 0 : usage(err, "too many arguments", argv[optind]);
}

static int check_source(const struct options *o, struct error *err)
{
    if (o->session.url == NULL || o->ref == NULL || !name_is_ref(o->ref))
        return usage(err, "--url and --ref refs/heads/… or refs/tags/… are needed", NULL);
    return 0;
}

static void show_commit(const git_commit *commit, const struct checkout_result *done)
{
    char id[GIT_OID_HEXSZ + 1], author[200], subject[600];
    const git_signature *by = git_commit_author(commit);
    const char *summary = git_commit_summary((git_commit *)(uintptr_t)commit), *name = by != NULL ? by->name : "";
    summary = summary != NULL ? summary : "";
    entry_show(name, strlen(name), author, sizeof author);
    entry_show(summary, strlen(summary), subject, sizeof subject);
    git_oid_tostr(id, sizeof id, git_commit_id(commit));
    printf("commit %s %s\t%s\n", id, author, subject);
    printf("files %llu bytes %llu\n", (unsigned long long)done->files, (unsigned long long)done->bytes);
}

static int do_fetch(struct options *o, struct error *err)
{
    if (check_source(o, err) < 0)
        return -1;
    if (o->mirror == NULL || o->staging == NULL || o->commit == NULL || !name_is_commit(o->commit) ||
        (o->since != NULL && !name_is_commit(o->since)))
        return usage(err, "--mirror, --staging and --commit (40 hex digits) are needed", NULL);
    struct mirror_wish wish = {o->mirror, o->ref, o->commit, o->since};
    struct checkout_limits limits = {o->max_mb << 20, LIMIT_ENTRIES};
    struct checkout_result done;
    struct session s;
    git_repository *repo = NULL;
    git_commit *commit = NULL;
    int failed = session_open(&s, &o->session, err);
    if (failed == 0)
        failed = mirror_update(&s, &wish, &repo, &commit, err);
    if (failed == 0)
        failed = checkout_write(repo, commit, o->staging, &limits, &done, err);
    if (failed == 0)
        show_commit(commit, &done);
    git_commit_free(commit);
    session_disconnect(&s);
    git_repository_free(repo);
    session_close(&s);
    return failed;
}

static int do_resolve(struct options *o, struct error *err)
{
    char id[GIT_OID_HEXSZ + 1];
    struct session s;
    git_oid tip;
    if (check_source(o, err) < 0)
        return -1;
    int failed = session_open(&s, &o->session, err);
    if (failed == 0)
        failed = session_connect(&s, NULL, o->ref, &tip, err);
    if (failed == 0)
        printf("tip %s\n", git_oid_tostr(id, sizeof id, &tip));
    session_close(&s);
    return failed;
}

static int do_finish(struct options *o, struct error *err)
{
    struct finish_result done;
    if (o->staging == NULL || (o->plan.writable_count > 0 && !o->group_given))
        return usage(err, "--staging is needed, and --group with --writable", NULL);
    o->plan.staging = o->staging;
    o->plan.entries = LIMIT_ENTRIES;
    o->plan.bytes = o->max_mb << 20;
    if (finish_run(&o->plan, &done, err) < 0)
        return -1;
    printf("files %llu bytes %llu\n", (unsigned long long)done.files, (unsigned long long)done.bytes);
    return 0;
}

static int do_remove(struct options *o, struct error *err)
{
    uint64_t removed, left;
    if (o->dir == NULL)
        return usage(err, "--dir is needed", NULL);
    if (access(o->dir, F_OK) < 0) {
        printf("removed 0 left 0\n");
        return 0;
    }
    int root = o->best_effort ? tree_open_any(o->dir, err) : tree_open(o->dir, err);
    if (root < 0)
        return -1;
    int failed = tree_clear(root, &removed, &left, err);
    close(root);
    if (failed < 0)
        return -1;
    if (left == 0 && rmdir(o->dir) == 0)
        removed++;
    printf("removed %llu left %llu\n", (unsigned long long)removed, (unsigned long long)left);
    if (left > 0 && !o->best_effort)
        return fail(err, "E_DISK", "%llu files or folders in %s cannot be removed", (unsigned long long)left, o->dir);
    return 0;
}

static const struct verb {
    const char *name;
    int (*run)(struct options *o, struct error *err);
} verbs[] = {{"fetch", do_fetch}, {"finish", do_finish}, {"remove", do_remove}, {"resolve", do_resolve}};

static int run(int argc, char **argv, struct error *err)
{
    struct options o = {.max_mb = LIMIT_MB_DEFAULT,
                        .session = {.credential_fd = -1, .known_hosts_fd = -1, .https_user = "x-access-token",
                                    .stall_s = LIMIT_STALL_S, .deadline_s = LIMIT_DEADLINE_S}};
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        if (take_options(&o, argc - 1, argv + 1, err) < 0)
            return -1;
        o.session.bytes_max = o.max_mb << 20;
        return verbs[i].run(&o, err);
    }
    return usage(err, argc > 1 ? "unknown verb" : "no verb", argc > 1 ? argv[1] : NULL);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct rlimit none = {0, 0};
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (run(argc, argv, &err) == 0)
        return FETCH_EXIT_OK;
    fflush(stdout);
    fprintf(stderr, "klystrr-fetch: %s %s\n", err.code, err.text);
    return strcmp(err.code, "E_USAGE") == 0 ? FETCH_EXIT_USAGE : FETCH_EXIT_FAILED;
}
