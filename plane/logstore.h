/* Logs as they came: one file a deployment, whole gzip members one after the other, appended to and never
 * changed. How much of a file is durable stands in the store; what lies beyond that after a crash is cut off
 * when it is opened. */
#ifndef KLY_PLANE_LOGSTORE_H
#define KLY_PLANE_LOGSTORE_H

#include <sys/types.h>

#include "base/buf.h"

struct logstore {
    int dirfd; /* DIR/logs */
};

int logstore_open(struct logstore *ls, const char *path, struct error *err) KLY_MUST_USE;
void logstore_close(struct logstore *ls);

struct log_file {
    int fd;      /* -1: not open */
    int64_t end; /* bytes written */
    bool dirty;  /* written and not synced yet */
};

/* Opens or makes the file of a deployment for appending after durable_end bytes. E_LOG. A file that is shorter
 * than that lost bytes: f->end is then where it ends, and the answer 1. */
int log_open(struct logstore *ls, const char *deployment, int64_t durable_end, struct log_file *f,
             struct error *err) KLY_MUST_USE;
/* All of data, or nothing: after a failure the file ends where it did. E_STORE_FULL for a full disk, else
 * E_LOG. */
int log_append(struct log_file *f, const void *data, size_t size, struct error *err) KLY_MUST_USE;
int log_sync(struct log_file *f, struct error *err) KLY_MUST_USE;
/* Drops what was appended beyond end. */
void log_cut(struct log_file *f, int64_t end);
void log_close(struct log_file *f);
int logstore_remove(struct logstore *ls, const char *deployment, struct error *err) KLY_MUST_USE;
/* A gzip member with one line that says how much is missing. */
int log_gap_member(uint64_t missing, int64_t now, struct buf *out, struct error *err) KLY_MUST_USE;

/* Reads a log from its beginning, as text or as stored; goes on where it stopped when there is more. */
struct log_reader;
/* Owned or NULL. There need not be a file yet. skip: bytes of text to leave out. */
struct log_reader *log_reader_new(struct logstore *ls, const char *deployment, uint64_t skip,
                                  struct error *err) KLY_MUST_USE;
void log_reader_free(struct log_reader *r);
/* Appends at most about max bytes to out. 1: there may be more now; 0: nothing more for now; -1: E_LOG, the log
 * is damaged from here on. */
int log_reader_text(struct log_reader *r, size_t max, struct buf *out, struct error *err) KLY_MUST_USE;
int log_reader_raw(struct log_reader *r, size_t max, struct buf *out, struct error *err) KLY_MUST_USE;
uint64_t log_reader_offset(const struct log_reader *r); /* of the text read so far */

#endif
