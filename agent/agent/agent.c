/* The hub: what the uplink relays is accepted or refused, what root asks is done, deployments begin when their project is
 * free, and what changes is told to whoever listens.
 *
 * Happy path: agent_open reads the journal, brings back what serves, resumes what ran, then listens. A document is
 * accepted (accept.c) → a manifest or env may wake an order that waited for it → an order becomes a wish → begins, or
 * waits behind the running one (the newest wins, the one before is `superseded`).
 * Failures: a journal that cannot be believed refuses everything but status and `trust reset`; the agent never exits
 * over it. */
#include "agent/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent/secrets.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/encode.h"
#include "ipc/sock.h"
#include "trust/random.h"

#define TICK_MS          5000
#define CHALLENGE_OLD_MS (5 * 60 * 1000)
#define RELEASES_MAX     65536u

struct journal_project *agent_journal(struct agent *a, const char *name)
{
    return a->journal != NULL ? journal_project(journal_state(a->journal), name, false) : NULL;
}

/* Every project of the journal has its place here. */
struct project *agent_project(struct agent *a, const char *name)
{
    struct project *unused = NULL;
    for (int i = 0; i < JOURNAL_PROJECTS_MAX; i++) {
        if (strcmp(a->projects[i].name, name) == 0)
            return &a->projects[i];
        if (unused == NULL && a->projects[i].name[0] == 0)
            unused = &a->projects[i];
    }
    if (unused != NULL && agent_journal(a, name) != NULL)
        snprintf(unused->name, sizeof unused->name, "%s", name);
    else
        unused = NULL;
    return unused;
}

static struct accept_now now(void)
{
    return (struct accept_now){clock_wall_ms(), clock_boot_ms()};
}

/* To the uplink: streams. */
void agent_grown(struct agent *a, const struct spool_stream *stream)
{
    struct link_grown grown = {.id = stream->id, .closed = stream->closed, .end = stream->end};
    if (a->link != NULL && link_connected(a->link) && a->enrolled && !stream->unsure)
        link_send(a->link, LINK_GROWN, &grown, sizeof grown, -1);
}

void agent_stream(struct agent *a, const struct spool_stream *stream)
{
    struct link_stream told = {.id = stream->id, .closed = stream->closed, .base = stream->base, .end = stream->end};
    struct error err;
    if (a->link == NULL || !link_connected(a->link) || !a->enrolled || stream->unsure)
        return;
    snprintf(told.name, sizeof told.name, "%s", stream->name);
    int fd = spool_reader(&a->spool, stream, &err);
    if (fd < 0)
        report_host(a, &err);
    else
        link_send(a->link, LINK_STREAM, &told, sizeof told, fd);
}

static void tell_project(struct agent *a, const struct journal_project *j)
{
    struct link_project told = {.manifest_version = j->manifest_version, .env_version = j->env_version, .sequence = j->sequence};
    snprintf(told.project, sizeof told.project, "%s", j->name);
    memcpy(told.manifest_digest, j->manifest, sizeof told.manifest_digest);
    memcpy(told.env_digest, j->env, sizeof told.env_digest);
    if (link_connected(a->link))
        link_send(a->link, LINK_PROJECT, &told, sizeof told, -1);
}

static const uint8_t *challenge(struct agent *a)
{
    return a->acceptor.challenges[a->acceptor.challenge_at].bytes;
}

static void tell_hello(struct agent *a)
{
    struct link_hello hello = {.box_level = a->box_level};
    if (a->journal != NULL)
        hello.trust_version = journal_state(a->journal)->trust_version;
    snprintf(hello.server, sizeof hello.server, "%s", a->config.server);
    snprintf(hello.version, sizeof hello.version, "%s", KLY_VERSION);
    memcpy(hello.challenge, challenge(a), sizeof hello.challenge);
    memcpy(hello.seal, a->acceptor.seal.point, sizeof hello.seal);
    link_send(a->link, LINK_HELLO, &hello, sizeof hello, -1);
}

