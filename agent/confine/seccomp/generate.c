/* Compiles the boxes' seccomp programs with libseccomp, when Klystrr is built, for the architecture it is built
 * for: generate DIR    writes DIR/{build,app,fetch,probe,scribe}.bpf and DIR/denied_names.h `build` tells its
 * refusals to confine (user notification), which answers EPERM and names them in the log; the others answer by
 * themselves. A name that libseccomp does not know fails the build: no program is ever weaker than it reads. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define X32_BIT 0x40000000u
#define LOW32   0xffffffffu

/* Refused always. */
static const char *const denied[] = {
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "migrate_pages",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "userfaultfd",
    "vhangup",
#ifdef __x86_64__
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "ioperm",
    "iopl",
    "modify_ldt",
    "query_module",
    "sysfs",
    "uselib",
    "ustat",
#endif
};
/* Refused for some arguments only; listed for their names. */
static const char *const partly[] = {
    "clone", "ioctl", "personality", "socket", "unshare", "mknodat",
#ifdef __x86_64__
    "mknod",
#endif
};
/* Libraries fall back when these are not there. */
static const char *const absent[] = {"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void stop(const char *what, int rc)
{
    fprintf(stderr, "generate: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
    exit(1);
}

static int number(const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR)
        stop(name, -ENOSYS);
    return nr;
}

static void rule(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
                 const struct scmp_arg_cmp *args)
{
    int nr = number(name);
    if (nr < 0)
        return; /* not on this architecture */
    int rc = seccomp_rule_add_exact_array(filter, action, nr, count, args);
    if (rc < 0)
        stop(name, rc);
}

static struct scmp_arg_cmp has(unsigned arg, uint64_t mask, uint64_t value)
{
    return (struct scmp_arg_cmp){arg, SCMP_CMP_MASKED_EQ, mask, value};
}

/* New namespaces: any CLONE_NEW* bit. In clone the lowest byte is the exit signal, so CLONE_NEWTIME counts in
 * unshare alone. */
static void refuse_namespaces(scmp_filter_ctx filter, uint32_t action)
{
    static const uint64_t bits[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                    CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
    for (size_t i = 0; i < COUNT(bits); i++) {
        struct scmp_arg_cmp arg = has(0, bits[i], bits[i]);
        rule(filter, action, "clone", 1, &arg);
        rule(filter, action, "unshare", 1, &arg);
    }
    struct scmp_arg_cmp newtime = has(0, 0x80, 0x80);
    rule(filter, action, "unshare", 1, &newtime);
}

/* UNIX, INET, INET6 and NETLINK_ROUTE stay; raw and packet sockets go. */
static void refuse_sockets(scmp_filter_ctx filter, uint32_t action)
{
    for (uint64_t family = 0; family <= AF_NETLINK; family++) {
        struct scmp_arg_cmp arg = has(0, LOW32, family);
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
            rule(filter, action, "socket", 1, &arg);
    }
    struct scmp_arg_cmp newer = {0, SCMP_CMP_GT, AF_NETLINK, 0};
    rule(filter, action, "socket", 1, &newer);
    struct scmp_arg_cmp netlink[] = {has(0, LOW32, AF_NETLINK), {2, SCMP_CMP_NE, 0, 0}};
    rule(filter, action, "socket", 2, netlink);
    static const uint64_t families[] = {AF_INET, AF_INET6}, types[] = {SOCK_RAW, SOCK_PACKET};
    for (size_t f = 0; f < COUNT(families); f++)
        for (size_t t = 0; t < COUNT(types); t++) {
            struct scmp_arg_cmp raw[] = {has(0, LOW32, families[f]), has(1, 0xf, types[t])};
            rule(filter, action, "socket", 2, raw);
        }
}

/* personality: only asking, Linux, and 32-bit and uname-2.6 forms of it. Bits outside {8, 0x20000} are refused,
 * but for 0xffffffff, which asks: so each other bit is refused when the top one is not set. */
static void refuse_personality(scmp_filter_ctx filter, uint32_t action)
{
    for (unsigned bit = 0; bit < 31; bit++) {
        uint64_t value = UINT64_C(1) << bit;
        struct scmp_arg_cmp arg = has(0, value | UINT64_C(0x80000000), value);
        if (value != 8 && value != 0x20000)
            rule(filter, action, "personality", 1, &arg);
    }
}

static void refuse_arguments(scmp_filter_ctx filter, uint32_t action)
{
    static const uint64_t requests[] = {TIOCSTI, 0x541c /* TIOCLINUX */, TIOCSETD};
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct scmp_arg_cmp arg = has(1, LOW32, requests[i]);
        rule(filter, action, "ioctl", 1, &arg);
    }
    static const uint64_t kinds[] = {S_IFCHR, S_IFBLK};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct scmp_arg_cmp second = has(1, S_IFMT, kinds[i]), third = has(2, S_IFMT, kinds[i]);
#ifdef __x86_64__
        rule(filter, action, "mknod", 1, &second);
#endif
        (void)second;
        rule(filter, action, "mknodat", 1, &third);
    }
    refuse_namespaces(filter, action);
    refuse_sockets(filter, action);
    refuse_personality(filter, action);
}

