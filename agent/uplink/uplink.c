/* Happy path: the agent says what it has (link) → attempt(): agent.json, identity, a token if there is one (enrol) → channel →
 * hello … (reconcile) → online, until the connection ends → backoff → attempt() again, for ever.
 * Failures: whatever is missing or refused becomes the reason for being offline, in a sentence, for the log, the agent and the
 * local socket; nothing of it ends the process. Local reasons are looked at again every two seconds, the plane with backoff.
 * Close: uplink_close ends all parts; their callbacks see `closing` and do nothing more. */
#include "agent/uplink/uplink.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/uplink/backoff.h"
#include "agent/uplink/channel.h"
#include "agent/uplink/config.h"
#include "agent/uplink/enrol.h"
#include "agent/uplink/identity.h"
#include "agent/uplink/link.h"
#include "agent/uplink/local_api.h"
#include "agent/uplink/reconcile.h"
#include "agent/uplink/status.h"
#include "base/clock.h"
#include "base/encode.h"

#define LOCAL_RETRY_MS   UINT64_C(2000)    /* no enrolment, no agent: root or the agent will change that */
#define RENEWAL_CHECK_MS UINT64_C(3600000)
#define NOTES_BURST      20 /* lines a plane can make us write at once, then one a NOTES_EVERY_MS */
#define NOTES_EVERY_MS   10000

enum uplink_state {
    UPLINK_WAITING, /* for the retry timer, or for the agent */
    UPLINK_ENROLLING,
    UPLINK_CONNECTING, /* until the plane's welcome */
    UPLINK_ONLINE,
    UPLINK_CLOSING,
};

struct uplink {
    struct net_loop *net;
    struct uplink_options options;
    enum uplink_state state;
    struct reconcile reconcile;
    struct link *link;
    struct channel channel;
    uint8_t used_cert[32], used_ca[32]; /* what channel has, so that a session can be resumed while they stay */
    struct enrol enrol;
    struct identity identity;
    struct config config;
    struct local_api *api;
    struct loop_timer *retry, *renewal;
    struct backoff backoff;
    bool asked_certificate, goaway;
    uint32_t retry_after_s;
    char plane[33], epoch[33];
    int64_t since_ms, last_ack_ms, relayed_ms; /* wall clock */
    struct error why;                          /* offline: the reason */
    int notes;
    int64_t notes_ms; /* boot clock */
};

static void attempt(void *ctx);

/* ---- words ---- */

static void say(const char *format, ...) KLY_PRINTF(1, 2);
static void say(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "klystrr-uplink: %s\n", line);
}

/* What others can make us say: visible, and not too often. */
static void note(void *ctx, const struct error *what)
{
    struct uplink *u = ctx;
    int64_t now = clock_boot_ms(), earned = (now - u->notes_ms) / NOTES_EVERY_MS;
    if (earned > 0) {
        u->notes = earned > u->notes ? 0 : u->notes - (int)earned;
        u->notes_ms = now;
    }
    if (u->notes >= NOTES_BURST)
        return;
    u->notes++;
    char text[sizeof what->text];
    size_t n = 0;
    for (; what->text[n] != '\0' && n + 1 < sizeof text; n++)
        text[n] = (unsigned char)what->text[n] < ' ' || what->text[n] == 127 ? '?' : what->text[n];
    text[n] = '\0';
    say("%s: %s", what->code, text);
}

static void tell_agent(struct uplink *u)
{
    struct link_online body = {.online = u->state == UPLINK_ONLINE, .resumed = u->channel.resumed, .since_ms = u->since_ms};
    if (u->link == NULL || !reconcile_ready(&u->reconcile))
        return;
    snprintf(body.plane, sizeof body.plane, "%s", u->plane);
    if (!body.online)
        snprintf(body.text, sizeof body.text, "%.255s", u->why.text);
    link_send(u->link, LINK_ONLINE, &body, sizeof body, -1);
}

