/* A host's streams: bytes come in, are appended, made durable in groups, then acknowledged.
 *
 * One group: sync the log files, then one transaction with every stream's new end and everything the events
 * say. Only when it is on the disk are acks sent. If a group fails (disk full), its connections are closed and
 * its files cut back to what was durable: the hosts have it all and send it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plane/agent_conn.h"
#include "plane/events.h"
#include "plane/follow.h"

#define TOUCHED_MAX 64
#define RETRY_S     30

static struct agent_stream *stream_of(struct agent *a, uint32_t handle)
{
    for (int i = 0; i < STREAM_LIVE_MAX; i++)
        if (a->streams[i].handle == handle)
            return &a->streams[i];
    return NULL;
}

static void stream_free(struct agent_stream *s)
{
    log_close(&s->file);
    buf_free(&s->tail);
    *s = (struct agent_stream){.file = {.fd = -1}};
}

void agent_streams_close(struct agent *a)
{
    for (int i = 0; i < STREAM_LIVE_MAX; i++) {
        struct agent_stream *s = &a->streams[i];
        if (s->handle == 0)
            continue;
        if (s->dirty && s->file.fd >= 0)
            log_cut(&s->file, s->kept.file_end);
        stream_free(s);
    }
}

/* ---- hello, open ---- */

static bool is_log(const char *name)
{
    return strncmp(name, "log/", 4) == 0;
}

void agent_streams_welcome(struct agent *a, const struct message_hello *hello, struct message_welcome *welcome)
{
    for (size_t i = 0; i < hello->stream_count; i++) {
        struct store_stream row;
        struct error err;
        const struct hello_stream *h = &hello->streams[i];
        int rc = store_stream(&a->plane->store, a->server, h->name, &row, &err);
        if (rc < 0)
            plane_log("%s: %s", a->server, err.text);
        if (rc != 0)
            continue; /* not named: it starts at its base */
        uint64_t gap;
        struct welcome_stream *w = &welcome->streams[welcome->stream_count++];
        memcpy(w->name, h->name, sizeof w->name);
        w->from = stream_welcome_from((uint64_t)row.end, h->base, &gap);
    }
}

/* Bytes that the store lost and the host has deleted since: the log says so where they would stand. */
static int note_gap(struct agent_stream *s, int64_t from, struct error *err)
{
    if (from <= s->now.end)
        return 0;
    if (s->file.fd >= 0) {
        AUTO_BUF struct buf member = BUF(1024);
        if (log_gap_member((uint64_t)(from - s->now.end), clock_wall_ms(), &member, err) < 0 ||
            log_append(&s->file, member.data, member.size, err) < 0)
            return -1;
        s->now.file_end = s->file.end;
    }
    s->now.end = from;
    s->dirty = true;
    return 0;
}

/* 0: it may write this log; 1: of a deployment that was deleted; -1: of somebody else. */
static int check_log(struct agent *a, const char *name, struct error *err)
{
    struct store_deployment d;
    int rc = store_deployment(&a->plane->store, name + 4, &d, err);
    if (rc != 0)
        return rc;
    if (strcmp(d.server, a->server) != 0)
        return fail(err, "E_STREAM_NAME", "%s is another server's", name);
    return 0;
}

static int open_kept(struct agent *a, struct agent_stream *s, struct error *err)
{
    int rc = store_stream(&a->plane->store, a->server, s->now.name, &s->now, err);
    if (rc < 0)
        return -1;
    if (!s->events && !s->sink) {
        int short_file = log_open(&a->plane->logs, s->now.name + 4, s->now.file_end, &s->file, err);
        if (short_file < 0)
            return -1;
        if (short_file > 0)
            plane_log("%s: the file of %s lost bytes that were durable", a->server, s->now.name);
        s->now.file_end = s->file.end;
    }
    s->kept = s->now;
    return rc;
}

static int open_stream(struct agent *a, struct agent_stream *s, const struct message_open *o, struct error *err)
{
    snprintf(s->now.server, sizeof s->now.server, "%s", a->server);
    snprintf(s->now.name, sizeof s->now.name, "%s", o->name);
    s->events = !is_log(o->name);
    s->tail = BUF(AGENT_TAIL_MAX);
    int rc = s->events ? 0 : check_log(a, o->name, err);
    if (rc < 0)
        return -1;
    s->sink = rc > 0;
    rc = open_kept(a, s, err);
    if (rc < 0)
        return -1;
    /* A host that was here before this plane's memory, or a plane restored from a backup: go on where the host
     * is. */
    if (!s->now.closed && note_gap(s, (int64_t)o->from, err) < 0)
        return -1;
    if (stream_receiver_open(&a->receiver, o->handle, o->name, o->from, (uint64_t)s->now.end, s->now.closed,
                             err) < 0)
        return -1;
    s->handle = o->handle;
    return 0;
}

