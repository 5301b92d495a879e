/* Projects, their signed documents and their env values. */
#include "plane/store/store.h"

#include <string.h>

int store_document_add(struct store *s, enum store_kind kind, const char *project, int64_t version,
                       const char *digest, struct bytes envelope, int64_t now, struct error *err)
{
    if (db_run(&s->db, err,
               "INSERT OR IGNORE INTO documents(kind, project, version, digest, envelope, created) VALUES(?, "
               "?, ?, ?, ?, ?)",
               "ititbi", (int64_t)kind, project, version, digest, envelope.data, envelope.size, now) < 0)
        return -1;
    if (db_changes(&s->db) > 0)
        return 0;
    char there[65];
    int rc = store_document(s, kind, project, version, NULL, there, NULL, err);
    if (rc < 0)
        return -1;
    if (rc == 0 && strcmp(there, digest) == 0)
        return 0;
    return fail(err, "E_EXISTS", "version %lld exists with other contents; raise the version",
                (long long)version);
}

static int document_read(struct store *s, sqlite3_stmt *q, int64_t *found, char *digest, struct buf *envelope,
                         struct error *err)
{
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    if (found != NULL)
        *found = db_int(q, 0);
    if (digest != NULL)
        db_text(q, 1, digest, 65);
    return envelope != NULL ? db_add(q, 2, envelope, err) : 0;
}

int store_document(struct store *s, enum store_kind kind, const char *project, int64_t version, int64_t *found,
                   char *digest, struct buf *envelope, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT version, digest, envelope FROM documents WHERE kind = ?1 AND project = ?2"
                 " AND (?3 = 0 OR version = ?3) ORDER BY version DESC LIMIT 1",
                 "iti", (int64_t)kind, project, version);
    return document_read(s, q, found, digest, envelope, err);
}

int store_document_by_digest(struct store *s, const char *digest, struct buf *envelope, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err, "SELECT version, digest, envelope FROM documents WHERE digest = ?", "t", digest);
    return document_read(s, q, NULL, NULL, envelope, err);
}

int store_project_add(struct store *s, const char *name, int64_t now, struct error *err)
{
    if (db_run(&s->db, err, "INSERT OR IGNORE INTO projects(name, created) VALUES(?, ?)", "ti", name, now) < 0)
        return -1;
    if (db_changes(&s->db) == 0)
        return fail(err, "E_EXISTS", "a project named '%s' exists", name);
    return 0;
}

static void project_read(sqlite3_stmt *q, struct store_project *p)
{
    memset(p, 0, sizeof *p);
    DB_TEXT(q, 0, p->name);
    p->created = db_int(q, 1);
    p->env_version = db_int(q, 2);
    p->poll_seconds = db_int(q, 3);
    p->webhook = db_int(q, 4) != 0;
}

int store_project(struct store *s, const char *name, struct store_project *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT name, created, env_version, poll_seconds, webhook IS NOT NULL FROM projects"
                 " WHERE name = ?",
                 "t", name);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    project_read(q, out);
    return 0;
}

int store_projects(struct store *s, int (*each)(void *ctx, const struct store_project *p), void *ctx,
                   struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err,
        "SELECT name, created, env_version, poll_seconds, webhook IS NOT NULL FROM projects ORDER BY name", "");
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        struct store_project p;
        project_read(q, &p);
        rc = each(ctx, &p) < 0 ? -1 : 1;
    }
    return rc;
}

static int project_remove(struct store *s, const char *name, struct error *err)
{
    if (db_run(&s->db, err, "DELETE FROM documents WHERE kind = ? AND project = ?", "it",
               (int64_t)STORE_MANIFEST, name) < 0 ||
        db_run(&s->db, err,
               "DELETE FROM streams WHERE name IN (SELECT 'log/' || id FROM deployments WHERE project = ?)",
               "t", name) < 0 ||
        db_run(&s->db, err, "DELETE FROM projects WHERE name = ?", "t", name) < 0)
        return -1;
    return db_changes(&s->db) == 0 ? 1 : 0;
}

