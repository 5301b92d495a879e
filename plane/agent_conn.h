/* One host's connection: what the files of the agent endpoint share. Not for others. */
#ifndef KLY_PLANE_AGENT_CONN_H
#define KLY_PLANE_AGENT_CONN_H

#include "net/ws/ws.h"
#include "plane/agents.h"
#include "proto/message.h"
#include "stream/stream.h"

#define AGENT_HEARTBEAT_S 20
#define AGENT_CHALLENGE_MS                                                                                     \
    (8 * 60 * 1000) /* older ones are not used for orders: hosts refuse them at 10 min                         \
                     */
#define AGENT_FLUSH_MS    50
#define AGENT_FLUSH_BYTES (64 * 1024)
#define AGENT_TAIL_MAX    (STREAM_WINDOW_MAX + STREAM_CHUNK_MAX) /* of `events`, not in the store yet */

struct agent_stream {
    uint32_t handle;               /* 0: free */
    struct store_stream kept, now; /* as committed; as accepted */
    struct log_file file;          /* logs only */
    struct buf tail;               /* events only: bytes after now.end */
    bool events, sink;             /* sink: of a deployment that was deleted; taken and dropped */
    bool dirty, final;
};

struct agent_held { /* what the host has, as told by hello and raised by what we send */
    char project[NAME_PROJECT_MAX + 1];
    uint8_t manifest[32], env[32];
    bool has_manifest, has_env;
    int64_t sequence;
};

struct agent {
    struct agent *next;
    struct plane *plane;
    struct ws *ws;
    char server[24];
    int64_t gen;
    bool said_hello, challenge_wanted, leaving;
    bool order_lost; /* the host's agent went away, or took no order: its next hello tells what it has */
    bool kick; /* something it said lets the next order go */
    uint8_t challenge[CHALLENGE_SIZE];
    int64_t challenge_at; /* clock_boot_ms */
    int64_t trust;        /* version the host has */
    int64_t pinged_at, seen_saved_at;
    struct agent_held held[HELLO_PROJECTS_MAX];
    size_t held_count;
    struct stream_receiver receiver;
    struct agent_stream streams[STREAM_LIVE_MAX];
};

struct agents {
    struct agent *first;
    uint32_t count;
    struct loop_timer *flush_timer, *tick_timer;
    size_t unflushed;
    bool flush_due, kick_due;
};

/* agent_messages.c */
void agent_on_text(struct agent *a, const uint8_t *data, size_t size);
void agent_send(struct agent *a, const struct message *m);
void agent_send_error(struct agent *a, const char *code, const char *text, const char *about);
void agent_send_envelope(struct agent *a, const struct buf *envelope);
void agent_close(struct agent *a, uint16_t code, const char *why);

/* agent_streams.c */
void agent_streams_welcome(struct agent *a, const struct message_hello *hello, struct message_welcome *welcome);
void agent_streams_open(struct agent *a, const struct message_open *open);
void agent_streams_data(struct agent *a, const uint8_t *data, size_t size);
/* Makes everything accepted durable, then acknowledges it. */
void agent_streams_flush(struct plane *p);
void agent_streams_close(struct agent *a);

/* agent_orders.c */
void agent_orders_hello(struct agent *a);
void agent_orders_next(struct agent *a);
void agent_orders_trust(struct agent *a);
void agent_orders_want(struct agent *a, const struct message_want *want);
void agent_orders_refused(struct agent *a, const struct message_error *e);
struct agent_held *agent_held_for(struct agent *a, const char *project, bool make);

/* enrol.c */
void enrol_ca(struct plane *p, struct http_exchange *x);
void enrol_post(struct plane *p, struct http_exchange *x);
int enrol_renew(struct plane *p, const char *server, const char *csr, struct buf *certificate,
                struct error *err) KLY_MUST_USE;

#endif
