#include "agent/confine/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/durable.h"
#include "seccomp/denied_names.h" /* made by agent/confine/seccomp/generate.c */

#define PROGRAM_MAX 4096 /* instructions: BPF_MAXINSNS */

int filter_open(const char *name, struct error *err)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, KLY_LIBEXEC "/seccomp/%s.bpf", name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "E_BOX_FILTER", errno, "the seccomp program %s is missing", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0 ||
        st.st_size == 0 || st.st_size > (off_t)(PROGRAM_MAX * sizeof(struct sock_filter)) ||
        st.st_size % (off_t)sizeof(struct sock_filter) != 0)
        return fail(err, "E_BOX_FILTER", "%s is not root's alone to write, or is no seccomp program", path);
    return take_fd(&fd);
}

int filter_load(int fd, bool listen, struct error *err)
{
    static struct sock_filter code[PROGRAM_MAX];
    ssize_t size = pread(fd, code, sizeof code, 0);
    if (size <= 0 || (size_t)size % sizeof *code != 0)
        return fail(err, "E_BOX_FILTER", "the seccomp program could not be read");
    struct sock_fprog program = {(unsigned short)((size_t)size / sizeof *code), code};
    unsigned flags = listen ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
    long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (rc < 0)
        return fail_errno(err, "E_BOX_FILTER", errno, "the kernel takes no seccomp filter");
    return (int)rc;
}

static void describe(const struct seccomp_notif *call, size_t index, struct box_denied *denied)
{
    char path[32];
    *denied = (struct box_denied){0};
    snprintf(denied->syscall, sizeof denied->syscall, "%s", denied_names[index].name);
    snprintf(path, sizeof path, "/proc/%u/comm", call->pid);
    ssize_t n = read_text(AT_FDCWD, path, denied->program, sizeof denied->program);
    if (n > 0 && denied->program[n - 1] == '\n')
        denied->program[n - 1] = 0;
}

int filter_answer(int listener, uint64_t *told, struct box_denied *denied)
{
    struct seccomp_notif call = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
        return 0;
    int first = 0;
    for (size_t i = 0; i < sizeof denied_names / sizeof *denied_names; i++)
        if (denied_names[i].number == call.data.nr && (told[i / 64] & (UINT64_C(1) << i % 64)) == 0) {
            told[i / 64] |= UINT64_C(1) << i % 64;
            describe(&call, i, denied);
            first = 1;
        }
    struct seccomp_notif_resp answer = {.id = call.id, .error = -EPERM};
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    return first;
}
