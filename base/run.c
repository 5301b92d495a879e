#include "base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define LIMIT_MS 60000

static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};

static void become(const char *const argv[], int output)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(output >= 0 ? output : null, 1) >= 0 && dup2(1, 2) >= 0)
        execvpe(argv[0], (char *const *)(uintptr_t)argv, environment);
    _exit(127);
}

static void keep(struct buf *out, const char *text, size_t size)
{
    size_t room = out != NULL && out->size < out->limit ? out->limit - out->size : 0;
    int rc = room == 0 ? 0 : buf_add(out, text, size < room ? size : room, NULL);
    (void)rc; /* output beyond the limit is dropped, the program goes on */
}

/* Until the program ends: a daemon it leaves behind may hold the pipe open. */
static int follow(pid_t pid, int from, struct buf *out)
{
    char text[16384];
    int status;
    int64_t until = clock_mono_ms() + LIMIT_MS;
    for (;;) {
        struct pollfd readable = {from, POLLIN, 0};
        bool ended = waitpid(pid, &status, WNOHANG) == pid;
        ssize_t n = 1;
        while (n > 0 && poll(&readable, 1, ended ? 0 : 20) > 0)
            if ((n = read(from, text, sizeof text)) > 0)
                keep(out, text, (size_t)n);
        if (ended)
            return status;
        if (clock_mono_ms() > until)
            kill(pid, SIGKILL);
        if (n <= 0)
            poll(NULL, 0, 5);
    }
}

int run(const char *const argv[], struct buf *out, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno(err, "E_RUN", errno, "no pipe for %s", argv[0]);
    pid_t pid = fork();
    if (pid == 0)
        become(argv, ends[1]);
    close(ends[1]);
    int status = pid < 0 ? -1 : follow(pid, ends[0], out);
    close(ends[0]);
    if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return fail(err, "E_RUN", "'%s' could not be run, or was killed", argv[0]);
    return WEXITSTATUS(status);
}

void run_sweep_as(uid_t uid, gid_t gid, gid_t group, const char *const paths[])
{
    const char *argv[RUN_ARGS] = {"rm", "-rf", "--one-file-system", "--"};
    for (unsigned i = 0; paths[i] != NULL && i + 5 < RUN_ARGS; i++)
        argv[i + 4] = paths[i];
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(1, &group) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0 &&
            setuid(0) != 0) {
            kill(-1, SIGKILL); /* all of this user's but ourselves */
            become(argv, -1);
        }
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}
