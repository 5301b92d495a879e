/* Append-only streams by offset, both ends of them, pure: no I/O, no clock, no allocation. Used by the uplink
 * (sender) and the plane (receiver); proto/wire.md, "Data" and "Streams", is the protocol.
 *
 * Sender. The caller tells what exists (add, grown, closed), what the other side said (connected, start_at,
 * acked) and that the connection is gone (disconnected), and after each of these calls next() until it says
 * STREAM_IDLE, doing what it says:
 *
 *     connected → start_at for every stream welcome names → next: OPEN, DATA, DATA … → acked → next …
 *
 * Everything sent and not acknowledged is sent again after a disconnect, from where the next welcome says. A
 * stream is over when acked() returns STREAM_OVER: then its bytes may be deleted and the stream removed.
 *
 * Receiver. accept() says what to do with a message; the caller appends and fsyncs (or commits), says so by
 * stream_durable(), and sends an ack whenever stream_ack_due() says so. An ack is a promise: those bytes
 * survive a crash.
 *
 * The ack of an end. An ack carries an offset alone, so our sender sends the final flag in a message of its
 * own, without bytes, and only when all bytes are acknowledged: the next ack of that offset can then only mean
 * the final message. A receiver takes the flag with bytes, too. */
#ifndef KLY_STREAM_STREAM_H
#define KLY_STREAM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define STREAM_NAME_MAX   31
#define STREAM_LIVE_MAX   64           /* streams a connection */
#define STREAM_CHUNK_MAX  (64 * 1024)  /* bytes of one message */
#define STREAM_WINDOW_MAX (256 * 1024) /* bytes sent and not acknowledged, all streams together */
#define STREAM_OFFSET_MAX ((UINT64_C(1) << 53) - 1)
#define STREAM_HANDLE_MAX INT32_MAX

#define STREAM_EVENTS "events" /* goes before all others */

/* "events" or "log/" and a deployment's name. */
bool stream_name_ok(const char *name);

/* ---- sender ---- */

/* base <= acked <= sent <= end. Read it for hello; change it only through the functions. */
struct stream_out {
    char name[STREAM_NAME_MAX + 1]; /* "": a free place */
    uint32_t handle;                /* on this connection; 0: not opened yet */
    uint64_t base;                  /* first byte that still exists here */
    uint64_t end;                   /* bytes before it are durable here */
    uint64_t acked;                 /* bytes before it are durable there */
    uint64_t sent;
    bool closed;     /* end is final */
    bool final_sent; /* on this connection */
    bool over;       /* all of it, and its end, are durable there: heard on this connection */
    bool lost;       /* the other side's end is outside [base, end]: nothing more is sent on this connection */
};

struct stream_sender {
    struct stream_out out[STREAM_LIVE_MAX];
    uint32_t handles; /* given out on this connection */
    uint32_t turn;    /* whose turn it is among the logs */
    bool connected;
};

enum stream_todo {
    STREAM_IDLE, /* nothing to send now */
    STREAM_OPEN, /* send open{handle, name, offset as from} */
    STREAM_DATA, /* send size bytes from offset, with the final flag if final */
};

struct stream_next {
    enum stream_todo todo;
    const char *name; /* borrowed from the sender, until the stream is removed */
    uint32_t handle;
    uint64_t offset;
    uint32_t size; /* 0 if final, else 1 to STREAM_CHUNK_MAX */
    bool final;
};

/* What a message about a stream meant. */
enum stream_heard {
    STREAM_KNOWN,   /* fine, nothing special */
    STREAM_BACK,    /* the other side's end is behind: sending again from there */
    STREAM_OVER,    /* all of it and its end arrived; remove it */
    STREAM_LOST,    /* its end is before our base or after our end: cannot go on; tell the owner */
    STREAM_UNKNOWN, /* no such stream here: ignore */
};

void stream_sender_init(struct stream_sender *s);
/* A stream found on disk or begun now. [base, end) is durable here. E_STREAM_NAME, E_STREAM_OFFSET,
 * E_STREAM_EXISTS, E_STREAM_FULL beyond STREAM_LIVE_MAX (try again when one is over). */
int stream_add(struct stream_sender *s, const char *name, uint64_t base, uint64_t end, bool closed,
               struct error *err) KLY_MUST_USE;
/* More bytes are durable here. Growing to the same end is fine. E_STREAM_UNKNOWN, E_STREAM_CLOSED,
 * E_STREAM_OFFSET. */
int stream_grown(struct stream_sender *s, const char *name, uint64_t end, struct error *err) KLY_MUST_USE;
/* end is final. Twice with the same end is fine. Same errors. */
int stream_closed(struct stream_sender *s, const char *name, uint64_t end, struct error *err) KLY_MUST_USE;
/* Bytes before base were deleted here; base must be acknowledged. E_STREAM_UNKNOWN, E_STREAM_OFFSET. */
int stream_trimmed(struct stream_sender *s, const char *name, uint64_t base, struct error *err) KLY_MUST_USE;
/* Forget a stream (over, or deleted by a quota). No such stream: nothing happens. */
void stream_remove(struct stream_sender *s, const char *name);
/* NULL if there is none. */
const struct stream_out *stream_find(const struct stream_sender *s, const char *name);
/* Bytes sent and not acknowledged, of all streams; at most STREAM_WINDOW_MAX. */
uint64_t stream_unacked(const struct stream_sender *s);

