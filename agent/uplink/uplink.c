/* Happy path: the agent says what it has (link) → attempt_now(): agent.json, identity, a token if there is one (enrol) → channel →
 * hello … (reconcile) → online, until the connection ends → backoff → attempt_again(), for ever.
 * Failures: whatever is missing or refused becomes the reason for being offline, in a sentence, for the log, the agent and the
 * local socket; nothing of it ends the process. Local reasons are looked at again every two seconds, the plane with backoff.
 * Close: uplink_close ends all parts; their callbacks see `closing` and do nothing more. */
#include "agent/uplink/uplink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uplink/attempt.h"
#include "agent/uplink/hub.h"
#include "agent/uplink/status.h"
#include "base/clock.h"

#define LOOK_MS            UINT64_C(2000)
#define RENEWAL_EVERY_MS   INT64_C(3600000)
#define DOCUMENTS_WAIT_MAX 16 /* records the agent has not taken; then a document is refused */

/* ---- the plane's connection ---- */

static void on_channel_open(void *ctx)
{
    struct uplink *u = ctx;
    if (u->state != UPLINK_CLOSING)
        reconcile_open(&u->reconcile);
}

static void on_channel_text(void *ctx, const uint8_t *text, size_t size)
{
    struct uplink *u = ctx;
    if (u->state != UPLINK_CLOSING)
        reconcile_text(&u->reconcile, (struct bytes){text, size});
}

static void on_channel_binary(void *ctx)
{
    struct uplink *u = ctx;
    struct error what = {0};
    fail(&what, "E_DATA", "a host takes no stream bytes from a plane");
    reconcile_error(&u->reconcile, &what, "data");
}

static void on_channel_drain(void *ctx)
{
    struct uplink *u = ctx;
    if (u->state != UPLINK_CLOSING)
        reconcile_drained(&u->reconcile);
}

static void on_channel_closed(void *ctx, const struct error *why)
{
    struct uplink *u = ctx;
    reconcile_shut(&u->reconcile);
    u->asked_certificate = false;
    if (u->state == UPLINK_CLOSING)
        return;
    attempt_again(u, why);
}

static const struct channel_events channel_events = {.on_open = on_channel_open, .on_text = on_channel_text,
                                                     .on_binary = on_channel_binary, .on_drain = on_channel_drain,
                                                     .on_closed = on_channel_closed};

/* ---- what time and root bring ---- */

static void renew_if_due(struct uplink *u)
{
    struct error err = {0};
    AUTO_BUF struct buf csr = BUF(IDENTITY_FILE_MAX);
    int64_t now = clock_boot_ms();
    if (clock_wall_ms() < identity_renewal_ms(&u->identity) || (u->asked_ms > 0 && now - u->asked_ms < RENEWAL_EVERY_MS))
        return;
    u->asked_ms = now;
    if (identity_request(&u->identity, u->config.server, &csr, &err) < 0) {
        hub_note(u, &err);
        return;
    }
    u->asked_certificate = true;
    reconcile_ask_certificate(&u->reconcile, buf_text(&csr));
}

/* `klystrr enrol` puts a token there also while we are online, perhaps for another plane. */
static void enrol_if_told(struct uplink *u)
{
    struct error why = {0};
    char secret[IDENTITY_TOKEN_SIZE];
    if (identity_token(&u->identity, secret, NULL) != 0)
        return;
    wipe(secret, sizeof secret);
    fail(&why, "E_ENROLLING", "this host is being enrolled again with a new token");
    channel_end(&u->channel, 1000, &why);
}

static void look_around(void *ctx)
{
    struct uplink *u = ctx;
    if (u->state != UPLINK_ONLINE)
        return;
    renew_if_due(u);
    enrol_if_told(u);
}

