/* The schema, as steps: step n takes a file of version n to n + 1. A step that was released is never changed.
 */
#include <stdio.h>

#include "plane/store/store.h"

static const char *const steps[] = {
    /* 0 → 1 */
    "CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE api_keys(id INTEGER PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL, hash BLOB NOT "
    "NULL UNIQUE,"
    " created INTEGER NOT NULL, last_used INTEGER NOT NULL DEFAULT 0, revoked INTEGER NOT NULL DEFAULT 0);"
    "CREATE UNIQUE INDEX api_keys_name ON api_keys(name) WHERE revoked = 0;"
    "CREATE TABLE servers(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,"
    " hostname TEXT NOT NULL DEFAULT '', version TEXT NOT NULL DEFAULT '', seal BLOB, cert_serial TEXT, "
    "cert_sha256 BLOB,"
    " next_sha256 BLOB, cert_expires INTEGER NOT NULL DEFAULT 0, revoked INTEGER NOT NULL DEFAULT 0,"
    " last_seen INTEGER NOT NULL DEFAULT 0, box_level INTEGER NOT NULL DEFAULT 0, clock_skew INTEGER NOT NULL "
    "DEFAULT 0,"
    " conn_gen INTEGER NOT NULL DEFAULT 0, trust_version INTEGER NOT NULL DEFAULT 0, token_hash BLOB,"
    " token_expires INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE documents(kind INTEGER NOT NULL, project TEXT NOT NULL, version INTEGER NOT NULL, digest "
    "TEXT NOT NULL UNIQUE,"
    " envelope BLOB NOT NULL, created INTEGER NOT NULL, PRIMARY KEY(kind, project, version));"
    "CREATE TABLE projects(name TEXT PRIMARY KEY, created INTEGER NOT NULL, env_version INTEGER NOT NULL "
    "DEFAULT 0,"
    " poll_seconds INTEGER NOT NULL DEFAULT 60, webhook BLOB) WITHOUT ROWID;"
    "CREATE TABLE env(project TEXT NOT NULL REFERENCES projects(name) ON DELETE CASCADE, name TEXT NOT NULL,"
    " sealed BLOB NOT NULL, updated INTEGER NOT NULL, too_short INTEGER NOT NULL, PRIMARY KEY(project, name)) "
    "WITHOUT ROWID;"
    "CREATE TABLE env_docs(project TEXT NOT NULL REFERENCES projects(name) ON DELETE CASCADE,"
    " server TEXT NOT NULL REFERENCES servers(id) ON DELETE CASCADE, version INTEGER NOT NULL, seal BLOB NOT "
    "NULL,"
    " digest TEXT NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY(project, server, version, seal));"
    "CREATE INDEX env_docs_digest ON env_docs(server, digest);"
    "CREATE TABLE deployments(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " project TEXT NOT NULL REFERENCES projects(name) ON DELETE CASCADE, server TEXT NOT NULL,"
    " action TEXT NOT NULL, commit_id TEXT NOT NULL, release TEXT NOT NULL, target TEXT NOT NULL, manifest "
    "TEXT NOT NULL,"
    " state TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL, serving TEXT NOT "
    "NULL,"
    " trigger_by TEXT NOT NULL, order_digest TEXT NOT NULL, sequence INTEGER NOT NULL, attempts INTEGER NOT "
    "NULL,"
    " created INTEGER NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL, elapsed_ms INTEGER NOT "
    "NULL);"
    "CREATE INDEX deployments_open ON deployments(server, number) WHERE state <> 'done';"
    "CREATE INDEX deployments_project ON deployments(project, number);"
    "CREATE INDEX deployments_order ON deployments(order_digest) WHERE order_digest <> '';"
    "CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " deployment TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE, event TEXT NOT NULL, json TEXT "
    "NOT NULL,"
    " UNIQUE(deployment, json));"
    "CREATE TABLE host_events(id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " server TEXT NOT NULL REFERENCES servers(id) ON DELETE CASCADE, json TEXT NOT NULL, created INTEGER NOT "
    "NULL);"
    "CREATE INDEX host_events_server ON host_events(server, id);"
    "CREATE TABLE releases(project TEXT NOT NULL REFERENCES projects(name) ON DELETE CASCADE,"
    " server TEXT NOT NULL REFERENCES servers(id) ON DELETE CASCADE, release TEXT NOT NULL, sequence INTEGER "
    "NOT NULL,"
    " commit_id TEXT NOT NULL, live INTEGER NOT NULL, deployed INTEGER NOT NULL, since INTEGER NOT NULL,"
    " PRIMARY KEY(project, server, release)) WITHOUT ROWID;"
    "CREATE TABLE sequences(server TEXT NOT NULL REFERENCES servers(id) ON DELETE CASCADE, project TEXT NOT "
    "NULL,"
    " sequence INTEGER NOT NULL, PRIMARY KEY(server, project)) WITHOUT ROWID;"
    "CREATE TABLE streams(server TEXT NOT NULL REFERENCES servers(id) ON DELETE CASCADE, name TEXT NOT NULL,"
    " end_at INTEGER NOT NULL, file_end INTEGER NOT NULL, closed INTEGER NOT NULL, PRIMARY KEY(server, name)) "
    "WITHOUT ROWID;",
};
#define STEP_COUNT ((int64_t)(sizeof steps / sizeof steps[0]))

static int version_of(struct store *s, int64_t *version, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(&s->db, err, "PRAGMA user_version", "");
    if (q == NULL || db_step(&s->db, q, err) != 1)
        return -1;
    *version = db_int(q, 0);
    return 0;
}

static int one_step(struct store *s, int64_t from, struct error *err)
{
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %lld", (long long)from + 1);
    if (db_begin(&s->db, err) < 0)
        return -1;
    bool ok = db_exec(&s->db, steps[from], err) == 0 && db_exec(&s->db, pragma, err) == 0;
    return db_end(&s->db, ok, err);
}

int store_open(struct store *s, const char *path, struct error *err)
{
    if (db_open(&s->db, path, err) < 0)
        return -1;
    int64_t version = 0;
    int rc = version_of(s, &version, err);
    if (rc == 0 && version > STEP_COUNT)
        rc = fail(err, "E_STORE_VERSION",
                  "%s was written by a newer Klystrr (schema %lld, this one knows %lld); install that version",
                  path, (long long)version, (long long)STEP_COUNT);
    for (; rc == 0 && version < STEP_COUNT; version++)
        rc = one_step(s, version, err);
    if (rc < 0)
        store_close(s);
    return rc;
}

void store_close(struct store *s)
{
    db_close(&s->db);
}

int store_begin(struct store *s, struct error *err)
{
    return db_begin(&s->db, err);
}

int store_end(struct store *s, bool ok, struct error *err)
{
    return db_end(&s->db, ok, err);
}