static void new_challenge(struct agent *a)
{
    struct error err = {0};
    if (accept_challenge(&a->acceptor, clock_boot_ms(), &err) < 0)
        report_host(a, &err);
}

/* All that there is. A host that is not enrolled has nothing to say; one whose journal is refused says at least that. */
static void tell_all(struct agent *a)
{
    if (clock_boot_ms() - a->acceptor.challenges[a->acceptor.challenge_at].made_ms > CHALLENGE_OLD_MS)
        new_challenge(a);
    tell_hello(a);
    for (uint32_t i = 0; a->journal != NULL && i < journal_state(a->journal)->project_count; i++)
        tell_project(a, &journal_state(a->journal)->projects[i]);
    agent_stream(a, &a->spool.events);
    for (int i = 0; i < SPOOL_LOGS; i++)
        if (a->spool.logs[i].id != 0)
            agent_stream(a, &a->spool.logs[i]);
    report_publish(a);
    if (link_connected(a->link))
        link_send(a->link, LINK_READY, NULL, 0, -1);
}

/* agent.json is written by `klystrr enrol` while we run. True if this host is enrolled. */
static bool read_config(struct agent *a, struct error *err)
{
    if (a->enrolled || config_read(a->config_path, &a->config, err) != 0)
        return a->enrolled;
    memcpy(a->acceptor.server, a->config.server, sizeof a->acceptor.server);
    memcpy(a->acceptor.pin, a->config.trust_pin, sizeof a->acceptor.pin);
    a->enrolled = true;
    return true;
}

static void try_config(struct agent *a)
{
    struct error err = {0};
    bool before = a->enrolled;
    if (read_config(a, &err) && !before && link_connected(a->link))
        tell_all(a);
}

static void on_connected(void *ctx)
{
    struct agent *a = ctx;
    struct error err = {0};
    if (read_config(a, &err))
        tell_all(a);
}

static void on_need_challenge(void *ctx)
{
    struct agent *a = ctx;
    struct link_challenge told;
    if (a->journal == NULL)
        return;
    new_challenge(a);
    memcpy(told.challenge, challenge(a), sizeof told.challenge);
    link_send(a->link, LINK_CHALLENGE, &told, sizeof told, -1);
}

static void on_acked(void *ctx, const struct link_grown *acked)
{
    struct agent *a = ctx;
    uint32_t gone;
    struct spool_stream *anew = spool_acked(&a->spool, acked->id, acked->end, acked->closed != 0, &gone);
    struct link_id id = {.id = gone};
    if (gone != 0)
        link_send(a->link, LINK_STREAM_GONE, &id, sizeof id, -1);
    if (anew != NULL)
        agent_stream(a, anew);
}

static void on_online(void *ctx, const struct link_online *online)
{
    struct agent *a = ctx;
    a->online = *online;
}

/* Wishes. */
static void end_unrun(struct agent *a, const struct wish *wish, enum deploy_outcome outcome, const char *code, const char *text)
{
    struct error why = {0}, err = {0};
    fail(&why, code, "%s", text);
    if (report_result(a, wish->project, wish->deployment, outcome, &why, NULL, wish->commit, 0, &err) < 0)
        report_host(a, &err);
}

void agent_next(struct agent *a, struct project *p)
{
    if (!p->waits || p->busy || p->running != NULL)
        return;
    struct wish wish = p->next;
    p->waits = false;
    deployment_begin(a, p, &wish);
}

static void put_wish(struct agent *a, const struct wish *wish)
{
    struct project *p = agent_project(a, wish->project);
    if (p == NULL)
        return;
    if (p->waits)
        end_unrun(a, &p->next, OUTCOME_SUPERSEDED, "E_SUPERSEDED", "a newer order took its place before it began");
    p->next = *wish;
    p->waits = true;
    agent_next(a, p);
}

