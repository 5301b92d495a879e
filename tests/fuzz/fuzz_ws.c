/* Frames from the network into a WebSocket whose connection is made of memory: never more held than allowed, on_close
 * once. The first byte chooses the role and how the rest is cut. */
#include <stdlib.h>
#include <string.h>

#include "net/ws/ws_inside.h"

struct fake {
    struct conn base;
    bool over;
    unsigned closes;
};

static int fake_write(struct conn *c, const void *data, size_t size, struct error *err)
{
    (void)data;
    (void)err;
    if (size > c->write_limit)
        abort();
    return 0;
}

static size_t fake_queued(const struct conn *c)
{
    (void)c;
    return 0;
}

static void fake_nothing(struct conn *c)
{
    (void)c;
}

static void fake_idle(struct conn *c, uint32_t ms)
{
    (void)c;
    (void)ms;
}

static void fake_finish(struct conn *c)
{
    ((struct fake *)c)->over = true;
}

static void fake_close(struct conn *c, const struct error *reason)
{
    (void)reason;
    ((struct fake *)c)->over = true;
}

static const struct conn_ops fake_ops = {.write = fake_write, .queued = fake_queued, .pause = fake_nothing, .resume = fake_nothing,
                                         .set_idle = fake_idle, .finish = fake_finish, .close = fake_close};

static void on_message(void *ctx, struct ws *w, enum ws_kind kind, const uint8_t *data, size_t size)
{
    (void)ctx;
    if (size > WS_MESSAGE_MAX || data[size] != 0)
        abort();
    if (kind == WS_TEXT)
        (void)!ws_send_text(w, data, size, NULL);
    if (size == 7)
        ws_close(w, 1000, "seven");
}

static void on_close(void *ctx, struct ws *w, uint16_t code, const char *reason, int status, const struct error *err)
{
    struct fake *fake = ctx;
    (void)w;
    (void)code;
    (void)status;
    (void)err;
    if (strlen(reason) > 123)
        abort();
    fake->closes++;
}

static const struct ws_events events = {.on_message = on_message, .on_close = on_close};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uv_loop_t uv;
    struct net_loop net = {.uv = &uv};
    if (uv_loop_init(&uv) != 0)
        return 0;
    struct fake fake = {.base = {.ops = &fake_ops, .net = &net, .write_limit = 1 << 20, .open = true}};
    struct ws *w = ws_new(&fake.base, (data[0] & 1) != 0, &events, &fake);
    if (w != NULL) {
        ws_opened(w);
        size_t step = 1 + (data[0] >> 1);
        for (size_t at = 1; at < size && !fake.over; at += step)
            fake.base.events->on_data(fake.base.ctx, &fake.base, data + at, size - at < step ? size - at : step);
        fake.base.events->on_close(fake.base.ctx, &fake.base, NULL);
        if (fake.closes != 1)
            abort();
    }
    uv_run(&uv, UV_RUN_DEFAULT);
    uv_loop_close(&uv);
    return 0;
}
