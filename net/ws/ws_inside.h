/* Inside net/ws: what the frames (ws.c) and the handshakes (ws_handshake.c) share. */
#ifndef KLY_NET_WS_WS_INSIDE_H
#define KLY_NET_WS_WS_INSIDE_H

#include <wslay/wslay.h>

#include "net/loop/timer.h"
#include "net/ws/ws.h"

#define WS_PROTOCOL_MAX 64 /* letters of a subprotocol's name */
#define WS_ACCEPT_SIZE  29 /* base64 of a SHA-1, with NUL */

enum ws_state { WS_HANDSHAKE, WS_OPEN, WS_CLOSING, WS_OVER };

struct ws {
    struct conn *conn;
    const struct ws_events *events;
    void *ctx;
    wslay_event_context_ptr wslay;
    struct loop_timer *timer; /* handshake's deadline; the server's first turn; the goodbye's deadline */
    enum ws_state state;
    bool is_server, opened, broken, blocked, want_drain, in_control;
    struct buf raw;       /* the response's head while it comes in */
    struct buf early;     /* frames that came with the handshake */
    struct http_head head;
    char *protocols;      /* offered, comma-separated; owned */
    char accept[WS_ACCEPT_SIZE];
    char protocol[WS_PROTOCOL_MAX + 1];
    int status;
    const uint8_t *in; /* being fed */
    size_t in_size;
    struct buf message, out, pong;
    uint32_t fragments;
    int64_t last_read_ms;
    char close_reason[126];
    struct error error; /* if broken */
};

struct ws *ws_new(struct conn *c, bool is_server, const struct ws_events *events, void *ctx);
void ws_free(struct ws *w); /* only if its events are set on no connection */
void ws_opened(struct ws *w);
void ws_feed(struct ws *w, const uint8_t *data, size_t size);
void ws_break(struct ws *w, const struct error *why);
void ws_on_close(void *ctx, struct conn *c, const struct error *err);

#endif
