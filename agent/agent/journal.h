/* What the agent must never forget: versions, digests and sequences it has accepted, what is live, what is running.
 *
 * Two preallocated slots with generation and CRC, written in turn, and a third small file that says which generation
 * was reached, so that a slot that went bad is not silently replaced by an older one. A change is durable (fdatasync)
 * when journal_commit returns 0, and is committed before what it tells is begun. Lost, corrupt or older state is
 * refused (E_STATE_LOST, E_STATE_CORRUPT, E_STATE_OLD) until local root says `klystrr trust reset`. */
#ifndef KLY_AGENT_JOURNAL_H
#define KLY_AGENT_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define JOURNAL_PROJECTS_MAX 16
#define JOURNAL_RELEASES_MAX 56 /* `retain` is 50 at most; a few more while old ones go */
#define JOURNAL_APPS_MAX     8

/* A release that lies complete in releases/. */
struct journal_release {
    char name[40]; /* "" in an empty one */
    char deployment[24];
    char commit[72];
    uint8_t manifest[32], env[32]; /* digests; env: all zero if it has none */
    int64_t made_ms;               /* wall clock */
};
struct journal_app {
    char name[24];
    uint32_t slot; /* 0 blue, 1 green */
    uint32_t pm2;  /* else systemd */
    uint32_t web;  /* has a vhost */
    uint32_t pad;
};
/* What serves. release "": nothing yet. */
struct journal_live {
    char release[40];
    char deployment[24];
    uint8_t manifest[32], env[32];
    uint32_t app_count;
    uint32_t stopped; /* by local root; stays so over a reboot */
    struct journal_app apps[JOURNAL_APPS_MAX];
};
/* The deployment that runs, so that a crash is one more event. stage STAGE_NONE: none. */
struct journal_running {
    uint32_t stage;   /* enum deploy_stage */
    uint32_t action;  /* enum order_action */
    uint32_t outcome; /* STAGE_REPORT: enum deploy_end */
    uint32_t app_count;
    char deployment[24];
    char commit[72];
    char release[40];
    uint8_t manifest[32], env[32];
    struct journal_app apps[JOURNAL_APPS_MAX]; /* where the candidates run */
    struct journal_live old;                   /* what served before */
    uint64_t events_end;                       /* STAGE_REPORT: the result is not written yet if events still end here */
    int64_t began_ms;                          /* wall clock */
    char code[40];                             /* STAGE_REPORT */
    char text[600];
};
struct journal_project {
    char name[32];
    uint64_t manifest_version, env_version, sequence;
    uint8_t manifest[32], env[32]; /* digests of the highest versions; env also after a restart */
    struct journal_live live;
    struct journal_running running;
    char pending[24]; /* an accepted deployment that waits for the running one, or "" */
    uint32_t release_count;
    uint32_t pad;
    struct journal_release releases[JOURNAL_RELEASES_MAX]; /* oldest first */
};
struct journal_state {
    uint64_t trust_version;
    uint8_t trust[32];
    int64_t floor_ms; /* highest `issued` of an accepted trust or manifest */
    uint32_t project_count;
    uint32_t pad;
    struct journal_project projects[JOURNAL_PROJECTS_MAX];
};

struct journal;

/* Opens the journal in dirfd (borrowed). Without files it begins a new one if fresh is true, else E_STATE_LOST.
 * On E_STATE_* nothing was changed. Owned by the caller: journal_close. */
int journal_open(int dirfd, bool fresh, struct journal **out, struct error *err) KLY_MUST_USE;
/* `klystrr trust reset`: begins anew from the best slot that is left, or from nothing. */
int journal_reset(int dirfd, struct error *err) KLY_MUST_USE;
void journal_close(struct journal *journal);

/* To be read, and to be changed right before journal_commit. */
struct journal_state *journal_state(struct journal *journal);
/* Makes what journal_state shows durable. On failure (E_JOURNAL) it shows again what is durable. */
int journal_commit(struct journal *journal, struct error *err) KLY_MUST_USE;
/* Takes back what was changed since the last commit. */
void journal_undo(struct journal *journal);

/* NULL if it is not there; add: makes it, NULL only if there are too many. */
struct journal_project *journal_project(struct journal_state *state, const char *name, bool add);
struct journal_release *journal_release(struct journal_project *project, const char *name);
/* Adds at the end; false if there is no room. */
bool journal_add_release(struct journal_project *project, const struct journal_release *release);
void journal_drop_release(struct journal_project *project, const char *name);
/* Is this manifest (env) still needed: the newest, a kept release's, the live or the running one's? */
bool journal_refers(const struct journal_project *project, const uint8_t *digest);
const struct journal_app *journal_live_app(const struct journal_live *live, const char *name);

#endif