/* A host that has said hello again gives out its handles anew. */
static void forget_handle(struct agent *a, uint32_t handle, const char *name)
{
    for (int i = 0; i < STREAM_LIVE_MAX; i++) {
        struct agent_stream *s = &a->streams[i];
        if (s->handle != 0 && (s->handle == handle || strcmp(s->now.name, name) == 0)) {
            stream_receiver_done(&a->receiver, s->handle);
            stream_free(s);
        }
    }
}

void agent_streams_open(struct agent *a, const struct message_open *o)
{
    struct error err;
    agent_streams_flush(a->plane);
    if (a->leaving)
        return;
    forget_handle(a, o->handle, o->name);
    struct agent_stream *s = stream_of(a, 0);
    if (s == NULL) {
        agent_send_error(a, "E_STREAM_FULL", "too many streams are open on this connection", o->name);
        return;
    }
    if (open_stream(a, s, o, &err) < 0) {
        stream_free(s);
        agent_send_error(a, err.code, err.text, o->name);
        return;
    }
    /* An ack may be due at once: the host begins before our end. */
    s->dirty = true;
    agent_streams_flush(a->plane);
}

/* ---- data ---- */

static int append(struct agent_stream *s, const struct stream_accept *what, const struct data_frame *f,
                  struct error *err)
{
    const uint8_t *data = f->bytes.data + what->skip;
    if (s->events)
        return buf_add(&s->tail, data, what->size, err);
    if (!s->sink && log_append(&s->file, data, what->size, err) < 0)
        return -1;
    s->now.end += what->size;
    s->now.file_end += s->sink ? 0 : what->size;
    return 0;
}

static void give_up(struct agent *a, const struct error *why)
{
    struct message m = {.type = MESSAGE_GOAWAY, .as.goaway = {.retry_after = RETRY_S}};
    plane_log("%s: nothing can be stored: %s: %s", a->server, why->code, why->text);
    agent_send_error(a, "E_STORE", "the plane cannot store anything now; nothing was acknowledged", "data");
    agent_send(a, &m);
    agent_close(a, 1013, "store");
}

static void accepted(struct agent *a, struct agent_stream *s, const struct stream_accept *what,
                     const struct data_frame *f)
{
    struct error err;
    struct agents *all = a->plane->agents;
    if (append(s, what, f, &err) < 0) {
        give_up(a, &err);
        return;
    }
    s->dirty = true;
    s->final = s->final || what->close;
    all->unflushed += what->size;
    if (all->unflushed >= AGENT_FLUSH_BYTES) {
        agent_streams_flush(a->plane);
    } else if (!all->flush_due) {
        all->flush_due = true;
        loop_timer_start(all->flush_timer, AGENT_FLUSH_MS, 0);
    }
}

static void send_acks(struct agent *a, struct agent_stream *s, struct stream_in *in)
{
    struct message m = {.type = MESSAGE_ACK};
    memcpy(m.as.ack.name, s->now.name, sizeof m.as.ack.name);
    while (stream_ack_due(in, &m.as.ack.offset))
        agent_send(a, &m);
}

/* The end was heard and acknowledged on this connection. A stream that was whole before stays open until then:
 * its host did not hear of it and says the end again. */
static void free_if_over(struct agent *a, struct agent_stream *s, const struct stream_in *in)
{
    if (!s->final || !in->closed_told || s->dirty)
        return;
    stream_receiver_done(&a->receiver, s->handle);
    stream_free(s);
}

void agent_streams_data(struct agent *a, const uint8_t *data, size_t size)
{
    struct error err;
    struct data_frame f;
    struct stream_accept what;
    if (data_decode((struct bytes){data, size}, &f, &err) < 0) {
        agent_send_error(a, err.code, err.text, "data");
        agent_close(a, 1008, "malformed data");
        return;
    }
    struct stream_in *in = stream_receiver_find(&a->receiver, f.handle, NULL);
    struct agent_stream *s = stream_of(a, f.handle);
    if (in == NULL || s == NULL) {
        agent_send_error(a, "E_STREAM_HANDLE", "that handle was not opened on this connection", "data");
        return;
    }
    int rc = stream_accept(in, f.offset, (uint32_t)f.bytes.size, f.final, &what, &err);
    if (rc < 0) {
        agent_send_error(a, err.code, err.text, s->now.name);
        agent_close(a, 1008, "stream");
    } else if (rc > 0) {
        accepted(a, s, &what, &f);
    } else {
        send_acks(a, s, in);
        s->final = s->final || f.final;
        free_if_over(a, s, in);
    }
}

