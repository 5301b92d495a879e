/* Happy path: follow_begin sends what the store has, then every change: first new states, then new log text,
 * then, once the result is there and the log is whole, it ends. Ids are "<event>-<offset of log text>", so that
 * a client that lost the connection goes on where it was. A slow client is waited for: one chunk at a time. */
#include "plane/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proto/json_write.h"

#define CHUNK_BYTES   32768
#define CHUNK_LIMIT   (8 * CHUNK_BYTES)
#define TICK_MS       1000
#define COMMENT_MS    15000
#define LOG_WAIT_MS   10000 /* after a result, for a log that may not exist at all */
#define FOLLOWERS_MAX 256

struct follower {
    struct follower *next;
    struct http_exchange *x;
    char deployment[24], server[24];
    int64_t event, result_at, told_at;
    struct log_reader *log;
    bool blocked, over;
    char state[16];
    struct buf out;
    struct buf text; /* of the log, from sent on */
    uint64_t sent;
};

struct followers {
    struct follower *first;
    int count;
    struct loop_timer *tick;
};

static const struct http_header sse_headers[] = {{"Content-Type", "text/event-stream"},
                                                 {"Cache-Control", "no-store"},
                                                 {"X-Accel-Buffering", "no"},
                                                 {NULL, NULL}};

static void end(struct follower *f)
{
    if (!f->over) {
        f->over = true;
        http_end(f->x);
    }
}

/* ---- what there is to say ---- */

static int sse_head(struct follower *f, const char *event, int64_t id, struct error *err)
{
    return buf_addf(&f->out, err, "event: %s\nid: %lld-%llu\ndata: ", event, (long long)id,
                    (unsigned long long)f->sent);
}

static int add_event(void *ctx, int64_t id, const char *event, const char *json)
{
    struct follower *f = ctx;
    struct error err;
    if (sse_head(f, event, id, &err) < 0 || buf_add_text(&f->out, json, &err) < 0 ||
        buf_add_text(&f->out, "\n\n", &err) < 0)
        return -1;
    f->event = id;
    if (strcmp(event, "result") == 0)
        f->result_at = clock_boot_ms();
    return 0;
}

static int add_log(struct follower *f, size_t size, struct error *err)
{
    uint64_t offset = f->sent;
    f->sent += size;
    if (sse_head(f, "log", f->event, err) < 0)
        return -1;
    struct json_writer w = json_writer(&f->out, err);
    json_open(&w, NULL, '{');
    json_put_number(&w, "offset", offset);
    json_put_bytes(&w, "text", (struct bytes){f->text.data, size});
    json_close(&w, '}');
    buf_drop_front(&f->text, size);
    return json_done(&w) < 0 ? -1 : buf_add_text(&f->out, "\n\n", err);
}

/* Whole lines, so that no character is cut in two; a part of one only at the end, or if it is absurdly long. */
static size_t sendable(const struct buf *text, bool last)
{
    const uint8_t *end = text->size > 0 ? memrchr(text->data, '\n', text->size) : NULL;
    if (end != NULL)
        return (size_t)(end - text->data) + 1;
    return last || text->size >= CHUNK_BYTES ? text->size : 0;
}

/* 1: there was some; 0: none for now. */
static int more_log(struct follower *f, bool last, struct error *err)
{
    int rc = 1;
    while (rc > 0 && sendable(&f->text, false) == 0)
        rc = log_reader_text(f->log, CHUNK_BYTES, &f->text, err);
    size_t size = sendable(&f->text, last);
    if (size > 0)
        return add_log(f, size, err) < 0 ? -1 : 1;
    return rc < 0 ? -1 : 0;
}

/* A result the plane made itself (refused, cancelled, superseded) came from no host: there is no event, only
 * the row. */
static int row_result(struct plane *p, struct follower *f, bool *done, struct error *err)
{
    struct store_deployment d;
    int rc = store_deployment(&p->store, f->deployment, &d, err);
    if (rc != 0)
        return rc < 0 ? -1 : fail(err, "E_NOT_FOUND", "the deployment was deleted");
    *done = strcmp(d.state, "done") == 0;
    if (!*done || f->result_at != 0) {
        bool news = !*done && strcmp(f->state, d.state) != 0 &&
                    (strcmp(d.state, "waiting") == 0 || strcmp(d.state, "ordered") == 0);
        memcpy(f->state, d.state, sizeof f->state);
        if (!news)
            return 0;
        if (sse_head(f, "state", f->event, err) < 0)
            return -1;
        return buf_addf(&f->out, err,
                        "{\"event\":\"state\",\"project\":\"%s\",\"deployment\":\"%s\",\"state\":\"%s\"}\n\n",
                        d.project, d.id, d.state);
    }
    f->result_at = clock_boot_ms();
    if (sse_head(f, "result", f->event, err) < 0)
        return -1;
    struct json_writer w = json_writer(&f->out, err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "event", "result");
    json_put_time(&w, "at", d.finished);
    json_put_text(&w, "project", d.project);
    json_put_text(&w, "deployment", d.id);
    json_put_text(&w, "outcome", d.outcome);
    json_put_text(&w, "code", d.code);
    json_put_text(&w, "text", d.text);
    json_put_text(&w, "release", d.release[0] != '\0' ? d.release : NULL);
    json_put_text(&w, "commit", d.commit[0] != '\0' ? d.commit : NULL);
    json_put_text(&w, "serving", d.serving[0] != '\0' ? d.serving : NULL);
    json_put_int(&w, "elapsed_ms", d.elapsed_ms);
    json_close(&w, '}');
    return json_done(&w) < 0 ? -1 : buf_add_text(&f->out, "\n\n", err);
}

