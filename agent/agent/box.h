/* Asks for a box and watches it, blocking: for the worker that carries out one deployment's actions.
 *
 * Happy path: connect → BOX_START → BOX_STARTED → BOX_EXITED. Failures: a refusal is the error that confine gave; a
 * connection that breaks is E_BOX_GONE (closing it kills all in the box). End: when box_run returns, the box is empty. */
#ifndef KLY_AGENT_BOX_H
#define KLY_AGENT_BOX_H

#include <stdbool.h>

#include "ipc/box_api.h"

#define BOX_TAIL 4096

/* Reads what a program of our own says, keeps its end, and passes it on. */
struct box_tap {
    int from;            /* read end; -1: unused. Closed by box_run */
    int to;              /* passed on to here; -1: nowhere. Borrowed */
    char tail[BOX_TAIL]; /* the last bytes, NUL-terminated */
    size_t size;
};

struct box_request {
    struct box_start start;
    const char *cwd; /* NULL: "." */
    const char *const *argv, *const *envp; /* envp NULL: empty */
    int in, out, err;      /* borrowed; -1: /dev/null */
    bool give;             /* out and err are taken: closed once passed, so that their readers see the end */
    int extra[2];          /* start.extra_fds of them; borrowed */
    struct box_tap *taps[2]; /* or NULL */
};

struct box_ended {
    uint32_t level; /* of the box, 1 to 3 */
    struct box_exited exited;
    char denied[32]; /* the first system call that was refused, or "" */
};

/* cancel: an eventfd that becomes readable to end the box (-1: none). 0 whatever the command's end was. E_CANCELLED
 * once a cancelled box is empty, E_BOX_GONE, E_IPC_CONNECT (is the box service there?), or confine's refusal. */
int box_run(const struct box_request *request, int cancel, struct box_ended *out, struct error *err) KLY_MUST_USE;
/* Starts and returns the connection, which is the box's life: closing it kills the box. -1 as above. */
int box_open(const struct box_request *request, struct error *err) KLY_MUST_USE;
/* How a command ended, when it did not exit 0: "exited with status 2", "ran longer than 900 s". 0 if it did. */
int box_check(const struct box_ended *ended, const char *code, const char *what, uint32_t timeout_s,
              struct error *err) KLY_MUST_USE;

#endif