static bool cancel(struct agent *a, struct project *p, const char *target)
{
    struct error err = {0};
    if (p->waits && strcmp(p->next.deployment, target) == 0) {
        struct journal_project *j = agent_journal(a, p->name);
        p->waits = false;
        memset(j->pending, 0, sizeof j->pending);
        if (journal_commit(a->journal, &err) < 0)
            report_host(a, &err);
        end_unrun(a, &p->next, OUTCOME_CANCELLED, "E_CANCELLED", "cancelled before it began");
        return true;
    }
    return p->running != NULL && deployment_is(p->running, target) && deployment_cancel(p->running);
}

static void order_to_wish(struct agent *a, const struct order *o, struct wish *wish)
{
    struct journal_project *j = agent_journal(a, o->project);
    *wish = (struct wish){.action = o->action, .sequence = o->sequence};
    snprintf(wish->project, sizeof wish->project, "%s", o->project);
    snprintf(wish->deployment, sizeof wish->deployment, "%s", o->deployment);
    memcpy(wish->manifest, o->manifest, 32);
    if (o->has_env)
        memcpy(wish->env, o->env, 32);
    if (o->action == ORDER_DEPLOY) {
        snprintf(wish->commit, sizeof wish->commit, "%s", o->commit);
        snprintf(wish->release, sizeof wish->release, "%llu-%.12s", (unsigned long long)o->sequence, o->commit);
        return;
    }
    const struct journal_release *kept = journal_release(j, o->release);
    snprintf(wish->release, sizeof wish->release, "%s", o->release);
    snprintf(wish->commit, sizeof wish->commit, "%s", kept != NULL ? kept->commit : "");
}

static void carry_out(struct agent *a, const struct order *o, const uint8_t *digest)
{
    struct wish wish;
    struct error why = {0};
    struct project *p = agent_project(a, o->project);
    struct journal_project *j = agent_journal(a, o->project);
    if (p == NULL || j == NULL)
        return;
    tell_project(a, j);
    if (o->action == ORDER_CANCEL) {
        if (!cancel(a, p, o->target)) {
            fail(&why, "E_TOO_LATE", "deployment %s does not run, or has switched already", o->target);
            report_refused(a, o->project, digest, &why);
        }
        return;
    }
    order_to_wish(a, o, &wish);
    if (j->live.stopped != 0) {
        end_unrun(a, &wish, OUTCOME_REFUSED, "E_STOPPED", "the project was stopped on this host: 'klystrr start' there first");
        return;
    }
    put_wish(a, &wish);
}

/* What a box is here, by making one: the level is told to the plane and shown in the status. */
struct level_job {
    uv_work_t job;
    struct agent *agent;
    struct box_ended ended;
};

static void run_level(uv_work_t *job)
{
    struct level_job *l = job->data;
    const char *const argv[] = {"klystrr-probe", "--who", "--port", "1", NULL};
    struct box_request request = {.start = {.profile = BOX_PROBE, .timeout_s = 10}, .argv = argv, .in = -1, .out = -1,
                                  .err = -1, .extra = {-1, -1}};
    struct error err;
    if (box_run(&request, -1, &l->ended, &err) < 0)
        l->ended.level = 0;
}

static void on_level(uv_work_t *job, int status)
{
    struct level_job *l = job->data;
    struct agent *a = l->agent;
    bool news = status == 0 && l->ended.level > a->box_level;
    if (news)
        a->box_level = l->ended.level;
    free(l);
    if (news && a->link != NULL && link_connected(a->link) && a->enrolled)
        tell_all(a); /* a hello forgets all that was told before it */
}

static void find_level(struct agent *a)
{
    struct level_job *l = calloc(1, sizeof *l);
    if (l == NULL)
        return;
    l->agent = a;
    l->job.data = l;
    if (uv_queue_work(a->loop, &l->job, run_level, on_level) < 0)
        free(l);
}

/* Documents. */
static bool hold(struct agent *a, const struct signed_bytes *document)
{
    static unsigned turn;
    struct held *h = &a->held[turn++ % JOURNAL_PROJECTS_MAX];
    buf_free(&h->payload);
    *h = (struct held){.type = document->type, .payload = BUF(PAYLOAD_MAX), .signature_count = document->signature_count};
    memcpy(h->signatures, document->signatures, document->signature_count * sizeof h->signatures[0]);
    h->used = buf_add(&h->payload, document->payload.data, document->payload.size, NULL) == 0;
    return h->used;
}