static bool log_is_whole(struct plane *p, struct follower *f)
{
    struct store_stream row;
    struct error err;
    char name[32];
    snprintf(name, sizeof name, "log/%.23s", f->deployment);
    int rc = store_stream(&p->store, f->server, name, &row, &err);
    if (rc == 0 && row.closed)
        return true;
    int64_t waited = clock_boot_ms() - f->result_at;
    return rc != 0 && waited >= (rc > 0 && f->event == 0 ? 0 : LOG_WAIT_MS);
}

/* One step: what is new, into f->out. 1: sent something; 0: nothing new; -1: broken. */
static int step(struct plane *p, struct follower *f, struct error *err)
{
    bool done = false;
    f->out.size = 0;
    if (store_events(&p->store, f->deployment, f->event, 64, add_event, f, err) < 0)
        return -1;
    if (f->out.size == 0 && more_log(f, false, err) < 0)
        return -1;
    if (f->out.size == 0 && row_result(p, f, &done, err) < 0)
        return -1;
    if (f->out.size == 0 && done && log_is_whole(p, f)) {
        int rc = more_log(f, true, err);
        if (rc != 0)
            return rc;
        end(f);
        return 0;
    }
    return f->out.size > 0;
}

static void pump(struct plane *p, struct follower *f)
{
    struct error err = {0};
    while (!f->over && !f->blocked) {
        int rc = step(p, f, &err);
        if (rc < 0) {
            plane_log("following %s: %s", f->deployment, err.text);
            end(f);
        }
        if (rc <= 0)
            return;
        f->told_at = clock_boot_ms();
        rc = http_send(f->x, f->out.data, f->out.size);
        f->blocked = rc != 0;
    }
}

/* ---- exchanges ---- */

static struct follower *of(struct plane *p, struct http_exchange *x)
{
    for (struct follower *f = p->followers->first; f != NULL; f = f->next)
        if (f->x == x)
            return f;
    return NULL;
}

static void parse_after(const char *after, int64_t *event, uint64_t *offset)
{
    long long e = 0;
    unsigned long long o = 0;
    if (after != NULL && strlen(after) < 64 && sscanf(after, "%lld-%llu", &e, &o) == 2 && e >= 0) {
        *event = e;
        *offset = o;
    }
}

void follow_begin(struct plane *p, struct http_exchange *x, const char *deployment, const char *after)
{
    struct error err;
    struct store_deployment d;
    uint64_t offset = 0;
    struct follower *f = p->followers->count < FOLLOWERS_MAX ? calloc(1, sizeof *f) : NULL;
    if (f == NULL || store_deployment(&p->store, deployment, &d, &err) != 0) {
        free(f);
        http_respond_text(x, 503, "too many followers, try again\n");
        return;
    }
    parse_after(after, &f->event, &offset);
    f->log = log_reader_new(&p->logs, deployment, offset, &err);
    if (f->log == NULL) {
        free(f);
        http_respond_text(x, 503, "no memory, try again\n");
        return;
    }
    f->x = x;
    f->out = BUF(1024 * 1024);
    f->text = BUF(CHUNK_LIMIT);
    f->sent = offset;
    f->told_at = clock_boot_ms();
    memcpy(f->deployment, d.id, sizeof f->deployment);
    memcpy(f->server, d.server, sizeof f->server);
    f->next = p->followers->first;
    p->followers->first = f;
    p->followers->count++;
    http_begin(x, 200, sse_headers);
    pump(p, f);
}

bool follow_drain(struct plane *p, struct http_exchange *x)
{
    struct follower *f = of(p, x);
    if (f == NULL)
        return false;
    f->blocked = false;
    pump(p, f);
    return true;
}

bool follow_gone(struct plane *p, struct http_exchange *x)
{
    if (p->followers == NULL)
        return false;
    for (struct follower **at = &p->followers->first; *at != NULL; at = &(*at)->next) {
        struct follower *f = *at;
        if (f->x != x)
            continue;
        *at = f->next;
        p->followers->count--;
        log_reader_free(f->log);
        buf_free(&f->out);
        buf_free(&f->text);
        free(f);
        return true;
    }
    return false;
}

void follow_changed(struct plane *p, const char *deployment)
{
    for (struct follower *f = p->followers->first, *next; f != NULL; f = next) {
        next = f->next;
        if (strcmp(f->deployment, deployment) == 0)
            pump(p, f);
    }
}

static void on_tick(void *ctx)
{
    struct plane *p = ctx;
    static const char comment[] = ": still here\n\n";
    int64_t now = clock_boot_ms();
    for (struct follower *f = p->followers->first, *next; f != NULL; f = next) {
        next = f->next;
        if (f->result_at != 0) {
            pump(p, f); /* it may be over: f is not touched again */
            continue;
        }
        if (f->over || f->blocked || now - f->told_at < COMMENT_MS)
            continue;
        f->told_at = now;
        f->blocked = http_send(f->x, comment, sizeof comment - 1) != 0;
    }
}

int follow_start(struct plane *p, struct error *err)
{
    p->followers = calloc(1, sizeof *p->followers);
    if (p->followers != NULL)
        p->followers->tick = loop_timer_new(&p->net, on_tick, p);
    if (p->followers == NULL || p->followers->tick == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    loop_timer_start(p->followers->tick, TICK_MS, TICK_MS);
    return 0;
}

void follow_stop(struct plane *p)
{
    if (p->followers == NULL)
        return;
    if (p->followers->tick != NULL)
        loop_timer_free(&p->followers->tick);
    for (struct follower *f = p->followers->first, *next; f != NULL; f = next) {
        next = f->next;
        end(f);
    }
}

void follow_free(struct plane *p)
{
    free(p->followers);
    p->followers = NULL;
}
