#include "agent/agent/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/names.h"

#define FILE_NAME 64
#define EVENTS_MAX (64u * 1024u * 1024u)

static void events_file(uint64_t base, char *out)
{
    snprintf(out, FILE_NAME, "events.%016" PRIx64, base);
}

static void log_file(const char *deployment, const char *ending, char *out)
{
    snprintf(out, FILE_NAME, "%.24s%s", deployment, ending);
}

static int open_stream(struct spool *s, const char *file, int flags, struct error *err)
{
    int fd = openat(s->dirfd, file, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    return fd >= 0 ? fd : fail_errno(err, "E_SPOOL", errno, "%s could not be opened", file);
}

/* Bytes up to the last line's end. */
static int cut_torn_line(int fd, uint64_t *size, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail_errno(err, "E_SPOOL", errno, "the events");
    off_t end = st.st_size;
    char last = 0;
    while (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n')
        end--;
    if (end < st.st_size && (ftruncate(fd, end) < 0 || fdatasync(fd) < 0))
        return fail_errno(err, "E_SPOOL", errno, "the events could not be repaired");
    *size = (uint64_t)end;
    return 0;
}

static int open_events(struct spool *s, uint64_t base, struct error *err)
{
    char file[FILE_NAME];
    uint64_t size = 0;
    events_file(base, file);
    AUTO_CLOSE int fd = open_stream(s, file, O_CREAT, err);
    if (fd < 0 || cut_torn_line(fd, &size, err) < 0)
        return -1;
    s->events = (struct spool_stream){.id = s->next_id++, .name = "events", .base = base, .end = base + size, .acked = base};
    s->events.fd = take_fd(&fd);
    return 0;
}

static int open_log(struct spool *s, const char *file, const char *deployment, bool closed, struct spool_stream **out,
                    struct error *err)
{
    struct stat st;
    for (int i = 0; i < SPOOL_LOGS; i++) {
        struct spool_stream *log = &s->logs[i];
        if (log->id != 0)
            continue;
        AUTO_CLOSE int fd = open_stream(s, file, closed ? 0 : O_CREAT, err);
        if (fd < 0 || fstat(fd, &st) < 0)
            return -1;
        *log = (struct spool_stream){.id = s->next_id++, .closed = closed, .unsure = !closed && st.st_size > 0,
                                      .end = closed ? (uint64_t)st.st_size : 0};
        snprintf(log->name, sizeof log->name, "log/%.24s", deployment);
        log->fd = take_fd(&fd);
        *out = log;
        return 0;
    }
    return fail(err, "E_SPOOL_FULL", "%d logs wait for the plane already", SPOOL_LOGS);
}

/* "dep_….log" and so on; the deployment's id into out. */
static bool is_log(const char *name, const char *ending, char out[32])
{
    size_t length = strlen(name), tail = strlen(ending);
    if (length != 20 + tail || strcmp(name + 20, ending) != 0)
        return false;
    snprintf(out, 32, "%.20s", name);
    return name_is_deployment(out);
}

static DIR *list(const struct spool *s)
{
    int fd = openat(s->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0)
        close(fd);
    return dir;
}

static void drop_older_events(struct spool *s, uint64_t base)
{
    char name[FILE_NAME];
    DIR *dir = list(s);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        uint64_t other;
        if (sscanf(e->d_name, "events.%16" SCNx64, &other) != 1 || other >= base)
            continue;
        events_file(other, name);
        unlinkat(s->dirfd, name, 0);
    }
    if (dir != NULL)
        closedir(dir);
}

int spool_open(struct spool *s, int dirfd, struct error *err)
{
    *s = (struct spool){.dirfd = dirfd, .next_id = 1};
    DIR *dir = list(s);
    if (dir == NULL)
        return fail_errno(err, "E_SPOOL", errno, "the spool could not be listed");
    uint64_t base = 0, found;
    char deployment[32];
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct spool_stream *log;
        if (sscanf(e->d_name, "events.%16" SCNx64, &found) == 1 && found > base)
            base = found;
        bool closed = is_log(e->d_name, ".gz", deployment);
        if (closed || is_log(e->d_name, ".log", deployment))
            (void)!open_log(s, e->d_name, deployment, closed, &log, NULL);
    }
    closedir(dir);
    if (open_events(s, base, err) < 0)
        return -1;
    drop_older_events(s, base);
    return 0;
}

static void close_stream(struct spool_stream *stream)
{
    if (stream->id != 0 && stream->fd >= 0)
        close(stream->fd);
    *stream = (struct spool_stream){.fd = -1};
}

void spool_close(struct spool *s)
{
    close_stream(&s->events);
    for (int i = 0; i < SPOOL_LOGS; i++)
        close_stream(&s->logs[i]);
}

int spool_event(struct spool *s, struct bytes lines, struct error *err)
{
    struct spool_stream *e = &s->events;
    if (e->end - e->base > EVENTS_MAX)
        return fail(err, "E_SPOOL_FULL", "64 MiB of events wait for the plane: no more are written");
    if (write_all(e->fd, lines.data, lines.size) < 0 || fdatasync(e->fd) < 0) {
        int why = errno;
        if (ftruncate(e->fd, (off_t)(e->end - e->base)) < 0)
            why = errno;
        return fail_errno(err, "E_SPOOL", why, "an event could not be written");
    }
    e->end += lines.size;
    return 0;
}

