/* Deployments, what hosts said about them, and the releases that came of them. */
#include "plane/store/store.h"

#include <string.h>

#include "base/names.h"

#define COLUMNS                                                                                                \
    "id, project, server, action, commit_id, release, target, manifest, state, outcome, code, text, serving, " \
    "trigger_by,"                                                                                              \
    " order_digest, sequence, attempts, created, started, finished, elapsed_ms"

static void deployment_read(sqlite3_stmt *q, struct store_deployment *d)
{
    memset(d, 0, sizeof *d);
    DB_TEXT(q, 0, d->id);
    DB_TEXT(q, 1, d->project);
    DB_TEXT(q, 2, d->server);
    DB_TEXT(q, 3, d->action);
    DB_TEXT(q, 4, d->commit);
    DB_TEXT(q, 5, d->release);
    DB_TEXT(q, 6, d->target);
    DB_TEXT(q, 7, d->manifest);
    DB_TEXT(q, 8, d->state);
    DB_TEXT(q, 9, d->outcome);
    DB_TEXT(q, 10, d->code);
    DB_TEXT(q, 11, d->text);
    DB_TEXT(q, 12, d->serving);
    DB_TEXT(q, 13, d->trigger);
    DB_TEXT(q, 14, d->order_digest);
    d->sequence = db_int(q, 15);
    d->attempts = db_int(q, 16);
    d->created = db_int(q, 17);
    d->started = db_int(q, 18);
    d->finished = db_int(q, 19);
    d->elapsed_ms = db_int(q, 20);
}

static int deployment_one(struct store *s, sqlite3_stmt *q, struct store_deployment *out, struct error *err)
{
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    deployment_read(q, out);
    return 0;
}

static int deployment_all(struct store *s, sqlite3_stmt *q, store_deployment_each *each, void *ctx,
                          struct error *err)
{
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        struct store_deployment d;
        deployment_read(q, &d);
        rc = each(ctx, &d) < 0 ? -1 : 1;
    }
    return rc;
}

int store_deployment_add(struct store *s, const struct store_deployment *d, struct error *err)
{
    return db_run(
        &s->db, err, "INSERT INTO deployments(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        "tttttttttttttttiiiiii", d->id, d->project, d->server, d->action, d->commit, d->release, d->target,
        d->manifest, d->state, d->outcome, d->code, d->text, d->serving, d->trigger, d->order_digest,
        d->sequence, d->attempts, d->created, d->started, d->finished, d->elapsed_ms);
}

int store_deployment_save(struct store *s, const struct store_deployment *d, struct error *err)
{
    return db_run(&s->db, err,
                  "UPDATE deployments SET commit_id = ?, release = ?, target = ?, manifest = ?, state = ?, "
                  "outcome = ?, code = ?,"
                  " text = ?, serving = ?, order_digest = ?, sequence = ?, attempts = ?, started = ?, finished "
                  "= ?, elapsed_ms = ?"
                  " WHERE id = ?",
                  "ttttttttttiiiiit", d->commit, d->release, d->target, d->manifest, d->state, d->outcome,
                  d->code, d->text, d->serving, d->order_digest, d->sequence, d->attempts, d->started,
                  d->finished, d->elapsed_ms, d->id);
}

int store_deployment(struct store *s, const char *id, struct store_deployment *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err, "SELECT " COLUMNS " FROM deployments WHERE id = ?", "t", id);
    return deployment_one(s, q, out, err);
}

int store_deployment_by_order(struct store *s, const char *server, const char *order_digest,
                              struct store_deployment *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err,
        "SELECT " COLUMNS " FROM deployments WHERE server = ? AND order_digest = ? AND order_digest <> ''",
        "tt", server, order_digest);
    return deployment_one(s, q, out, err);
}

int store_deployment_newest(struct store *s, const char *project, const char *server,
                            struct store_deployment *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT " COLUMNS " FROM deployments WHERE project = ? AND server = ? AND action = 'deploy'"
                 " ORDER BY number DESC LIMIT 1",
                 "tt", project, server);
    return deployment_one(s, q, out, err);
}

int store_deployments(struct store *s, const char *project, int64_t limit, store_deployment_each *each,
                      void *ctx, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT " COLUMNS " FROM deployments WHERE project = ? AND action <> 'cancel'"
                 " ORDER BY number DESC LIMIT ?",
                 "ti", project, limit);
    return deployment_all(s, q, each, ctx, err);
}

int store_deployments_open(struct store *s, const char *server, store_deployment_each *each, void *ctx,
                           struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "SELECT " COLUMNS " FROM deployments WHERE server = ? AND state <> 'done' ORDER BY number",
        "t", server);
    return deployment_all(s, q, each, ctx, err);
}

int store_sequence(struct store *s, const char *server, const char *project, int64_t *sequence,
                   struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "SELECT sequence FROM sequences WHERE server = ? AND project = ?", "tt", server, project);
    int rc = q == NULL ? -1 : db_step(&s->db, q, err);
    *sequence = rc > 0 ? db_int(q, 0) : 0;
    return rc < 0 ? -1 : 0;
}

