/* Servers: rows, tokens, certificates, connections. */
#include "plane/store/store.h"

#include <string.h>

#define COLUMNS                                                                                                \
    "id, name, hostname, version, cert_serial, cert_sha256, next_sha256, seal, created, cert_expires, "        \
    "revoked, last_seen,"                                                                                      \
    " box_level, clock_skew, conn_gen, trust_version"

static void server_read(sqlite3_stmt *q, struct store_server *v)
{
    DB_TEXT(q, 0, v->id);
    DB_TEXT(q, 1, v->name);
    DB_TEXT(q, 2, v->hostname);
    DB_TEXT(q, 3, v->version);
    DB_TEXT(q, 4, v->cert_serial);
    v->enrolled = db_blob(q, 5, v->cert_sha256, sizeof v->cert_sha256);
    v->has_next = db_blob(q, 6, v->next_sha256, sizeof v->next_sha256);
    v->enrolled = db_blob(q, 7, v->seal, sizeof v->seal) && v->enrolled;
    v->created = db_int(q, 8);
    v->cert_expires = db_int(q, 9);
    v->revoked = db_int(q, 10);
    v->last_seen = db_int(q, 11);
    v->box_level = db_int(q, 12);
    v->clock_skew = db_int(q, 13);
    v->conn_gen = db_int(q, 14);
    v->trust_version = db_int(q, 15);
}

int store_server_add(struct store *s, const char *id, const char *name, int64_t now, struct error *err)
{
    if (db_run(&s->db, err, "INSERT OR IGNORE INTO servers(id, name, created) VALUES(?, ?, ?)", "tti", id, name,
               now) < 0)
        return -1;
    if (db_changes(&s->db) == 0)
        return fail(err, "E_EXISTS", "a server named '%s' exists; choose another name", name);
    return 0;
}

int store_server(struct store *s, const char *id, struct store_server *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(&s->db, err, "SELECT " COLUMNS " FROM servers WHERE id = ?", "t", id);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    memset(out, 0, sizeof *out);
    server_read(q, out);
    return 0;
}

int store_servers(struct store *s, int (*each)(void *ctx, const struct store_server *v), void *ctx,
                  struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(&s->db, err, "SELECT " COLUMNS " FROM servers ORDER BY name", "");
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        struct store_server v = {0};
        server_read(q, &v);
        rc = each(ctx, &v) < 0 ? -1 : 1;
    }
    return rc;
}

static int server_remove(struct store *s, const char *id, int64_t now, struct error *err)
{
    if (db_run(&s->db, err,
               "UPDATE deployments SET state = 'done', outcome = 'cancelled', code = 'E_SERVER_REMOVED',"
               " text = 'the server was removed before this deployment was done', finished = ? WHERE server = "
               "? AND state <> 'done'",
               "it", now, id) < 0)
        return -1;
    if (db_run(&s->db, err, "DELETE FROM servers WHERE id = ?", "t", id) < 0)
        return -1;
    return db_changes(&s->db) == 0 ? 1 : 0;
}

int store_server_remove(struct store *s, const char *id, int64_t now, struct error *err)
{
    if (db_begin(&s->db, err) < 0)
        return -1;
    int rc = server_remove(s, id, now, err);
    return db_end(&s->db, rc >= 0, err) < 0 ? -1 : rc;
}

int store_token_set(struct store *s, const char *id, const uint8_t *hash, int64_t expires, struct error *err)
{
    return db_run(&s->db, err, "UPDATE servers SET token_hash = ?, token_expires = ? WHERE id = ?", "bit", hash,
                  (size_t)32, expires, id);
}

int store_token_use(struct store *s, const char *id, const uint8_t *hash, int64_t now, struct error *err)
{
    if (db_run(&s->db, err,
               "UPDATE servers SET token_hash = NULL, token_expires = 0"
               " WHERE id = ? AND token_hash = ? AND token_expires > ? AND revoked = 0",
               "tbi", id, hash, (size_t)32, now) < 0)
        return -1;
    return db_changes(&s->db) == 0 ? 1 : 0;
}

static int forget_old_host(struct store *s, const char *id, struct error *err)
{
    if (db_run(&s->db, err, "DELETE FROM streams WHERE server = ? AND name = 'events'", "t", id) < 0 ||
        db_run(&s->db, err, "DELETE FROM releases WHERE server = ?", "t", id) < 0 ||
        db_run(&s->db, err, "DELETE FROM env_docs WHERE server = ?", "t", id) < 0)
        return -1;
    /* What the old host had accepted will never be reported on. */
    return db_run(&s->db, err,
                  "UPDATE deployments SET state = 'done', outcome = 'interrupted', code = 'E_SERVER_REPLACED',"
                  " text = 'the server was enrolled anew while this deployment ran' WHERE server = ?"
                  " AND state NOT IN ('done', 'waiting')",
                  "t", id);
}

int store_server_enrolled(struct store *s, const struct store_enrolment *e, struct error *err)
{
    if (db_begin(&s->db, err) < 0)
        return -1;
    bool ok = forget_old_host(s, e->id, err) == 0 &&
              db_run(&s->db, err,
                     "UPDATE servers SET hostname = ?, version = ?, cert_serial = ?, cert_sha256 = ?, "
                     "next_sha256 = NULL,"
                     " cert_expires = ?, seal = ?, trust_version = 0 WHERE id = ?",
                     "tttbibt", e->hostname, e->version, e->cert_serial, e->cert_sha256, (size_t)32,
                     e->cert_expires, e->seal, (size_t)65, e->id) == 0;
    return db_end(&s->db, ok, err);
}

int store_server_renewed(struct store *s, const char *id, const uint8_t *sha256, struct error *err)
{
    return db_run(&s->db, err, "UPDATE servers SET next_sha256 = ? WHERE id = ?", "bt", sha256, (size_t)32, id);
}

int store_server_promote(struct store *s, const char *id, const char *serial, int64_t expires,
                         struct error *err)
{
    return db_run(
        &s->db, err,
        "UPDATE servers SET cert_sha256 = next_sha256, next_sha256 = NULL, cert_serial = ?, cert_expires = ?"
        " WHERE id = ? AND next_sha256 IS NOT NULL",
        "tit", serial, expires, id);
}

int store_server_connected(struct store *s, const char *id, int64_t now, int64_t *gen, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "UPDATE servers SET conn_gen = conn_gen + 1, last_seen = ? WHERE id = ? RETURNING conn_gen",
                 "it", now, id);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : fail(err, "E_NOT_FOUND", "the server is gone");
    *gen = db_int(q, 0);
    rc = db_step(&s->db, q, err); /* the row is written when the statement has run to its end */
    return rc < 0 ? -1 : 0;
}

int store_server_seen(struct store *s, const char *id, int64_t now, struct error *err)
{
    return db_run(&s->db, err, "UPDATE servers SET last_seen = ? WHERE id = ?", "it", now, id);
}

int store_server_hello(struct store *s, const struct store_server *told, struct error *err)
{
    return db_run(&s->db, err,
                  "UPDATE servers SET version = ?, box_level = ?, clock_skew = ?, trust_version = ?, last_seen "
                  "= ? WHERE id = ?",
                  "tiiiit", told->version, told->box_level, told->clock_skew, told->trust_version,
                  told->last_seen, told->id);
}
