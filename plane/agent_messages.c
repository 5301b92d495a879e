/* What is said with one host: control messages out, control messages in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plane/agent_conn.h"

/* ---- sending ---- */

void agent_send(struct agent *a, const struct message *m)
{
    struct error err;
    AUTO_BUF struct buf text = BUF(MESSAGE_MAX);
    if (a->ws == NULL)
        return;
    if (message_encode(m, &text, &err) < 0 || ws_send_text(a->ws, text.data, text.size, &err) < 0) {
        plane_log("%s: sending %s failed: %s", a->server, message_type_name(m->type), err.text);
        ws_abort(a->ws);
    }
}

void agent_send_error(struct agent *a, const char *code, const char *text, const char *about)
{
    struct message m = {.type = MESSAGE_ERROR};
    snprintf(m.as.error.code, sizeof m.as.error.code, "%s", code);
    snprintf(m.as.error.text, sizeof m.as.error.text, "%s", text);
    snprintf(m.as.error.about, sizeof m.as.error.about, "%s", about);
    agent_send(a, &m);
}

/* The envelope goes as it was signed: taking it apart and putting it together would only make work. */
void agent_send_envelope(struct agent *a, const struct buf *envelope)
{
    struct error err;
    AUTO_BUF struct buf text = BUF(MESSAGE_MAX);
    if (a->ws == NULL)
        return;
    if (buf_add_text(&text, "{\"type\":\"document\",\"envelope\":", &err) < 0 ||
        buf_add(&text, envelope->data, envelope->size, &err) < 0 || buf_add_text(&text, "}", &err) < 0 ||
        ws_send_text(a->ws, text.data, text.size, &err) < 0) {
        plane_log("%s: sending a document failed: %s", a->server, err.text);
        ws_abort(a->ws);
    }
}

void agent_close(struct agent *a, uint16_t code, const char *why)
{
    if (a->leaving)
        return;
    a->leaving = true;
    /* At once, not in on_close: by then a newer connection may be appending to the same files. */
    agent_streams_close(a);
    if (a->ws != NULL)
        ws_close(a->ws, code, why);
}

/* ---- messages ---- */

/* A seal key that comes over the connection is not believed: whoever owns the uplink could put theirs there. */
static void check_seal(struct agent *a, const struct message_hello *h)
{
    struct error err;
    struct store_server v;
    if (store_server(&a->plane->store, a->server, &v, &err) != 0 || memcmp(v.seal, h->seal, sizeof v.seal) == 0)
        return;
    plane_log("%s: its seal key is not the one it was enrolled with; values stay sealed to that one",
              a->server);
    agent_send_error(a, "E_SEAL_KEY", "this is not the seal key that was enrolled; enrol this host anew",
                     "hello");
}

static void note_hello(struct agent *a, const struct message_hello *h)
{
    struct error err;
    int64_t now = clock_wall_ms();
    struct store_server told = {.box_level = h->box_level,
                                .clock_skew = h->wall - now,
                                .trust_version = (int64_t)h->trust,
                                .last_seen = now};
    memcpy(told.id, a->server, sizeof told.id);
    COPY_TEXT(told.version, h->version);
    if (store_server_hello(&a->plane->store, &told, &err) < 0)
        plane_log("%s: %s", a->server, err.text);
    check_seal(a, h);
    memcpy(a->challenge, h->challenge, sizeof a->challenge);
    a->challenge_at = clock_boot_ms();
    a->challenge_wanted = false;
    a->trust = (int64_t)h->trust;
}

static void note_held(struct agent *a, const struct message_hello *h)
{
    a->held_count = 0;
    for (size_t i = 0; i < h->project_count; i++) {
        struct error err;
        struct agent_held *held = agent_held_for(a, h->projects[i].project, true);
        if (held == NULL)
            return;
        held->has_manifest = h->projects[i].manifest.version > 0;
        held->has_env = h->projects[i].env.version > 0;
        memcpy(held->manifest, h->projects[i].manifest.digest, sizeof held->manifest);
        memcpy(held->env, h->projects[i].env.digest, sizeof held->env);
        held->sequence = (int64_t)h->projects[i].sequence;
        if (store_sequence_raise(&a->plane->store, a->server, held->project, held->sequence, &err) < 0)
            plane_log("%s: %s", a->server, err.text);
    }
}

static void on_hello(struct agent *a, const struct message_hello *h)
{
    if (strcmp(h->server, a->server) != 0) {
        agent_send_error(a, "E_SERVER", "hello names another server than the certificate", "hello");
        agent_close(a, 1008, "wrong server");
        return;
    }
    /* What the host says it has and what we say we have must not change in between. */
    agent_streams_flush(a->plane);
    note_hello(a, h);
    note_held(a, h);
    struct message *m = calloc(1, sizeof *m);
    if (m == NULL) {
        agent_close(a, 1013, "no memory");
        return;
    }
    m->type = MESSAGE_WELCOME;
    m->as.welcome.heartbeat = AGENT_HEARTBEAT_S;
    memcpy(m->as.welcome.plane, a->plane->home.id, sizeof m->as.welcome.plane);
    memcpy(m->as.welcome.epoch, a->plane->home.epoch, sizeof m->as.welcome.epoch);
    agent_streams_welcome(a, h, &m->as.welcome);
    agent_send(a, m);
    free(m);
    agent_orders_hello(a);
    a->said_hello = true;
    agent_orders_trust(a);
    agent_orders_next(a);
}

static void on_cert(struct agent *a, const struct message_cert *c)
{
    struct error err;
    AUTO_BUF struct buf pem = BUF(MESSAGE_PEM_MAX);
    if (c->csr == NULL)
        return;
    if (enrol_renew(a->plane, a->server, c->csr, &pem, &err) < 0) {
        agent_send_error(a, err.code, err.text, "cert");
        return;
    }
    struct message m = {.type = MESSAGE_CERT};
    m.as.cert.certificate = buf_text(&pem);
    agent_send(a, &m);
}

static void on_control(struct agent *a, const struct message *m)
{
    if (m->type != MESSAGE_HELLO && m->type != MESSAGE_ERROR && !a->said_hello) {
        agent_send_error(a, "E_HELLO", "hello comes first", m->type_name);
        return;
    }
    switch (m->type) {
    case MESSAGE_HELLO:
        on_hello(a, &m->as.hello);
        break;
    case MESSAGE_OPEN:
        agent_streams_open(a, &m->as.open);
        break;
    case MESSAGE_WANT:
        agent_orders_want(a, &m->as.want);
        break;
    case MESSAGE_CERT:
        on_cert(a, &m->as.cert);
        break;
    case MESSAGE_ERROR:
        plane_log("%s: says %s: %s (%s)", a->server, m->as.error.code, m->as.error.text, m->as.error.about);
        agent_orders_refused(a, &m->as.error);
        break;
    case MESSAGE_UNKNOWN:
    case MESSAGE_WELCOME:
    case MESSAGE_ACK:
    case MESSAGE_DOCUMENT:
    case MESSAGE_GOAWAY:
        agent_send_error(a, "E_MESSAGE", "a host does not send this type of message", m->type_name);
        break;
    }
}

void agent_on_text(struct agent *a, const uint8_t *data, size_t size)
{
    struct error err;
    struct message *m = calloc(1, sizeof *m);
    if (m == NULL)
        return;
    if (message_decode((struct bytes){data, size}, m, &err) < 0) {
        agent_send_error(a, err.code, err.text, m->type_name);
    } else {
        on_control(a, m);
        message_free(m);
    }
    free(m);
}
