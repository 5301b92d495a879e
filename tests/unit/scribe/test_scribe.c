#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/scribe/scribe.h"
#include "base/buf.h"
#include "ipc/record.h"
#include "ipc/scribe_api.h"
#include "ipc/sock.h"

/* A scribe in a process of its own, as the agent sees it. */
struct bench {
    pid_t pid;
    int control, spool;
    struct ipc_record got;
};

static void start_scribe(struct bench *b)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    b->pid = fork();
    if (b->pid == 0) {
        volatile int stop = 0;
        struct error err = {0};
        close(pair[0]);
        int failed = scribe_run(pair[1], dup(b->spool), &stop, &err);
        _exit(failed ? 1 : 0);
    }
    close(pair[1]);
    b->control = pair[0];
}

static void say(struct bench *b, uint16_t verb, const void *body, size_t size, int fd)
{
    assert_int_equal(ipc_send(b->control, verb, 7, body, size, &fd, fd >= 0 ? 1 : 0, NULL), IPC_OK);
}

/* Waits for this verb with this serial, through what else is told. */
static const void *hear(struct bench *b, uint16_t verb, uint32_t serial, size_t size)
{
    for (;;) {
        struct pollfd wait = {.fd = b->control, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, 20000), 1);
        assert_int_equal(ipc_recv(b->control, &b->got, NULL), IPC_OK);
        if (b->got.head.verb == verb && b->got.head.serial == serial)
            return ipc_body(&b->got, size);
        if (b->got.head.verb == IPC_VERB_ERROR && verb != IPC_VERB_ERROR)
            print_error("refused: %s\n", (const char *)b->got.body), assert_int_equal(verb, IPC_VERB_ERROR);
    }
}

static uint64_t started(struct bench *b, uint64_t from)
{
    struct scribe_start start = {.from = from};
    say(b, SCRIBE_START, &start, sizeof start, -1);
    const struct scribe_synced *is = hear(b, SCRIBE_SYNCED, 7, sizeof *is);
    assert_non_null(is);
    return is->offset;
}

static int set_up(void **state)
{
    static struct bench b;
    char path[] = "/tmp/klystrr-scribe-XXXXXX";
    b.spool = mkostemp(path, O_APPEND | O_CLOEXEC);
    unlink(path);
    start_scribe(&b);
    *state = &b;
    return b.spool < 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    close(b->control);
    close(b->spool);
    return 0;
}

static void add_secret(struct bench *b, const char *value, uint32_t maskable)
{
    int fd = memfd_sealed("secret", value, strlen(value), NULL);
    say(b, SCRIBE_ADD_SECRET, NULL, 0, fd);
    close(fd);
    const struct scribe_secret_is *is = hear(b, SCRIBE_ADD_SECRET, 7, sizeof *is);
    assert_non_null(is);
    assert_int_equal(is->maskable, maskable);
}

/* The write end. */
static int add_pipe(struct bench *b, uint32_t id, uint32_t kind, uint32_t resumed)
{
    int ends[2];
    struct scribe_pipe is = {.id = id, .kind = kind, .resumed = resumed, .phase = "build"};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    say(b, SCRIBE_ADD_PIPE, &is, sizeof is, ends[0]);
    close(ends[0]);
    assert_non_null(hear(b, SCRIBE_ADD_PIPE, 7, sizeof is));
    return ends[1];
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Closes the scribe; gives its log without the times. */
static struct buf closed(struct bench *b, uint32_t drain_ms)
{
    struct scribe_close close_it = {.drain_ms = drain_ms};
    say(b, SCRIBE_CLOSE, &close_it, sizeof close_it, -1);
    const struct scribe_synced *is = hear(b, SCRIBE_CLOSED, 7, sizeof *is);
    assert_non_null(is);
    assert_int_equal(is->offset, lseek(b->spool, 0, SEEK_END));
    int status;
    assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
    assert_int_equal(status, 0);
    struct buf out = BUF(10u << 20);
    lseek(b->spool, 0, SEEK_SET);
    gzFile file = gzdopen(dup(b->spool), "rb");
    char line[20000];
    while (gzgets(file, line, sizeof line) != NULL)
        assert_int_equal(buf_add_text(&out, line + 25, NULL), 0);
    gzclose(file);
    return out;
}

static void writes_what_pipes_bring_masked(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    add_secret(b, "hunter2-secret", 1);
    add_secret(b, "abc", 0);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0), err = add_pipe(b, 2, SCRIBE_ERR, 0);
    put(out, "token hunter2-");
    put(out, "secret abc\n");
    close(out);
    const struct scribe_pipe *eof = hear(b, SCRIBE_PIPE_EOF, 0, sizeof *eof);
    assert_int_equal(eof->id, 1);
    put(err, "no line end");
    close(err);
    hear(b, SCRIBE_PIPE_EOF, 0, sizeof *eof);
    AUTO_BUF struct buf log = closed(b, 0);
    assert_string_equal(buf_text(&log), "build out │ token [MASKED] abc\nbuild err │ no line end\n");
}