/* welcome came: every stream starts at its base, unless stream_start_at says otherwise before the first
 * next(). */
void stream_connected(struct stream_sender *s);
enum stream_heard stream_start_at(struct stream_sender *s, const char *name, uint64_t from);
void stream_disconnected(struct stream_sender *s);
enum stream_heard stream_acked(struct stream_sender *s, const char *name, uint64_t offset);
/* What to send now. It counts as sent by this call: a caller that cannot send it must disconnect. */
struct stream_next stream_next(struct stream_sender *s);
/* The bytes next() asked for cannot be read: nothing more of this stream on this connection, and the window is
 * freed. */
void stream_unreadable(struct stream_sender *s, const char *name);

/* ---- receiver ---- */

/* told <= durable <= end. */
struct stream_in {
    uint64_t end;        /* accepted */
    uint64_t durable;    /* survives a crash */
    uint64_t told;       /* highest acknowledged on this connection */
    bool closed;         /* the final message was accepted */
    bool closed_durable; /* … and survives a crash */
    bool closed_told;
    bool behind; /* something lay beyond our end: ack our end, once, until something fits again */
    bool behind_told;
};

struct stream_accept {
    uint32_t skip; /* bytes of the message that are here already */
    uint32_t size; /* bytes to append, after skip; may be 0 */
    bool close;    /* and the stream ends with them: make that durable together with the bytes */
};

/* What the store has: durable bytes and whether the end is known. Also after a reconnect, and then only when
 * nothing of the earlier connection is still on its way into the store: an ack answers messages of its own
 * connection. Likewise when a host says hello again on the connection it has: first commit what came before and
 * send the acks due, then welcome; else the ack of a stream's bytes could pass for that of its end. */
void stream_in_init(struct stream_in *in, uint64_t durable, bool closed);
/* Where a host shall start: `from` of welcome. A host whose base lies beyond what the store has (a store
 * restored from a backup) can only go on from there: *gap is how many bytes are missing, and the store must
 * note them as missing before stream_in_init with the answer. */
uint64_t stream_welcome_from(uint64_t durable, uint64_t base, uint64_t *gap);

/* A data message. 1: append as *out says, then stream_durable(). 0: nothing to append (known already, or beyond
 * our end). -1: the message is wrong and the connection should end: E_STREAM_CHUNK, E_STREAM_OFFSET,
 * E_STREAM_CLOSED. */
int stream_accept(struct stream_in *in, uint64_t offset, uint32_t size, bool final, struct stream_accept *out,
                  struct error *err) KLY_MUST_USE;
/* All accepted bytes before offset are durable; closed: the end too (only once offset is the end). */
void stream_durable(struct stream_in *in, uint64_t offset, bool closed);
/* Appending failed and what was accepted but is not durable was dropped. true: send the acks that are due now,
 * before the next message is accepted; they send the sender back. false: only the end was lost, which no ack
 * can say: end the connection, and the next one will bring it. */
bool stream_dropped(struct stream_in *in) KLY_MUST_USE;
/* True if an ack is to be sent now, and *offset says which; it counts as sent. Call until false. */
bool stream_ack_due(struct stream_in *in, uint64_t *offset);

/* The streams of one connection, by handle. */
struct stream_receiver {
    struct {
        uint32_t handle; /* 0: free */
        char name[STREAM_NAME_MAX + 1];
        struct stream_in in;
    } live[STREAM_LIVE_MAX];
};

void stream_receiver_init(struct stream_receiver *r);
/* The host's `open`, with its `from`. durable and closed are what the store has; for a stream it does not know,
 * pass from as durable. If the host begins with bytes that are here already, an ack is due at once and it skips
 * them. A name that is open already moves to the new handle. E_STREAM_NAME, E_STREAM_HANDLE (0, too large or in
 * use), E_STREAM_OFFSET, E_STREAM_FULL. */
int stream_receiver_open(struct stream_receiver *r, uint32_t handle, const char *name, uint64_t from,
                         uint64_t durable, bool closed, struct error *err) KLY_MUST_USE;
/* NULL if there is none. name may be NULL; else it is set to the stream's name, borrowed until it is done. */
struct stream_in *stream_receiver_find(struct stream_receiver *r, uint32_t handle, const char **name);
struct stream_in *stream_receiver_named(struct stream_receiver *r, const char *name);
/* Frees the place of a stream whose end was acknowledged. */
void stream_receiver_done(struct stream_receiver *r, uint32_t handle);

#endif
