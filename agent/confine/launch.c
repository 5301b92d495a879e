#include "agent/confine/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/confine/drop.h"
#include "agent/confine/filter.h"
#include "agent/confine/landlock.h"
#include "base/names.h"
#include "ipc/record.h"
#include "ipc/sock.h"

#define ABOVE 16 /* no passed descriptor is below, so that moving one never hits another */

static int move_up(int *fd)
{
    int up = fcntl(*fd, F_DUPFD_CLOEXEC, ABOVE);
    *fd = up;
    return up < 0 ? -1 : 0;
}

/* Descriptors 0 to 2 and the extra ones; everything else closes at exec. */
static int place_fds(struct launch *launch, struct error *err)
{
    unsigned count = 3 + launch->plan.start.extra_fds;
    if (move_up(&launch->filter) < 0 || move_up(&launch->command) < 0 ||
        (launch->birth >= 0 && move_up(&launch->birth) < 0))
        return fail_errno(err, "E_BOX_FDS", errno, "descriptors could not be moved");
    for (unsigned i = 0; i < count; i++)
        if (move_up(&launch->fds[i]) < 0)
            return fail_errno(err, "E_BOX_FDS", errno, "descriptor %u could not be moved", i);
    for (unsigned i = 0; i < count; i++)
        if (dup2(launch->fds[i], (int)i) < 0)
            return fail_errno(err, "E_BOX_FDS", errno, "descriptor %u could not be placed", i);
    if (syscall(SYS_close_range, count, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return fail_errno(err, "E_BOX_FDS", errno,
                          "descriptors could not be closed (a kernel from 5.11 on is needed)");
    return 0;
}

static int read_command(const struct launch *launch, struct box_command *command, struct error *err)
{
    AUTO_WIPE struct buf text = BUF(BOX_COMMAND_MAX);
    if (launch->command_size == 0)
        return memfd_read(launch->command, &text, err) < 0 ? -1 : box_command_unpack(&text, command, err);
    if (buf_reserve(&text, launch->command_size, err) < 0)
        return -1;
    ssize_t n = pread(launch->command, text.data, launch->command_size, (off_t)launch->command_at);
    if (n != (ssize_t)launch->command_size)
        return fail(err, "E_BOX_COMMAND", "the unit's plan is cut off");
    text.size = (size_t)n;
    return box_command_unpack(&text, command, err);
}

static bool has_variable(char *const *envp, const char *name)
{
    size_t length = strlen(name);
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=')
            return true;
    return false;
}

/* The command's own environment; PATH, HOME and LANG are added where it has none. */
static int set_environment(const struct plan *plan, struct box_command *command, struct error *err)
{
    char path[PLAN_PATH + 128], home[PLAN_PATH];
    environ = command->envp;
    plan_path(plan, plan->profile->home, home);
    snprintf(path, sizeof path, "%s%s/usr/local/bin:/usr/bin:/bin", plan->node,
             plan->node[0] != 0 ? "/bin:" : "");
    if ((!has_variable(command->envp, "PATH") && setenv("PATH", path, 1) < 0) ||
        (!has_variable(command->envp, "HOME") && setenv("HOME", home, 1) < 0) ||
        (!has_variable(command->envp, "LANG") && setenv("LANG", "C.UTF-8", 1) < 0))
        return fail(err, "E_BOX_COMMAND", "no memory for the environment");
    return 0;
}

static int go_to(const struct plan *plan, const struct box_command *command, struct error *err)
{
    char cwd[PLAN_PATH];
    plan_path(plan, plan->profile->cwd, cwd);
    if (!name_is_relative_path(command->cwd))
        return fail(err, "E_BOX_COMMAND", "'%.100s' is no relative path", command->cwd);
    if (chdir(cwd) < 0 || chdir(command->cwd) < 0)
        return fail_errno(err, "E_BOX_CWD", errno, "folder '%.100s' is not there", command->cwd);
    return 0;
}

static int load_filter(const struct launch *launch, struct error *err)
{
    int listener = filter_load(launch->filter, launch->birth >= 0, err);
    if (listener < 0)
        return -1;
    if (launch->birth < 0)
        return 0;
    enum ipc_result sent = ipc_send(launch->birth, BOX_STARTED, 0, NULL, 0, &listener, 1, err);
    close(listener);
    return sent == IPC_OK ? 0 : -1;
}

static void default_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int n = 1; n < NSIG; n++)
        signal(n, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int launch_run(struct launch *launch, struct error *err)
{
    const struct plan *plan = &launch->plan;
    struct box_command command = {.text = BUF(0)};
    if (place_fds(launch, err) < 0 || drop_limits(plan, err) < 0 || drop_user(plan, err) < 0)
        return -1;
    /* From here on nothing is root, and what comes from outside may be read. */
    if (read_command(launch, &command, err) < 0 || go_to(plan, &command, err) < 0 ||
        set_environment(plan, &command, err) < 0 || landlock_restrict(plan, err) < 0)
        return -1;
    char helper[PLAN_PATH];
    if (plan->profile->program != NULL) {
        snprintf(helper, sizeof helper, KLY_LIBEXEC "/%s", plan->profile->program);
        command.argv[0] = helper;
    }
    default_signals();
    if (load_filter(launch, err) < 0)
        return -1;
    execvp(command.argv[0], command.argv);
    return fail_errno(err, "E_BOX_EXEC", errno, "'%.100s' could not be started", command.argv[0]);
}
