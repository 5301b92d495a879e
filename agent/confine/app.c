#include "agent/confine/app.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/confine/filter.h"
#include "agent/confine/launch.h"
#include "agent/confine/mounts.h"
#include "ipc/layout.h"
#include "ipc/record.h"
#include "ipc/unit_plan.h"

#define OUTPUT_ROOM (1 << 20) /* bytes an app may write before somebody must read */

/* The file's secrets lie behind what is read here. */
static int read_head(const char *path, struct unit_plan *head, int *file, struct error *err)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno(err, "E_BOX_START", errno, "the unit's plan %s could not be opened", path);
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0 ||
        read(fd, head, sizeof *head) != (ssize_t)sizeof *head || head->magic != UNIT_PLAN_MAGIC ||
        head->size != sizeof *head || head->command_size == 0 || head->command_size > BOX_COMMAND_MAX ||
        st.st_size != (off_t)(sizeof *head + head->command_size) || !IPC_TEXT_OK(head->unit.project) ||
        !IPC_TEXT_OK(head->unit.app) || !IPC_TEXT_OK(head->unit.node))
        return fail(err, "E_BOX_START", "%s is no plan of the warden's", path);
    *file = take_fd(&fd);
    return 0;
}

/* Opened for reading too, so that there is always a reader and no scribe's absence kills the app. */
static int open_output(const struct unit_plan *head, int *output, struct error *err)
{
    char path[128];
    struct stat st;
    unit_output_path(&head->unit, path);
    *output = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (*output < 0 || fstat(*output, &st) < 0 || !S_ISFIFO(st.st_mode))
        return fail(err, "E_BOX_FDS", "%s is not there, or no FIFO", path);
    (void)fcntl(*output, F_SETPIPE_SZ, OUTPUT_ROOM); /* smaller serves as well */
    return 0;
}

int app_become(const char *path, struct error *err)
{
    static struct policy_table policy;
    struct unit_plan head;
    struct launch launch = {.birth = -1, .command = -1};
    if (read_head(path, &head, &launch.command, err) < 0)
        return -1;
    struct box_start start = {
        .profile = BOX_APP, .timeout_s = 1, .memory_mb = head.unit.memory_mb, .tasks = head.unit.tasks};
    memcpy(start.project, head.unit.project, sizeof start.project);
    memcpy(start.node, head.unit.node, sizeof start.node);
    launch.command_at = sizeof head;
    launch.command_size = head.command_size;
    if (policy_table_load(POLICY_TABLE_PATH, &policy, err) < 0 ||
        plan_make(&start, &policy, "/etc/passwd", "/etc/group", &launch.plan, err) < 0 ||
        open_output(&head, &launch.fds[1], err) < 0)
        return -1;
    launch.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    launch.fds[2] = launch.fds[1];
    launch.filter = filter_open(launch.plan.profile->filter, err);
    if (launch.fds[0] < 0 || launch.filter < 0 || mounts_fresh_tmp(&launch.plan, err) < 0)
        return -1;
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0)
        return fail_errno(err, "E_BOX_INIT", errno, "the kernel gives no namespaces");
    return mounts_build(&launch.plan, err) < 0 ? -1 : launch_run(&launch, err);
}
