/* A tmpfs at KLY_RUN_BOX becomes the root: the system read-only, a few files of /etc, a minimal /dev, the
 * plan's folders, then pivot_root and the host's tree is let go. Folders that lie in a tree of the box's own
 * user are opened without following symlinks and mounted by descriptor, so that no name there leads elsewhere.
 */
#include "agent/confine/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/confine/drop.h"
#include "ipc/layout.h"

#define BASE   KLY_RUN_BOX
#define FRESH  "tmp.box-" /* and the number of its box */
#define STALE  16         /* folders of boxes that were killed, removed at a time */
#define DATA   (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define SYSTEM (DATA | MOUNT_ATTR_RDONLY)

static int trouble(struct error *err, const char *path)
{
    return fail_errno(err, "E_BOX_MOUNT", errno, "the box's %s could not be made", path);
}

/* mkdir -p below BASE, which is root's own tmpfs. */
static int make_folders(const char *path, struct error *err)
{
    char at[PLAN_PATH + sizeof BASE];
    size_t length = (size_t)snprintf(at, sizeof at, BASE "%s", path);
    for (size_t i = sizeof BASE; i <= length; i++) {
        if (at[i] != '/' && at[i] != 0)
            continue;
        char kept = at[i];
        at[i] = 0;
        if (mkdir(at, 0755) < 0 && errno != EEXIST)
            return trouble(err, path);
        at[i] = kept;
    }
    return 0;
}