/* The one door of the state. why is only looked at for UPLINK_WAITING: the reason for being offline. */
static void set_state(struct uplink *u, enum uplink_state state, const struct error *why)
{
    enum uplink_state before = u->state;
    u->state = state;
    switch (state) {
    case UPLINK_ONLINE:
        if (before == UPLINK_ONLINE)
            return;
        u->since_ms = clock_wall_ms();
        u->why = (struct error){0};
        say("online at %s%s", u->config.url, u->channel.resumed ? " (resumed)" : "");
        break;
    case UPLINK_WAITING:
        if (before == UPLINK_ONLINE || u->since_ms == 0)
            u->since_ms = clock_wall_ms();
        else if (strcmp(u->why.text, why->text) == 0)
            return; /* said already */
        u->why = *why;
        say("offline: %s: %s", why->code, why->text);
        break;
    case UPLINK_ENROLLING:
    case UPLINK_CONNECTING:
    case UPLINK_CLOSING:
        return;
    }
    tell_agent(u);
}

/* ---- when to try again ---- */

static uint64_t jitter(void)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint64_t)clock_boot_ms() * UINT64_C(0x9e3779b97f4a7c15) >> 17; /* spreads, keeps no secret */
    return random;
}

/* Something on this host is missing: no use in asking the plane. */
static void wait_here(struct uplink *u, const struct error *why)
{
    set_state(u, UPLINK_WAITING, why);
    loop_timer_start(u->retry, LOCAL_RETRY_MS, 0);
}

