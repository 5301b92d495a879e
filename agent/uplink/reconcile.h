/* Agent and plane, brought together: hello and welcome, streams up, documents down. No sockets, no timers: words come in
 * as calls and go out by the functions of struct reconcile_out, so all of it runs in a test without a network.
 *
 * Happy path: reconcile_record for what the agent says, until it is ready → reconcile_open when the plane is there: hello →
 * welcome → open, data … as the window allows; document → LINK_DOCUMENT; ack → LINK_ACKED.
 * Failures: a hostile plane gets an `error` for what is unknown, malformed or too large, and nothing else happens; a stream
 * whose bytes cannot be read, or whose place the plane does not share, stops until the next connection. */
#ifndef KLY_UPLINK_RECONCILE_H
#define KLY_UPLINK_RECONCILE_H

#include "agent/uplink/held.h"

struct reconcile_out {
    /* To the plane. 0: fine; 1: wait for reconcile_drained; -1: the connection is over. */
    int (*text)(void *ctx, const void *text, size_t size);
    int (*binary)(void *ctx, const void *data, size_t size);
    /* To the agent; fd (or -1) is taken. */
    void (*agent)(void *ctx, uint16_t verb, const void *body, size_t size, int fd);
    bool (*agent_busy)(void *ctx); /* has so much not been taken yet that no document should be added? */
    /* To the hub. */
    void (*said_hello)(void *ctx);
    void (*welcome)(void *ctx, const struct message_welcome *welcome);
    void (*certificate)(void *ctx, const char *pem);
    void (*goaway)(void *ctx, uint32_t retry_after_s);
    void (*note)(void *ctx, const struct error *what); /* worth a line in the log */
};

struct reconcile {
    struct held held;
    const struct reconcile_out *out;
    void *ctx;
    bool open;     /* the plane is there */
    bool welcomed; /* it answered our latest hello */
    unsigned awaited; /* hellos it has not answered yet: the last welcome of them is the one that counts */
    bool full;     /* no more stream bytes until drained */
    bool asked_challenge;
    uint8_t frame[DATA_HEADER_SIZE + DATA_BYTES_MAX];
};

/* out is borrowed and static. */
void reconcile_init(struct reconcile *r, const struct reconcile_out *out, void *ctx);
void reconcile_free(struct reconcile *r);

/* The agent's side. -1: the record breaks the protocol, close the link and call reconcile_agent_gone. */
int reconcile_record(struct reconcile *r, struct ipc_record *record, struct error *err) KLY_MUST_USE;
void reconcile_agent_gone(struct reconcile *r);
bool reconcile_ready(const struct reconcile *r); /* the agent has told everything */
/* A document of the plane, also one that came with the enrolment. E_AGENT_AWAY, E_BUSY, E_IPC_MEMFD. */
int reconcile_relay(struct reconcile *r, const struct envelope *document, struct error *err) KLY_MUST_USE;

/* The plane's side. */
void reconcile_open(struct reconcile *r);
void reconcile_shut(struct reconcile *r);
void reconcile_text(struct reconcile *r, struct bytes text);
void reconcile_drained(struct reconcile *r);
void reconcile_ask_certificate(struct reconcile *r, const char *csr_pem);
/* about may be "". */
void reconcile_error(struct reconcile *r, const struct error *what, const char *about);

#endif
