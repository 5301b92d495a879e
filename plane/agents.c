/* Happy path: upgrade (who is it? the certificate says) → on_open: newer connection, so the older one of the
 * same host is closed → hello → welcome → trust, then orders as they are wanted; data is made durable in groups
 * and acknowledged. Failures: a host that may not be here gets 403 before the upgrade; one that breaks the
 * protocol is closed with a code. Close: on_close finishes the group and frees the connection; what was not
 * acknowledged will be sent again. */
#include "plane/agents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plane/agent_conn.h"
#include "proto/enrol.h"

#define TICK_MS        1000
#define SEEN_SAVE_MS   60000
#define GOAWAY_RETRY_S 2
#define CLOSE_FENCED   4001
#define CLOSE_GONE     4003

static const char *const protocols[] = {MESSAGE_SUBPROTOCOL, NULL};

/* ---- coming and going ---- */

static void on_message(void *ctx, struct ws *w, enum ws_kind kind, const uint8_t *data, size_t size)
{
    struct agent *a = ctx;
    (void)w;
    if (a->leaving)
        return;
    if (kind == WS_TEXT)
        agent_on_text(a, data, size);
    else
        agent_streams_data(a, data, size);
}

static void on_open(void *ctx, struct ws *w)
{
    struct agent *a = ctx;
    char peer[CONN_PEER_SIZE];
    conn_peer(ws_conn(w), peer);
    a->pinged_at = clock_boot_ms();
    plane_log("%s: connected from %s", a->server, peer);
}

static void unlink_agent(struct agent *a)
{
    struct agents *all = a->plane->agents;
    for (struct agent **at = &all->first; *at != NULL; at = &(*at)->next)
        if (*at == a) {
            *at = a->next;
            all->count--;
            return;
        }
}

static void on_close(void *ctx, struct ws *w, uint16_t code, const char *reason, int status,
                     const struct error *err)
{
    struct agent *a = ctx;
    struct error ignored;
    (void)w, (void)status;
    a->ws = NULL;
    plane_log("%s: disconnected (%u%s%s)%s%s", a->server, (unsigned)code, reason[0] != '\0' ? " " : "", reason,
              err != NULL ? ": " : "", err != NULL ? err->text : "");
    /* Half of what was accepted may be in the files: finish the group, then forget what was not acknowledged.
     */
    agent_streams_flush(a->plane);
    agent_streams_close(a);
    unlink_agent(a);
    if (store_server_seen(&a->plane->store, a->server, clock_wall_ms(), &ignored) < 0)
        plane_log("%s: %s", a->server, ignored.text);
    free(a);
}

static const struct ws_events events = {.on_open = on_open, .on_message = on_message, .on_close = on_close};

/* The rules of every connect, resumed session or not: the row, its revocation, the certificate and its end. */
static int check_server(struct plane *p, const struct tls_peer *peer, struct store_server *v, struct error *err)
{
    if (peer == NULL)
        return fail(err, "E_TLS_NO_CERT", "this address is for enrolled hosts; they show a certificate");
    if (!name_is_server(peer->common_name))
        return fail(err, "E_CERT", "the certificate names no server");
    int rc = store_server(&p->store, peer->common_name, v, err);
    if (rc < 0)
        return -1;
    if (rc > 0 || v->revoked != 0 || !v->enrolled)
        return fail(err, "E_REVOKED", "server %s is not known here, or was removed; enrol it anew",
                    peer->common_name);
    if (peer->not_after_ms <= clock_wall_ms())
        return fail(err, "E_TLS_EXPIRED", "the certificate of %s has expired; enrol it anew", v->id);
    if (v->has_next && memcmp(peer->sha256, v->next_sha256, sizeof v->next_sha256) == 0)
        return store_server_promote(&p->store, v->id, peer->serial, peer->not_after_ms, err);
    if (memcmp(peer->sha256, v->cert_sha256, sizeof v->cert_sha256) != 0)
        return fail(err, "E_REVOKED", "server %s has a newer certificate than this one", v->id);
    return 0;
}

static void fence_older(struct plane *p, const struct agent *newer)
{
    for (struct agent *a = p->agents->first; a != NULL; a = a->next)
        if (a != newer && strcmp(a->server, newer->server) == 0 && !a->leaving)
            agent_close(a, CLOSE_FENCED, "a newer connection of this server took over");
}

static void connect_agent(struct plane *p, struct http_exchange *x, const struct store_server *v)
{
    struct error err;
    struct agent *a = calloc(1, sizeof *a);
    if (a == NULL || store_server_connected(&p->store, v->id, clock_wall_ms(), &a->gen, &err) < 0) {
        free(a);
        http_respond_text(x, 503, "no room, try again\n");
        return;
    }
    a->plane = p;
    memcpy(a->server, v->id, sizeof a->server);
    stream_receiver_init(&a->receiver);
    for (int i = 0; i < STREAM_LIVE_MAX; i++)
        a->streams[i].file.fd = -1;
    static const struct ws_server_options options = {.protocols = protocols};
    a->ws = ws_server_accept(x, &options, &events, a, &err);
    if (a->ws == NULL) {
        plane_log("%s: upgrade refused: %s", a->server, err.text);
        free(a);
        return;
    }
    a->next = p->agents->first;
    p->agents->first = a;
    p->agents->count++;
    agent_streams_flush(p);
    fence_older(p, a);
}

static void on_upgrade(struct plane *p, struct http_exchange *x)
{
    struct error err = {0};
    struct store_server v;
    const struct tls *engine = tls_conn_engine(http_conn(x));
    if (check_server(p, engine != NULL ? tls_peer(engine) : NULL, &v, &err) < 0) {
        char peer[CONN_PEER_SIZE], text[700];
        conn_peer(http_conn(x), peer);
        plane_log("refused %s: %s: %s", peer, err.code, err.text);
        snprintf(text, sizeof text, "%s: %s\n", err.code, err.text);
        http_respond_text(x, 403, text);
        return;
    }
    connect_agent(p, x, &v);
}

