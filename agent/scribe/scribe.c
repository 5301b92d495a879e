#include "agent/scribe/scribe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/scribe/mask.h"
#include "agent/scribe/member.h"
#include "agent/scribe/stamp.h"
#include "base/clock.h"
#include "ipc/record.h"
#include "ipc/scribe_api.h"
#include "ipc/sock.h"

#define READ_SIZE   65536u
#define RETRY_MS    1000
#define STATS_MS    1000
#define WAITING_MAX (64u * 1024u * 1024u) /* lines of what was read at once, stamps included */
#define MEMBER_TAKE 16384u
#define ADDED_LINES 256u /* secrets that phases may add, all together */

struct source {
    int fd; /* -1: the place is free */
    struct scribe_pipe is;
    struct scribe *scribe;
    struct mask_stream *mask; /* not for SCRIBE_MASK */
    struct stamp stamp;
    struct buf secret;        /* SCRIBE_MASK: a line that is not complete */
    bool overlong;            /* SCRIBE_MASK: that line is longer than a secret may be */
    size_t discard;           /* resumed: bytes still to be dropped, */
    bool discard_line;        /* and then the rest of a line */
};

struct scribe {
    int control, spool;
    struct patterns patterns;
    struct mask_set *set;
    bool set_is_old; /* a secret came since it was built */
    size_t secrets, added;
    struct source sources[SCRIBE_PIPES_MAX];
    struct member *member;
    struct buf waiting; /* stamped lines that the member takes when it has been written */
    uint64_t end; /* of the spool: whole and fsynced */
    bool started, paused, closing, gone;
    bool trouble;
    int64_t retry_at, close_at, stats_at;
    uint32_t close_serial;
    struct scribe_stats stats, told;
    uint8_t chunk[READ_SIZE];
};

/* ---- telling the agent ---- */

/* An agent that has gone is no error here: the log is still written. */
static void tell(struct scribe *s, uint16_t verb, uint32_t serial, const void *body, size_t size)
{
    struct error err;
    if (!s->gone && ipc_send(s->control, verb, serial, body, size, NULL, 0, &err) != IPC_OK)
        s->gone = true;
}

static void tell_synced(struct scribe *s, uint16_t verb, uint32_t serial)
{
    struct scribe_synced body = {.offset = s->end};
    tell(s, verb, serial, &body, sizeof body);
}

static void tell_stats(struct scribe *s)
{
    s->stats.spool_bytes = s->end;
    if (memcmp(&s->stats, &s->told, sizeof s->stats) == 0)
        return;
    s->told = s->stats;
    tell(s, SCRIBE_STATS, 0, &s->stats, sizeof s->stats);
}

static void tell_trouble(struct scribe *s, const struct error *what)
{
    struct ipc_error body = {0};
    memcpy(body.code, what->code, sizeof body.code - 1);
    memcpy(body.text, what->text, sizeof body.text - 1);
    tell(s, SCRIBE_TROUBLE, 0, &body, sizeof body);
}

static void refuse(struct scribe *s, uint32_t serial, const struct error *what)
{
    struct error err;
    if (!s->gone && ipc_send_error(s->control, serial, what, &err) != IPC_OK)
        s->gone = true;
}

/* ---- the spool ---- */

/* Failing is no error here: the member is kept and reading stops until a later try succeeds. */
static bool write_member(struct scribe *s)
{
    struct error err;
    uint64_t before = s->end;
    if (member_write(s->member, s->spool, &s->end, &err) < 0) {
        s->retry_at = clock_mono_ms() + RETRY_MS;
        if (!s->trouble)
            tell_trouble(s, &err);
        s->trouble = true;
        return false;
    }
    s->trouble = false;
    if (s->end != before)
        tell_synced(s, SCRIBE_SYNCED, 0);
    return true;
}

