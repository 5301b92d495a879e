/* prober ATTEMPT…: tries what an attacker inside a box would, and prints "<attempt> <errno name or ok>" for
 * each. Statically linked, so that it runs wherever it is put. Attempts with a value: open:PATH, write:PATH,
 * connect:PATH. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH (UINT64_C(1) << 32)

static char page[4096];

struct attempt {
    const char *name;
    long number;
    long a[6];
};

#define NOWHERE ((long)(uintptr_t)page)

static const struct attempt *attempts(size_t *count)
{
    static struct attempt list[] = {
        {"bpf", SYS_bpf, {0}},
        {"keyctl", SYS_keyctl, {0}},
        {"add_key", SYS_add_key, {0}},
        {"request_key", SYS_request_key, {0}},
        {"userfaultfd", SYS_userfaultfd, {0}},
        {"perf_event_open", SYS_perf_event_open, {0}},
        {"ptrace", SYS_ptrace, {0}},
        {"process_vm_readv", SYS_process_vm_readv, {1}},
        {"process_vm_writev", SYS_process_vm_writev, {1}},
        {"pidfd_getfd", SYS_pidfd_getfd, {-1}},
        {"kexec_load", SYS_kexec_load, {0}},
        {"init_module", SYS_init_module, {0}},
        {"finit_module", SYS_finit_module, {-1}},
        {"delete_module", SYS_delete_module, {0}},
        {"mount", SYS_mount, {0}},
        {"umount2", SYS_umount2, {0}},
        {"pivot_root", SYS_pivot_root, {0}},
        {"move_mount", SYS_move_mount, {-1}},
        {"open_tree", SYS_open_tree, {-1}},
        {"fsopen", SYS_fsopen, {0}},
        {"fsmount", SYS_fsmount, {-1}},
        {"mount_setattr", SYS_mount_setattr, {-1}},
        {"setns", SYS_setns, {-1}},
        {"open_by_handle_at", SYS_open_by_handle_at, {-1}},
        {"chroot", SYS_chroot, {0}},
        {"swapon", SYS_swapon, {0}},
        {"reboot", SYS_reboot, {0}},
        {"sethostname", SYS_sethostname, {0}},
        {"syslog", SYS_syslog, {0}},
        {"kcmp", SYS_kcmp, {1, 1}},
        {"fanotify_init", SYS_fanotify_init, {0}},
        {"mknod_device", SYS_mknodat, {AT_FDCWD, 0, S_IFCHR | 0600, 0x101}},
        {"personality_0", SYS_personality, {0}},
        {"personality_ask", SYS_personality, {0xffffffffL}},
        {"personality_randomize", SYS_personality, {0x0040000}},
        {"personality_read_implies_exec", SYS_personality, {0x0400000}},
        {"unshare_user", SYS_unshare, {CLONE_NEWUSER}},
        {"unshare_net", SYS_unshare, {CLONE_NEWNET}},
        {"unshare_time", SYS_unshare, {0x80}},
        {"unshare_files", SYS_unshare, {CLONE_FILES}},
        {"clone_user", SYS_clone, {CLONE_NEWUSER | SIGCHLD}},
        {"clone_net", SYS_clone, {CLONE_NEWNET | SIGCHLD}},
        {"clone_user_high", SYS_clone, {(long)(HIGH | CLONE_NEWUSER | SIGCHLD)}},
        {"clone3", SYS_clone3, {0, 64}},
        {"io_uring_setup", 425, {0}},
        {"io_uring_enter", 426, {-1}},
        {"io_uring_register", 427, {-1}},
        {"newest", 480, {0}},
        {"unknown", 1000, {0}},
        {"tiocsti", SYS_ioctl, {0, 0x5412, 0}},
        {"tiocsti_high", SYS_ioctl, {0, (long)(HIGH | 0x5412), 0}},
        {"tioclinux", SYS_ioctl, {0, 0x541c, 0}},
        {"socket_packet", SYS_socket, {AF_PACKET, SOCK_RAW, 0}},
        {"socket_alg", SYS_socket, {AF_ALG, SOCK_SEQPACKET, 0}},
        {"socket_vsock", SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}},
        {"socket_bluetooth", SYS_socket, {AF_BLUETOOTH, SOCK_RAW, 0}},
        {"socket_audit", SYS_socket, {AF_NETLINK, SOCK_RAW, 9}},
        {"socket_route", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}},
        {"socket_raw", SYS_socket, {AF_INET, SOCK_RAW, 1}},
        {"socket_raw_cloexec", SYS_socket, {AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58}},
        {"socket_inet", SYS_socket, {AF_INET, SOCK_STREAM, 0}},
        {"socket_inet6", SYS_socket, {AF_INET6, SOCK_STREAM, 0}},
        {"socket_unix", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
        {"setuid", SYS_setuid, {0}},
        {"setgid", SYS_setgid, {0}},
        {"setgroups", SYS_setgroups, {1, 0}},
        {"kill_init", SYS_kill, {1, SIGKILL}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (strcmp(list[i].name, "mknod_device") == 0)
            list[i].a[1] = (long)(uintptr_t) "device";
        if (strcmp(list[i].name, "setgroups") == 0)
            list[i].a[1] = NOWHERE;
    }
    *count = sizeof list / sizeof *list;
    return list;
}

static void say(const char *name, long rc)
{
    printf("%s %s\n", name, rc >= 0 ? "ok" : strerrorname_np(errno));
    fflush(stdout);
}

static void call(const struct attempt *t)
{
    long rc = syscall(t->number, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], t->a[5]);
    if (t->number == SYS_clone && rc == 0)
        _exit(0);
    say(t->name, rc);
}

/* In a child, because the answer is a signal. */
static void fatal(const char *name, int which)
{
    pid_t pid = fork();
    if (pid == 0) {
#ifdef __x86_64__
        if (which == 0)
            syscall(0x40000000 | SYS_getpid);
        else {
            long rc = 20;
            __asm__ volatile("int $0x80" : "+a"(rc)::"memory");
        }
#endif
        _exit(which > 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    printf("%s %s\n", name, WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? "SIGSYS" : "survived");
}

static void path_attempt(const char *text)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = strchr(text, ':') + 1;
    if (strncmp(text, "open:", 5) == 0)
        say(text, open(path, O_RDONLY | O_CLOEXEC));
    else if (strncmp(text, "write:", 6) == 0)
        say(text, open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    else {
        snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
        say(text, connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to));
    }
}

static void signal_attempt(const char *text)
{
    say(text, kill((pid_t)atoi(strchr(text, '=') + 1), SIGTERM));
}

int main(int argc, char **argv)
{
    size_t count;
    const struct attempt *list = attempts(&count);
    if (argc == 1)
        for (size_t i = 0; i < count; i++)
            if (strcmp(list[i].name, "kill_init") != 0)
                call(&list[i]);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "x32") == 0 || strcmp(argv[i], "int80") == 0)
            fatal(argv[i], argv[i][0] == 'i');
        else if (strncmp(argv[i], "kill=", 5) == 0)
            signal_attempt(argv[i]);
        else if (strchr(argv[i], ':') != NULL)
            path_attempt(argv[i]);
        for (size_t n = 0; n < count; n++)
            if (strcmp(argv[i], list[n].name) == 0)
                call(&list[n]);
    }
    return 0;
}