static void masks_each_stream_for_itself(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    add_secret(b, "hunter2-secret", 1);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0), err = add_pipe(b, 2, SCRIBE_ERR, 0);
    put(out, "hunter2-");
    put(err, "x\n");
    put(out, "secret\n");
    close(out);
    close(err);
    AUTO_BUF struct buf log = closed(b, 5000);
    assert_non_null(strstr(buf_text(&log), "build out │ [MASKED]\n"));
    assert_non_null(strstr(buf_text(&log), "build err │ x\n"));
}

static void notes_are_masked_lines_of_phase_kly(void **state)
{
    struct bench *b = *state;
    struct scribe_note note = {.text = "fetching https://u:hunter2-secret@h\nsecond \033[2Jline"};
    assert_int_equal(started(b, 0), 0);
    add_secret(b, "hunter2-secret", 1);
    say(b, SCRIBE_NOTE, &note, sizeof note, -1);
    assert_non_null(hear(b, SCRIBE_NOTE, 7, sizeof note));
    AUTO_BUF struct buf log = closed(b, 0);
    assert_string_equal(buf_text(&log), "kly out │ fetching https://u:[MASKED]@h\nkly out │ second \\x1b[2Jline\n");
}

static void a_phase_can_add_a_secret_before_it_prints_it(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0), mask = add_pipe(b, 2, SCRIBE_MASK, 0);
    for (int i = 0; i < 100; i++) {
        char line[64];
        snprintf(line, sizeof line, "made-up-%04d\n", i);
        put(mask, line);
        put(out, "got ");
        put(out, line);
    }
    put(mask, "abc\n");
    close(out);
    close(mask);
    AUTO_BUF struct buf log = closed(b, 5000);
    assert_null(strstr(buf_text(&log), "made-up"));
    assert_non_null(strstr(buf_text(&log), "kly out │ a secret that this phase added is too short to be masked\n"));
}

static void members_are_told_when_synced_within_seconds(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0);
    put(out, "a line\n");
    const struct scribe_synced *is = hear(b, SCRIBE_SYNCED, 0, sizeof *is);
    assert_true(is->offset > 0);
    assert_int_equal(is->offset, lseek(b->spool, 0, SEEK_END));
    put(out, "another\n");
    say(b, SCRIBE_FLUSH, NULL, 0, -1);
    uint64_t before = is->offset;
    is = hear(b, SCRIBE_SYNCED, 7, sizeof *is);
    assert_true(is->offset >= before);
    close(out);
    AUTO_BUF struct buf log = closed(b, 5000);
    assert_string_equal(buf_text(&log), "build out │ a line\nbuild out │ another\n");
}

static void paused_it_slows_the_writer_and_drops_nothing(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0);
    say(b, SCRIBE_PAUSE, NULL, 0, -1);
    say(b, SCRIBE_FLUSH, NULL, 0, -1);
    hear(b, SCRIBE_SYNCED, 7, sizeof(struct scribe_synced)); /* so PAUSE has been heard */
    fcntl(out, F_SETFL, O_NONBLOCK);
    char line[1024];
    memset(line, 'x', sizeof line);
    line[1023] = '\n';
    size_t lines = 0;
    while (write(out, line, sizeof line) == (ssize_t)sizeof line)
        lines++;
    assert_true(lines >= 4 && lines <= 1024); /* the pipe is full: its writer would wait */
    say(b, SCRIBE_RESUME, NULL, 0, -1);
    close(out);
    AUTO_BUF struct buf log = closed(b, 20000);
    size_t got = 0;
    for (const char *at = buf_text(&log); (at = strchr(at, '\n')) != NULL; at++)
        got++;
    assert_int_equal(got, lines);
}

static void a_replaced_scribe_repairs_the_spool_and_drops_half_secrets(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    add_secret(b, "hunter2-secret", 1);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct scribe_pipe is = {.id = 1, .kind = SCRIBE_OUT, .phase = "build"};
    say(b, SCRIBE_ADD_PIPE, &is, sizeof is, ends[0]);
    hear(b, SCRIBE_ADD_PIPE, 7, sizeof is);
    put(ends[1], "first\nhunter2-");
    const struct scribe_synced *synced = hear(b, SCRIBE_SYNCED, 0, sizeof *synced);
    uint64_t end = synced->offset;
    kill(b->pid, SIGKILL);
    waitpid(b->pid, NULL, 0);
    close(b->control);
    assert_int_equal(write(b->spool, "\x1f\x8b\x08torn", 7), 7);

    start_scribe(b);
    assert_true(started(b, end) > end); /* the gap line */
    add_secret(b, "hunter2-secret", 1);
    is.resumed = 1;
    say(b, SCRIBE_ADD_PIPE, &is, sizeof is, ends[0]);
    hear(b, SCRIBE_ADD_PIPE, 7, sizeof is);
    close(ends[0]);
    put(ends[1], "secret and more of this line that is long enough for the longest pattern of all\nlater\n");
    close(ends[1]);
    AUTO_BUF struct buf log = closed(b, 5000);
    assert_string_equal(buf_text(&log), "build out │ first\n"
                                        "kly out │ [gap] some of the log was lost here: its recorder or the machine stopped\n"
                                        "kly out │ [gap] some output was lost here: its recorder was replaced\n"
                                        "build out │ later\n");
}