struct spool_stream *spool_find_log(struct spool *s, const char *deployment)
{
    for (int i = 0; i < SPOOL_LOGS; i++)
        if (s->logs[i].id != 0 && strcmp(s->logs[i].name + 4, deployment) == 0)
            return &s->logs[i];
    return NULL;
}

struct spool_stream *spool_log(struct spool *s, const char *deployment, struct error *err)
{
    char file[FILE_NAME];
    struct spool_stream *log = spool_find_log(s, deployment);
    if (log != NULL)
        return log;
    log_file(deployment, ".log", file);
    return open_log(s, file, deployment, false, &log, err) == 0 ? log : NULL;
}

static int rename_log(struct spool *s, const struct spool_stream *log, const char *from, const char *to, struct error *err)
{
    char old[FILE_NAME], new[FILE_NAME];
    log_file(log->name + 4, from, old);
    log_file(log->name + 4, to, new);
    if (renameat(s->dirfd, old, s->dirfd, new) < 0 || fsync(s->dirfd) < 0)
        return fail_errno(err, "E_SPOOL", errno, "%s could not be closed", old);
    return 0;
}

int spool_log_done(struct spool *s, struct spool_stream *log, uint64_t end, struct error *err)
{
    struct stat st;
    if (log->closed)
        return 0;
    if (fstat(log->fd, &st) == 0 && (uint64_t)st.st_size > end && ftruncate(log->fd, (off_t)end) < 0)
        return fail_errno(err, "E_SPOOL", errno, "%s could not be cut", log->name);
    if (fdatasync(log->fd) < 0)
        return fail_errno(err, "E_SPOOL", errno, "%s could not be synced", log->name);
    log->end = end;
    log->unsure = false;
    log->closed = true;
    return rename_log(s, log, ".log", ".gz", err);
}

struct spool_stream *spool_by_id(struct spool *s, uint32_t id)
{
    if (id != 0 && s->events.id == id)
        return &s->events;
    for (int i = 0; id != 0 && i < SPOOL_LOGS; i++)
        if (s->logs[i].id == id)
            return &s->logs[i];
    return NULL;
}

/* The unacknowledged end becomes the file; both names exist for a moment, and the higher one counts. */
static int rotate(struct spool *s, struct error *err)
{
    struct spool_stream old = s->events;
    size_t rest = (size_t)(old.end - old.acked);
    AUTO_BUF struct buf keep = BUF(EVENTS_MAX + 65536);
    char file[FILE_NAME];
    if (buf_reserve(&keep, rest + 1, err) < 0)
        return -1;
    while (keep.size < rest) {
        ssize_t n = pread(old.fd, keep.data + keep.size, rest - keep.size, (off_t)(old.acked - old.base + keep.size));
        if (n <= 0)
            return fail(err, "E_SPOOL", "the events could not be read");
        keep.size += (size_t)n;
    }
    events_file(old.acked, file);
    if (durable_replace(s->dirfd, file, keep.data, keep.size, 0600, err) < 0 || open_events(s, old.acked, err) < 0)
        return -1;
    close(old.fd);
    drop_older_events(s, s->events.base);
    return 0;
}

struct spool_stream *spool_acked(struct spool *s, uint32_t id, uint64_t end, bool closed, uint32_t *gone)
{
    struct spool_stream *stream = spool_by_id(s, id);
    *gone = 0;
    if (stream == NULL || end > stream->end || end < stream->acked)
        return NULL;
    stream->acked = end;
    if (stream == &s->events) {
        if (end - stream->base < SPOOL_ROTATE || rotate(s, NULL) < 0)
            return NULL;
        *gone = id;
        return &s->events;
    }
    if (!stream->closed || !closed || end != stream->end)
        return NULL;
    (void)!rename_log(s, stream, ".gz", ".sent.gz", NULL);
    *gone = id;
    close_stream(stream);
    return NULL;
}

int spool_reader(struct spool *s, const struct spool_stream *stream, struct error *err)
{
    char path[64];
    (void)s;
    snprintf(path, sizeof path, "/proc/self/fd/%d", stream->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : fail_errno(err, "E_SPOOL", errno, "%s could not be opened", stream->name);
}

int spool_log_reader(struct spool *s, const char *deployment, struct error *err)
{
    static const char *const endings[] = {".log", ".gz", ".sent.gz"};
    char file[FILE_NAME];
    for (int i = 0; name_is_deployment(deployment) && i < 3; i++) {
        log_file(deployment, endings[i], file);
        int fd = openat(s->dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0)
            return fd;
    }
    return fail(err, "E_NOT_FOUND", "there is no log of %.24s on this host", deployment);
}

bool spool_tidy(struct spool *s)
{
    for (;;) {
        uint64_t sum = 0;
        char oldest[FILE_NAME] = "", deployment[32];
        struct timespec oldest_time = {0};
        DIR *dir = list(s);
        for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
            struct stat st;
            bool sent = is_log(e->d_name, ".sent.gz", deployment);
            if ((!sent && !is_log(e->d_name, ".gz", deployment) && !is_log(e->d_name, ".log", deployment)) ||
                fstatat(s->dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                continue;
            sum += (uint64_t)st.st_size;
            if (sent && (oldest[0] == 0 || st.st_mtim.tv_sec < oldest_time.tv_sec)) {
                snprintf(oldest, sizeof oldest, "%.60s", e->d_name);
                oldest_time = st.st_mtim;
            }
        }
        if (dir != NULL)
            closedir(dir);
        if (sum <= SPOOL_QUOTA || oldest[0] == 0)
            return sum > SPOOL_QUOTA;
        unlinkat(s->dirfd, oldest, 0);
    }
}