/* It is used from the next connection on. */
static void on_certificate(void *ctx, const char *pem)
{
    struct uplink *u = ctx;
    struct error err = {0};
    char until[CLOCK_TEXT_SIZE];
    if (!u->asked_certificate)
        fail(&err, "E_CERT", "this host has not asked for a certificate");
    else if (identity_store(&u->identity, pem, buf_text(&u->identity.ca_pem), &err) == 0) {
        u->asked_certificate = false;
        u->asked_ms = 0;
        clock_format(u->identity.cert.not_after_ms, until);
        hub_say("certificate renewed, valid until %s", until);
        return;
    }
    hub_note(u, &err);
    reconcile_error(&u->reconcile, &err, "cert");
}

/* ---- what reconcile wants ---- */

static int to_plane_text(void *ctx, const void *text, size_t size)
{
    struct uplink *u = ctx;
    return channel_send_text(&u->channel, text, size);
}

static int to_plane_binary(void *ctx, const void *data, size_t size)
{
    struct uplink *u = ctx;
    return channel_send_binary(&u->channel, data, size);
}

static void to_agent(void *ctx, uint16_t verb, const void *body, size_t size, int fd)
{
    struct uplink *u = ctx;
    if (verb == LINK_ACKED)
        u->last_ack_ms = clock_wall_ms();
    link_send(u->link, verb, body, size, fd);
}

static bool agent_busy(void *ctx)
{
    struct uplink *u = ctx;
    return link_waiting(u->link) >= DOCUMENTS_WAIT_MAX;
}

static void on_said_hello(void *ctx)
{
    struct uplink *u = ctx;
    channel_expect_welcome(&u->channel);
}

static void on_welcome(void *ctx, const struct message_welcome *welcome)
{
    struct uplink *u = ctx;
    channel_welcomed(&u->channel, (uint32_t)welcome->heartbeat);
    if (u->epoch[0] != '\0' && strcmp(u->epoch, welcome->epoch) != 0)
        hub_say("the plane has a new epoch: it was restored or set up anew");
    snprintf(u->plane, sizeof u->plane, "%s", welcome->plane);
    snprintf(u->epoch, sizeof u->epoch, "%s", welcome->epoch);
    if (u->state == UPLINK_ONLINE)
        return;
    backoff_online(&u->backoff, clock_boot_ms());
    hub_set_state(u, UPLINK_ONLINE, NULL);
    renew_if_due(u);
}

static void on_goaway(void *ctx, uint32_t retry_after_s)
{
    struct uplink *u = ctx;
    struct error why = {0};
    u->goaway = true;
    u->retry_after_s = retry_after_s;
    fail(&why, "E_PLANE_GOAWAY", "the plane asked this host to come back in %u seconds", (unsigned)retry_after_s);
    channel_end(&u->channel, 1000, &why);
}

static const struct reconcile_out reconcile_out = {.text = to_plane_text, .binary = to_plane_binary, .agent = to_agent,
                                                   .said_hello = on_said_hello, .welcome = on_welcome,
                                                   .certificate = on_certificate, .goaway = on_goaway, .note = hub_note, .agent_busy = agent_busy};

/* ---- the agent ---- */

static int on_link_record(void *ctx, struct ipc_record *record, struct error *err)
{
    struct uplink *u = ctx;
    bool was_ready = reconcile_ready(&u->reconcile);
    uint16_t verb = record->head.verb;
    if (reconcile_record(&u->reconcile, record, err) < 0)
        return -1;
    if (verb == LINK_STATUS)
        u->relayed_ms = clock_wall_ms();
    if (was_ready || !reconcile_ready(&u->reconcile))
        return 0;
    hub_tell_agent(u);
    if (u->state == UPLINK_WAITING && (strcmp(u->why.code, "E_STARTING") == 0 || strcmp(u->why.code, "E_AGENT_AWAY") == 0))
        loop_timer_start(u->retry, 0, 0);
    return 0;
}

static void on_link_lost(void *ctx, const struct error *why)
{
    struct uplink *u = ctx;
    if (why != NULL)
        hub_note(u, why);
    else
        hub_say("the agent closed its connection");
    reconcile_agent_gone(&u->reconcile);
}

