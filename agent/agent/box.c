#include "agent/agent/box.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "ipc/record.h"
#include "ipc/sock.h"

#define DRAIN_MS 2000  /* for output that is still in the pipes when the box is empty */
#define GRACE_MS 30000 /* beyond timeout and stop, before the connection is closed on a confine that is stuck */

static int or_null(int fd, int null)
{
    return fd >= 0 ? fd : null;
}

static int pack(const struct box_request *r, struct error *err)
{
    static const char *const empty[] = {NULL};
    AUTO_WIPE struct buf text = BUF(BOX_COMMAND_MAX);
    if (box_command_pack(r->cwd != NULL ? r->cwd : ".", r->argv, r->envp != NULL ? r->envp : empty, &text, err) < 0)
        return -1;
    return memfd_sealed("command", text.data, text.size, err);
}

static int send_start(int conn, const struct box_request *r, struct error *err)
{
    AUTO_CLOSE int command = pack(r, err);
    AUTO_CLOSE int null = command >= 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    if (null < 0)
        return command < 0 ? -1 : fail_errno(err, "E_BOX_START", errno, "/dev/null");
    int fds[6] = {command, or_null(r->in, null), or_null(r->out, null), or_null(r->err, null), r->extra[0], r->extra[1]};
    if (ipc_send(conn, BOX_START, 1, &r->start, sizeof r->start, fds, 4 + r->start.extra_fds, err) != IPC_OK)
        return -1;
    return 0;
}

static void close_given(const struct box_request *r)
{
    if (r->give && r->out >= 0)
        close(r->out);
    if (r->give && r->err >= 0 && r->err != r->out)
        close(r->err);
}

static int gone(struct error *err)
{
    return fail(err, "E_BOX_GONE", "the box service ended unexpectedly; nothing of the box runs any more");
}

/* One record from confine. 1: the box has ended; 0: it goes on; -1. */
static int take_record(int conn, struct box_ended *out, bool *started, struct error *err)
{
    struct ipc_record record;
    enum ipc_result got = ipc_recv(conn, &record, err);
    if (got == IPC_AGAIN)
        return 0;
    if (got != IPC_OK)
        return gone(err);
    ipc_close_fds(&record);
    if (ipc_check_error(&record, err) < 0)
        return -1;
    if (record.head.verb == BOX_STARTED) {
        const struct box_started *is = ipc_body(&record, sizeof *is);
        out->level = is != NULL ? is->level : 0;
        *started = is != NULL;
        return is != NULL ? 0 : gone(err);
    }
    if (record.head.verb == BOX_DENIED) {
        const struct box_denied *denied = ipc_body(&record, sizeof *denied);
        if (denied != NULL && out->denied[0] == 0 && IPC_TEXT_OK(denied->syscall))
            memcpy(out->denied, denied->syscall, sizeof out->denied);
        return 0;
    }
    const struct box_exited *exited = record.head.verb == BOX_EXITED ? ipc_body(&record, sizeof *exited) : NULL;
    if (exited == NULL)
        return gone(err);
    out->exited = *exited;
    return 1;
}

static void keep_tail(struct box_tap *tap, const char *data, size_t size)
{
    size_t room = sizeof tap->tail - 1;
    if (size > room) {
        data += size - room;
        size = room;
    }
    if (tap->size + size > room) {
        size_t drop = tap->size + size - room;
        memmove(tap->tail, tap->tail + drop, tap->size - drop);
        tap->size -= drop;
    }
    memcpy(tap->tail + tap->size, data, size);
    tap->size += size;
    tap->tail[tap->size] = 0;
}

static void read_tap(struct box_tap *tap)
{
    char block[4096];
    ssize_t n = read(tap->from, block, sizeof block);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        close(tap->from);
        tap->from = -1;
        return;
    }
    keep_tail(tap, block, (size_t)n);
    if (tap->to >= 0 && write_all(tap->to, block, (size_t)n) < 0)
        tap->to = -1; /* the scribe has gone; the deployment hears of it elsewhere */
}

struct watch {
    int conn, cancel;
    bool started, ended, killing;
    int64_t deadline_ms;
};

static int tap_fd(struct box_tap *const *taps, int i)
{
    return taps[i] != NULL ? taps[i]->from : -1;
}

