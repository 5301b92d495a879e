#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int write_all(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_and_sync(int dirfd, const char *temporary, const void *data, size_t size, mode_t mode)
{
    AUTO_CLOSE int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    return write_all(fd, data, size) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -1 : 0;
}

int durable_replace(int dirfd, const char *name, const void *data, size_t size, mode_t mode, struct error *err)
{
    uint64_t salt = 0;
    char temporary[320];
    if (getrandom(&salt, sizeof salt, 0) != (ssize_t)sizeof salt)
        return fail_errno(err, "E_RANDOM", errno, "no random bytes");
    snprintf(temporary, sizeof temporary, ".%.200s.%016llx", name, (unsigned long long)salt);
    if (write_and_sync(dirfd, temporary, data, size, mode) < 0 || renameat(dirfd, temporary, dirfd, name) < 0) {
        int why = errno;
        unlinkat(dirfd, temporary, 0);
        return fail_errno(err, "E_WRITE", why, "'%s' could not be written", name);
    }
    if (fsync(dirfd) < 0)
        return fail_errno(err, "E_WRITE", errno, "the folder of '%s' could not be synced", name);
    return 0;
}

static int read_fd(int fd, const char *name, struct buf *out, struct error *err)
{
    for (;;) {
        if (out->size == out->limit) {
            uint8_t one;
            ssize_t n = read(fd, &one, 1);
            if (n == 0)
                return 0;
            return fail(err, "E_TOO_LARGE", "'%s' is larger than %zu bytes", name, out->limit);
        }
        size_t step = out->limit - out->size < 16384 ? out->limit - out->size : 16384;
        if (buf_reserve(out, step, err) < 0)
            return -1;
        ssize_t n = read(fd, out->data + out->size, step);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "E_READ", errno, "'%s' could not be read", name);
        out->size += (size_t)n;
        out->data[out->size] = 0;
        if (n == 0)
            return 0;
    }
}

static int read_checked(int dirfd, const char *name, bool private, struct buf *out, struct error *err)
{
    AUTO_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 1 : fail_errno(err, "E_READ", errno, "'%s' could not be opened", name);
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return fail(err, "E_READ", "'%s' is no regular file", name);
    if (private && (st.st_uid != geteuid() || (st.st_mode & 077) != 0))
        return fail(err, "E_PERM", "'%s' must belong to user %u and be closed to others (chmod 600)", name,
                    (unsigned)geteuid());
    return read_fd(fd, name, out, err);
}

int durable_read(int dirfd, const char *name, struct buf *out, struct error *err)
{
    return read_checked(dirfd, name, false, out, err);
}

int durable_read_private(int dirfd, const char *name, struct buf *out, struct error *err)
{
    return read_checked(dirfd, name, true, out, err);
}

int durable_remove(int dirfd, const char *name, struct error *err)
{
    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return fail_errno(err, "E_WRITE", errno, "'%s' could not be removed", name);
    if (fsync(dirfd) < 0)
        return fail_errno(err, "E_WRITE", errno, "the folder of '%s' could not be synced", name);
    return 0;
}

int durable_dir(const char *path, mode_t mode, struct error *err)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return fail_errno(err, "E_WRITE", errno, "folder '%s' could not be made", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "E_READ", errno, "folder '%s' could not be opened", path);
    return fd;
}

ssize_t read_text(int dirfd, const char *name, char *out, size_t size)
{
    AUTO_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    return n;
}