/* ---- HTTP on this port ---- */

static bool is(const struct http_head *h, const char *method, const char *path)
{
    return strcmp(h->method, method) == 0 && strcmp(h->path, path) == 0;
}

static size_t on_head(void *ctx, struct http_exchange *x)
{
    struct plane *p = ctx;
    const struct http_head *h = http_request(x);
    if (p->stopping) {
        http_respond_text(x, 503, "going down, come back in a moment\n");
        return 0;
    }
    if (is(h, "POST", ENROL_PATH))
        return ENROL_REQUEST_MAX;
    if (!is(h, "GET", ENROL_CA_PATH) && !is(h, "GET", MESSAGE_PATH) && !is(h, "GET", "/healthz"))
        http_respond_text(x, 404, "not found\n");
    return 0;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct plane *p = ctx;
    const struct http_head *h = http_request(x);
    if (strcmp(h->path, ENROL_PATH) == 0)
        enrol_post(p, x);
    else if (strcmp(h->path, ENROL_CA_PATH) == 0)
        enrol_ca(p, x);
    else if (strcmp(h->path, "/healthz") == 0)
        http_respond_text(x, 200, "ok\n");
    else if (ws_is_upgrade(h))
        on_upgrade(p, x);
    else
        http_respond_text(x, 426, "this is a WebSocket: klystrr.agent.v1\n");
}

static void on_gone(void *ctx, struct http_exchange *x, bool complete)
{
    (void)ctx, (void)x, (void)complete;
}

const struct http_handler agents_handler = {.on_head = on_head, .on_request = on_request, .on_gone = on_gone};

/* ---- all of them ---- */

static void keep_alive(struct agent *a, int64_t boot, int64_t wall)
{
    struct error err;
    int64_t silent = boot - ws_last_read_ms(a->ws);
    if (silent > 2 * AGENT_HEARTBEAT_S * 1000 + 5000) {
        ws_abort(a->ws);
        return;
    }
    if (boot - a->pinged_at >= AGENT_HEARTBEAT_S * 1000) {
        a->pinged_at = boot;
        if (ws_ping(a->ws, "kly", 3, &err) < 0)
            ws_abort(a->ws);
    }
    if (wall - a->seen_saved_at >= SEEN_SAVE_MS) {
        a->seen_saved_at = wall;
        if (store_server_seen(&a->plane->store, a->server, wall, &err) < 0)
            plane_log("%s: %s", a->server, err.text);
    }
}

static void on_tick(void *ctx)
{
    struct plane *p = ctx;
    int64_t boot = clock_boot_ms(), wall = clock_wall_ms();
    for (struct agent *a = p->agents->first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->ws != NULL && !a->leaving)
            keep_alive(a, boot, wall);
    }
}

static void on_flush(void *ctx)
{
    struct plane *p = ctx;
    p->agents->flush_due = false;
    agent_streams_flush(p);
}

int agents_start(struct plane *p, struct error *err)
{
    struct agents *all = calloc(1, sizeof *all);
    if (all == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    p->agents = all;
    all->flush_timer = loop_timer_new(&p->net, on_flush, p);
    all->tick_timer = loop_timer_new(&p->net, on_tick, p);
    if (all->flush_timer == NULL || all->tick_timer == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    loop_timer_start(all->tick_timer, TICK_MS, TICK_MS);
    return 0;
}

void agents_stop(struct plane *p)
{
    struct message m = {.type = MESSAGE_GOAWAY, .as.goaway = {.retry_after = GOAWAY_RETRY_S}};
    if (p->agents == NULL)
        return;
    agent_streams_flush(p);
    for (struct agent *a = p->agents->first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->leaving)
            continue;
        agent_send(a, &m);
        agent_close(a, 1001, "going down");
    }
}

void agents_cut(struct plane *p)
{
    if (p->agents == NULL)
        return;
    for (struct agent *a = p->agents->first; a != NULL; a = a->next)
        if (a->ws != NULL)
            ws_abort(a->ws);
    if (p->agents->tick_timer != NULL)
        loop_timer_free(&p->agents->tick_timer);
    if (p->agents->flush_timer != NULL)
        loop_timer_free(&p->agents->flush_timer);
}

void agents_free(struct plane *p)
{
    free(p->agents);
    p->agents = NULL;
}

uint32_t agents_count(const struct plane *p)
{
    return p->agents != NULL ? p->agents->count : 0;
}

bool agents_online(const struct plane *p, const char *server)
{
    for (const struct agent *a = p->agents->first; a != NULL; a = a->next)
        if (a->said_hello && !a->leaving && strcmp(a->server, server) == 0)
            return true;
    return false;
}

void agents_kick(struct plane *p, const char *server)
{
    for (struct agent *a = p->agents->first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->said_hello && !a->leaving && (server == NULL || strcmp(a->server, server) == 0))
            agent_orders_next(a);
    }
}

void agents_trust_changed(struct plane *p)
{
    for (struct agent *a = p->agents->first; a != NULL; a = a->next)
        if (a->said_hello && !a->leaving)
            agent_orders_trust(a);
}

void agents_drop(struct plane *p, const char *server, const char *why)
{
    for (struct agent *a = p->agents->first, *next; a != NULL; a = next) {
        next = a->next;
        if (strcmp(a->server, server) == 0 && !a->leaving)
            agent_close(a, CLOSE_GONE, why);
    }
}
