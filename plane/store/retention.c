/* What is older than it may be. */
#include "plane/store/store.h"

int store_logs_before(struct store *s, int64_t before, int64_t limit,
                      int (*each)(void *ctx, const char *deployment), void *ctx, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q =
        db_query(&s->db, err,
                 "SELECT id FROM deployments WHERE state = 'done' AND created < ? AND EXISTS"
                 " (SELECT 1 FROM streams WHERE streams.server = deployments.server AND streams.name = 'log/' "
                 "|| id) LIMIT ?",
                 "ii", before, limit);
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        char id[24];
        DB_TEXT(q, 0, id);
        rc = each(ctx, id) < 0 ? -1 : 1;
    }
    return rc;
}

int store_log_forget(struct store *s, const char *deployment, struct error *err)
{
    return db_run(&s->db, err, "DELETE FROM streams WHERE name = 'log/' || ?", "t", deployment);
}

int store_forget_before(struct store *s, int64_t before, struct error *err)
{
    if (db_run(&s->db, err, "DELETE FROM api_keys WHERE revoked <> 0 AND revoked < ?", "i", before) < 0)
        return -1;
    return db_run(&s->db, err, "DELETE FROM host_events WHERE created < ?", "i", before);
}