int store_sequence_raise(struct store *s, const char *server, const char *project, int64_t sequence,
                         struct error *err)
{
    return db_run(
        &s->db, err,
        "INSERT INTO sequences(server, project, sequence) VALUES(?, ?, ?) ON CONFLICT(server, project)"
        " DO UPDATE SET sequence = max(sequence, excluded.sequence)",
        "tti", server, project, sequence);
}

int store_event_add(struct store *s, const char *deployment, const char *event, const char *json, bool *added,
                    struct error *err)
{
    if (db_run(&s->db, err, "INSERT OR IGNORE INTO events(deployment, event, json) VALUES(?, ?, ?)", "ttt",
               deployment, event, json) < 0)
        return -1;
    *added = db_changes(&s->db) > 0;
    return 0;
}

int store_events(struct store *s, const char *deployment, int64_t after, int64_t limit,
                 int (*each)(void *ctx, int64_t id, const char *event, const char *json), void *ctx,
                 struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "SELECT id, event, json FROM events WHERE deployment = ? AND id > ? ORDER BY id LIMIT ?",
        "tii", deployment, after, limit);
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0)
        rc = each(ctx, db_int(q, 0), (const char *)sqlite3_column_text(q, 1),
                  (const char *)sqlite3_column_text(q, 2)) < 0
                 ? -1
                 : 1;
    return rc;
}

int store_host_event_add(struct store *s, const char *server, const char *json, int64_t now, struct error *err)
{
    if (db_run(&s->db, err, "INSERT INTO host_events(server, json, created) VALUES(?, ?, ?)", "tti", server,
               json, now) < 0)
        return -1;
    return db_run(&s->db, err,
                  "DELETE FROM host_events WHERE server = ?1 AND id <="
                  " (SELECT id FROM host_events WHERE server = ?1 ORDER BY id DESC LIMIT 1 OFFSET 500)",
                  "t", server);
}

static int release_live(struct store *s, const char *project, const struct store_release *r, int64_t retain,
                        struct error *err)
{
    if (db_run(&s->db, err, "UPDATE releases SET live = 0 WHERE project = ? AND server = ? AND release <> ?",
               "ttt", project, r->server, r->release) < 0 ||
        db_run(&s->db, err,
               "INSERT INTO releases(project, server, release, sequence, commit_id, live, deployed, since)"
               " VALUES(?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT(project, server, release) DO UPDATE SET"
               " since = CASE WHEN live = 1 THEN since ELSE excluded.since END, live = 1",
               "tttitii", project, r->server, r->release, (int64_t)name_release_sequence(r->release), r->commit,
               r->deployed, r->since) < 0)
        return -1;
    return db_run(&s->db, err,
                  "DELETE FROM releases WHERE project = ?1 AND server = ?2 AND live = 0 AND release NOT IN "
                  "(SELECT release FROM"
                  " releases WHERE project = ?1 AND server = ?2 AND live = 0 ORDER BY sequence DESC LIMIT ?3)",
                  "tti", project, r->server, retain > 1 ? retain - 1 : (int64_t)1);
}

int store_release_live(struct store *s, const char *project, const struct store_release *r, int64_t retain,
                       struct error *err)
{
    if (db_begin(&s->db, err) < 0)
        return -1;
    return db_end(&s->db, release_live(s, project, r, retain, err) == 0, err);
}

#define RELEASE_COLUMNS "server, release, commit_id, live, deployed, since"

static void release_read(sqlite3_stmt *q, struct store_release *r)
{
    memset(r, 0, sizeof *r);
    DB_TEXT(q, 0, r->server);
    DB_TEXT(q, 1, r->release);
    DB_TEXT(q, 2, r->commit);
    r->live = db_int(q, 3) != 0;
    r->deployed = db_int(q, 4);
    r->since = db_int(q, 5);
}

int store_releases(struct store *s, const char *project, int (*each)(void *ctx, const struct store_release *r),
                   void *ctx, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT " RELEASE_COLUMNS " FROM releases WHERE project = ? ORDER BY server, sequence DESC",
                 "t", project);
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        struct store_release r;
        release_read(q, &r);
        rc = each(ctx, &r) < 0 ? -1 : 1;
    }
    return rc;
}

static int release_one(struct store *s, sqlite3_stmt *q, struct store_release *out, struct error *err)
{
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    release_read(q, out);
    return 0;
}

int store_release(struct store *s, const char *project, const char *server, const char *name,
                  struct store_release *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT " RELEASE_COLUMNS " FROM releases WHERE project = ?1 AND server = ?2"
                 " AND ((?3 = '' AND live = 1) OR release = ?3)",
                 "ttt", project, server, name);
    return release_one(s, q, out, err);
}

int store_release_before(struct store *s, const char *project, const char *server, int64_t sequence,
                         struct store_release *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT " RELEASE_COLUMNS " FROM releases WHERE project = ? AND server = ? AND sequence < ?"
                 " ORDER BY sequence DESC LIMIT 1",
                 "tti", project, server, sequence);
    return release_one(s, q, out, err);
}
