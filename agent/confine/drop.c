#include "agent/confine/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FILES 65536

static int trouble(struct error *err, const char *what)
{
    return fail_errno(err, "E_BOX_DROP", errno, "%s could not be set", what);
}

/* Only ever down: raising a limit may need a capability that a container's root lacks. */
static int limit(int resource, rlim_t value)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now) < 0)
        return -1;
    rlim_t most = value < now.rlim_max ? value : now.rlim_max;
    struct rlimit to = {most, most};
    return setrlimit((__rlimit_resource_t)resource, &to);
}

int drop_limits(const struct plan *plan, struct error *err)
{
    setsid();
    umask(plan->profile->umask);
    if (limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_NOFILE, OPEN_FILES) < 0)
        return trouble(err, "a limit");
    if (plan->start.file_mb != 0 && limit(RLIMIT_FSIZE, (rlim_t)plan->start.file_mb << 20) < 0)
        return trouble(err, "the file size limit");
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "800", 3) != 3 || close(fd) < 0)
        return trouble(err, "oom_score_adj");
    return 0;
}

static int keep_capabilities(uint32_t low)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{low, low, 0}, {0, 0, 0}};
    return (int)syscall(SYS_capset, &head, sets);
}

/* An unknown capability number ends the list. */
static int drop_bounding_but(int kept)
{
    for (int cap = 0; cap < 64; cap++)
        if (cap != kept && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EINVAL && cap > 0 ? 0 : -1;
    return 0;
}

int drop_user(const struct plan *plan, struct error *err)
{
    uid_t real, effective, saved;
    if (drop_bounding_but(-1) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return trouble(err, "no_new_privs");
    if (setgroups(1, &plan->group) < 0 || setresgid(plan->gid, plan->gid, plan->gid) < 0 ||
        setresuid(plan->uid, plan->uid, plan->uid) < 0 || keep_capabilities(0) < 0)
        return trouble(err, "the user");
    if (getresuid(&real, &effective, &saved) < 0 || real != plan->uid || effective != plan->uid ||
        saved != plan->uid || setuid(0) == 0)
        return fail(err, "E_BOX_DROP", "root could not be given up");
    return 0;
}

int drop_to_kill(struct error *err)
{
    if (drop_bounding_but(CAP_KILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        keep_capabilities(1u << CAP_KILL) < 0)
        return trouble(err, "the init's capabilities");
    return 0;
}
