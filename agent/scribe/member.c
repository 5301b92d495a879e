#include "agent/scribe/member.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define GZIP_WINDOW 31 /* 32 KiB, with gzip's header and trailer */
#define OUT_ROOM    (2u * MEMBER_RAW_MAX)

struct member {
    z_stream deflater;
    struct buf out;
    size_t raw;
    int64_t began_ms;
    bool complete;
};

int member_new(struct member **out, struct error *err)
{
    struct member *m = calloc(1, sizeof *m);
    if (m == NULL)
        return fail(err, "E_NO_MEMORY", "no memory to compress the log");
    m->out.limit = OUT_ROOM;
    if (deflateInit2(&m->deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(m);
        return fail(err, "E_NO_MEMORY", "no memory to compress the log");
    }
    *out = m;
    return 0;
}

void member_free(struct member *m)
{
    if (m == NULL)
        return;
    deflateEnd(&m->deflater);
    buf_free(&m->out);
    free(m);
}

bool member_is_empty(const struct member *m)
{
    return m->raw == 0;
}

bool member_is_due(const struct member *m, int64_t now_ms)
{
    return m->raw > 0 && (m->complete || m->raw >= MEMBER_RAW_MAX || now_ms - m->began_ms >= MEMBER_AGE_MS);
}

int64_t member_wait(const struct member *m, int64_t now_ms)
{
    if (m->raw == 0)
        return -1;
    return member_is_due(m, now_ms) ? 0 : m->began_ms + MEMBER_AGE_MS - now_ms;
}

/* Runs the compressor until it wants more input, or, at the end, until it is done. */
static int compress_more(struct member *m, const void *data, size_t size, int flush, struct error *err)
{
    m->deflater.next_in = (z_const Bytef *)data;
    m->deflater.avail_in = (uInt)size;
    for (;;) {
        if (buf_reserve(&m->out, 16384, err) < 0)
            return -1;
        m->deflater.next_out = m->out.data + m->out.size;
        m->deflater.avail_out = 16384;
        int result = deflate(&m->deflater, flush);
        m->out.size += 16384 - m->deflater.avail_out;
        if (result == Z_STREAM_END)
            return 0;
        if (result != Z_OK && result != Z_BUF_ERROR)
            return fail(err, "E_MEMBER", "zlib cannot compress the log (%d)", result);
        if (flush == Z_NO_FLUSH && m->deflater.avail_in == 0 && m->deflater.avail_out > 0)
            return 0;
    }
}

int member_add(struct member *m, const void *lines, size_t size, int64_t now_ms, struct error *err)
{
    if (m->complete || size > 16384)
        return fail(err, "E_MEMBER", "a log member that waits to be written takes no more lines");
    if (size == 0)
        return 0;
    if (m->raw == 0)
        m->began_ms = now_ms;
    m->raw += size;
    return compress_more(m, lines, size, Z_NO_FLUSH, err);
}

static int append(int spool, const struct buf *bytes, uint64_t *end, struct error *err)
{
    struct stat before;
    if (fstat(spool, &before) < 0)
        return fail_errno(err, "E_SPOOL_WRITE", errno, "the log's spool file cannot be examined");
    ssize_t written = write(spool, bytes->data, bytes->size);
    if (written == (ssize_t)bytes->size && fsync(spool) == 0) {
        *end = (uint64_t)before.st_size + bytes->size;
        return 0;
    }
    int why = written < 0 || written == (ssize_t)bytes->size ? errno : ENOSPC;
    if (ftruncate(spool, before.st_size) < 0)
        return fail_errno(err, "E_SPOOL_WRITE", errno, "a part of a member could not be taken back from the spool");
    return fail_errno(err, "E_SPOOL_WRITE", why, "%zu bytes of log could not be written to the spool", bytes->size);
}

int member_write(struct member *m, int spool, uint64_t *end, struct error *err)
{
    if (m->raw == 0)
        return 0;
    if (!m->complete && compress_more(m, NULL, 0, Z_FINISH, err) < 0)
        return -1;
    m->complete = true;
    if (append(spool, &m->out, end, err) < 0)
        return -1;
    deflateReset(&m->deflater);
    m->out.size = 0;
    m->raw = 0;
    m->complete = false;
    return 0;
}

/* ---- repair ---- */

struct reader {
    int fd;
    uint64_t at; /* of the file: behind what is in `in` */
    z_stream inflater;
    uint8_t in[65536], out[65536];
};

/* More input; 0 at the end of the file. */
static int fill(struct reader *r, struct error *err)
{
    ssize_t got;
    do
        got = pread(r->fd, r->in, sizeof r->in, (off_t)r->at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail_errno(err, "E_SPOOL_READ", errno, "the log's spool file cannot be read");
    r->at += (uint64_t)got;
    r->inflater.next_in = r->in;
    r->inflater.avail_in = (uInt)got;
    return got > 0;
}

/* Reads on to the end of a member: 1 whole, 0 not whole, -1 error. */
static int read_member(struct reader *r, struct error *err)
{
    if (inflateReset(&r->inflater) != Z_OK)
        return fail(err, "E_SPOOL_READ", "zlib cannot be reset");
    for (;;) {
        if (r->inflater.avail_in == 0) {
            int more = fill(r, err);
            if (more <= 0)
                return more;
        }
        r->inflater.next_out = r->out;
        r->inflater.avail_out = sizeof r->out;
        int result = inflate(&r->inflater, Z_NO_FLUSH);
        if (result == Z_STREAM_END)
            return 1;
        if (result != Z_OK && result != Z_BUF_ERROR)
            return 0;
    }
}

static int find_end(struct reader *r, uint64_t *end, struct error *err)
{
    if (inflateInit2(&r->inflater, GZIP_WINDOW) != Z_OK)
        return fail(err, "E_NO_MEMORY", "no memory to read the log's spool");
    int whole;
    while ((whole = read_member(r, err)) > 0)
        *end = r->at - r->inflater.avail_in;
    inflateEnd(&r->inflater);
    return whole;
}

int spool_repair(int spool, uint64_t from, uint64_t *end, uint64_t *lost, struct error *err)
{
    struct stat is;
    if (fstat(spool, &is) < 0)
        return fail_errno(err, "E_SPOOL_READ", errno, "the log's spool file cannot be examined");
    uint64_t size = (uint64_t)is.st_size;
    if (size < from)
        return fail(err, "E_SPOOL_READ", "the log's spool has %llu bytes, but %llu were synced",
                    (unsigned long long)size, (unsigned long long)from);
    struct reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return fail(err, "E_NO_MEMORY", "no memory to read the log's spool");
    r->fd = spool;
    r->at = from;
    *end = from;
    int failed = size == from ? 0 : find_end(r, end, err);
    free(r);
    if (failed < 0)
        return -1;
    *lost = size - *end;
    if (*lost > 0 && (ftruncate(spool, (off_t)*end) < 0 || fsync(spool) < 0))
        return fail_errno(err, "E_SPOOL_READ", errno, "the log's torn end cannot be cut off");
    return 0;
}