int store_project_remove(struct store *s, const char *name, struct error *err)
{
    if (db_begin(&s->db, err) < 0)
        return -1;
    int rc = project_remove(s, name, err);
    return db_end(&s->db, rc >= 0, err) < 0 ? -1 : rc;
}

int store_project_poll(struct store *s, const char *name, int64_t seconds, struct error *err)
{
    return db_run(&s->db, err, "UPDATE projects SET poll_seconds = ? WHERE name = ?", "it", seconds, name);
}

int store_webhook_set(struct store *s, const char *project, const struct buf *sealed, struct error *err)
{
    return db_run(&s->db, err, "UPDATE projects SET webhook = ? WHERE name = ?", "bt",
                  sealed != NULL ? sealed->data : NULL, sealed != NULL ? sealed->size : (size_t)0, project);
}

int store_webhook(struct store *s, const char *project, struct buf *sealed, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "SELECT webhook FROM projects WHERE name = ? AND webhook IS NOT NULL", "t", project);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    return db_add(q, 0, sealed, err);
}

int store_env_set(struct store *s, const char *project, const struct store_env *v, struct error *err)
{
    return db_run(
        &s->db, err,
        "INSERT INTO env(project, name, sealed, updated, too_short) VALUES(?, ?, ?, ?, ?) ON CONFLICT(project, "
        "name)"
        " DO UPDATE SET sealed = excluded.sealed, updated = excluded.updated, too_short = excluded.too_short",
        "ttbii", project, v->name, v->sealed.data, v->sealed.size, v->updated, (int64_t)v->too_short);
}

int store_env_unset(struct store *s, const char *project, const char *name, struct error *err)
{
    return db_run(&s->db, err, "DELETE FROM env WHERE project = ? AND name = ?", "tt", project, name);
}

int store_env_each(struct store *s, const char *project, int (*each)(void *ctx, const struct store_env *e),
                   void *ctx, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "SELECT name, updated, too_short, sealed FROM env WHERE project = ? ORDER BY name", "t",
        project);
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        struct store_env e = {.updated = db_int(q, 1), .too_short = db_int(q, 2) != 0};
        DB_TEXT(q, 0, e.name);
        e.sealed = (struct bytes){sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3)};
        rc = each(ctx, &e) < 0 ? -1 : 1;
    }
    return rc;
}

int store_env_count(struct store *s, const char *project, int64_t *count, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err, "SELECT count(*) FROM env WHERE project = ?", "t", project);
    if (q == NULL || db_step(&s->db, q, err) != 1)
        return -1;
    *count = db_int(q, 0);
    return 0;
}

int store_env_bump(struct store *s, const char *project, int64_t *version, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "UPDATE projects SET env_version = env_version + 1 WHERE name = ? RETURNING env_version",
        "t", project);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : fail(err, "E_NOT_FOUND", "the project is gone");
    *version = db_int(q, 0);
    return db_step(&s->db, q, err) < 0 ? -1 : 0;
}

int store_env_doc(struct store *s, const char *project, const char *server, int64_t version,
                  const uint8_t *seal, char *digest, struct buf *envelope, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT version, digest, envelope FROM env_docs WHERE project = ? AND server = ?"
                 " AND version = ? AND seal = ?",
                 "ttib", project, server, version, seal, (size_t)65);
    return document_read(s, q, NULL, digest, envelope, err);
}

int store_env_doc_add(struct store *s, const char *project, const char *server, int64_t version,
                      const uint8_t *seal, const char *digest, struct bytes envelope, struct error *err)
{
    return db_run(
        &s->db, err,
        "INSERT INTO env_docs(project, server, version, seal, digest, envelope) VALUES(?, ?, ?, ?, ?, ?)",
        "ttibtb", project, server, version, seal, (size_t)65, digest, envelope.data, envelope.size);
}

int store_env_doc_by_digest(struct store *s, const char *server, const char *digest, struct buf *envelope,
                            struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err, "SELECT version, digest, envelope FROM env_docs WHERE server = ? AND digest = ?",
                 "tt", server, digest);
    return document_read(s, q, NULL, NULL, envelope, err);
}
