/* What a reconcile under test says, kept for looking at; and records as an agent sends them. No network. */
#ifndef KLY_TESTS_UPLINK_SINK_H
#define KLY_TESTS_UPLINK_SINK_H

#include "agent/uplink/reconcile.h"

#define SINK_MAX 4096

struct sink {
    struct reconcile reconcile;
    char *texts[SINK_MAX]; /* to the plane */
    size_t text_count;
    struct data_frame frames[SINK_MAX]; /* bytes point into frame_bytes */
    size_t frame_count;
    struct buf frame_bytes;
    struct {
        uint16_t verb;
        struct link_grown grown;       /* LINK_ACKED */
        struct link_document document; /* LINK_DOCUMENT */
        char payload[128];
    } records[SINK_MAX]; /* to the agent */
    size_t record_count;
    unsigned hellos, welcomes, certificates, goaways, notes;
    int full_after; /* binary answers 1 from this many on; 0: never */
    bool broken, busy;
};

/* The reconcile is ready to use; free with sink_free. */
struct sink *sink_new(void);
void sink_free(struct sink *s);
/* Forgets what was said so far. */
void sink_clear(struct sink *s);
/* The last text to the plane that holds this; NULL if there is none. */
const char *sink_said(const struct sink *s, const char *part);

/* One record of an agent; fd is taken. What reconcile_record said. */
int sink_record(struct sink *s, uint16_t verb, const void *body, size_t size, int fd, struct error *err);
int sink_hello(struct sink *s);
/* A file with these bytes as a stream [base, base + size) of its name. */
int sink_stream(struct sink *s, uint32_t id, const char *name, uint64_t base, const void *bytes, size_t size, bool closed);
int sink_ready(struct sink *s);
/* A text of the plane. */
void sink_plane(struct sink *s, const char *text);
/* welcome that names these streams: "[{…}]". */
void sink_welcome(struct sink *s, const char *streams);

#endif
