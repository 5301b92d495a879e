/* The work of one deployment: every action of deploy.h as a blocking function, run by the hub on a worker thread, one at
 * a time. A function changes the world and this struct, nothing else of the agent; what it could not do is its error. */
#ifndef KLY_AGENT_WORK_H
#define KLY_AGENT_WORK_H

#include "agent/agent/box.h"
#include "agent/agent/deploy.h"
#include "agent/agent/env_list.h"
#include "agent/agent/journal.h"
#include "agent/agent/scribe_client.h"
#include "ipc/warden_api.h"
#include "proto/manifest.h"

#define WORK_TRASH_MAX 8

struct work {
    char project[32], deployment[24], release[40], commit[72];
    bool activate;
    const struct manifest *manifest;     /* borrowed */
    const struct manifest *old_manifest; /* borrowed; NULL if nothing serves */
    const struct env_values *values;     /* borrowed; empty while resuming */
    struct journal_live old;             /* what serves; release "" if nothing */
    struct journal_app apps[JOURNAL_APPS_MAX]; /* candidates, in the manifest's order, slots chosen */
    struct scribe scribe;
    int cancel;                          /* eventfd: readable ends what runs */
    char trash[WORK_TRASH_MAX][40];      /* releases that go, for work_retain */
    unsigned trash_count;
    /* found on the way */
    struct warden_project_is is;
    int watches[JOURNAL_APPS_MAX]; /* boxes that relay a candidate's first output; -1 */
    int stays[JOURNAL_APPS_MAX];   /* their standard input, which ends the relay when closed; -1 */
    int32_t pids[JOURNAL_APPS_MAX];
    char generations[JOURNAL_APPS_MAX][24]; /* of vhosts; "" unknown */
    int32_t daemon_pid; /* of the pm2 daemon in which the live apps were last seen; 0: look again */
    bool committed;
    uint32_t box_level;
};

void work_init(struct work *w);
void work_close_watches(struct work *w);

/* work_build.c: up to a complete release. */
int work_prepare(struct work *w, int spool, uint64_t from, int resume, uint64_t *synced, struct error *err) KLY_MUST_USE;
int work_node(struct work *w, struct error *err) KLY_MUST_USE;
int work_fetch(struct work *w, struct error *err) KLY_MUST_USE;
int work_phase(struct work *w, enum phase phase, struct error *err) KLY_MUST_USE;
int work_commit(struct work *w, struct error *err) KLY_MUST_USE;
int work_clean(struct work *w, struct error *err) KLY_MUST_USE;  /* a release that never lived */
int work_retain(struct work *w, struct error *err) KLY_MUST_USE; /* drops trash[] */

/* activate.c: from a complete release to a served one, and back. app: index into apps. */
int work_start(struct work *w, unsigned app, struct error *err) KLY_MUST_USE;
int work_probe(struct work *w, unsigned app, struct error *err) KLY_MUST_USE;
int work_vhosts(struct work *w, struct error *err) KLY_MUST_USE;
int work_switch(struct work *w, unsigned app, struct error *err) KLY_MUST_USE;
int work_confirm(struct work *w, unsigned app, struct error *err) KLY_MUST_USE;
int work_drain(struct work *w, struct error *err) KLY_MUST_USE;
int work_stop_old(struct work *w, struct error *err) KLY_MUST_USE;
int work_current(struct work *w, struct error *err) KLY_MUST_USE;
int work_flip_back(struct work *w, struct error *err) KLY_MUST_USE;
int work_confirm_back(struct work *w, struct error *err) KLY_MUST_USE;
int work_stop_new(struct work *w, struct error *err) KLY_MUST_USE;

/* process.c: an app's process, whichever manager keeps it. */
struct process_state {
    bool running;
    int32_t pid;
    uint32_t restarts;
    char status[32];
};
/* Starts manifest app `app` of release in slot. relay: output goes to the scribe while the start is watched. */
int process_start(struct work *w, unsigned app, const char *release, uint32_t slot, bool relay, struct error *err) KLY_MUST_USE;
int process_state(struct work *w, const struct journal_app *app, const char *release, struct process_state *out,
                  struct error *err) KLY_MUST_USE;
int process_stop(struct work *w, const struct journal_app *app, const char *release, uint32_t stop_s, struct error *err) KLY_MUST_USE;
/* Stops everything of what serves (`klystrr stop`), or brings it back as it was (after a reboot). */
int process_stop_live(struct work *w, struct error *err) KLY_MUST_USE;
int process_apply_live(struct work *w, unsigned *started, struct error *err) KLY_MUST_USE;

/* ask.c: klystrr-probe, in its box. */
struct ask {
    uint16_t port;
    const char *host, *path; /* Host header */
    int status;
    const char *header, *value; /* must be in the answer; NULL: none */
    uint32_t timeout_s;         /* it asks until then */
};
int ask_until(struct work *w, const struct ask *ask, struct error *err) KLY_MUST_USE;
/* Who listens at port must be uid. E_PORT_FOREIGN, E_PORT_ELSEWHERE ("listens on 3000, was given 20017"), E_PORT_NOBODY. */
int ask_who(struct work *w, uint16_t port, uint32_t uid, struct error *err) KLY_MUST_USE;

/* run.c: a box whose output goes to the scribe, or to us. */
int run_to_log(struct work *w, struct box_request *r, const char *phase, struct box_ended *ended, struct error *err) KLY_MUST_USE;
/* A program of our own: out and err come into the taps and go to the log too when phase is not NULL. */
int run_tapped(struct work *w, struct box_request *r, const char *phase, struct box_tap *out, struct box_tap *tail,
               struct box_ended *ended, struct error *err) KLY_MUST_USE;
/* A name of the project's in a request. */
void run_request(const struct work *w, struct box_request *r, enum box_profile profile, uint32_t timeout_s);

#endif
