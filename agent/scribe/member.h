/* The log on disk: a file of complete gzip members (RFC 1952), one after another, so that `zcat` reads it after any
 * crash and what is fsynced can be sent as it is. A member holds whole lines. */
#ifndef KLY_SCRIBE_MEMBER_H
#define KLY_SCRIBE_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define MEMBER_RAW_MAX 262144u /* raw bytes after which a member is closed */
#define MEMBER_AGE_MS  1000    /* and its age */

struct member; /* the one that is being written */

/* Owned: member_free. E_NO_MEMORY. */
int member_new(struct member **out, struct error *err) KLY_MUST_USE;
/* Adds whole lines, 16 KiB at most. now_ms: a clock that does not jump. E_MEMBER if it waits to be written. */
int member_add(struct member *m, const void *lines, size_t size, int64_t now_ms, struct error *err) KLY_MUST_USE;
/* It is time to close and write it. */
bool member_is_due(const struct member *m, int64_t now_ms);
/* Milliseconds until it is due by age; -1 if there is nothing in it. */
int64_t member_wait(const struct member *m, int64_t now_ms);
bool member_is_empty(const struct member *m);
/* Completes the member if that is not done yet, appends it to the spool with one write, and fsyncs. *end is the file's
 * size then. On failure (E_SPOOL_WRITE: disk full, quota, I/O) the file ends where it ended before, the member is kept, and
 * the call may be repeated. Does nothing, successfully, when empty. */
int member_write(struct member *m, int spool, uint64_t *end, struct error *err) KLY_MUST_USE;
void member_free(struct member *m);

/* Cuts what is no whole member off the end of the spool, looking at what follows `from` (the end of a whole member, or 0).
 * *end: the size then, *lost: bytes cut. The descriptor must be readable. E_SPOOL_READ: unreadable, or shorter
 * than `from`. */
int spool_repair(int spool, uint64_t from, uint64_t *end, uint64_t *lost, struct error *err) KLY_MUST_USE;

#endif
