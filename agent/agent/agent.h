/* The hub of klystrr-agent: documents and requests in, deployments run, events out. One loop thread owns everything
 * here; a deployment's work runs on libuv's worker threads and touches its own `struct work` alone.
 *
 *   agent.c       start, documents, root's requests, what follows from them
 *   deployment.c  one deployment: events → deploy_step → work → events
 *   live.c        what serves: brought back at start, stopped, started, its output drained
 *   report.c      events and status texts */
#ifndef KLY_AGENT_AGENT_H
#define KLY_AGENT_AGENT_H

#include <uv.h>

#include "agent/agent/accept.h"
#include "agent/agent/config.h"
#include "agent/agent/control.h"
#include "agent/agent/link.h"
#include "agent/agent/spool.h"
#include "agent/agent/work.h"
#include "proto/event.h"

struct agent;
struct deployment;

/* What a deployment is to do, wherever it was asked. */
struct wish {
    char project[32], deployment[24], commit[72], release[40];
    enum order_action action;
    uint64_t sequence;
    uint8_t manifest[32], env[32];
};

#define DRAINS_MAX (JOURNAL_APPS_MAX + 1)

/* What is known of a project besides the journal. */
struct project {
    char name[32]; /* "" unused */
    struct deployment *running;
    bool busy;         /* a job about what serves runs */
    bool waits;        /* next is to run */
    struct wish next;
    uint16_t ports[JOURNAL_APPS_MAX][2];
    int32_t pids[JOURNAL_APPS_MAX], daemon_pid;
    char trouble[600]; /* of what serves, or "" */
    struct drain *drains[DRAINS_MAX];
    /* the last result */
    char last_deployment[24], last_code[40], last_text[600];
    const char *last_outcome;
    int64_t last_at;
};

/* A document that waits for one that was asked for. */
struct held {
    bool used;
    enum document_type type;
    struct buf payload;
    struct envelope_signature signatures[ENVELOPE_SIGNATURES_MAX];
    size_t signature_count;
};

struct agent {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct agent_config config;
    const char *config_path, *policy_path; /* borrowed */
    bool enrolled;
    int journal_dir, documents_dir, seal_dir, spool_dir;
    struct error refused; /* the journal's; code "" if it is sound */
    struct journal *journal; /* NULL while refused */
    struct acceptor acceptor;
    struct policy policy;
    struct spool spool;
    struct link *link;
    struct control *control;
    struct project projects[JOURNAL_PROJECTS_MAX];
    struct held held[JOURNAL_PROJECTS_MAX];
    uint32_t box_level;
    struct link_online online;
};

/* agent.c */
struct agent_files {
    const char *config, *policy, *state; /* agent.json, policy.json, /var/lib/klystrr */
};
int agent_open(struct agent *a, uv_loop_t *loop, const struct agent_files *files, int control, int link, uid_t peer,
               struct error *err) KLY_MUST_USE;
/* Reads policy.json again (and agent.json, while this host is not enrolled). */
void agent_reload(struct agent *a);
struct project *agent_project(struct agent *a, const char *name);
struct journal_project *agent_journal(struct agent *a, const char *name);
/* A project is free again: what waits begins. */
void agent_next(struct agent *a, struct project *p);
/* The worker threads' word that uv_queue_work could not be used. */
void agent_stream(struct agent *a, const struct spool_stream *stream);
void agent_grown(struct agent *a, const struct spool_stream *stream);

/* deployment.c */
void deployment_begin(struct agent *a, struct project *p, const struct wish *wish);
void deployment_resume(struct agent *a, struct project *p, struct journal_project *j);
bool deployment_cancel(struct deployment *d);
bool deployment_is(const struct deployment *d, const char *id);
const char *deployment_id(const struct deployment *d);
const char *deployment_state(const struct deployment *d);
/* Finishes a log that was left open by an agent that died. */
void deployment_mend_log(struct agent *a, const char *deployment);

/* live.c */
/* At start, and when something ended: makes true what the journal says serves; then resumes a deployment if one ran. */
void live_apply(struct agent *a, struct project *p);
/* `klystrr stop`: answers the client when all is stopped. */
void live_stop(struct agent *a, struct project *p, uint64_t client);
/* Output that no scribe reads is read and dropped, so that no app ever waits for a reader. */
void live_drain(struct agent *a, struct project *p);

/* report.c */
void report_state(struct agent *a, const char *project, const char *deployment, const char *state);
int report_result(struct agent *a, const char *project, const char *deployment, enum deploy_outcome outcome,
                  const struct error *why, const char *release, const char *commit, int64_t elapsed_ms,
                  struct error *err) KLY_MUST_USE;
void report_refused(struct agent *a, const char *project, const uint8_t *digest, const struct error *why);
void report_app(struct agent *a, const char *project, const char *app, enum app_state state, const char *release, const char *text);
void report_host(struct agent *a, const struct error *why);
/* Appends the status or the releases, as JSON. */
int report_status(struct agent *a, struct buf *out, struct error *err) KLY_MUST_USE;
int report_releases(struct agent *a, const struct journal_project *p, struct buf *out, struct error *err) KLY_MUST_USE;
/* The status to the uplink. */
void report_publish(struct agent *a);

#endif