static void drains_only_as_long_as_it_may(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0);
    put(out, "held open by a background child\n");
    AUTO_BUF struct buf log = closed(b, 300);
    assert_string_equal(buf_text(&log), "build out │ held open by a background child\n");
    close(out);
}

static void what_was_read_is_written_when_the_agent_goes_away(void **state)
{
    struct bench *b = *state;
    assert_int_equal(started(b, 0), 0);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0);
    put(out, "last words\n");
    close(b->control);
    b->control = -1;
    int status;
    assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
    assert_int_equal(status, 0);
    assert_true(lseek(b->spool, 0, SEEK_END) > 20);
    close(out);
}

static void limit_file_size(pid_t pid, rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(prlimit(pid, RLIMIT_FSIZE, NULL, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(prlimit(pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

/* A limit on file size stands for a full disk. */
static void on_a_full_disk_it_answers_and_loses_nothing(void **state)
{
    struct bench *b = *state;
    char line[64];
    size_t lines = 0, got = 0;
    assert_int_equal(started(b, 0), 0);
    int out = add_pipe(b, 1, SCRIBE_OUT, 0);
    limit_file_size(b->pid, 10);
    put(out, "first\n");
    assert_non_null(hear(b, SCRIBE_TROUBLE, 0, sizeof(struct ipc_error)));
    say(b, SCRIBE_FLUSH, NULL, 0, -1);
    assert_non_null(hear(b, IPC_VERB_ERROR, 7, sizeof(struct ipc_error)));
    fcntl(out, F_SETFL, O_NONBLOCK);
    for (;; lines++) {
        snprintf(line, sizeof line, "line %06zu\n", lines);
        if (write(out, line, strlen(line)) < 0)
            break;
    }
    limit_file_size(b->pid, RLIM_INFINITY);
    close(out);
    AUTO_BUF struct buf log = closed(b, 20000);
    for (const char *at = buf_text(&log); (at = strchr(at, '\n')) != NULL; at++)
        got++;
    assert_int_equal(got, lines + 1);
}

static void bad_records_are_refused_and_change_nothing(void **state)
{
    struct bench *b = *state;
    struct scribe_pipe is = {.id = 1, .kind = SCRIBE_OUT, .phase = "build"};
    struct ipc_error said;
    say(b, SCRIBE_FLUSH, NULL, 0, -1); /* before START */
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    assert_int_equal(started(b, 0), 0);
    int file = dup(b->spool);
    say(b, SCRIBE_ADD_PIPE, &is, sizeof is, file); /* no pipe */
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    say(b, SCRIBE_ADD_PIPE, &is, sizeof is, -1);
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    say(b, SCRIBE_ADD_PIPE, &is, 5, -1);
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    say(b, SCRIBE_ADD_SECRET, NULL, 0, file); /* not sealed */
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    memset(is.phase, 'a', sizeof is.phase);
    say(b, SCRIBE_ADD_PIPE, &is, sizeof is, ends[0]); /* not terminated */
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    strcpy(is.phase, "a b");
    say(b, SCRIBE_ADD_PIPE, &is, sizeof is, ends[0]);
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    say(b, 999, NULL, 0, -1);
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    struct scribe_start start = {0};
    say(b, SCRIBE_START, &start, sizeof start, -1); /* twice */
    hear(b, IPC_VERB_ERROR, 7, sizeof said);
    close(ends[0]);
    close(ends[1]);
    close(file);
    AUTO_BUF struct buf log = closed(b, 0);
    assert_int_equal(log.size, 0);
}

#define scribe_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        scribe_test(writes_what_pipes_bring_masked),
        scribe_test(masks_each_stream_for_itself),
        scribe_test(notes_are_masked_lines_of_phase_kly),
        scribe_test(a_phase_can_add_a_secret_before_it_prints_it),
        scribe_test(members_are_told_when_synced_within_seconds),
        scribe_test(paused_it_slows_the_writer_and_drops_nothing),
        scribe_test(a_replaced_scribe_repairs_the_spool_and_drops_half_secrets),
        scribe_test(drains_only_as_long_as_it_may),
        scribe_test(what_was_read_is_written_when_the_agent_goes_away),
        scribe_test(on_a_full_disk_it_answers_and_loses_nothing),
        scribe_test(bad_records_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
