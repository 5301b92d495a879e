/* What this host has, as the agent told over link.sock: itself, its projects, its streams with their open files, its status.
 * No network and no clock; only the passed descriptors are read. */
#ifndef KLY_UPLINK_HELD_H
#define KLY_UPLINK_HELD_H

#include "base/buf.h"
#include "ipc/link_api.h"
#include "ipc/record.h"
#include "proto/message.h"
#include "stream/stream.h"

struct held_stream {
    uint32_t id; /* the agent's number */
    int fd;      /* owned; -1: a free place */
    uint64_t base; /* stream offset of the file's first byte */
    char name[STREAM_NAME_MAX + 1];
    uint64_t told; /* the agent was told that all bytes before it are durable at the plane */
    bool told_over;
};

struct held {
    bool ready; /* all of it was told */
    struct link_hello hello;
    struct link_project projects[HELLO_PROJECTS_MAX];
    size_t project_count;
    struct held_stream streams[LINK_STREAMS_MAX];
    struct stream_sender sender; /* the same streams, as far as the plane has them */
    struct buf status;           /* JSON, checked; empty: none yet */
};

enum held_change {
    HELD_NOTHING,
    HELD_HELLO,   /* the plane should hear a hello: the state is complete, or has changed in a way only hello can tell */
    HELD_STREAMS, /* there may be something to send */
    HELD_STATUS,
    HELD_WANT,    /* the record's body is a checked link_want */
    HELD_REFUSED, /* … a checked link_refused */
};

void held_init(struct held *h);
/* The agent is gone: forgets everything, closes the files. */
void held_clear(struct held *h);
void held_free(struct held *h);
/* One record. Takes the descriptors it needs. -1 (E_LINK, E_STREAM_*, E_JSON …): the record breaks the protocol; the
 * connection to the agent is to be closed and held_clear called. */
int held_record(struct held *h, struct ipc_record *record, enum held_change *change, struct error *err) KLY_MUST_USE;
/* Is there an acknowledgement that the agent has not heard yet? Then *body says it, and it counts as told. */
bool held_acked(struct held *h, const char *name, struct link_grown *body);
/* NULL if there is none. */
const struct held_stream *held_stream(const struct held *h, const char *name);
/* Reads exactly size bytes from a stream's offset. E_SPOOL if they are not there. */
int held_read(const struct held *h, const char *name, uint64_t offset, void *out, size_t size, struct error *err) KLY_MUST_USE;
/* Before a hello: what was sent on the streams counts no more, and those that are gone are forgotten. */
void held_restart(struct held *h);
/* hello, as of now. E_LINK if the agent has not said hello yet. */
int held_say_hello(const struct held *h, int64_t wall_ms, struct buf *out, struct error *err) KLY_MUST_USE;

#endif