static void wait_for_plane(struct uplink *u, const struct error *why)
{
    uint64_t ms = u->goaway ? backoff_goaway(&u->backoff, clock_boot_ms(), u->retry_after_s, jitter())
                            : backoff_failed(&u->backoff, clock_boot_ms(), jitter());
    u->goaway = false;
    set_state(u, UPLINK_WAITING, why);
    loop_timer_start(u->retry, ms, 0);
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Names the plane in what the connection's layers said, and our own certificate if that may be the cause. */
static void explain(struct uplink *u, struct error *why)
{
    char warning[256];
    bool refused = strcmp(why->code, "E_TLS_REFUSED") == 0 || strcmp(why->code, "E_TLS_CLOSED") == 0 ||
                   strcmp(why->code, "E_PLANE_REFUSED") == 0;
    if (has_prefix(why->code, "E_CONN_") || has_prefix(why->code, "E_TLS_") || has_prefix(why->code, "E_HTTP_") ||
        has_prefix(why->code, "E_WS_"))
        fail_in(why, "the plane at %s cannot be reached", u->config.url);
    if (!refused || u->identity.cert_pem.size == 0)
        return;
    identity_warning(&u->identity, clock_wall_ms(), warning, sizeof warning);
    if (warning[0] != '\0')
        fail_in(why, "%s", warning);
}

/* ---- enrolment ---- */

static void own_hostname(char *out, size_t size)
{
    if (gethostname(out, size - 1) < 0 || out[0] == '\0')
        snprintf(out, size, "localhost");
    out[size - 1] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            *c = '-';
}

/* The certificate is durable before the token goes: a crash in between leaves a used token beside a good certificate. */
static int keep_enrolment(struct uplink *u, const struct enrol_response *answer, const char *ca_pem, struct error *err)
{
    if (identity_store(&u->identity, answer->certificate, ca_pem, err) < 0 || identity_drop_token(&u->identity, err) < 0)
        return fail_in(err, "the enrolment could not be stored");
    say("enrolled as %s at %s", answer->server, u->config.url);
    /* Lost on the way it does no harm: hello says that the agent has none, and the plane sends it. */
    if (answer->trust.type == DOCUMENT_TRUST && reconcile_relay(&u->reconcile, &answer->trust, err) < 0)
        note(u, err);
    return 0;
}

static void on_enrolled(void *ctx, const struct enrol_response *answer, const char *ca_pem, const struct error *failed)
{
    struct uplink *u = ctx;
    struct error err = {0};
    if (u->state == UPLINK_CLOSING)
        return;
    if (failed != NULL)
        err = *failed;
    int rc = failed != NULL ? -1 : keep_enrolment(u, answer, ca_pem, &err);
    /* See keep_enrolment: it was used by us. */
    if (rc < 0 && strcmp(err.code, "E_TOKEN") == 0 && identity_enrolled(&u->identity))
        rc = identity_drop_token(&u->identity, &err);
    if (rc < 0) {
        explain(u, &err);
        wait_for_plane(u, &err);
        return;
    }
    u->state = UPLINK_WAITING;
    loop_timer_start(u->retry, 0, 0);
}

static int enrol_begin(struct uplink *u, const char *secret, struct error *err)
{
    AUTO_BUF struct buf csr = BUF(IDENTITY_FILE_MAX);
    AUTO_ENROL_REQUEST struct enrol_request request = {0};
    const struct link_hello *host = &u->reconcile.held.hello;
    if (hex_decode(secret, 64, request.token, sizeof request.token) < 0)
        return fail(err, "E_TOKEN", "the token is malformed");
    if (identity_request(&u->identity, u->config.server, &csr, err) < 0)
        return -1;
    request.csr = buf_text(&csr);
    snprintf(request.server, sizeof request.server, "%s", u->config.server);
    snprintf(request.version, sizeof request.version, "%s", host->version);
    memcpy(request.seal, host->seal, sizeof request.seal);
    own_hostname(request.hostname, sizeof request.hostname);
    enrol_free(&u->enrol);
    return enrol_start(&u->enrol, u->net, &u->config, &request, on_enrolled, u, err);
}

/* ---- an attempt ---- */

static int find_config(struct uplink *u, struct error *err)
{
    struct config fresh;
    int rc = config_read(u->options.config, &fresh, err);
    if (rc == 1)
        return fail(err, "E_NOT_ENROLLED", "this host is not enrolled (%s is missing): run `klystrr enrol`", u->options.config);
    if (rc == 0)
        u->config = fresh;
    return rc;
}

static int find_agent(struct uplink *u, struct error *err)
{
    if (!reconcile_ready(&u->reconcile))
        return fail(err, "E_AGENT_AWAY", "klystrr-agent has not come up yet at %s", u->options.link);
    if (strcmp(u->reconcile.held.hello.server, u->config.server) != 0)
        return fail(err, "E_CONFIG", "the agent works for %s and %s names %s: restart klystrr-agent",
                    u->reconcile.held.hello.server, u->options.config, u->config.server);
    return 0;
}

/* Reads the folder anew each time: root may have put a token there. */
static int find_identity(struct uplink *u, struct error *err)
{
    identity_free(&u->identity);
    return identity_open(&u->identity, u->options.state, err);
}

static int prepare_channel(struct uplink *u, struct error *err)
{
    const struct identity *id = &u->identity;
    if (!identity_enrolled(id))
        return fail(err, "E_NOT_ENROLLED", "this host has no certificate of a plane: run `klystrr enrol` with a token");
    if (!equal_secret(id->ca.sha256, u->config.ca, sizeof u->config.ca))
        return fail(err, "E_CA_PIN", "the CA stored here is not the one that %s pins: enrol this host again", u->options.config);
    if (memcmp(u->used_cert, id->cert.sha256, sizeof u->used_cert) == 0 && memcmp(u->used_ca, id->ca.sha256, sizeof u->used_ca) == 0)
        return 0;
    const struct tls_client_options who = {
        .ca_pem = buf_text(&id->ca_pem), .cert_pem = buf_text(&id->cert_pem), .key_pem = buf_text(&id->key_pem)};
    if (channel_use(&u->channel, &who, err) < 0)
        return -1;
    memcpy(u->used_cert, id->cert.sha256, sizeof u->used_cert);
    memcpy(u->used_ca, id->ca.sha256, sizeof u->used_ca);
    return 0;
}

static int connect_plane(struct uplink *u, struct error *err)
{
    if (channel_connect(&u->channel, u->config.plane.host, u->config.plane.port, u->config.authority, err) == 0)
        return 0;
    explain(u, err);
    return -1;
}

static void attempt(void *ctx)
{
    struct uplink *u = ctx;
    struct error err = {0};
    char secret[IDENTITY_TOKEN_SIZE];
    if (u->state != UPLINK_WAITING || channel_active(&u->channel))
        return;
    if (find_config(u, &err) < 0 || find_agent(u, &err) < 0 || find_identity(u, &err) < 0) {
        wait_here(u, &err);
        return;
    }
    int token = identity_token(&u->identity, secret, &err);
    if (token == 0) {
        u->state = UPLINK_ENROLLING;
        token = enrol_begin(u, secret, &err) < 0 ? -1 : 2;
        wipe(secret, sizeof secret);
    }
    if (token < 0 || (token == 1 && prepare_channel(u, &err) < 0)) {
        wait_here(u, &err);
        return;
    }
    if (token == 2)
        return;
    set_state(u, UPLINK_CONNECTING, NULL);
    if (connect_plane(u, &err) < 0)
        wait_for_plane(u, &err);
}

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
    struct error reason = *why;
    reconcile_shut(&u->reconcile);
    u->asked_certificate = false;
    if (u->state == UPLINK_CLOSING)
        return;
    explain(u, &reason);
    wait_for_plane(u, &reason);
}