/* A helper of our own starts no process and changes no user. fchownat stays: `klystrr-fetch finish` gives
 * writable paths to the project's group, which its user is in; to another user, only root could give anything.
 */
static void refuse_processes(scmp_filter_ctx filter)
{
    static const char *const names[] = {"setuid",    "setgid",    "setreuid", "setregid", "setresuid",
                                        "setresgid", "setgroups", "mknodat",  "chown",    "fchown",
                                        "lchown",    "shmget",    "msgget",   "semget"};
    for (size_t i = 0; i < COUNT(names); i++)
        rule(filter, SCMP_ACT_ERRNO(EPERM), names[i], 0, NULL);
    rule(filter, SCMP_ACT_KILL_PROCESS, "vfork", 0, NULL);
    rule(filter, SCMP_ACT_KILL_PROCESS, "fork", 0, NULL);
    struct scmp_arg_cmp process = has(0, CLONE_THREAD, 0);
    rule(filter, SCMP_ACT_KILL_PROCESS, "clone", 1, &process);
}

static int newest_call(void)
{
    int newest = 0;
    for (int nr = 0; nr < 1024; nr++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
        if (name != NULL)
            newest = nr;
        free(name);
    }
    return newest;
}

/* Numbers newer than libseccomp's list do not exist (ENOSYS): libseccomp has no rule for that, so it is put in
 * front. x32 numbers pass on to libseccomp's own check, which kills them. */
static void write_program(scmp_filter_ctx filter, const char *path)
{
    const struct sock_filter front[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)newest_call(), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, front, sizeof front) != (ssize_t)sizeof front)
        stop(path, 0);
    int rc = seccomp_export_bpf(filter, fd);
    if (rc < 0 || close(fd) < 0)
        stop(path, rc);
}

static void make(const char *dir, const char *name, uint32_t action, bool helper, bool network)
{
    char path[512];
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL || seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
        stop(name, -EINVAL);
    for (size_t i = 0; i < COUNT(denied); i++)
        rule(filter, action, denied[i], 0, NULL);
    for (size_t i = 0; i < COUNT(absent); i++)
        rule(filter, SCMP_ACT_ERRNO(ENOSYS), absent[i], 0, NULL);
    if (helper)
        refuse_processes(filter);
    if (helper && !network) {
        rule(filter, SCMP_ACT_ERRNO(EPERM), "socket", 0, NULL);
        rule(filter, SCMP_ACT_ERRNO(EPERM), "connect", 0, NULL);
        rule(filter, SCMP_ACT_ERRNO(EPERM), "bind", 0, NULL);
    }
    refuse_arguments(filter, action);
    snprintf(path, sizeof path, "%s/%s.bpf", dir, name);
    write_program(filter, path);
    seccomp_release(filter);
}

static void write_names(const char *dir)
{
    char path[512];
    snprintf(path, sizeof path, "%s/denied_names.h", dir);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        stop(path, 0);
    fputs("/* Made by agent/confine/seccomp/generate.c. */\nstatic const struct {\n    int number;\n    const "
          "char *name;\n} "
          "denied_names[] = {\n",
          file);
    for (size_t i = 0; i < COUNT(denied) + COUNT(partly); i++) {
        const char *name = i < COUNT(denied) ? denied[i] : partly[i - COUNT(denied)];
        if (number(name) >= 0)
            fprintf(file, "    {%d, \"%s\"},\n", number(name), name);
    }
    fputs("};\n", file);
    if (fclose(file) != 0)
        stop(path, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: generate DIR\n");
        return 2;
    }
    /* The machine that builds need not be the one that runs: take all that libseccomp can write. */
    int rc = seccomp_api_set(5);
    if (rc < 0)
        stop("libseccomp is too old for user notification", rc);
    make(argv[1], "build", SCMP_ACT_NOTIFY, false, true);
    make(argv[1], "app", SCMP_ACT_ERRNO(EPERM), false, true);
    make(argv[1], "fetch", SCMP_ACT_ERRNO(EPERM), true, true);
    make(argv[1], "probe", SCMP_ACT_ERRNO(EPERM), true, true);
    make(argv[1], "scribe", SCMP_ACT_ERRNO(EPERM), true, false);
    write_names(argv[1]);
    return 0;
}
