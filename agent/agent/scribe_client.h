/* A deployment's scribe. What must be in force before any output (start, secrets) is asked and answered, blocking;
 * pipes and notes are sent in order and not waited for. Whoever owns the main loop reads what the scribe tells. */
#ifndef KLY_AGENT_SCRIBE_CLIENT_H
#define KLY_AGENT_SCRIBE_CLIENT_H

#include <stdint.h>

#include "base/error.h"
#include "ipc/scribe_api.h"

struct scribe {
    int box;     /* the box's connection: closing it ends the scribe */
    int control; /* -1: there is none */
    uint32_t serial;
    uint32_t pipes;
};
#define NO_SCRIBE ((struct scribe){.box = -1, .control = -1})

/* Starts one on spool (borrowed, O_RDWR|O_APPEND), whose first `from` bytes are known to be whole. resume: it follows
 * one that ended early. *synced is where whole members end now. */
int scribe_open(int spool, uint64_t from, int resume, struct scribe *out, uint64_t *synced, struct error *err) KLY_MUST_USE;
/* E_SCRIBE_GONE, or the scribe's refusal. */
int scribe_secret(struct scribe *s, const char *value, struct error *err) KLY_MUST_USE;
/* Gives read_end (taken, also on failure) to the scribe. */
int scribe_pipe(struct scribe *s, int read_end, enum scribe_kind kind, const char *phase, struct error *err) KLY_MUST_USE;
/* A line of Klystrr's own; best effort. */
void scribe_note(struct scribe *s, const char *format, ...) KLY_PRINTF(2, 3);
/* Asks it to finish; SCRIBE_CLOSED follows. */
int scribe_finish(struct scribe *s, uint32_t drain_ms, struct error *err) KLY_MUST_USE;
void scribe_close(struct scribe *s);

#endif