static int turn(struct watch *w, const struct box_request *r, struct box_ended *out, struct error *err)
{
    struct pollfd fds[4] = {{w->ended ? -1 : w->conn, POLLIN, 0},
                            {w->killing || w->ended ? -1 : w->cancel, POLLIN, 0},
                            {tap_fd(r->taps, 0), POLLIN, 0},
                            {tap_fd(r->taps, 1), POLLIN, 0}};
    int64_t left = w->deadline_ms - clock_mono_ms();
    if (left <= 0)
        return w->ended ? 1 : gone(err);
    if (poll(fds, 4, (int)left) < 0)
        return errno == EINTR ? 0 : fail_errno(err, "E_BOX_GONE", errno, "the box cannot be watched");
    for (int i = 0; i < 2; i++)
        if (fds[2 + i].revents != 0)
            read_tap(r->taps[i]);
    if (fds[1].revents != 0) {
        w->killing = true;
        w->deadline_ms = clock_mono_ms() + (int64_t)r->start.stop_s * 1000 + GRACE_MS;
        if (ipc_send(w->conn, BOX_KILL, 2, NULL, 0, NULL, 0, err) != IPC_OK)
            return gone(err);
    }
    if (fds[0].revents != 0) {
        int rc = take_record(w->conn, out, &w->started, err);
        if (rc < 0)
            return -1;
        if (rc == 1) {
            w->ended = true;
            w->deadline_ms = clock_mono_ms() + DRAIN_MS;
        }
    }
    return w->ended && tap_fd(r->taps, 0) < 0 && tap_fd(r->taps, 1) < 0 ? 1 : 0;
}

static void close_taps(const struct box_request *r)
{
    for (int i = 0; i < 2; i++)
        if (r->taps[i] != NULL && r->taps[i]->from >= 0) {
            close(r->taps[i]->from);
            r->taps[i]->from = -1;
        }
}

int box_run(const struct box_request *r, int cancel, struct box_ended *out, struct error *err)
{
    *out = (struct box_ended){0};
    AUTO_CLOSE int conn = sock_connect(BOX_SOCKET, err);
    int rc = conn >= 0 ? send_start(conn, r, err) : -1;
    close_given(r);
    if (rc < 0) {
        close_taps(r);
        return fail_in(err, "a box could not be asked for");
    }
    struct watch w = {.conn = conn, .cancel = cancel,
                      .deadline_ms = clock_mono_ms() + ((int64_t)r->start.timeout_s + r->start.stop_s) * 1000 + GRACE_MS};
    while (rc == 0)
        rc = turn(&w, r, out, err);
    close_taps(r);
    if (rc > 0 && w.killing)
        return fail(err, "E_CANCELLED", "cancelled; the box is empty");
    return rc < 0 ? -1 : 0;
}

int box_open(const struct box_request *r, struct error *err)
{
    AUTO_CLOSE int conn = sock_connect(BOX_SOCKET, err);
    struct box_ended ended = {0};
    bool started = false;
    int rc = conn >= 0 ? send_start(conn, r, err) : -1;
    close_given(r);
    if (rc < 0)
        return fail_in(err, "a box could not be asked for");
    struct pollfd wait = {conn, POLLIN, 0};
    while (!started) {
        int n = poll(&wait, 1, GRACE_MS);
        if (n < 0 && errno == EINTR)
            continue;
        rc = n > 0 ? take_record(conn, &ended, &started, err) : gone(err);
        if (rc != 0)
            return rc > 0 ? gone(err) : -1;
    }
    return take_fd(&conn);
}

int box_check(const struct box_ended *e, const char *code, const char *what, uint32_t timeout_s, struct error *err)
{
    char hint[96] = "";
    if (e->denied[0] != 0)
        snprintf(hint, sizeof hint, "; the box refused it the system call %.31s", e->denied);
    switch ((enum box_end)e->exited.end) {
    case BOX_END_EXIT:
        return e->exited.status == 0 ? 0 : fail(err, code, "%s exited with status %d%s: its last lines in the log say why", what, e->exited.status, hint);
    case BOX_END_SIGNAL:
        return fail(err, code, "%s was ended by signal %d%s", what, e->exited.status, hint);
    case BOX_END_TIMEOUT:
        return fail(err, "E_TIMEOUT", "%s ran longer than its %u s and was killed: raise `timeout` in the manifest", what,
                    timeout_s);
    case BOX_END_OOM:
        return fail(err, "E_MEMORY", "%s needed more memory than it may use: raise limits.memory_mb in the manifest", what);
    case BOX_END_KILLED:
        return fail(err, "E_CANCELLED", "%s was cancelled", what);
    }
    return fail(err, code, "%s ended in an unknown way", what);
}
