/* From a BOX_START to a plan: who runs, what exists in there. Everything is checked here, before anything is
 * made. */
#ifndef KLY_CONFINE_PLAN_H
#define KLY_CONFINE_PLAN_H

#include <stdbool.h>
#include <sys/types.h>

#include "ipc/box_api.h"
#include "ipc/policy_table.h"

#define PLAN_FOLDERS 4
#define PLAN_PATH    256

/* A small tmpfs; a folder on disk, one a box; one that stays. */
enum tmp_kind { TMP_MEMORY, TMP_FRESH, TMP_KEPT };

/* What a box sees of the machine. SELF: no process but its own (a PID namespace). SUBJECT: it needs one. */
enum sight { SEES_SELF = 1, SEES_NET = 2, SEES_NODE = 4, SEES_PM2 = 8, SEES_SUBJECT = 16 };

/* A profile's fixed half. Paths: %P the project's folder, %S the subject, %N the Node version. */
struct profile {
    const char *name;
    const char *user;    /* "kb-", "ka-": the project's; else a whole name */
    const char *program; /* a helper of KLY_LIBEXEC that replaces argv[0]; NULL: a customer's command */
    const char *filter;  /* KLY_LIBEXEC/seccomp/<filter>.bpf */
    const char *home;
    const char *cwd;
    const char *tmp; /* for TMP_FRESH and TMP_KEPT: the parent of a folder `tmp` */
    enum tmp_kind tmp_kind;
    unsigned sees; /* enum sight, or'ed */
    mode_t umask;
    struct folder {
        const char *from, *to; /* to NULL: shown at the same path */
    } folders[PLAN_FOLDERS];
};

struct plan {
    struct box_start start;
    const struct profile *profile;
    int box; /* this box's number: confine's own process on the host, which outlives all that is in there */
    uid_t uid;
    gid_t gid, group; /* group: kp-<project>, or gid again */
    char user[40];
    char root[PLAN_PATH]; /* the project's folder */
    char node[PLAN_PATH]; /* "" for the system's Node */
};

/* Fills *plan. Refuses E_BOX_START (malformed), E_BOX_POLICY (not in the policy table, paused), E_BOX_USER (no
 * such user, or one that no box may have). users and groups are passwd(5) and group(5) files. */
int plan_make(const struct box_start *start, const struct policy_table *policy, const char *users,
              const char *groups, struct plan *plan, struct error *err) KLY_MUST_USE;
bool plan_sees(const struct plan *plan, enum sight what);
/* Writes a template's path. Plans are checked, so it cannot fail. */
void plan_path(const struct plan *plan, const char *template, char out[PLAN_PATH]);

#endif