/* Whole lines that wait go into the member until it is full. A line is shorter than MEMBER_TAKE. */
static int refill(struct scribe *s, struct error *err)
{
    while (s->waiting.size > 0 && !member_is_due(s->member, clock_mono_ms())) {
        size_t part = s->waiting.size < MEMBER_TAKE ? s->waiting.size : MEMBER_TAKE;
        while (s->waiting.data[part - 1] != '\n')
            part--;
        if (member_add(s->member, s->waiting.data, part, clock_mono_ms(), err) < 0)
            return -1;
        buf_drop_front(&s->waiting, part);
    }
    return 0;
}

/* stamp_sink: a line goes into the member, or, while that cannot be written, waits; nothing more is read then. */
static int take_line(void *context, const uint8_t *line, size_t size, struct error *err)
{
    struct scribe *s = context;
    s->stats.lines++;
    bool full = s->trouble || s->waiting.size > 0 ||
                (member_is_due(s->member, clock_mono_ms()) && !write_member(s));
    return full ? buf_add(&s->waiting, line, size, err)
                : member_add(s->member, line, size, clock_mono_ms(), err);
}

/* All that is there, in as many members as it takes. */
static bool write_all_members(struct scribe *s, struct error *err)
{
    do {
        if (!write_member(s) || refill(s, err) < 0)
            return false;
    } while (!member_is_empty(s->member));
    return true;
}

/* ---- secrets ---- */

/* mask_sink of every stream: only masked bytes come here. */
static int take_masked(void *context, const uint8_t *data, size_t size, struct error *err)
{
    struct source *source = context;
    return stamp_write(&source->stamp, data, size, clock_wall_ms(), err);
}

/* Built when it is needed, not once a secret. */
static int renew_set(struct scribe *s, struct error *err)
{
    if (!s->set_is_old)
        return 0;
    struct mask_set *set, *old = s->set;
    if (mask_set_build(&s->patterns, &set, err) < 0)
        return -1;
    for (size_t i = 0; i < SCRIBE_PIPES_MAX; i++)
        if (s->sources[i].mask != NULL && mask_stream_change(s->sources[i].mask, set, err) < 0) {
            mask_set_free(set);
            return -1;
        }
    s->set = set;
    s->set_is_old = false;
    mask_set_free(old);
    return 0;
}

static int add_secret(struct scribe *s, const void *value, size_t size, struct error *err)
{
    if (s->secrets >= SCRIBE_SECRETS_MAX)
        return fail(err, "E_SCRIBE_LIMIT", "more than %u secrets", SCRIBE_SECRETS_MAX);
    int added = patterns_add(&s->patterns, value, size, err);
    if (added > 0) {
        s->secrets++;
        s->set_is_old = true;
    }
    return added;
}

static int say(struct scribe *s, const char *text, struct error *err);

/* A secret that a phase adds and that cannot be looked for is said in the log: the phase goes on to print it. */
static int add_phase_secret(struct source *source, const void *value, size_t size, struct error *err)
{
    struct scribe *s = source->scribe;
    struct error why;
    if (size == 0)
        return 0;
    if (source->overlong || s->added >= ADDED_LINES)
        return say(s, "a secret that this phase added is not masked: too long, or too many", err);
    s->added++;
    int added = add_secret(s, value, size, &why);
    if (added < 0)
        return say(s, why.text, err);
    return added > 0 ? 0 : say(s, "a secret that this phase added is too short to be masked", err);
}

