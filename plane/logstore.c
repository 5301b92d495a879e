#include "plane/logstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/names.h"

#define NAME_SIZE 40

int logstore_open(struct logstore *ls, const char *path, struct error *err)
{
    ls->dirfd = durable_dir(path, 0700, err);
    return ls->dirfd < 0 ? -1 : 0;
}

void logstore_close(struct logstore *ls)
{
    if (ls->dirfd >= 0)
        close(ls->dirfd);
    ls->dirfd = -1;
}

static int file_name(const char *deployment, char *out, struct error *err)
{
    if (!name_is_deployment(deployment))
        return fail(err, "E_NAME", "'%s' is no deployment", deployment);
    snprintf(out, NAME_SIZE, "%s.gz", deployment);
    return 0;
}

int log_open(struct logstore *ls, const char *deployment, int64_t durable_end, struct log_file *f,
             struct error *err)
{
    char name[NAME_SIZE];
    *f = (struct log_file){.fd = -1};
    if (file_name(deployment, name, err) < 0)
        return -1;
    AUTO_CLOSE int fd = openat(ls->dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno(err, "E_LOG", errno, "opening the log %s", name);
    if (st.st_size > durable_end && ftruncate(fd, durable_end) < 0)
        return fail_errno(err, "E_LOG", errno, "cutting the log %s", name);
    /* A new file must survive as a name, too. */
    if (durable_end == 0 && fsync(ls->dirfd) < 0)
        return fail_errno(err, "E_LOG", errno, "syncing the folder of logs");
    f->end = st.st_size < durable_end ? st.st_size : durable_end;
    f->fd = take_fd(&fd);
    return f->end < durable_end ? 1 : 0;
}

int log_append(struct log_file *f, const void *data, size_t size, struct error *err)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(f->fd, (const uint8_t *)data + done, size - done, f->end + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int why = n < 0 ? errno : EIO;
            log_cut(f, f->end);
            return fail_errno(err, why == ENOSPC || why == EDQUOT ? "E_STORE_FULL" : "E_LOG", why,
                              "appending to a log");
        }
        done += (size_t)n;
    }
    f->end += (int64_t)size;
    f->dirty = f->dirty || size > 0;
    return 0;
}

int log_sync(struct log_file *f, struct error *err)
{
    if (!f->dirty)
        return 0;
    if (fdatasync(f->fd) < 0)
        return fail_errno(err, errno == ENOSPC || errno == EDQUOT ? "E_STORE_FULL" : "E_LOG", errno,
                          "syncing a log");
    f->dirty = false;
    return 0;
}

void log_cut(struct log_file *f, int64_t end)
{
    /* If this fails the bytes are overwritten later, or cut when the file is opened again. */
    if (ftruncate(f->fd, end) == 0 || end < f->end)
        f->end = end;
}

void log_close(struct log_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

int logstore_remove(struct logstore *ls, const char *deployment, struct error *err)
{
    char name[NAME_SIZE];
    if (file_name(deployment, name, err) < 0)
        return -1;
    return durable_remove(ls->dirfd, name, err);
}
