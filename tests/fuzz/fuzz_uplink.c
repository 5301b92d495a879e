/* A plane that says anything to a host: lines of the input are its messages, in turn with what a host does by itself. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/uplink/reconcile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_text(void *ctx, const void *text, size_t size)
{
    (void)ctx, (void)text;
    return size > MESSAGE_MAX ? -1 : 0;
}
static int on_binary(void *ctx, const void *data, size_t size)
{
    struct data_frame frame;
    (void)ctx;
    if (data_decode((struct bytes){data, size}, &frame, NULL) < 0)
        abort();
    return 0;
}
static void on_agent(void *ctx, uint16_t verb, const void *body, size_t size, int fd)
{
    const struct link_grown *acked = body;
    (void)ctx;
    if (verb == LINK_ACKED && (size != sizeof *acked || acked->end > 100 || (acked->id == 1 && acked->closed)))
        abort();
    if (fd >= 0)
        close(fd);
}
static bool is_busy(void *ctx)
{
    (void)ctx;
    return false;
}
static void on_event(void *ctx)
{
    (void)ctx;
}
static void on_welcome(void *ctx, const struct message_welcome *welcome)
{
    (void)ctx, (void)welcome;
}
static void on_certificate(void *ctx, const char *pem)
{
    (void)ctx;
    if (strlen(pem) > MESSAGE_PEM_MAX)
        abort();
}
static void on_goaway(void *ctx, uint32_t retry_after_s)
{
    (void)ctx;
    if (retry_after_s > MESSAGE_RETRY_AFTER_MAX)
        abort();
}
static void on_note(void *ctx, const struct error *what)
{
    (void)ctx;
    if (what->code[0] == '\0')
        abort();
}

static const struct reconcile_out out = {.text = on_text, .binary = on_binary, .agent = on_agent, .agent_busy = is_busy,
                                         .said_hello = on_event, .welcome = on_welcome, .certificate = on_certificate,
                                         .goaway = on_goaway, .note = on_note};

static void record(struct reconcile *r, uint16_t verb, const void *body, size_t size, int fd)
{
    static struct ipc_record rec;
    rec = (struct ipc_record){.head = {IPC_MAGIC, IPC_VERSION, verb, (uint32_t)size, 0}};
    if (size > 0)
        memcpy(rec.body, body, size);
    if (fd >= 0)
        rec.fds[rec.fd_count++] = fd;
    if (reconcile_record(r, &rec, NULL) < 0)
        abort();
    ipc_close_fds(&rec);
}

/* A host with two streams of 100 bytes, online and greeted. */
static void begin(struct reconcile *r)
{
    struct link_hello hello = {.server = "srv_0123456789abcdef", .version = "0.1.0", .box_level = 1};
    struct link_stream streams[] = {{.id = 1, .name = "events", .end = 100}, {.id = 2, .name = "log/dep_0123456789abcdef", .end = 100, .closed = 1}};
    hello.seal[0] = 4;
    record(r, LINK_HELLO, &hello, sizeof hello, -1);
    for (size_t i = 0; i < 2; i++) {
        int fd = memfd_create("spool", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, 100) < 0)
            abort();
        record(r, LINK_STREAM, &streams[i], sizeof streams[i], fd);
    }
    record(r, LINK_READY, NULL, 0, -1);
    reconcile_open(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reconcile *r = malloc(sizeof *r);
    struct link_challenge fresh = {{0}};
    if (r == NULL)
        return 0;
    reconcile_init(r, &out, NULL);
    begin(r);
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t line = end != NULL ? (size_t)(end - data) : size;
        if (line == 1 && data[0] == 'c')
            record(r, LINK_CHALLENGE, &fresh, sizeof fresh, -1);
        else if (line == 1 && data[0] == 'x') {
            reconcile_shut(r);
            reconcile_open(r);
        } else
            reconcile_text(r, (struct bytes){data, line});
        if (stream_unacked(&r->held.sender) > STREAM_WINDOW_MAX)
            abort();
        line += end != NULL;
        data += line;
        size -= line;
    }
    reconcile_free(r);
    free(r);
    return 0;
}
