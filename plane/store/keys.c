/* Settings and API keys. */
#include "plane/store/store.h"

#define MINUTE_MS 60000

int store_setting(struct store *s, const char *name, char *out, size_t room, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(&s->db, err, "SELECT value FROM settings WHERE name = ?", "t", name);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    db_text(q, 0, out, room);
    return 0;
}

int store_set(struct store *s, const char *name, const char *value, struct error *err)
{
    return db_run(
        &s->db, err,
        "INSERT INTO settings(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
        "tt", name, value);
}

int store_key_add(struct store *s, const char *account, const char *name, const uint8_t *hash, int64_t now,
                  struct error *err)
{
    if (db_run(&s->db, err, "INSERT OR IGNORE INTO api_keys(account, name, hash, created) VALUES(?, ?, ?, ?)",
               "ttbi", account, name, hash, (size_t)32, now) < 0)
        return -1;
    if (db_changes(&s->db) == 0)
        return fail(err, "E_EXISTS", "an API key named '%s' exists; revoke it first or choose another name",
                    name);
    return 0;
}

static void key_read(sqlite3_stmt *q, struct store_key *k)
{
    k->id = db_int(q, 0);
    DB_TEXT(q, 1, k->account);
    DB_TEXT(q, 2, k->name);
    k->created = db_int(q, 3);
    k->last_used = db_int(q, 4);
    k->revoked = db_int(q, 5);
}

static int key_by_hash(struct store *s, const uint8_t *hash, struct store_key *out, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(&s->db, err,
                                         "SELECT id, account, name, created, last_used, revoked FROM api_keys"
                                         " WHERE hash = ? AND revoked = 0",
                                         "b", hash, (size_t)32);
    if (q == NULL)
        return -1;
    int rc = db_step(&s->db, q, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    key_read(q, out);
    return 0;
}

int store_key_find(struct store *s, const uint8_t *hash, int64_t now, struct store_key *out, struct error *err)
{
    int rc = key_by_hash(s, hash, out, err);
    if (rc == 0 && now - out->last_used >= MINUTE_MS) {
        /* Noting the use is a nicety: a full disk must not lock the owner out. */
        struct error ignored;
        if (db_run(&s->db, &ignored, "UPDATE api_keys SET last_used = ? WHERE id = ?", "ii", now, out->id) < 0)
            return 0;
    }
    return rc;
}

int store_key_revoke(struct store *s, const char *name, int64_t now, struct error *err)
{
    if (db_run(&s->db, err, "UPDATE api_keys SET revoked = ? WHERE name = ? AND revoked = 0", "it", now, name) <
        0)
        return -1;
    return db_changes(&s->db) == 0 ? 1 : 0;
}

int store_keys(struct store *s, int (*each)(void *ctx, const struct store_key *k), void *ctx, struct error *err)
{
    AUTO_DONE sqlite3_stmt *q = db_query(
        &s->db, err, "SELECT id, account, name, created, last_used, revoked FROM api_keys ORDER BY id", "");
    int rc = q == NULL ? -1 : 1;
    while (rc > 0 && (rc = db_step(&s->db, q, err)) > 0) {
        struct store_key k;
        key_read(q, &k);
        rc = each(ctx, &k) < 0 ? -1 : 1;
    }
    return rc;
}