static void take(struct agent *a, const struct signed_bytes *document, bool again);

/* Something was stored: orders that waited are tried once more. */
static void try_held(struct agent *a)
{
    for (int i = 0; i < JOURNAL_PROJECTS_MAX; i++) {
        struct held h = a->held[i];
        if (!h.used)
            continue;
        a->held[i] = (struct held){0};
        struct signed_bytes document = {h.type, buf_view(&h.payload), h.signatures, h.signature_count};
        take(a, &document, true);
        buf_free(&h.payload);
    }
}

static void ask_for(struct agent *a, const struct signed_bytes *document, const struct accepted *accepted)
{
    struct link_want want = {.kind = (uint32_t)accepted->want_type};
    memcpy(want.digest, accepted->want, sizeof want.digest);
    if (hold(a, document) && link_connected(a->link))
        link_send(a->link, LINK_WANT, &want, sizeof want, -1);
}

static void take(struct agent *a, const struct signed_bytes *document, bool again)
{
    struct accepted accepted;
    struct error why = {0};
    struct accept_now at = now();
    struct journal_project *j;
    switch (accept_document(&a->acceptor, document, &at, &accepted, &why)) {
    case ACCEPT_REFUSED:
        report_refused(a, accepted.project, accepted.digest, &why);
        return;
    case ACCEPT_KNOWN:
        return;
    case ACCEPT_STORED:
        j = agent_journal(a, accepted.project);
        if (j != NULL)
            tell_project(a, j);
        report_publish(a);
        if (!again)
            try_held(a);
        return;
    case ACCEPT_ORDER:
        carry_out(a, &accepted.order, accepted.digest);
        return;
    case ACCEPT_WANT:
        if (!again) {
            ask_for(a, document, &accepted);
            return;
        }
        hold(a, document);
        return;
    }
}

static void on_document(void *ctx, const struct signed_bytes *document)
{
    struct agent *a = ctx;
    if (a->journal == NULL) {
        report_refused(a, "", NULL, &a->refused);
        return;
    }
    take(a, document, false);
}

/* Root's requests. */
static int local_wish(struct agent *a, const char *project, const char *release, struct wish *wish, struct error *err)
{
    uint8_t id[8];
    char hex[17];
    struct journal_project *j = agent_journal(a, project);
    const struct journal_release *kept = j != NULL ? journal_release(j, release) : NULL;
    if (j == NULL)
        return fail(err, "E_NOT_FOUND", "there is no project '%s' on this host", project);
    if (kept == NULL)
        return fail(err, "E_RELEASE", "release %s of '%s' is not kept on this host", release, project);
    if (random_bytes(id, sizeof id, err) < 0)
        return -1;
    hex_encode(id, sizeof id, hex);
    *wish = (struct wish){.action = ORDER_ACTIVATE};
    snprintf(wish->project, sizeof wish->project, "%s", project);
    snprintf(wish->deployment, sizeof wish->deployment, "dep_%s", hex);
    snprintf(wish->commit, sizeof wish->commit, "%s", kept->commit);
    snprintf(wish->release, sizeof wish->release, "%s", kept->name);
    memcpy(wish->manifest, kept->manifest, 32);
    memcpy(wish->env, j->env, 32); /* values that were changed since are meant for what runs next */
    return 0;
}

/* The newest kept release that is not the live one and was made before it. */
static int release_before(struct agent *a, const char *project, char *out, size_t room, struct error *err)
{
    struct journal_project *j = agent_journal(a, project);
    const char *found = NULL;
    for (uint32_t i = 0; j != NULL && i < j->release_count; i++) {
        if (strcmp(j->releases[i].name, j->live.release) == 0)
            break;
        found = j->releases[i].name;
    }
    if (found == NULL)
        return fail(err, "E_RELEASE", "no release before the live one is kept for '%s'", project);
    snprintf(out, room, "%s", found);
    return 0;
}

