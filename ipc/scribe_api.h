/* What is said between the agent and a deployment's scribe, over a SOCK_SEQPACKET pair that the scribe inherits as
 * descriptor 3; its spool file, opened O_RDWR | O_APPEND, is descriptor 4. Records are handled strictly in order: a secret
 * added before a pipe is in force for all that the pipe brings.
 *
 * The agent says START, secrets, pipes and notes, and at last CLOSE. The scribe answers START, ADD_SECRET, ADD_PIPE,
 * NOTE, FLUSH and CLOSE with the serial of the request (IPC_VERB_ERROR if refused: E_SCRIBE_RECORD, E_SCRIBE_LIMIT,
 * E_SPOOL_READ), and tells SYNCED, PIPE_EOF and STATS as they happen, with serial 0. */
#ifndef KLY_IPC_SCRIBE_API_H
#define KLY_IPC_SCRIBE_API_H

#include <stdint.h>

#define SCRIBE_CONTROL_FD 3
#define SCRIBE_SPOOL_FD   4

#define SCRIBE_SECRET_MAX   65536u /* bytes of one secret */
#define SCRIBE_SECRETS_MAX  1024u  /* of one deployment, those that phases add included */
#define SCRIBE_PIPES_MAX    32u    /* open at one time */
#define SCRIBE_LINE_MAX     8192u  /* bytes of a line's text in the log; longer ones are cut, after masking */
#define SCRIBE_MEMBER_BYTES 262144u /* raw bytes after which a gzip member is closed */
#define SCRIBE_MEMBER_MS    1000u   /* and its age */

enum scribe_verb {
    /* agent → scribe */
    SCRIBE_START = 1,  /* scribe_start → SCRIBE_SYNCED: cuts a torn tail off the spool. Must come first */
    SCRIBE_ADD_SECRET, /* sealed memfd, SCRIBE_SECRET_MAX bytes → scribe_secret_is */
    SCRIBE_ADD_PIPE,   /* scribe_pipe + read end of a pipe → the same */
    SCRIBE_NOTE,       /* scribe_note: a text of Klystrr's own, masked too; lines of phase `kly` → the same */
    SCRIBE_PAUSE,      /* the spool's quota is full: stop reading pipes (no answer) */
    SCRIBE_RESUME,     /* read on (no answer) */
    SCRIBE_FLUSH,      /* close the open member, fsync → SCRIBE_SYNCED with the request's serial */
    SCRIBE_CLOSE,      /* scribe_close: drain, finish, fsync → SCRIBE_STATS, SCRIBE_CLOSED; the scribe exits 0 */
    /* scribe → agent */
    SCRIBE_SYNCED = 100, /* scribe_synced: whole, fsynced members end here */
    SCRIBE_PIPE_EOF,     /* scribe_pipe: the last writer has closed it, all of it is in the log */
    SCRIBE_STATS,        /* scribe_stats: at most once a second while there is news */
    SCRIBE_CLOSED,       /* scribe_synced: final */
    SCRIBE_TROUBLE       /* ipc_error: E_SPOOL_WRITE; the bytes are kept and tried again every second, reading stops */
};

enum scribe_kind {
    SCRIBE_OUT = 1, /* standard output */
    SCRIBE_ERR,     /* standard error */
    SCRIBE_MASK     /* not output: each line that a phase writes is one more secret, for all streams from then on */
};

struct scribe_start {
    uint64_t from;   /* bytes of the spool file known to be whole members; only what follows is examined */
    uint32_t resume; /* 1: replaces a scribe that died; see scribe_pipe.resumed */
    uint32_t pad;
};
struct scribe_secret_is {
    uint32_t maskable; /* 0: shorter than 6 bytes without white space, so it is not looked for */
    uint32_t patterns; /* looked for now, all secrets together */
};
struct scribe_pipe {
    uint32_t id;      /* the agent's number for it, told back with PIPE_EOF */
    uint32_t kind;    /* enum scribe_kind */
    uint32_t resumed; /* 1: another scribe has read from it; input is dropped up to the line end beyond the longest pattern */
    char phase[20];   /* "install", "build", "web": [a-z][a-z0-9-]* */
};
struct scribe_note {
    char text[4096]; /* UTF-8, several lines allowed */
};
struct scribe_close {
    uint32_t drain_ms; /* how long pipes that are still open may go on, 0 to 60000 */
};
struct scribe_synced {
    uint64_t offset; /* of the spool file */
};
struct scribe_stats {
    uint64_t lines, raw_bytes; /* read from pipes */
    uint64_t spool_bytes;      /* written, fsynced */
    uint64_t masked;           /* how often [MASKED] was put */
};

#endif
