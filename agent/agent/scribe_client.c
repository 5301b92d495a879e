#include "agent/agent/scribe_client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent/box.h"
#include "ipc/record.h"
#include "ipc/sock.h"

#define ANSWER_MS 20000
#define LIFE_S    7200u /* a box's longest; phases are 7,200 s each at most, all of them together rarely are */

static int wait_for(int fd, short what, struct error *err)
{
    struct pollfd wait = {fd, what, 0};
    int n;
    do
        n = poll(&wait, 1, ANSWER_MS);
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : fail(err, "E_SCRIBE_GONE", "the log writer does not answer");
}

/* The main loop makes the socket non-blocking once it watches it. */
static int say(struct scribe *s, uint16_t verb, const void *body, size_t size, int fd, struct error *err)
{
    if (s->control < 0)
        return fail(err, "E_SCRIBE_GONE", "there is no log writer");
    for (;;) {
        enum ipc_result sent = ipc_send(s->control, verb, ++s->serial, body, size, &fd, fd >= 0 ? 1 : 0, err);
        if (sent == IPC_OK)
            return 0;
        if (sent != IPC_AGAIN)
            return fail(err, "E_SCRIBE_GONE", "the log writer ended");
        if (wait_for(s->control, POLLOUT, err) < 0)
            return -1;
    }
}

/* The answer to the last request; what it tells of its own accord in between is read again later (SYNCED repeats). */
static int answer(struct scribe *s, struct ipc_record *record, struct error *err)
{
    for (;;) {
        if (wait_for(s->control, POLLIN, err) < 0)
            return -1;
        if (ipc_recv(s->control, record, err) != IPC_OK)
            return fail(err, "E_SCRIBE_GONE", "the log writer ended");
        ipc_close_fds(record);
        if (record->head.serial == s->serial)
            return ipc_check_error(record, err);
    }
}

static int start_box(int spool, int theirs, struct error *err)
{
    const char *const argv[] = {"klystrr-scribe", NULL};
    struct box_request r = {.start = {.profile = BOX_SCRIBE, .timeout_s = LIFE_S, .stop_s = 10, .extra_fds = 2},
                            .argv = argv, .in = -1, .out = -1, .err = -1, .extra = {theirs, spool}};
    return box_open(&r, err);
}

int scribe_open(int spool, uint64_t from, int resume, struct scribe *out, uint64_t *synced, struct error *err)
{
    int pair[2];
    *out = NO_SCRIBE;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fail_errno(err, "E_SCRIBE_GONE", errno, "no socket pair");
    out->control = pair[0];
    out->box = start_box(spool, pair[1], err);
    close(pair[1]);
    struct scribe_start start = {.from = from, .resume = resume != 0};
    struct ipc_record record;
    if (out->box < 0 || say(out, SCRIBE_START, &start, sizeof start, -1, err) < 0 || answer(out, &record, err) < 0) {
        scribe_close(out);
        return fail_in(err, "the deployment's log cannot be written");
    }
    const struct scribe_synced *is = ipc_body(&record, sizeof *is);
    if (record.head.verb != SCRIBE_SYNCED || is == NULL) {
        scribe_close(out);
        return fail(err, "E_SCRIBE_GONE", "the log writer answered something else: is it of the same version?");
    }
    *synced = is->offset;
    return 0;
}

int scribe_secret(struct scribe *s, const char *value, struct error *err)
{
    struct ipc_record record;
    if (value[0] == 0)
        return 0;
    AUTO_CLOSE int fd = memfd_sealed("secret", value, strlen(value), err);
    return fd < 0 || say(s, SCRIBE_ADD_SECRET, NULL, 0, fd, err) < 0 ? -1 : answer(s, &record, err);
}

int scribe_pipe(struct scribe *s, int read_end, enum scribe_kind kind, const char *phase, struct error *err)
{
    AUTO_CLOSE int fd = read_end;
    struct scribe_pipe body = {.id = ++s->pipes, .kind = kind};
    snprintf(body.phase, sizeof body.phase, "%s", phase);
    return say(s, SCRIBE_ADD_PIPE, &body, sizeof body, fd, err);
}

void scribe_note(struct scribe *s, const char *format, ...)
{
    struct scribe_note note = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(note.text, sizeof note.text, format, args);
    va_end(args);
    if (s->control >= 0)
        (void)!say(s, SCRIBE_NOTE, &note, sizeof note, -1, NULL);
}

int scribe_finish(struct scribe *s, uint32_t drain_ms, struct error *err)
{
    struct scribe_close body = {.drain_ms = drain_ms};
    return say(s, SCRIBE_CLOSE, &body, sizeof body, -1, err);
}

void scribe_close(struct scribe *s)
{
    if (s->control >= 0)
        close(s->control);
    if (s->box >= 0)
        close(s->box);
    *s = NO_SCRIBE;
}