static int check_free(struct agent *a, const char *project, struct project **out, struct error *err)
{
    struct project *p = agent_journal(a, project) != NULL ? agent_project(a, project) : NULL;
    if (p == NULL)
        return fail(err, "E_NOT_FOUND", "there is no project '%s' on this host", project);
    if (p->running != NULL || p->busy)
        return fail(err, "E_BUSY", "a deployment of '%s' runs; wait for it, or cancel it", project);
    *out = p;
    return 0;
}

static int begin_local(struct agent *a, struct control_client *client, enum control_verb verb,
                       const struct control_target *target, struct error *err)
{
    char release[40];
    struct wish wish;
    struct project *p;
    struct control_watch accepted = {0};
    if (check_free(a, target->project, &p, err) < 0)
        return -1;
    struct journal_project *j = agent_journal(a, target->project);
    snprintf(release, sizeof release, "%s", verb == CONTROL_ACTIVATE ? target->release : j->live.release);
    if (verb == CONTROL_ROLLBACK && release_before(a, target->project, release, sizeof release, err) < 0)
        return -1;
    if (release[0] == 0)
        return fail(err, "E_RELEASE", "nothing was ever live for '%s'", target->project);
    if (verb != CONTROL_START && j->live.stopped != 0)
        return fail(err, "E_STOPPED", "'%s' is stopped: 'klystrr start' first", target->project);
    if (local_wish(a, target->project, release, &wish, err) < 0)
        return -1;
    snprintf(accepted.deployment, sizeof accepted.deployment, "%s", wish.deployment);
    control_say(client, CONTROL_ACCEPTED, &accepted, sizeof accepted, -1);
    control_follow(client, wish.deployment);
    put_wish(a, &wish);
    return 0;
}

static int stop_project(struct agent *a, struct control_client *client, const char *project, struct error *err)
{
    struct project *p;
    if (check_free(a, project, &p, err) < 0)
        return -1;
    struct journal_project *j = agent_journal(a, project);
    if (j->live.release[0] == 0)
        return fail(err, "E_RELEASE", "nothing was ever live for '%s'", project);
    j->live.stopped = 1;
    if (journal_commit(a->journal, err) < 0)
        return -1;
    live_stop(a, p, control_id(client));
    return 0;
}

static int cancel_local(struct agent *a, struct control_client *client, const char *project, struct error *err)
{
    struct project *p = agent_journal(a, project) != NULL ? agent_project(a, project) : NULL;
    if (p == NULL || (p->running == NULL && !p->waits))
        return fail(err, "E_NOT_FOUND", "no deployment of '%s' runs", project);
    char target[24];
    snprintf(target, sizeof target, "%s", p->running != NULL ? deployment_id(p->running) : p->next.deployment);
    if (!cancel(a, p, target))
        return fail(err, "E_TOO_LATE", "deployment %s is switching already", target);
    control_say(client, CONTROL_DONE, NULL, 0, -1);
    return 0;
}

static int say_text(struct agent *a, struct control_client *client, const struct control_target *target, struct error *err)
{
    AUTO_BUF struct buf json = BUF(IPC_SEALED_MAX);
    if (target == NULL && report_status(a, &json, err) < 0)
        return -1;
    if (target != NULL) {
        struct journal_project *j = agent_journal(a, target->project);
        if (j == NULL)
            return fail(err, "E_NOT_FOUND", "there is no project '%s' on this host", target->project);
        if (report_releases(a, j, &json, err) < 0)
            return -1;
    }
    control_text(client, CONTROL_TEXT, buf_view(&json));
    return 0;
}

static int watch(struct agent *a, struct control_client *client, const char *deployment, struct error *err)
{
    for (int i = 0; i < JOURNAL_PROJECTS_MAX; i++) {
        struct project *p = &a->projects[i];
        bool runs = (p->running != NULL && deployment_is(p->running, deployment)) ||
                    (p->waits && strcmp(p->next.deployment, deployment) == 0);
        if (!runs)
            continue;
        control_follow(client, deployment);
        return 0;
    }
    return fail(err, "E_NOT_FOUND", "deployment %s does not run here", deployment);
}