static const struct link_events link_events = {.on_record = on_link_record, .on_lost = on_link_lost};

/* ---- people ---- */

static int write_status(void *ctx, struct buf *out, struct error *err)
{
    struct uplink *u = ctx;
    char warning[256] = "";
    if (u->identity.cert_pem.size > 0)
        identity_warning(&u->identity, clock_wall_ms(), warning, sizeof warning);
    const struct status_link link = {.server = u->config.server, .url = u->config.url, .plane = u->plane,
                                     .online = u->state == UPLINK_ONLINE, .resumed = u->channel.resumed,
                                     .since_ms = u->since_ms, .why = u->why, .last_ack_ms = u->last_ack_ms,
                                     .warning = warning, .relayed_ms = u->relayed_ms};
    return status_write(&link, buf_view(&u->reconcile.held.status), out, err);
}

static int write_projects(void *ctx, struct buf *out, struct error *err)
{
    struct uplink *u = ctx;
    return status_write_projects(buf_view(&u->reconcile.held.status), out, err);
}

static int write_health(void *ctx, struct buf *out, struct error *err)
{
    struct uplink *u = ctx;
    return buf_addf(out, err, "{\"status\":\"ok\",\"online\":%s}", u->state == UPLINK_ONLINE ? "true" : "false");
}

static const struct local_api_source api_source = {.status = write_status, .projects = write_projects, .health = write_health};

/* ---- beginning and end ---- */

static int open_parts(struct uplink *u, struct error *err)
{
    int api = u->options.api;
    if (api >= 0 && (u->api = local_api_open(u->net, api, &api_source, u, err)) == NULL)
        return -1;
    if (channel_init(&u->channel, u->net, &channel_events, u, err) < 0)
        return -1;
    u->retry = loop_timer_new(u->net, attempt_now, u);
    u->look = loop_timer_new(u->net, look_around, u);
    if (u->retry == NULL || u->look == NULL)
        return fail(err, "E_MEMORY", "no memory for timers");
    u->link = link_open(u->net, u->options.link, &link_events, u, err);
    return u->link != NULL ? 0 : -1;
}

struct uplink *uplink_open(struct net_loop *net, const struct uplink_options *options, struct error *err)
{
    struct uplink *u = calloc(1, sizeof *u);
    if (u == NULL) {
        fail(err, "E_MEMORY", "no memory to start");
        return NULL;
    }
    u->net = net;
    u->options = *options;
    u->identity.dir = -1;
    u->since_ms = clock_wall_ms();
    fail(&u->why, "E_STARTING", "klystrr-uplink has just started");
    reconcile_init(&u->reconcile, &reconcile_out, u);
    if (open_parts(u, err) < 0) {
        uplink_close(u);
        return NULL; /* the caller exits */
    }
    loop_timer_start(u->retry, LOOK_MS, 0); /* sooner, when the agent is ready */
    loop_timer_start(u->look, LOOK_MS, LOOK_MS);
    return u;
}

void uplink_close(struct uplink *u)
{
    struct error why = {0};
    if (u->state == UPLINK_CLOSING)
        return;
    hub_set_state(u, UPLINK_CLOSING, NULL);
    fail(&why, "E_STOPPING", "klystrr-uplink was stopped");
    channel_retire(&u->channel, 1001, &why);
    enrol_cancel(&u->enrol);
    link_close(&u->link);
    local_api_close(&u->api);
    loop_timer_free(&u->retry);
    loop_timer_free(&u->look);
}

void uplink_free(struct uplink **u)
{
    struct uplink *gone = take_pointer(u);
    if (gone == NULL)
        return;
    channel_free(&gone->channel);
    enrol_free(&gone->enrol);
    reconcile_free(&gone->reconcile);
    identity_free(&gone->identity);
    free(gone);
}
