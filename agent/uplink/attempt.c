#include "agent/uplink/attempt.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"

#define LOCAL_RETRY_MS UINT64_C(2000) /* no enrolment, no agent: root or the agent will change that */

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
    hub_set_state(u, UPLINK_WAITING, why);
    loop_timer_start(u->retry, LOCAL_RETRY_MS, 0);
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

void attempt_again(struct uplink *u, const struct error *cause)
{
    struct error why = *cause;
    uint64_t ms = u->goaway ? backoff_goaway(&u->backoff, clock_boot_ms(), u->retry_after_s, jitter())
                            : backoff_failed(&u->backoff, clock_boot_ms(), jitter());
    u->goaway = false;
    explain(u, &why);
    hub_set_state(u, UPLINK_WAITING, &why);
    loop_timer_start(u->retry, ms, 0);
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
    hub_say("enrolled as %s at %s", answer->server, u->config.url);
    /* Lost on the way it does no harm: hello says that the agent has none, and the plane sends it. */
    if (answer->trust.type == DOCUMENT_TRUST && reconcile_relay(&u->reconcile, &answer->trust, err) < 0)
        hub_note(u, err);
    return 0;
}

/* See keep_enrolment: a refused token beside a certificate of this very server at this very plane. */
static bool used_by_us(const struct uplink *u)
{
    return identity_enrolled(&u->identity) && strcmp(u->identity.cert.common_name, u->config.server) == 0 &&
           equal_secret(u->identity.ca.sha256, u->config.ca, sizeof u->config.ca);
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
    if (rc < 0 && strcmp(err.code, "E_TOKEN") == 0 && used_by_us(u))
        rc = identity_drop_token(&u->identity, &err);
    if (rc < 0) {
        attempt_again(u, &err);
        return;
    }
    hub_set_state(u, UPLINK_WAITING, NULL);
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

static int enrol_or_connect(struct uplink *u, struct error *err)
{
    char secret[IDENTITY_TOKEN_SIZE];
    int token = identity_token(&u->identity, secret, err);
    if (token == 0) {
        hub_set_state(u, UPLINK_ENROLLING, NULL);
        int rc = enrol_begin(u, secret, err);
        wipe(secret, sizeof secret);
        return rc;
    }
    if (token < 0 || prepare_channel(u, err) < 0)
        return -1;
    hub_set_state(u, UPLINK_CONNECTING, NULL);
    return channel_connect(&u->channel, u->config.plane.host, u->config.plane.port, u->config.authority, err);
}

void attempt_now(void *ctx)
{
    struct uplink *u = ctx;
    struct error err = {0};
    if (u->state != UPLINK_WAITING || channel_active(&u->channel))
        return;
    if (find_config(u, &err) < 0 || find_agent(u, &err) < 0 || find_identity(u, &err) < 0 || enrol_or_connect(u, &err) < 0)
        wait_here(u, &err);
}
