/* What waits for the plane: the events, and a log file a deployment. All in one folder of this user alone.
 *
 *     events.<base, 16 hex>      JSON lines; byte 0 is stream offset `base`. Replaced by its unacknowledged end now and then
 *     <deployment>.log           being written by a scribe
 *     <deployment>.gz            complete
 *     <deployment>.sent.gz       complete, and acknowledged whole by the plane: kept for `klystrr logs` until room is needed
 *
 * Streams get a number that says which they are as long as this process lives. */
#ifndef KLY_AGENT_SPOOL_H
#define KLY_AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "ipc/link_api.h"

#define SPOOL_ROTATE (256u * 1024u)          /* acknowledged bytes at the front of events */
#define SPOOL_QUOTA  (512ull * 1024 * 1024)  /* bytes of all logs; sent ones go first */
#define SPOOL_LOGS   (LINK_STREAMS_MAX - 1)  /* not yet sent */

struct spool_stream {
    uint32_t id;   /* 0: unused */
    bool closed;
    bool unsure;   /* left by an agent that was killed: its end is not known until a scribe has mended it; told to nobody */
    char name[64]; /* "events", "log/dep_…" */
    int fd;        /* O_RDWR | O_APPEND */
    uint64_t base, end, acked;
};

struct spool {
    int dirfd; /* borrowed */
    uint32_t next_id;
    struct spool_stream events;
    struct spool_stream logs[SPOOL_LOGS];
};

/* Opens what is there; cuts a torn line off the events. E_SPOOL. */
int spool_open(struct spool *s, int dirfd, struct error *err) KLY_MUST_USE;
void spool_close(struct spool *s);
/* Appends whole lines and syncs them: durable on return. */
int spool_event(struct spool *s, struct bytes lines, struct error *err) KLY_MUST_USE;
/* The log of a deployment, made if it is not there. NULL with E_SPOOL_FULL, E_SPOOL. */
struct spool_stream *spool_log(struct spool *s, const char *deployment, struct error *err);
struct spool_stream *spool_find_log(struct spool *s, const char *deployment);
/* The log is complete and ends at `end`; what lies beyond is cut off. */
int spool_log_done(struct spool *s, struct spool_stream *log, uint64_t end, struct error *err) KLY_MUST_USE;
/* The plane has all before `end`. Returns the stream if it is replaced by one under a new number (events), NULL
 * otherwise; *gone is the number that is no more, or 0. */
struct spool_stream *spool_acked(struct spool *s, uint32_t id, uint64_t end, bool closed, uint32_t *gone);
struct spool_stream *spool_by_id(struct spool *s, uint32_t id);
/* A read-only descriptor of a stream's file; owned by the caller. */
int spool_reader(struct spool *s, const struct spool_stream *stream, struct error *err) KLY_MUST_USE;
/* The same of any log that is still on disk. */
int spool_log_reader(struct spool *s, const char *deployment, struct error *err) KLY_MUST_USE;
/* Deletes sent logs, oldest first, while all logs together are beyond the quota. True if they still are. */
bool spool_tidy(struct spool *s);

#endif