static int start_journal(struct agent *a, struct error *err);

static int reset_trust(struct agent *a, struct control_client *client, struct error *err)
{
    if (a->journal != NULL)
        return fail(err, "E_STATE_SOUND", "the journal is sound: there is nothing to reset");
    if (journal_reset(a->journal_dir, err) < 0 || start_journal(a, err) < 0)
        return -1;
    control_say(client, CONTROL_DONE, NULL, 0, -1);
    return 0;
}

void agent_reload(struct agent *a)
{
    struct policy fresh;
    policy_read(a->policy_path, &fresh);
    policy_free(&a->policy);
    a->policy = fresh;
    try_config(a);
    report_publish(a);
}

static int reload(struct agent *a, struct control_client *client, struct error *err)
{
    agent_reload(a);
    if (a->policy.tree == NULL)
        return fail(err, a->policy.why.code, "%s", a->policy.why.text);
    control_say(client, CONTROL_DONE, NULL, 0, -1);
    return 0;
}

static int answer_log(struct agent *a, struct control_client *client, const char *deployment, struct error *err)
{
    int fd = spool_log_reader(&a->spool, deployment, err);
    if (fd < 0)
        return -1;
    control_say(client, CONTROL_DONE, NULL, 0, fd);
    return 0;
}

static void on_request(void *ctx, struct control_client *client, enum control_verb verb, const struct control_target *target,
                       const struct control_watch *what)
{
    struct agent *a = ctx;
    struct error err = {0};
    int rc = 0;
    bool always = verb == CONTROL_STATUS || verb == CONTROL_LOG || verb == CONTROL_RELOAD || verb == CONTROL_TRUST_RESET;
    if (a->journal == NULL && !always) {
        control_refuse(client, &a->refused);
        return;
    }
    switch ((int)verb) {
    case CONTROL_STATUS:
        rc = say_text(a, client, NULL, &err);
        break;
    case CONTROL_RELEASES:
        rc = say_text(a, client, target, &err);
        break;
    case CONTROL_ACTIVATE:
    case CONTROL_ROLLBACK:
    case CONTROL_RESTART:
    case CONTROL_START:
        rc = begin_local(a, client, verb, target, &err);
        break;
    case CONTROL_STOP:
        rc = stop_project(a, client, target->project, &err);
        break;
    case CONTROL_CANCEL:
        rc = cancel_local(a, client, target->project, &err);
        break;
    case CONTROL_WATCH:
        rc = watch(a, client, what->deployment, &err);
        break;
    case CONTROL_LOG:
        rc = answer_log(a, client, what->deployment, &err);
        break;
    case CONTROL_RELOAD:
        rc = reload(a, client, &err);
        break;
    case CONTROL_TRUST_RESET:
        rc = reset_trust(a, client, &err);
        break;
    default:
        rc = fail(&err, "E_CONTROL", "unknown request");
    }
    if (rc < 0)
        control_refuse(client, &err);
}

/* What ended by itself is started again; a new challenge is made when nobody asks. */
static void on_tick(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    try_config(a);
    (void)spool_tidy(&a->spool);
    for (int i = 0; i < JOURNAL_PROJECTS_MAX && a->journal != NULL; i++) {
        struct project *p = &a->projects[i];
        struct journal_project *j = p->name[0] != 0 ? agent_journal(a, p->name) : NULL;
        if (j != NULL && p->running == NULL && !p->busy && j->live.release[0] != 0 && j->live.stopped == 0)
            live_apply(a, p);
    }
}