/* ---- making it durable ---- */

struct group {
    char touched[TOUCHED_MAX][24];
    size_t count;
};

static void touch(struct group *g, const char *deployment)
{
    for (size_t i = 0; i < g->count; i++)
        if (strcmp(g->touched[i], deployment) == 0)
            return;
    if (deployment[0] != '\0' && g->count < TOUCHED_MAX)
        snprintf(g->touched[g->count++], sizeof g->touched[0], "%s", deployment);
}

static void sync_files(struct plane *p, struct error *err)
{
    for (struct agent *a = p->agents->first; a != NULL; a = a->next)
        for (int i = 0; i < STREAM_LIVE_MAX && !a->leaving; i++)
            if (a->streams[i].dirty && a->streams[i].file.fd >= 0 && log_sync(&a->streams[i].file, err) < 0)
                give_up(a, err);
}

/* Whole lines of the tail, applied. A line that never ends is dropped at a size no event has. */
static int apply_lines(struct agent *a, struct agent_stream *s, struct group *g, struct error *err)
{
    size_t done = 0;
    int64_t now = clock_wall_ms();
    while (done < s->tail.size) {
        const uint8_t *line = s->tail.data + done, *end = memchr(line, '\n', s->tail.size - done);
        size_t left = s->tail.size - done;
        if (end == NULL && left <= EVENT_MAX && !s->final)
            break;
        size_t size = end != NULL ? (size_t)(end - line) + 1 : left;
        struct events_result r = {0};
        if (events_apply(&a->plane->store, a->server, (struct bytes){line, size}, now, &r, err) < 0)
            return -1;
        touch(g, r.deployment);
        if (r.order_stale)
            a->challenge_at = 0;
        a->kick = a->kick || r.over || r.order_stale;
        done += size;
    }
    s->now.end += (int64_t)done;
    buf_drop_front(&s->tail, done);
    return 0;
}

static int write_stream(struct agent *a, struct agent_stream *s, struct group *g, struct error *err)
{
    if (s->events && apply_lines(a, s, g, err) < 0)
        return -1;
    s->now.closed = s->now.closed || s->final;
    if (is_log(s->now.name))
        touch(g, s->now.name + 4);
    return s->sink ? 0 : store_stream_save(&a->plane->store, &s->now, err);
}

static int write_all_streams(struct plane *p, struct group *g, struct error *err)
{
    for (struct agent *a = p->agents->first; a != NULL; a = a->next)
        for (int i = 0; i < STREAM_LIVE_MAX && !a->leaving; i++)
            if (a->streams[i].dirty && write_stream(a, &a->streams[i], g, err) < 0)
                return -1;
    return 0;
}

static int write_group(struct plane *p, struct group *g, struct error *err)
{
    if (store_begin(&p->store, err) < 0)
        return -1;
    bool ok = write_all_streams(p, g, err) == 0;
    return store_end(&p->store, ok, err);
}

static void group_durable(struct agent *a)
{
    for (int i = 0; i < STREAM_LIVE_MAX && !a->leaving; i++) {
        struct agent_stream *s = &a->streams[i];
        struct stream_in *in = s->dirty ? stream_receiver_find(&a->receiver, s->handle, NULL) : NULL;
        if (in == NULL)
            continue;
        s->kept = s->now;
        s->dirty = false;
        stream_durable(in, (uint64_t)s->now.end, s->now.closed);
        send_acks(a, s, in);
        free_if_over(a, s, in);
    }
}

static bool anything(const struct plane *p)
{
    for (const struct agent *a = p->agents->first; a != NULL; a = a->next)
        for (int i = 0; i < STREAM_LIVE_MAX && !a->leaving; i++)
            if (a->streams[i].dirty)
                return true;
    return false;
}

void agent_streams_flush(struct plane *p)
{
    struct error err = {0};
    struct group g = {.count = 0};
    p->agents->unflushed = 0;
    if (!anything(p))
        return;
    sync_files(p, &err);
    if (write_group(p, &g, &err) < 0) {
        for (struct agent *a = p->agents->first; a != NULL; a = a->next)
            if (!a->leaving)
                give_up(a, &err);
        return;
    }
    for (struct agent *a = p->agents->first; a != NULL; a = a->next)
        group_durable(a);
    for (size_t i = 0; i < g.count; i++)
        follow_changed(p, g.touched[i]);
    for (struct agent *a = p->agents->first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->kick && a->said_hello) {
            a->kick = false;
            agent_orders_next(a);
        }
    }
}