static int make_file(const char *path, struct error *err)
{
    char at[PLAN_PATH + sizeof BASE];
    snprintf(at, sizeof at, "%s", path);
    *strrchr(at, '/') = 0;
    if (at[0] != 0 && make_folders(at, err) < 0)
        return -1;
    snprintf(at, sizeof at, BASE "%s", path);
    int fd = open(at, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    return fd < 0 ? trouble(err, path) : close(fd);
}

/* Opens without following a symlink in any part: the box's user could have placed one. */
static int open_path(const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/* The flags hold for what is mounted below, too. */
static int bind_fd(int source, const char *to, unsigned long flags, struct error *err)
{
    char from[32], at[PLAN_PATH + sizeof BASE];
    struct mount_attr attributes = {.attr_set = flags};
    snprintf(from, sizeof from, "/proc/self/fd/%d", source);
    snprintf(at, sizeof at, BASE "%s", to);
    if (mount(from, at, NULL, MS_BIND | MS_REC, NULL) < 0 ||
        syscall(SYS_mount_setattr, AT_FDCWD, at, AT_RECURSIVE, &attributes, sizeof attributes) < 0)
        return trouble(err, to);
    return 0;
}

/* Shows `from` at `to`; a missing one is an error, or skipped if it is optional. */
static int bind_path(const char *from, const char *to, unsigned long flags, bool optional, bool follow,
                     struct error *err)
{
    AUTO_CLOSE int fd = follow ? open(from, O_PATH | O_CLOEXEC) : open_path(from);
    if (fd < 0)
        return optional && errno == ENOENT ? 0 : trouble(err, from);
    struct stat st;
    int rc = fstat(fd, &st);
    if (rc == 0)
        rc = S_ISDIR(st.st_mode) ? make_folders(to, err) : make_file(to, err);
    return rc == 0 ? bind_fd(fd, to, flags, err) : rc;
}

static int system_folders(struct error *err)
{
    static const char *const links[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    if (bind_path("/usr", "/usr", SYSTEM, false, true, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char target[64], at[64];
        ssize_t n = readlink(links[i], target, sizeof target - 1);
        snprintf(at, sizeof at, BASE "%s", links[i]);
        if (n < 0) {
            if (bind_path(links[i], links[i], SYSTEM, true, true, err) < 0)
                return -1;
            continue;
        }
        target[n] = 0;
        if (symlink(target, at) < 0)
            return trouble(err, links[i]);
    }
    return 0;
}

/* What resolvers, TLS and npm read, and no more: no machine-id, no shadow, nobody's configuration. */
static int system_files(struct error *err)
{
    static const char *const names[] = {
        "resolv.conf",     "hosts",
        "nsswitch.conf",   "passwd",
        "group",           "host.conf",
        "gai.conf",        "protocols",
        "services",        "alternatives",
        "ssl/certs",       "ssl/openssl.cnf",
        "ca-certificates", "ca-certificates.conf",
        "npmrc",           "localtime",
        "timezone",        "ld.so.cache",
        "ld.so.conf",      "ld.so.conf.d",
        "mime.types",      "os-release",
        "debian_version",  "python3",
    };
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/etc/%s", names[i]);
        if (bind_path(path, path, SYSTEM | MOUNT_ATTR_NOEXEC, true, true, err) < 0)
            return -1;
    }
    return 0;
}

static int tmpfs(const char *path, const char *options, unsigned long flags, struct error *err)
{
    char at[PLAN_PATH + sizeof BASE];
    snprintf(at, sizeof at, BASE "%s", path);
    if (make_folders(path, err) < 0)
        return -1;
    return mount("tmpfs", at, "tmpfs", MS_NOSUID | MS_NODEV | flags, options) < 0 ? trouble(err, path) : 0;
}

static int devices(struct error *err)
{
    static const char *const names[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
    static const char *const links[][2] = {{"/proc/self/fd", BASE "/dev/fd"},
                                           {"/proc/self/fd/0", BASE "/dev/stdin"},
                                           {"/proc/self/fd/1", BASE "/dev/stdout"},
                                           {"/proc/self/fd/2", BASE "/dev/stderr"}};
    if (make_folders("/dev", err) < 0 || tmpfs("/dev/shm", "size=256m,mode=1777", 0, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bind_path(names[i], names[i], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false, true, err) < 0)
            return -1;
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            return trouble(err, "/dev");
    return 0;
}

/* Without a PID namespace of its own a box still sees no process but its user's. */
static int proc(const struct plan *plan, struct error *err)
{
    if (make_folders("/proc", err) < 0)
        return -1;
    const char *options = plan_sees(plan, SEES_SELF) ? NULL : "hidepid=invisible";
    if (mount("proc", BASE "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
        return trouble(err, "/proc");
    return 0;
}

static void tmp_path(const struct plan *plan, char out[PLAN_PATH + 24])
{
    char parent[PLAN_PATH];
    plan_path(plan, plan->profile->tmp, parent);
    if (plan->profile->tmp_kind == TMP_KEPT)
        snprintf(out, PLAN_PATH + 24, "%s/tmp", parent);
    else
        snprintf(out, PLAN_PATH + 24, "%s/" FRESH "%d", parent, plan->box);
}

static int own_tmp(const struct plan *plan, struct error *err)
{
    if (plan->profile->tmp_kind == TMP_MEMORY)
        return tmpfs("/tmp", "size=64m,mode=1777", 0, err);
    char path[PLAN_PATH + 24];
    tmp_path(plan, path);
    return bind_path(path, "/tmp", DATA, false, false, err);
}

static int plan_folders(const struct plan *plan, struct error *err)
{
    char from[PLAN_PATH], to[PLAN_PATH];
    for (int i = 0; i < PLAN_FOLDERS && plan->profile->folders[i].from != NULL; i++) {
        const struct folder *folder = &plan->profile->folders[i];
        plan_path(plan, folder->from, from);
        plan_path(plan, folder->to != NULL ? folder->to : folder->from, to);
        if (bind_path(from, to, DATA, false, false, err) < 0)
            return -1;
    }
    if (plan->node[0] != 0 && bind_path(plan->node, plan->node, SYSTEM, false, false, err) < 0)
        return -1;
    if (plan->profile->program != NULL && bind_path(KLY_LIBEXEC, KLY_LIBEXEC, SYSTEM, false, true, err) < 0)
        return -1;
    return plan_sees(plan, SEES_PM2) ? bind_path(KLY_PM2, KLY_PM2, SYSTEM, true, true, err) : 0;
}

static int home(const struct plan *plan, struct error *err)
{
    char options[64];
    if (strcmp(plan->profile->home, BOX_HOME_PATH) != 0)
        return 0; /* one of the plan's folders */
    snprintf(options, sizeof options, "size=512m,mode=0700,uid=%u,gid=%u", (unsigned)plan->uid,
             (unsigned)plan->gid);
    return tmpfs(BOX_HOME_PATH, options, 0, err);
}

static int enter(struct error *err)
{
    if (mount(NULL, BASE, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4m,mode=0755") < 0 ||
        chdir(BASE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0)
        return trouble(err, "root");
    return 0;
}

int mounts_build(const struct plan *plan, struct error *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return trouble(err, "mount namespace");
    if (mkdir(BASE, 0700) < 0 && errno != EEXIST)
        return trouble(err, BASE);
    umask(022);
    if (mount("tmpfs", BASE, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=0755") < 0)
        return trouble(err, "root");
    if (system_folders(err) < 0 || system_files(err) < 0 || devices(err) < 0 || proc(plan, err) < 0 ||
        own_tmp(plan, err) < 0 || home(plan, err) < 0 || plan_folders(plan, err) < 0)
        return -1;
    return enter(err);
}

/* As the box's own user, because root neither walks nor makes anything in a tree that is not root's. */
static int as_user(const struct plan *plan, void act(const struct plan *plan, const char *path),
                   const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (drop_user(plan, NULL) == 0)
            act(plan, path);
        _exit(127);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0 ? 0 : -1;
}

static void make(const struct plan *plan, const char *path)
{
    (void)plan;
    _exit(mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : 1);
}

/* Our own, and those of boxes that no longer live; others of the same project may. */
static void sweep(const struct plan *plan, const char *path)
{
    static char *const environment[] = {NULL};
    char parent[PLAN_PATH], *argv[STALE + 6] = {"rm", "-rf", "--one-file-system", "--", strdup(path)};
    plan_path(plan, plan->profile->tmp, parent);
    DIR *dir = chdir(parent) < 0 ? NULL : opendir(".");
    unsigned n = 5;
    for (struct dirent *e; dir != NULL && n < STALE + 5 && (e = readdir(dir)) != NULL;) {
        int box = strncmp(e->d_name, FRESH, sizeof FRESH - 1) == 0 ? atoi(e->d_name + sizeof FRESH - 1) : 0;
        if (box > 0 && kill(box, 0) < 0 && errno == ESRCH)
            argv[n++] = strdup(e->d_name);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0 && dup2(null, 2) >= 0)
        execve("/bin/rm", argv, environment);
}

int mounts_fresh_tmp(const struct plan *plan, struct error *err)
{
    char path[PLAN_PATH + 24];
    if (plan->profile->tmp_kind == TMP_MEMORY)
        return 0;
    mounts_drop_tmp(plan);
    tmp_path(plan, path);
    return as_user(plan, make, path) < 0
               ? fail(err, "E_BOX_MOUNT", "user %s could not make %s", plan->user, path)
               : 0;
}

void mounts_drop_tmp(const struct plan *plan)
{
    char path[PLAN_PATH + 24];
    if (plan->profile->tmp_kind != TMP_FRESH)
        return;
    tmp_path(plan, path);
    (void)as_user(plan, sweep, path); /* what rm cannot remove stays the user's */
}
