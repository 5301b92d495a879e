/* SQLite, made short: one connection, prepared statements kept by their text, binding by a format.
 *
 * All codes are E_STORE: full disk, broken file, locked for too long. E_STORE_FULL tells a full disk apart. */
#ifndef KLY_PLANE_STORE_DB_H
#define KLY_PLANE_STORE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define DB_STATEMENTS_MAX 160

struct db {
    sqlite3 *handle;
    struct {
        const char *sql; /* compared by address: every statement is a literal in the code */
        sqlite3_stmt *statement;
    } kept[DB_STATEMENTS_MAX];
    int depth;   /* of nested db_begin: only the outermost commits */
    bool broken; /* an inner part failed: the outermost must roll back */
};

/* Opens or makes the file (0600), WAL, full sync, foreign keys. */
int db_open(struct db *db, const char *path, struct error *err) KLY_MUST_USE;
void db_close(struct db *db);

/* Runs a script without parameters. */
int db_exec(struct db *db, const char *sql, struct error *err) KLY_MUST_USE;
/* format: one letter a parameter: t text (NULL is NULL), i int64_t, b blob (const void *, size_t; NULL is
 * NULL). */
int db_run(struct db *db, struct error *err, const char *sql, const char *format, ...) KLY_MUST_USE;
/* A statement with its parameters bound, to be stepped; db_done() it in every case. NULL on failure. */
sqlite3_stmt *db_query(struct db *db, struct error *err, const char *sql, const char *format, ...) KLY_MUST_USE;
/* 1: a row; 0: no more; -1. */
int db_step(struct db *db, sqlite3_stmt *s, struct error *err) KLY_MUST_USE;
void db_done(sqlite3_stmt **s);
#define AUTO_DONE __attribute__((cleanup(db_done)))
int64_t db_changes(struct db *db); /* rows changed by the last db_run */

/* Transactions nest: only the outermost writes. db_end(ok = false) rolls all of it back. */
int db_begin(struct db *db, struct error *err) KLY_MUST_USE;
int db_end(struct db *db, bool ok, struct error *err) KLY_MUST_USE;

/* Text cut to fit, always ended. */
void db_copy(char *out, size_t room, const char *text);
#define COPY_TEXT(array, text) db_copy((array), sizeof(array), (text))

/* Columns. Text is copied and cut to fit (out is always ended); missing is "". */
void db_text(sqlite3_stmt *s, int column, char *out, size_t room);
#define DB_TEXT(s, column, array) db_text((s), (column), (array), sizeof(array))
int64_t db_int(sqlite3_stmt *s, int column);
/* Exactly size bytes: true; else out is all zero and the answer false. */
bool db_blob(sqlite3_stmt *s, int column, void *out, size_t size);
int db_add(sqlite3_stmt *s, int column, struct buf *out, struct error *err) KLY_MUST_USE;

#endif
