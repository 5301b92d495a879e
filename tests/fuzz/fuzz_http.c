/* A stream of messages, whole and in two pieces: the same messages come out, or the same refusal. */
#include <stdlib.h>

#include "net/http/http_message.h"

struct outcome {
    unsigned complete;
    size_t body;
    bool refused;
};

static int on_body(void *ctx, const uint8_t *data, size_t size, struct error *err)
{
    (void)data;
    (void)err;
    ((struct outcome *)ctx)->body += size;
    return 0;
}

static void start(struct http_message *m, enum head_kind kind, struct outcome *o)
{
    http_message_init(m, kind);
    m->on_body = on_body;
    m->ctx = o;
}

static void feed(struct http_message *m, enum head_kind kind, const uint8_t *data, size_t size, struct outcome *o)
{
    while (!o->refused) {
        size_t used = 0;
        int r = http_message_feed(m, data, size, &used, NULL);
        if (used > size)
            abort();
        data += used;
        size -= used;
        if (r < 0) {
            o->refused = true;
        } else if (r == HTTP_COMPLETE) {
            o->complete++;
            http_message_free(m);
            start(m, kind, o);
        } else if (r == HTTP_MORE && size == 0) {
            return;
        }
    }
}

static struct outcome run(enum head_kind kind, const uint8_t *data, size_t size, size_t split)
{
    struct outcome o = {0};
    struct http_message m;
    start(&m, kind, &o);
    feed(&m, kind, data, split, &o);
    feed(&m, kind, data + split, size - split, &o);
    http_message_free(&m);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int kind = HEAD_REQUEST; kind <= HEAD_RESPONSE; kind++) {
        struct outcome whole = run((enum head_kind)kind, data, size, size);
        struct outcome parts = run((enum head_kind)kind, data, size, size / 2);
        if (whole.complete != parts.complete || whole.refused != parts.refused || (!whole.refused && whole.body != parts.body))
            abort();
    }
    return 0;
}