static const struct channel_events channel_events = {.on_open = on_channel_open, .on_text = on_channel_text,
                                                     .on_binary = on_channel_binary, .on_drain = on_channel_drain,
                                                     .on_closed = on_channel_closed};

/* ---- renewal ---- */

static void renew_if_due(void *ctx)
{
    struct uplink *u = ctx;
    struct error err = {0};
    AUTO_BUF struct buf csr = BUF(IDENTITY_FILE_MAX);
    if (u->state != UPLINK_ONLINE || clock_wall_ms() < identity_renewal_ms(&u->identity))
        return;
    if (identity_request(&u->identity, u->config.server, &csr, &err) < 0) {
        note(u, &err);
        return;
    }
    u->asked_certificate = true;
    reconcile_ask_certificate(&u->reconcile, buf_text(&csr));
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
        clock_format(u->identity.cert.not_after_ms, until);
        say("certificate renewed, valid until %s", until);
        return;
    }
    note(u, &err);
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
        say("the plane has a new epoch: it was restored or set up anew");
    snprintf(u->plane, sizeof u->plane, "%s", welcome->plane);
    snprintf(u->epoch, sizeof u->epoch, "%s", welcome->epoch);
    if (u->state == UPLINK_ONLINE)
        return;
    backoff_online(&u->backoff, clock_boot_ms());
    set_state(u, UPLINK_ONLINE, NULL);
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
                                                   .certificate = on_certificate, .goaway = on_goaway, .note = note};

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
    tell_agent(u);
    if (u->state == UPLINK_WAITING && (u->why.code[0] == '\0' || strcmp(u->why.code, "E_AGENT_AWAY") == 0))
        loop_timer_start(u->retry, 0, 0);
    return 0;
}

static void on_link_lost(void *ctx, const struct error *why)
{
    struct uplink *u = ctx;
    if (why != NULL)
        note(u, why);
    else
        say("the agent closed its connection");
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
    u->retry = loop_timer_new(u->net, attempt, u);
    u->renewal = loop_timer_new(u->net, renew_if_due, u);
    if (u->retry == NULL || u->renewal == NULL)
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
    reconcile_init(&u->reconcile, &reconcile_out, u);
    if (open_parts(u, err) < 0) {
        uplink_close(u);
        return NULL; /* the caller exits */
    }
    loop_timer_start(u->retry, LOCAL_RETRY_MS, 0); /* sooner, when the agent is ready */
    loop_timer_start(u->renewal, RENEWAL_CHECK_MS, RENEWAL_CHECK_MS);
    return u;
}

void uplink_close(struct uplink *u)
{
    struct error why = {0};
    if (u->state == UPLINK_CLOSING)
        return;
    set_state(u, UPLINK_CLOSING, NULL);
    fail(&why, "E_STOPPING", "klystrr-uplink was stopped");
    channel_retire(&u->channel, 1001, &why);
    enrol_cancel(&u->enrol);
    link_close(&u->link);
    local_api_close(&u->api);
    loop_timer_free(&u->retry);
    loop_timer_free(&u->renewal);
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
