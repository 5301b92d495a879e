/* box_client [OPTION VALUE]… -- COMMAND…: one box from the command line.
 *   --confine PROGRAM   starts this klystrr-confine with a connection as its input; else box.sock (--socket
 * PATH) is asked
 *   --profile NAME --project P --subject S --node V --cwd DIR --env NAME=VALUE
 *   --timeout S --stop S --memory MB --tasks N --file MB
 *   --mask yes          passes a third output; what the box writes there comes out as "mask: …"
 *   --hangup MS         closes the connection after so long;  --kill MS  asks for the end after so long
 * Output is relayed; what confine says is told on standard error in lines that start with "# ".
 * Exit: the command's status; 128 + signal; 124 timeout, 137 killed; 125 refused. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "ipc/box_api.h"
#include "ipc/record.h"
#include "ipc/sock.h"

struct client {
    struct box_start start;
    const char *confine, *socket, *cwd, *env[BOX_ENV_MAX + 1];
    unsigned env_count;
    bool mask;
    int64_t hangup_ms, kill_ms;
    int conn, outputs[3];
    int result;
};

static _Noreturn void stop(const struct error *err)
{
    fprintf(stderr, "# %s: %s\n", err->code, err->text);
    exit(125);
}

static uint32_t profile_number(const char *name)
{
    static const char *const names[BOX_PROFILES] = {"",      "fetch", "build", "release",  "activate", "app",
                                                    "probe", "node",  "tidy",  "tidy_app", "scribe"};
    for (uint32_t i = 1; i < BOX_PROFILES; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return (uint32_t)atoi(name);
}

static void option(struct client *c, const char *name, const char *value)
{
    uint32_t number = (uint32_t)strtoul(value, NULL, 10);
    if (strcmp(name, "--profile") == 0)
        c->start.profile = profile_number(value);
    else if (strcmp(name, "--project") == 0)
        snprintf(c->start.project, sizeof c->start.project, "%s", value);
    else if (strcmp(name, "--subject") == 0)
        snprintf(c->start.subject, sizeof c->start.subject, "%s", value);
    else if (strcmp(name, "--node") == 0)
        snprintf(c->start.node, sizeof c->start.node, "%s", value);
    else if (strcmp(name, "--timeout") == 0)
        c->start.timeout_s = number;
    else if (strcmp(name, "--stop") == 0)
        c->start.stop_s = number;
    else if (strcmp(name, "--memory") == 0)
        c->start.memory_mb = number;
    else if (strcmp(name, "--tasks") == 0)
        c->start.tasks = number;
    else if (strcmp(name, "--file") == 0)
        c->start.file_mb = number;
    else if (strcmp(name, "--confine") == 0)
        c->confine = value;
    else if (strcmp(name, "--socket") == 0)
        c->socket = value;
    else if (strcmp(name, "--cwd") == 0)
        c->cwd = value;
    else if (strcmp(name, "--env") == 0 && c->env_count < BOX_ENV_MAX)
        c->env[c->env_count++] = value;
    else if (strcmp(name, "--mask") == 0)
        c->mask = true;
    else if (strcmp(name, "--hangup") == 0)
        c->hangup_ms = clock_mono_ms() + number;
    else if (strcmp(name, "--kill") == 0)
        c->kill_ms = clock_mono_ms() + number;
    else {
        fprintf(stderr, "box_client: unknown option %s\n", name);
        exit(2);
    }
}

static void reach_confine(struct client *c)
{
    struct error err = {0};
    int pair[2];
    if (c->confine == NULL) {
        c->conn = sock_connect(c->socket, &err);
        if (c->conn < 0)
            stop(&err);
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        exit(2);
    if (fork() == 0) {
        if (dup2(pair[1], 0) == 0)
            execl(c->confine, c->confine, (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    c->conn = pair[0];
}

static void make_pipe(int *read_end, int *write_end)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        exit(2);
    *read_end = ends[0];
    *write_end = ends[1];
}

static void ask(struct client *c, char **argv)
{
    struct error err = {0};
    struct buf text = BUF(BOX_COMMAND_MAX);
    int fds[5];
    if (box_command_pack(c->cwd, (const char *const *)argv, c->env, &text, &err) < 0)
        stop(&err);
    fds[0] = memfd_sealed("command", text.data, text.size, &err);
    fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 3; i++)
        make_pipe(&c->outputs[i], &fds[2 + i]);
    c->start.extra_fds = c->mask ? 1 : 0;
    if (fds[0] < 0 ||
        ipc_send(c->conn, BOX_START, 7, &c->start, sizeof c->start, fds, c->mask ? 5 : 4, &err) != IPC_OK)
        stop(&err);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    buf_wipe_free(&text);
}

static void relay(int *from, int to, const char *prefix)
{
    char text[16384];
    ssize_t n = read(*from, text, sizeof text);
    if (n <= 0) {
        close(*from);
        *from = -1;
        return;
    }
    if ((*prefix != 0 && write_all(to, prefix, strlen(prefix)) < 0) || write_all(to, text, (size_t)n) < 0)
        exit(2);
}

static void on_exited(struct client *c, const struct box_exited *e)
{
    static const char *const ends[] = {"?", "exit", "signal", "timeout", "killed", "oom"};
    fprintf(stderr, "# exited end=%s status=%d cpu_ms=%u peak_kb=%u\n",
            ends[e->end <= BOX_END_OOM ? e->end : 0], e->status, e->cpu_ms, e->peak_kb);
    c->result = e->end == BOX_END_EXIT      ? e->status
                : e->end == BOX_END_SIGNAL  ? 128 + e->status
                : e->end == BOX_END_TIMEOUT ? 124
                                            : 137;
}

static void on_record(struct client *c)
{
    struct ipc_record record;
    struct error err = {0};
    if (ipc_recv(c->conn, &record, &err) != IPC_OK) {
        close(c->conn);
        c->conn = -1;
        return;
    }
    const struct box_started *started =
        record.head.verb == BOX_STARTED ? ipc_body(&record, sizeof *started) : NULL;
    const struct box_denied *denied = record.head.verb == BOX_DENIED ? ipc_body(&record, sizeof *denied) : NULL;
    const struct box_exited *exited = record.head.verb == BOX_EXITED ? ipc_body(&record, sizeof *exited) : NULL;
    if (ipc_check_error(&record, &err) < 0)
        fprintf(stderr, "# %s: %s\n", err.code, err.text);
    if (started != NULL)
        fprintf(stderr, "# started pid=%d level=%u\n", started->pid, started->level);
    if (denied != NULL)
        fprintf(stderr, "# denied %s (%s)\n", denied->syscall, denied->program);
    if (exited != NULL)
        on_exited(c, exited);
}

static void timers(struct client *c)
{
    if (c->kill_ms != 0 && clock_mono_ms() >= c->kill_ms && c->conn >= 0) {
        ipc_tell(c->conn, BOX_KILL, 8, NULL, 0);
        c->kill_ms = 0;
    }
    if (c->hangup_ms != 0 && clock_mono_ms() >= c->hangup_ms && c->conn >= 0) {
        close(c->conn);
        c->conn = -1;
    }
}

static void watch(struct client *c)
{
    while (c->conn >= 0 || c->outputs[0] >= 0 || c->outputs[1] >= 0 || c->outputs[2] >= 0) {
        struct pollfd p[4] = {{c->outputs[0], POLLIN, 0},
                              {c->outputs[1], POLLIN, 0},
                              {c->outputs[2], POLLIN, 0},
                              {c->conn, POLLIN, 0}};
        if (poll(p, 4, c->kill_ms != 0 || c->hangup_ms != 0 ? 20 : -1) < 0 && errno != EINTR)
            return;
        timers(c);
        if (p[0].revents != 0)
            relay(&c->outputs[0], 1, "");
        if (p[1].revents != 0)
            relay(&c->outputs[1], 2, "");
        if (p[2].revents != 0)
            relay(&c->outputs[2], 1, "mask: ");
        if (p[3].revents != 0 && c->conn >= 0)
            on_record(c);
    }
}

int main(int argc, char **argv)
{
    struct client c = {.socket = BOX_SOCKET,
                       .cwd = ".",
                       .start = {.profile = BOX_BUILD, .timeout_s = 600, .stop_s = 2},
                       .result = 125};
    int i = 1;
    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2)
        option(&c, argv[i], argv[i + 1]);
    if (i + 1 >= argc)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    reach_confine(&c);
    ask(&c, argv + i + 1);
    watch(&c);
    return c.result;
}
