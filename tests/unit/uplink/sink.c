#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/durable.h"
#include "ipc/sock.h"

static int on_text(void *ctx, const void *text, size_t size)
{
    struct sink *s = ctx;
    if (s->broken)
        return -1;
    if (s->text_count < SINK_MAX)
        s->texts[s->text_count++] = strndup(text, size);
    return 0;
}

static int on_binary(void *ctx, const void *data, size_t size)
{
    struct sink *s = ctx;
    if (s->broken)
        return -1;
    if (s->frame_count == SINK_MAX || buf_add(&s->frame_bytes, data, size, NULL) < 0)
        abort();
    struct bytes copy = {s->frame_bytes.data + s->frame_bytes.size - size, size};
    if (data_decode(copy, &s->frames[s->frame_count++], NULL) < 0)
        abort();
    return s->full_after > 0 && s->frame_count >= (size_t)s->full_after ? 1 : 0;
}

static void on_agent(void *ctx, uint16_t verb, const void *body, size_t size, int fd)
{
    struct sink *s = ctx;
    if (s->record_count == SINK_MAX)
        s->record_count = 0;
    size_t i = s->record_count++;
    s->records[i].verb = verb;
    if (verb == LINK_ACKED && size == sizeof s->records[i].grown)
        memcpy(&s->records[i].grown, body, size);
    if (verb == LINK_DOCUMENT && size == sizeof s->records[i].document)
        memcpy(&s->records[i].document, body, size);
    if (fd < 0)
        return;
    ssize_t n = pread(fd, s->records[i].payload, sizeof s->records[i].payload - 1, 0);
    s->records[i].payload[n > 0 ? n : 0] = '\0';
    close(fd);
}

static bool is_busy(void *ctx)
{
    return ((struct sink *)ctx)->busy;
}
static void on_said_hello(void *ctx)
{
    ((struct sink *)ctx)->hellos++;
}
static void on_welcome(void *ctx, const struct message_welcome *welcome)
{
    (void)welcome;
    ((struct sink *)ctx)->welcomes++;
}
static void on_certificate(void *ctx, const char *pem)
{
    (void)pem;
    ((struct sink *)ctx)->certificates++;
}
static void on_goaway(void *ctx, uint32_t retry_after_s)
{
    (void)retry_after_s;
    ((struct sink *)ctx)->goaways++;
}
static void on_note(void *ctx, const struct error *what)
{
    (void)what;
    ((struct sink *)ctx)->notes++;
}

static const struct reconcile_out out = {.text = on_text, .binary = on_binary, .agent = on_agent, .agent_busy = is_busy,
                                         .said_hello = on_said_hello, .welcome = on_welcome, .certificate = on_certificate,
                                         .goaway = on_goaway, .note = on_note};

struct sink *sink_new(void)
{
    struct sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    s->frame_bytes = BUF(64u << 20);
    if (buf_reserve(&s->frame_bytes, 16u << 20, NULL) < 0) /* so that frames stay where they are */
        abort();
    reconcile_init(&s->reconcile, &out, s);
    return s;
}

void sink_clear(struct sink *s)
{
    for (size_t i = 0; i < s->text_count; i++)
        free(s->texts[i]);
    s->text_count = s->frame_count = s->record_count = 0;
    s->frame_bytes.size = 0;
    s->hellos = s->welcomes = s->certificates = s->goaways = s->notes = 0;
}

void sink_free(struct sink *s)
{
    sink_clear(s);
    buf_free(&s->frame_bytes);
    reconcile_free(&s->reconcile);
    free(s);
}

const char *sink_said(const struct sink *s, const char *part)
{
    for (size_t i = s->text_count; i > 0; i--)
        if (strstr(s->texts[i - 1], part) != NULL)
            return s->texts[i - 1];
    return NULL;
}

int sink_record(struct sink *s, uint16_t verb, const void *body, size_t size, int fd, struct error *err)
{
    struct ipc_record *r = calloc(1, sizeof *r);
    if (r == NULL)
        abort();
    r->head = (struct ipc_header){IPC_MAGIC, IPC_VERSION, verb, (uint32_t)size, 0};
    if (size > 0)
        memcpy(r->body, body, size);
    if (fd >= 0)
        r->fds[r->fd_count++] = fd;
    int rc = reconcile_record(&s->reconcile, r, err);
    ipc_close_fds(r);
    free(r);
    return rc;
}

int sink_hello(struct sink *s)
{
    struct link_hello hello = {.server = "srv_0123456789abcdef", .version = "0.1.0", .box_level = 2};
    hello.seal[0] = 4;
    return sink_record(s, LINK_HELLO, &hello, sizeof hello, -1, NULL);
}

int sink_stream(struct sink *s, uint32_t id, const char *name, uint64_t base, const void *bytes, size_t size, bool closed)
{
    struct link_stream body = {.id = id, .base = base, .end = base + size, .closed = closed};
    int fd = memfd_create("spool", MFD_CLOEXEC);
    if (fd < 0 || write_all(fd, bytes, size) < 0)
        abort();
    snprintf(body.name, sizeof body.name, "%s", name);
    return sink_record(s, LINK_STREAM, &body, sizeof body, fd, NULL);
}

int sink_ready(struct sink *s)
{
    return sink_record(s, LINK_READY, NULL, 0, -1, NULL);
}

void sink_plane(struct sink *s, const char *text)
{
    reconcile_text(&s->reconcile, (struct bytes){(const uint8_t *)text, strlen(text)});
}

void sink_welcome(struct sink *s, const char *streams)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"type\":\"welcome\",\"plane\":\"%032d\",\"epoch\":\"%032d\",\"heartbeat\":20,\"streams\":%s}", 1, 2, streams);
    sink_plane(s, text);
}
