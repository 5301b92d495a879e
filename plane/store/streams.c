/* How far the hosts' streams are durable here. */
#include "plane/store/store.h"

static void stream_read(sqlite3_stmt *q, struct store_stream *v)
{
    DB_TEXT(q, 0, v->server);
    DB_TEXT(q, 1, v->name);
    v->end = db_int(q, 2);
    v->file_end = db_int(q, 3);
    v->closed = db_int(q, 4) != 0;
}

int store_stream(struct store *s, const char *server, const char *name, struct store_stream *out,
                 struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "SELECT server, name, end_at, file_end, closed FROM streams WHERE server = ? AND name = ?",
        "tt", server, name);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    stream_read(q, out);
    return 0;
}

int store_stream_save(struct store *s, const struct store_stream *v, struct error *err)
{
    return db_run(
        &s->db, err,
        "INSERT INTO streams(server, name, end_at, file_end, closed) VALUES(?, ?, ?, ?, ?) ON CONFLICT(server, "
        "name)"
        " DO UPDATE SET end_at = excluded.end_at, file_end = excluded.file_end, closed = excluded.closed",
        "ttiii", v->server, v->name, v->end, v->file_end, (int64_t)v->closed);
}

int store_streams(struct store *s, const char *server, int (*each)(void *ctx, const struct store_stream *v),
                  void *ctx, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT server, name, end_at, file_end, closed FROM streams WHERE server = ? ORDER BY name",
                 "t", server);
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        struct store_stream v;
        stream_read(q, &v);
        rc = each(ctx, &v) < 0 ? -1 : 1;
    }
    return rc;
}
