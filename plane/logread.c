/* Reading logs: concatenated gzip members, inflated as they come. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/names.h"
#include "plane/logstore.h"

#define GZIP_WINDOW (15 + 16)
#define READ_SIZE   16384
#define TEXT_SIZE   16384

struct log_reader {
    int dirfd; /* borrowed from the log store */
    char name[40];
    int fd; /* -1: there is no file yet */
    int64_t at;
    z_stream z;
    bool in_member;
    uint64_t skip, offset;
    uint8_t input[READ_SIZE];
    uint8_t text[TEXT_SIZE];
};

struct log_reader *log_reader_new(struct logstore *ls, const char *deployment, uint64_t skip, struct error *err)
{
    if (!name_is_deployment(deployment)) {
        fail(err, "E_NAME", "'%s' is no deployment", deployment);
        return NULL;
    }
    struct log_reader *r = calloc(1, sizeof *r);
    if (r == NULL || inflateInit2(&r->z, GZIP_WINDOW) != Z_OK) {
        free(r);
        fail(err, "E_NO_MEMORY", "no memory for reading a log");
        return NULL;
    }
    r->dirfd = ls->dirfd;
    r->fd = -1;
    r->skip = skip;
    snprintf(r->name, sizeof r->name, "%s.gz", deployment);
    return r;
}

void log_reader_free(struct log_reader *r)
{
    if (r == NULL)
        return;
    inflateEnd(&r->z);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

uint64_t log_reader_offset(const struct log_reader *r)
{
    return r->offset;
}

/* Bytes read at the reader's place; 0: nothing there (yet). */
static ssize_t read_more(struct log_reader *r, uint8_t *out, size_t room, struct error *err)
{
    if (r->fd < 0)
        r->fd = openat(r->dirfd, r->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (r->fd < 0)
        return errno == ENOENT ? 0 : fail_errno(err, "E_LOG", errno, "opening the log %s", r->name);
    ssize_t n;
    do
        n = pread(r->fd, out, room, r->at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_errno(err, "E_LOG", errno, "reading the log %s", r->name);
    r->at += n;
    return n;
}

int log_reader_raw(struct log_reader *r, size_t max, struct buf *out, struct error *err)
{
    size_t want = max < READ_SIZE ? max : READ_SIZE;
    ssize_t n = read_more(r, r->input, want, err);
    if (n <= 0)
        return (int)n;
    return buf_add(out, r->input, (size_t)n, err) < 0 ? -1 : 1;
}

static int keep_text(struct log_reader *r, size_t size, struct buf *out, struct error *err)
{
    size_t drop = r->skip < size ? (size_t)r->skip : size;
    r->skip -= drop;
    r->offset += size;
    return buf_add(out, r->text + drop, size - drop, err);
}

/* One call of inflate. 1: go on; 0: more input is needed; -1: damaged. */
static int inflate_once(struct log_reader *r, struct buf *out, struct error *err)
{
    if (!r->in_member) {
        if (r->z.avail_in == 0)
            return 0;
        inflateReset(&r->z);
        r->in_member = true;
    }
    r->z.next_out = r->text;
    r->z.avail_out = TEXT_SIZE;
    int rc = inflate(&r->z, Z_SYNC_FLUSH);
    if (keep_text(r, TEXT_SIZE - r->z.avail_out, out, err) < 0)
        return -1;
    if (rc == Z_STREAM_END)
        r->in_member = false;
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
        return fail(err, "E_LOG", "the log %s is damaged before byte %lld", r->name, (long long)r->at);
    return rc == Z_STREAM_END || r->z.avail_out == 0 ? 1 : r->z.avail_in > 0 && rc == Z_OK;
}

int log_reader_text(struct log_reader *r, size_t max, struct buf *out, struct error *err)
{
    size_t goal = out->size + max;
    while (out->size < goal) {
        int rc = inflate_once(r, out, err);
        if (rc < 0)
            return -1;
        if (rc > 0)
            continue;
        ssize_t n = read_more(r, r->input, READ_SIZE, err);
        if (n <= 0)
            return (int)n;
        r->z.next_in = r->input;
        r->z.avail_in = (uInt)n;
    }
    return 1;
}

int log_gap_member(uint64_t missing, int64_t now, struct buf *out, struct error *err)
{
    char when[CLOCK_TEXT_SIZE], line[256];
    clock_format(now, when);
    int size = snprintf(line, sizeof line,
                        "%s klystrr kly │ %llu bytes of this log are missing here: they were lost with an "
                        "older state of the plane\n",
                        when, (unsigned long long)missing);
    uint8_t packed[512];
    z_stream z = {
        .next_in = (Bytef *)line, .avail_in = (uInt)size, .next_out = packed, .avail_out = sizeof packed};
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return fail(err, "E_NO_MEMORY", "no memory for a gap line");
    int rc = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    if (rc != Z_STREAM_END)
        return fail(err, "E_LOG", "writing a gap line failed");
    return buf_add(out, packed, sizeof packed - z.avail_out, err);
}