static int take_secrets(struct source *source, const uint8_t *data, size_t size, struct error *err)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n') {
            if (add_phase_secret(source, source->secret.data, source->secret.size, err) < 0)
                return -1;
            source->secret.size = 0;
            source->overlong = false;
        } else if (source->secret.size == source->secret.limit) {
            source->overlong = true;
        } else if (buf_add(&source->secret, data + i, 1, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- sources ---- */

static struct source *free_source(struct scribe *s)
{
    for (size_t i = 0; i < SCRIBE_PIPES_MAX; i++)
        if (s->sources[i].fd < 0 && s->sources[i].mask == NULL)
            return &s->sources[i];
    return NULL;
}

static int open_source(struct scribe *s, struct source *source, const struct scribe_pipe *is, struct error *err)
{
    *source = (struct source){.fd = -1, .is = *is, .scribe = s, .secret = BUF(SCRIBE_SECRET_MAX)};
    if (is->kind == SCRIBE_MASK)
        return 0;
    if (renew_set(s, err) < 0 || mask_stream_open(s->set, take_masked, source, &source->mask, err) < 0)
        return -1;
    stamp_open(&source->stamp, is->phase, is->kind == SCRIBE_ERR ? "err" : "out", take_line, s);
    source->discard = is->resumed ? mask_set_longest(s->set) : 0;
    source->discard_line = is->resumed != 0;
    return 0;
}

static void forget_source(struct source *source)
{
    cleanup_close(&source->fd);
    mask_stream_free(source->mask);
    stamp_free(&source->stamp);
    buf_wipe_free(&source->secret);
    *source = (struct source){.fd = -1};
}

/* The input is complete, or its time is over. */
static int end_source(struct source *source, struct error *err)
{
    struct scribe *s = source->scribe;
    int failed = 0;
    if (source->mask == NULL)
        failed = add_phase_secret(source, source->secret.data, source->secret.size, err);
    else if (mask_stream_finish(source->mask, err) < 0 || stamp_finish(&source->stamp, clock_wall_ms(), err) < 0)
        failed = -1;
    else
        s->stats.masked += mask_stream_count(source->mask);
    struct scribe_pipe is = source->is;
    forget_source(source);
    if (failed < 0)
        return -1;
    tell(s, SCRIBE_PIPE_EOF, 0, &is, sizeof is);
    return 0;
}

/* Klystrr's own words, by the way that all text takes. */
static int say(struct scribe *s, const char *text, struct error *err)
{
    struct scribe_pipe is = {.kind = SCRIBE_OUT, .phase = "kly"};
    struct source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for a note");
    int failed = open_source(s, source, &is, err);
    if (failed == 0)
        failed = mask_stream_write(source->mask, text, strlen(text), err);
    if (failed == 0)
        failed = mask_stream_finish(source->mask, err);
    if (failed == 0)
        failed = stamp_finish(&source->stamp, clock_wall_ms(), err);
    if (failed == 0)
        s->stats.masked += mask_stream_count(source->mask);
    forget_source(source);
    free(source);
    return failed;
}

/* Reads what is there: bytes, 0 at the end, -2 if nothing is there now, -1 error. */
static ssize_t read_some(int fd, uint8_t *into, size_t size, struct error *err)
{
    ssize_t got;
    do
        got = read(fd, into, size);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return -2;
    return got < 0 ? fail_errno(err, "E_SCRIBE_READ", errno, "a pipe cannot be read") : got;
}

/* A phase that wrote a secret to its mask descriptor before it printed it has it masked: this is called between the
 * reading of output and the masking of it. */
static int drain_masks(struct scribe *s, struct error *err)
{
    uint8_t some[4096];
    for (size_t i = 0; i < SCRIBE_PIPES_MAX; i++) {
        struct source *source = &s->sources[i];
        ssize_t got = 1;
        while (source->fd >= 0 && source->is.kind == SCRIBE_MASK && got > 0) {
            got = read_some(source->fd, some, sizeof some, err);
            if (got == -1 || (got > 0 && take_secrets(source, some, (size_t)got, err) < 0))
                return -1;
            if (got == 0 && end_source(source, err) < 0)
                return -1;
        }
        wipe(some, sizeof some);
    }
    return renew_set(s, err);
}

/* Of a resumed pipe: how much of this is to be dropped. */
static size_t discarded(struct source *source, const uint8_t *data, size_t size)
{
    size_t part = source->discard < size ? source->discard : size;
    source->discard -= part;
    if (source->discard > 0 || !source->discard_line)
        return part;
    const uint8_t *end = memchr(data + part, '\n', size - part);
    if (end == NULL)
        return size;
    source->discard_line = false;
    return (size_t)(end - data) + 1;
}

static int take_output(struct source *source, size_t size, struct error *err)
{
    struct scribe *s = source->scribe;
    s->stats.raw_bytes += size;
    size_t from = source->discard_line || source->discard > 0 ? discarded(source, s->chunk, size) : 0;
    int failed = drain_masks(s, err);
    if (failed == 0)
        failed = mask_stream_write(source->mask, s->chunk + from, size - from, err);
    wipe(s->chunk, size);
    return failed;
}

static int read_source(struct source *source, struct error *err)
{
    struct scribe *s = source->scribe;
    if (source->is.kind == SCRIBE_MASK)
        return drain_masks(s, err);
    ssize_t got = read_some(source->fd, s->chunk, sizeof s->chunk, err);
    if (got == -1)
        return -1;
    if (got == -2)
        return 0;
    return got == 0 ? end_source(source, err) : take_output(source, (size_t)got, err);
}

/* ---- the agent's records ---- */

static int bad_record(struct error *err, const char *what)
{
    return fail(err, "E_SCRIBE_RECORD", "%s", what);
}

static int on_start(struct scribe *s, const struct ipc_record *r, struct error *err)
{
    const struct scribe_start *body = ipc_body(r, sizeof *body);
    uint64_t lost;
    if (body == NULL || s->started)
        return bad_record(err, "START must come first, and once");
    if (spool_repair(s->spool, body->from, &s->end, &lost, err) < 0)
        return -1;
    s->started = true;
    if (lost > 0 && say(s, "[gap] some of the log was lost here: its recorder or the machine stopped", err) < 0)
        return -1;
    if (lost > 0)
        (void)write_member(s);
    tell_synced(s, SCRIBE_SYNCED, r->head.serial);
    return 0;
}

static int on_secret(struct scribe *s, struct ipc_record *r, struct error *err)
{
    AUTO_CLOSE int fd = ipc_take_fd(r, 0);
    AUTO_WIPE struct buf value = BUF(SCRIBE_SECRET_MAX);
    if (fd < 0)
        return bad_record(err, "ADD_SECRET without a sealed memfd");
    if (memfd_read(fd, &value, err) < 0)
        return -1;
    int added = add_secret(s, value.data, value.size, err);
    if (added < 0)
        return -1;
    struct scribe_secret_is is = {(uint32_t)added, (uint32_t)patterns_count(&s->patterns)};
    tell(s, SCRIBE_ADD_SECRET, r->head.serial, &is, sizeof is);
    return 0;
}

static bool is_phase(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return size > 0 && name[size] == '\0' && name[0] >= 'a' && name[0] <= 'z';
}

/* Pipes only, and ones that may be read without waiting. The flag is shared with the agent, which does not read. */
static int check_pipe(int fd, struct error *err)
{
    struct stat is;
    int flags = fcntl(fd, F_GETFL);
    if (fd < 0 || fstat(fd, &is) < 0 || !S_ISFIFO(is.st_mode) || flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
        return bad_record(err, "ADD_PIPE without the read end of a pipe");
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return fail_errno(err, "E_SCRIBE_RECORD", errno, "a pipe cannot be made non-blocking");
    return 0;
}

static int on_pipe(struct scribe *s, struct ipc_record *r, struct error *err)
{
    AUTO_CLOSE int fd = ipc_take_fd(r, 0);
    const struct scribe_pipe *body = ipc_body(r, sizeof *body);
    if (body == NULL || !IPC_TEXT_OK(body->phase) || !is_phase(body->phase) || body->kind < SCRIBE_OUT ||
        body->kind > SCRIBE_MASK)
        return bad_record(err, "ADD_PIPE with a bad body");
    if (check_pipe(fd, err) < 0)
        return -1;
    struct source *source = free_source(s);
    if (source == NULL)
        return fail(err, "E_SCRIBE_LIMIT", "more than %u pipes at one time", SCRIBE_PIPES_MAX);
    if (body->resumed && body->kind != SCRIBE_MASK &&
        say(s, "[gap] some output was lost here: its recorder was replaced", err) < 0)
        return -1;
    if (open_source(s, source, body, err) < 0) {
        forget_source(source);
        return -1;
    }
    source->fd = take_fd(&fd);
    tell(s, SCRIBE_ADD_PIPE, r->head.serial, body, sizeof *body);
    return 0;
}

static int on_note(struct scribe *s, const struct ipc_record *r, struct error *err)
{
    const struct scribe_note *body = ipc_body(r, sizeof *body);
    if (body == NULL || !IPC_TEXT_OK(body->text))
        return bad_record(err, "NOTE with a bad body");
    if (say(s, body->text, err) < 0)
        return -1;
    tell(s, SCRIBE_NOTE, r->head.serial, body, sizeof *body);
    return 0;
}

static int on_close(struct scribe *s, const struct ipc_record *r, struct error *err)
{
    const struct scribe_close *body = ipc_body(r, sizeof *body);
    if (body == NULL || body->drain_ms > 60000)
        return bad_record(err, "CLOSE with a bad body");
    s->closing = true;
    s->close_at = clock_mono_ms() + body->drain_ms;
    s->close_serial = r->head.serial;
    return 0;
}

static int on_flush(struct scribe *s, const struct ipc_record *r, struct error *err)
{
    if (!write_all_members(s, err))
        return fail(err, "E_SPOOL_WRITE", "the spool cannot be written; it is tried again every second");
    tell_synced(s, SCRIBE_SYNCED, r->head.serial);
    return 0;
}

static int on_record(struct scribe *s, struct ipc_record *r, struct error *err)
{
    if (!s->started && r->head.verb != SCRIBE_START)
        return bad_record(err, "START must come first");
    switch (r->head.verb) {
    case SCRIBE_START:
        return on_start(s, r, err);
    case SCRIBE_ADD_SECRET:
        return on_secret(s, r, err);
    case SCRIBE_ADD_PIPE:
        return on_pipe(s, r, err);
    case SCRIBE_NOTE:
        return on_note(s, r, err);
    case SCRIBE_PAUSE:
        s->paused = true;
        return 0;
    case SCRIBE_RESUME:
        s->paused = false;
        return 0;
    case SCRIBE_FLUSH:
        return on_flush(s, r, err);
    case SCRIBE_CLOSE:
        return on_close(s, r, err);
    default:
        return fail(err, "E_SCRIBE_RECORD", "unknown verb %u", r->head.verb);
    }
}

/* A bad request is answered and changes nothing; a socket that breaks means that the agent has gone. */
static void hear(struct scribe *s)
{
    struct ipc_record record;
    struct error err = {0};
    if (ipc_recv(s->control, &record, &err) != IPC_OK) {
        s->gone = true;
        return;
    }
    if (on_record(s, &record, &err) < 0)
        refuse(s, record.head.serial, &err);
    ipc_close_fds(&record);
}

/* ---- the loop ---- */

static size_t open_sources(const struct scribe *s)
{
    size_t count = 0;
    for (size_t i = 0; i < SCRIBE_PIPES_MAX; i++)
        count += s->sources[i].fd >= 0;
    return count;
}

static int wait_ms(const struct scribe *s, int64_t now)
{
    int64_t wait = s->trouble ? s->retry_at - now : member_wait(s->member, now);
    if (wait < 0)
        wait = s->trouble ? 0 : 60000;
    if (s->closing && s->close_at - now < wait)
        wait = s->close_at > now ? s->close_at - now : 0;
    if (s->stats_at > now && s->stats_at - now < wait)
        wait = s->stats_at - now;
    return (int)wait;
}

/* Waits and handles what came. When paused or in trouble, pipes are not looked at: their writers wait. */
static int turn(struct scribe *s, struct error *err)
{
    struct pollfd waits[SCRIBE_PIPES_MAX + 1];
    struct source *who[SCRIBE_PIPES_MAX + 1];
    nfds_t count = 0;
    bool reads = !s->paused && !s->trouble && s->waiting.size == 0;
    waits[count++] = (struct pollfd){.fd = s->gone ? -1 : s->control, .events = POLLIN};
    for (size_t i = 0; i < SCRIBE_PIPES_MAX && reads; i++) {
        if (s->sources[i].fd < 0)
            continue;
        who[count] = &s->sources[i];
        waits[count++] = (struct pollfd){.fd = s->sources[i].fd, .events = POLLIN};
    }
    int ready = poll(waits, count, s->gone ? 0 : wait_ms(s, clock_mono_ms()));
    if (ready < 0)
        return errno == EINTR ? 0 : fail_errno(err, "E_SCRIBE_READ", errno, "poll failed");
    if (waits[0].revents != 0)
        hear(s);
    for (nfds_t i = 1; i < count; i++)
        if (waits[i].revents != 0 && !s->trouble && who[i]->fd == waits[i].fd && read_source(who[i], err) < 0)
            return -1;
    if (s->gone && (ready == 0 || !reads))
        s->close_at = 0; /* nobody is there to wait for, and nothing more is in the pipes */
    return 0;
}

static int tick(struct scribe *s, struct error *err)
{
    int64_t now = clock_mono_ms();
    if ((s->trouble ? now >= s->retry_at : member_is_due(s->member, now)) && write_member(s) && refill(s, err) < 0)
        return -1;
    if (now >= s->stats_at) {
        tell_stats(s);
        s->stats_at = now + STATS_MS;
    }
    return 0;
}

static bool is_over(const struct scribe *s)
{
    if (!s->closing)
        return false;
    return open_sources(s) == 0 || clock_mono_ms() >= s->close_at;
}

static int finish(struct scribe *s, struct error *err)
{
    for (size_t i = 0; i < SCRIBE_PIPES_MAX; i++)
        if (s->sources[i].fd >= 0 && end_source(&s->sources[i], err) < 0)
            return -1;
    if (!write_all_members(s, err))
        return fail(err, "E_SPOOL_WRITE", "the last lines of the log could not be written to the spool");
    tell_stats(s);
    tell_synced(s, SCRIBE_CLOSED, s->close_serial);
    return 0;
}

static int work(struct scribe *s, const volatile int *stop, struct error *err)
{
    while (!is_over(s)) {
        if (turn(s, err) < 0 || tick(s, err) < 0)
            return -1;
        if ((s->gone || *stop) && !s->closing) {
            s->closing = true;
            s->close_at = clock_mono_ms() + RETRY_MS;
        }
    }
    return finish(s, err);
}

int scribe_run(int control, int spool, const volatile int *stop, struct error *err)
{
    struct scribe *s = calloc(1, sizeof *s);
    if (s == NULL)
        return fail(err, "E_NO_MEMORY", "no memory to start");
    s->control = control;
    s->spool = spool;
    s->patterns = PATTERNS;
    s->waiting.limit = WAITING_MAX;
    for (size_t i = 0; i < SCRIBE_PIPES_MAX; i++)
        s->sources[i].fd = -1;
    int result = member_new(&s->member, err);
    if (result == 0)
        result = mask_set_build(&s->patterns, &s->set, err);
    if (result == 0)
        result = work(s, stop, err);
    for (size_t i = 0; i < SCRIBE_PIPES_MAX; i++)
        forget_source(&s->sources[i]);
    mask_set_free(s->set);
    member_free(s->member);
    buf_free(&s->waiting);
    patterns_free(&s->patterns);
    cleanup_close(&s->control);
    cleanup_close(&s->spool);
    wipe(s->chunk, sizeof s->chunk);
    free(s);
    return result;
}