/* What was accepted and had not begun when the agent died will not begin any more. */
static void end_pending(struct agent *a, struct journal_project *j)
{
    struct error err = {0};
    struct wish wish = {0};
    if (j->pending[0] == 0)
        return;
    snprintf(wish.project, sizeof wish.project, "%s", j->name);
    snprintf(wish.deployment, sizeof wish.deployment, "%s", j->pending);
    memset(j->pending, 0, sizeof j->pending);
    if (journal_commit(a->journal, &err) < 0)
        report_host(a, &err);
    end_unrun(a, &wish, OUTCOME_INTERRUPTED, "E_INTERRUPTED", "the agent was restarted before this deployment began; start it again");
}

static void mend_logs(struct agent *a)
{
    for (int i = 0; i < SPOOL_LOGS; i++) {
        const struct spool_stream *log = &a->spool.logs[i];
        bool runs = false;
        for (uint32_t k = 0; k < journal_state(a->journal)->project_count; k++)
            runs = runs || strcmp(journal_state(a->journal)->projects[k].running.deployment, log->name + 4) == 0;
        if (log->id != 0 && !log->closed && !runs)
            deployment_mend_log(a, log->name + 4);
    }
}

static int start_journal(struct agent *a, struct error *err)
{
    a->refused = (struct error){0};
    if (journal_open(a->journal_dir, !documents_any(a->documents_dir), &a->journal, &a->refused) < 0) {
        *err = a->refused;
        return -1;
    }
    a->acceptor.journal = a->journal;
    if (accept_load(&a->acceptor, &a->refused) < 0) {
        *err = a->refused;
        journal_close(a->journal);
        a->journal = NULL;
        return -1;
    }
    new_challenge(a);
    for (uint32_t i = 0; i < journal_state(a->journal)->project_count; i++) {
        struct journal_project *j = &journal_state(a->journal)->projects[i];
        struct project *p = agent_project(a, j->name);
        end_pending(a, j);
        if (p != NULL)
            live_apply(a, p);
    }
    mend_logs(a);
    return 0;
}

static int open_folder(const char *state, const char *name, struct error *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", state, name);
    return durable_dir(path, 0700, err);
}

static int open_folders(struct agent *a, const char *state, struct error *err)
{
    a->journal_dir = open_folder(state, "journal", err);
    a->documents_dir = a->journal_dir < 0 ? -1 : open_folder(state, "trust", err);
    a->seal_dir = a->documents_dir < 0 ? -1 : open_folder(state, "seal", err);
    a->spool_dir = a->seal_dir < 0 ? -1 : open_folder(state, "spool", err);
    return a->spool_dir < 0 ? -1 : 0;
}

static int prepare(struct agent *a, const struct agent_files *files, struct error *err)
{
    struct error why = {0};
    a->config_path = files->config;
    if (!read_config(a, &why) && why.code[0] != 0)
        fprintf(stderr, "klystrr-agent: %s %s\n", why.code, why.text);
    if (open_folders(a, files->state, err) < 0 || secrets_key(a->seal_dir, &a->acceptor.seal, err) < 0 ||
        spool_open(&a->spool, a->spool_dir, err) < 0)
        return -1;
    a->policy_path = files->policy;
    policy_read(files->policy, &a->policy);
    a->acceptor.dirfd = a->documents_dir;
    a->acceptor.policy = &a->policy;
    return 0;
}

int agent_open(struct agent *a, uv_loop_t *loop, const struct agent_files *files, int control, int link, uid_t peer,
               struct error *err)
{
    static const struct link_events link_events = {on_connected, on_document, on_acked, on_need_challenge, on_online};
    static const struct control_events control_events = {on_request};
    struct error why = {0};
    *a = (struct agent){.loop = loop, .box_level = 1};
    if (prepare(a, files, err) < 0 || uv_timer_init(loop, &a->timer) < 0)
        return -1;
    find_level(a);
    if (start_journal(a, &why) < 0)
        fprintf(stderr, "klystrr-agent: %s %s\n", why.code, why.text);
    a->timer.data = a;
    uv_timer_start(&a->timer, on_tick, TICK_MS, TICK_MS);
    if (control_open(loop, control, &control_events, a, &a->control, err) < 0)
        return -1;
    return link_open(loop, link, peer, &link_events, a, &a->link, err);
}
