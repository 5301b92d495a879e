#include "plane/store/db.h"

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

static int db_fail(struct db *db, struct error *err, const char *doing)
{
    int rc = db->handle != NULL ? sqlite3_errcode(db->handle) : SQLITE_NOMEM;
    const char *code = (rc & 0xff) == SQLITE_FULL ? "E_STORE_FULL" : "E_STORE";
    return fail(err, code, "the database: %s: %s", doing,
                db->handle != NULL ? sqlite3_errmsg(db->handle) : "no memory");
}

int db_open(struct db *db, const char *path, struct error *err)
{
    memset(db, 0, sizeof *db);
    mode_t before = umask(077);
    int rc = sqlite3_open_v2(
        path, &db->handle,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    umask(before);
    if (rc != SQLITE_OK) {
        db_fail(db, err, path);
        db_close(db);
        return -1;
    }
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, 5000);
    /* secure_delete: what is deleted shall not be found in the file any more. */
    if (db_exec(db,
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA "
                "trusted_schema=OFF;"
                "PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;",
                err) < 0) {
        db_close(db);
        return -1;
    }
    return 0;
}

void db_close(struct db *db)
{
    for (int i = 0; i < DB_STATEMENTS_MAX; i++)
        sqlite3_finalize(db->kept[i].statement);
    sqlite3_close(db->handle);
    memset(db, 0, sizeof *db);
}

int db_exec(struct db *db, const char *sql, struct error *err)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, err, "running a script");
    return 0;
}

static sqlite3_stmt *prepared(struct db *db, const char *sql, struct error *err)
{
    int i = 0;
    for (; i < DB_STATEMENTS_MAX && db->kept[i].sql != NULL; i++)
        if (db->kept[i].sql == sql && !sqlite3_stmt_busy(db->kept[i].statement))
            return db->kept[i].statement;
    if (i == DB_STATEMENTS_MAX) {
        fail(err, "E_STORE", "the database: more than %d statements", DB_STATEMENTS_MAX);
        return NULL;
    }
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &db->kept[i].statement, NULL) !=
        SQLITE_OK) {
        db_fail(db, err, "preparing a statement");
        return NULL;
    }
    db->kept[i].sql = sql;
    return db->kept[i].statement;
}

static int bind_one(sqlite3_stmt *s, int at, char kind, va_list *args)
{
    if (kind == 'i')
        return sqlite3_bind_int64(s, at, va_arg(*args, int64_t));
    if (kind == 't') {
        const char *text = va_arg(*args, const char *);
        return text == NULL ? sqlite3_bind_null(s, at) : sqlite3_bind_text(s, at, text, -1, SQLITE_TRANSIENT);
    }
    const void *data = va_arg(*args, const void *);
    size_t size = va_arg(*args, size_t);
    return data == NULL ? sqlite3_bind_null(s, at) : sqlite3_bind_blob64(s, at, data, size, SQLITE_TRANSIENT);
}

static sqlite3_stmt *bound(struct db *db, struct error *err, const char *sql, const char *format, va_list *args)
{
    sqlite3_stmt *s = prepared(db, sql, err);
    for (int i = 0; s != NULL && format[i] != '\0'; i++)
        if (bind_one(s, i + 1, format[i], args) != SQLITE_OK) {
            db_fail(db, err, "binding a parameter");
            db_done(&s);
        }
    return s;
}

sqlite3_stmt *db_query(struct db *db, struct error *err, const char *sql, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqlite3_stmt *s = bound(db, err, sql, format, &args);
    va_end(args);
    return s;
}

int db_run(struct db *db, struct error *err, const char *sql, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO_DONE sqlite3_stmt *s = bound(db, err, sql, format, &args);
    va_end(args);
    if (s == NULL)
        return -1;
    int rc;
    while ((rc = db_step(db, s, err)) > 0)
        ;
    return rc;
}

int db_step(struct db *db, sqlite3_stmt *s, struct error *err)
{
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    return db_fail(db, err, "running a statement");
}

void db_done(sqlite3_stmt **s)
{
    if (*s != NULL) {
        sqlite3_reset(*s);
        sqlite3_clear_bindings(*s);
        *s = NULL;
    }
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes(db->handle);
}

int db_begin(struct db *db, struct error *err)
{
    if (db->depth == 0) {
        db->broken = false;
        if (db_run(db, err, "BEGIN IMMEDIATE", "") < 0)
            return -1;
    }
    db->depth++;
    return 0;
}

int db_end(struct db *db, bool ok, struct error *err)
{
    db->broken = db->broken || !ok;
    if (--db->depth > 0)
        return ok ? 0 : -1;
    if (!db->broken && db_run(db, err, "COMMIT", "") == 0)
        return 0;
    bool was_ok = !db->broken;
    /* After some failures SQLite has rolled back by itself. */
    if (!sqlite3_get_autocommit(db->handle)) {
        struct error ignored;
        if (db_run(db, &ignored, "ROLLBACK", "") < 0 && was_ok)
            return -1;
    }
    if (ok && !was_ok)
        return fail(err, "E_STORE", "the database: a part of the transaction failed");
    return -1;
}

void db_copy(char *out, size_t room, const char *text)
{
    size_t size = strnlen(text, room - 1);
    memcpy(out, text, size);
    out[size] = '\0';
}

void db_text(sqlite3_stmt *s, int column, char *out, size_t room)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    size_t size = text != NULL ? (size_t)sqlite3_column_bytes(s, column) : 0;
    if (size > room - 1)
        size = room - 1;
    if (size > 0)
        memcpy(out, text, size);
    out[size] = '\0';
}

int64_t db_int(sqlite3_stmt *s, int column)
{
    return sqlite3_column_int64(s, column);
}

bool db_blob(sqlite3_stmt *s, int column, void *out, size_t size)
{
    const void *data = sqlite3_column_blob(s, column);
    if (data != NULL && (size_t)sqlite3_column_bytes(s, column) == size) {
        memcpy(out, data, size);
        return true;
    }
    memset(out, 0, size);
    return false;
}

int db_add(sqlite3_stmt *s, int column, struct buf *out, struct error *err)
{
    const void *data = sqlite3_column_blob(s, column);
    return data == NULL ? 0 : buf_add(out, data, (size_t)sqlite3_column_bytes(s, column), err);
}
