#include "agent/confine/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/confine/drop.h"
#include "agent/confine/mounts.h"
#include "base/durable.h"
#include "ipc/record.h"

#define SWEEPS 500 /* of 10 ms: how long children may take to die of SIGKILL */

static void give_up(const struct launch *launch, const struct error *err)
{
    ipc_tell_error(launch->birth, 0, err);
    _exit(125);
}

/* Confine has put us into our cgroup: nothing starts before that. */
static void wait_for_go(int control)
{
    struct ipc_record record;
    if (ipc_recv(control, &record, NULL) != IPC_OK || record.head.verb != INIT_GO)
        _exit(125);
}

static pid_t start_command(struct launch *launch)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct error err = {0};
        int birth = launch->birth;
        if (strcmp(launch->plan.profile->filter, "build") != 0)
            launch->birth = -1;
        if (launch_run(launch, &err) < 0)
            ipc_tell_error(birth, 0, &err);
        _exit(127);
    }
    return pid;
}

/* Signals every child that reparenting has brought us; children of theirs come when they die. */
static void signal_children(int signal_number)
{
    char text[4096];
    (void)read_text(AT_FDCWD, "/proc/thread-self/children", text, sizeof text);
    char *at = text, *end;
    for (long pid = strtol(at, &end, 10); end != at; pid = strtol(at = end, &end, 10))
        kill((pid_t)pid, signal_number);
}

static void signal_all(const struct launch *launch, pid_t command, int signal_number)
{
    if (plan_sees(&launch->plan, SEES_SELF))
        kill(-1, signal_number);
    else {
        kill(-command, signal_number);
        signal_children(signal_number);
    }
}

/* Without a PID namespace our end kills nobody, so strays are swept until there is none. */
static void sweep(void)
{
    for (int i = 0; i < SWEEPS; i++) {
        signal_children(SIGKILL);
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            continue;
        if (pid < 0 && errno == ECHILD)
            return;
        struct timespec moment = {0, 10000000};
        nanosleep(&moment, NULL);
    }
}

static void report(int control, int status)
{
    struct rusage used = {0};
    getrusage(RUSAGE_CHILDREN, &used);
    struct init_ended ended = {
        .status = status,
        .cpu_ms = (uint32_t)((used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                             (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000),
        .peak_kb = (uint32_t)used.ru_maxrss,
    };
    ipc_tell(control, INIT_ENDED, 0, &ended, sizeof ended);
}

/* True when the command has ended; others that died are only reaped. */
static bool reap(pid_t command, int *status)
{
    int how;
    bool ended = false;
    for (pid_t pid; (pid = waitpid(-1, &how, WNOHANG)) > 0;)
        if (pid == command) {
            *status = how;
            ended = true;
        }
    return ended;
}

static void watch(const struct launch *launch, int control, int signals, pid_t command)
{
    struct pollfd watched[2] = {{control, POLLIN, 0}, {signals, POLLIN, 0}};
    struct signalfd_siginfo info;
    struct ipc_record record;
    int status = 0;
    for (;;) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            return;
        if ((watched[1].revents & POLLIN) != 0 && read(signals, &info, sizeof info) > 0 &&
            reap(command, &status)) {
            report(control, status);
            return;
        }
        if (watched[0].revents == 0)
            continue;
        if (ipc_recv(control, &record, NULL) != IPC_OK)
            return; /* confine is gone: so is the box */
        if (record.head.verb == INIT_TERM)
            signal_all(launch, command, SIGTERM);
    }
}

void init_run(struct launch *launch, int control)
{
    struct error err = {0};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (plan_sees(&launch->plan, SEES_SELF))
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* without one, the closed control socket tells us to sweep first */
    wait_for_go(control);
    int signals = signalfd(-1, &child, SFD_CLOEXEC);
    if (signals < 0 || sigprocmask(SIG_BLOCK, &child, NULL) < 0 ||
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        fail_errno(&err, "E_BOX_INIT", errno, "the box's first process could not be set up");
        give_up(launch, &err);
    }
    if (mounts_build(&launch->plan, &err) < 0)
        give_up(launch, &err);
    pid_t command = start_command(launch);
    if (command < 0 || drop_to_kill(&err) < 0) {
        if (command < 0)
            fail_errno(&err, "E_BOX_INIT", errno, "the command's process could not be made");
        give_up(launch, &err);
    }
    close(launch->birth);
    for (unsigned i = 0; i < 3 + launch->plan.start.extra_fds; i++)
        close(launch->fds[i]); /* so that readers see the end when the box's processes have ended */
    watch(launch, control, signals, command);
    if (!plan_sees(&launch->plan, SEES_SELF))
        sweep();
    _exit(0);
}
