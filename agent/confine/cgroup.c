#include "agent/confine/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/durable.h"

static int put(int dir, const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static int put_number(int dir, const char *name, unsigned long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    return put(dir, name, text);
}

/* The folder of the cgroup we are in: on a unified hierarchy, or in the v2 part of a hybrid one. */
static bool own_folder(char *out, size_t size)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char text[1024];
    struct statfs fs;
    if (read_text(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) <= 0)
        return false;
    char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line == NULL)
        return false;
    line += *line == '\n' ? 4 : 3;
    line[strcspn(line, "\n")] = 0;
    for (int i = 0; i < 2; i++)
        if (statfs(mounts[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
            return snprintf(out, size, "%s%s", mounts[i], line[1] == 0 ? "" : line) < (int)size;
    return false;
}

/* Controllers are passed on only by a cgroup without processes: in a unit of our own (Delegate=) we step aside.
 */
static bool pass_controllers(int own)
{
    if (mkdirat(own, "confine", 0755) < 0 && errno != EEXIST)
        return false;
    AUTO_CLOSE int aside = openat(own, "confine", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (aside < 0 || put_number(aside, "cgroup.procs", (unsigned long long)getpid()) < 0 ||
        put(own, "cgroup.subtree_control", "+memory +pids") < 0)
        return false;
    (void)put(own, "cgroup.subtree_control", "+cpu");
    (void)put(own, "cgroup.subtree_control", "+io");
    return true;
}

void cgroup_make(const struct plan *plan, struct cgroup *group)
{
    char own[400], controllers[256];
    struct stat st;
    *group = (struct cgroup){.dir = -1};
    AUTO_CLOSE int parent = own_folder(own, sizeof own) ? open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (parent < 0)
        return;
    bool unit = strstr(own, "klystrr-box@") != NULL &&
                read_text(parent, "cgroup.controllers", controllers, sizeof controllers) > 0;
    group->limited = unit && strstr(controllers, "memory") != NULL && pass_controllers(parent);
    snprintf(group->path, sizeof group->path, "%s/box-%s-%d", own, plan->profile->name, (int)getpid());
    if (mkdir(group->path, 0755) == 0)
        group->dir = open(group->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group->dir >= 0 && fstat(group->dir, &st) == 0)
        group->inode = st.st_ino;
}

int cgroup_enter(struct cgroup *group, const struct plan *plan, pid_t pid, struct error *err)
{
    if (group->dir < 0)
        return 0;
    unsigned long long memory = (unsigned long long)plan->start.memory_mb << 20;
    if (group->limited &&
        ((memory != 0 && (put_number(group->dir, "memory.max", memory) < 0)) ||
         (plan->start.tasks != 0 && put_number(group->dir, "pids.max", plan->start.tasks) < 0)))
        return fail_errno(err, "E_BOX_CGROUP", errno, "a limit could not be set in %s", group->path);
    if (group->limited && memory != 0)
        (void)put(group->dir, "memory.swap.max", "0"); /* a kernel without swap accounting has no such file */
    if (put_number(group->dir, "cgroup.procs", (unsigned long long)pid) < 0)
        return fail_errno(err, "E_BOX_CGROUP", errno, "the box could not enter %s", group->path);
    return 0;
}

void cgroup_kill(const struct cgroup *group)
{
    if (group->dir >= 0)
        (void)put(group->dir, "cgroup.kill", "1");
}

uint32_t cgroup_peak_kb(const struct cgroup *group)
{
    char text[32];
    if (group->dir < 0 || read_text(group->dir, "memory.peak", text, sizeof text) <= 0)
        return 0;
    return (uint32_t)(strtoull(text, NULL, 10) >> 10);
}

bool cgroup_oom(const struct cgroup *group)
{
    char text[512];
    if (group->dir < 0 || read_text(group->dir, "memory.events", text, sizeof text) <= 0)
        return false;
    const char *at = strstr(text, "oom_kill ");
    return at != NULL && strtoull(at + 9, NULL, 10) > 0;
}

bool cgroup_drop(struct cgroup *group)
{
    struct timespec moment = {0, 10000000};
    if (group->dir < 0)
        return true;
    bool empty = false;
    for (int i = 0; i < 500 && !empty; i++) {
        empty = rmdir(group->path) == 0 || errno != EBUSY;
        if (!empty) {
            cgroup_kill(group);
            nanosleep(&moment, NULL);
        }
    }
    close(group->dir);
    group->dir = -1;
    return empty;
}
