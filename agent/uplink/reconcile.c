#include "agent/uplink/reconcile.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "ipc/sock.h"

void reconcile_init(struct reconcile *r, const struct reconcile_out *out, void *ctx)
{
    memset(r, 0, sizeof *r);
    held_init(&r->held);
    r->out = out;
    r->ctx = ctx;
}

void reconcile_free(struct reconcile *r)
{
    held_free(&r->held);
}

bool reconcile_ready(const struct reconcile *r)
{
    return r->held.ready;
}

/* ---- to the plane ---- */

static int send_message(struct reconcile *r, const struct message *m)
{
    AUTO_BUF struct buf text = BUF(MESSAGE_MAX);
    struct error err = {0};
    if (message_encode(m, &text, &err) < 0) {
        r->out->note(r->ctx, &err);
        return 0;
    }
    return r->out->text(r->ctx, text.data, text.size);
}

void reconcile_error(struct reconcile *r, const struct error *what, const char *about)
{
    struct message m = {.type = MESSAGE_ERROR};
    if (!r->open)
        return;
    snprintf(m.as.error.code, sizeof m.as.error.code, "%s", what->code);
    snprintf(m.as.error.text, sizeof m.as.error.text, "%s", what->text);
    snprintf(m.as.error.about, sizeof m.as.error.about, "%s", about);
    (void)send_message(r, &m);
}

/* The one way a hello is said: the streams stand still until its welcome. */
static void say_hello(struct reconcile *r)
{
    AUTO_BUF struct buf text = BUF(MESSAGE_MAX);
    struct error err = {0};
    r->welcomed = false;
    r->full = false;
    r->asked_challenge = false;
    held_restart(&r->held);
    if (held_say_hello(&r->held, clock_wall_ms(), &text, &err) < 0) {
        r->out->note(r->ctx, &err);
        return;
    }
    if (r->out->text(r->ctx, text.data, text.size) < 0)
        return;
    r->awaited++;
    r->out->said_hello(r->ctx);
}

static int send_open(struct reconcile *r, const struct stream_next *next)
{
    struct message m = {.type = MESSAGE_OPEN, .as.open = {.handle = next->handle, .from = next->offset}};
    snprintf(m.as.open.name, sizeof m.as.open.name, "%s", next->name);
    return send_message(r, &m);
}

static int send_data(struct reconcile *r, const struct stream_next *next)
{
    struct error err = {0};
    struct data_frame frame = {.handle = next->handle, .offset = next->offset, .final = next->final};
    if (held_read(&r->held, next->name, next->offset, r->frame + DATA_HEADER_SIZE, next->size, &err) < 0) {
        r->out->note(r->ctx, &err);
        reconcile_error(r, &err, next->name);
        stream_unreadable(&r->held.sender, next->name);
        return 0;
    }
    data_encode_header(&frame, r->frame);
    return r->out->binary(r->ctx, r->frame, DATA_HEADER_SIZE + next->size);
}

/* Sends what the window and the connection's queue allow. The window bounds the loop. */
static void pump(struct reconcile *r)
{
    while (r->open && r->welcomed && !r->full) {
        struct stream_next next = stream_next(&r->held.sender);
        int rc = 0;
        switch (next.todo) {
        case STREAM_IDLE:
            return;
        case STREAM_OPEN:
            rc = send_open(r, &next);
            break;
        case STREAM_DATA:
            rc = send_data(r, &next);
            break;
        }
        if (rc < 0)
            return; /* the connection ends, reconcile_shut comes */
        r->full = rc == 1;
    }
}

void reconcile_drained(struct reconcile *r)
{
    r->full = false;
    pump(r);
}

void reconcile_ask_certificate(struct reconcile *r, const char *csr_pem)
{
    struct message m = {.type = MESSAGE_CERT, .as.cert.csr = csr_pem};
    if (r->open)
        (void)send_message(r, &m);
}

void reconcile_open(struct reconcile *r)
{
    r->open = true;
    r->awaited = 0;
    if (r->held.ready)
        say_hello(r);
}

void reconcile_shut(struct reconcile *r)
{
    r->open = r->welcomed = r->full = false;
    held_restart(&r->held);
}

/* ---- from the agent ---- */

static void relay_want(struct reconcile *r, const struct link_want *want)
{
    static const enum want_what what[] = {[LINK_TRUST] = WANT_TRUST, [LINK_MANIFEST] = WANT_MANIFEST, [LINK_ENV] = WANT_ENV};
    struct message m = {.type = MESSAGE_WANT, .as.want = {.what = what[want->kind], .version = want->version}};
    memcpy(m.as.want.digest, want->digest, sizeof m.as.want.digest);
    if (r->open)
        (void)send_message(r, &m);
}

static void relay_refusal(struct reconcile *r, const struct link_refused *refused)
{
    struct error what;
    snprintf(what.code, sizeof what.code, "%s", refused->code);
    snprintf(what.text, sizeof what.text, "%s", refused->text);
    reconcile_error(r, &what, refused->about);
}

int reconcile_record(struct reconcile *r, struct ipc_record *record, struct error *err)
{
    enum held_change change;
    if (held_record(&r->held, record, &change, err) < 0)
        return -1;
    switch (change) {
    case HELD_HELLO:
        if (r->open)
            say_hello(r);
        break;
    case HELD_STREAMS:
        pump(r);
        break;
    case HELD_WANT:
        relay_want(r, (const struct link_want *)record->body);
        break;
    case HELD_REFUSED:
        relay_refusal(r, (const struct link_refused *)record->body);
        break;
    case HELD_NOTHING:
    case HELD_STATUS:
        break;
    }
    return 0;
}

void reconcile_agent_gone(struct reconcile *r)
{
    struct error away = {0};
    held_clear(&r->held);
    r->welcomed = false;
    fail(&away, "E_AGENT_AWAY", "the agent on this host is restarting or does not run: documents wait until its next hello");
    reconcile_error(r, &away, "");
}

/* ---- from the plane ---- */

static const uint32_t link_kind[] = {[DOCUMENT_TRUST] = LINK_TRUST, [DOCUMENT_MANIFEST] = LINK_MANIFEST,
                                     [DOCUMENT_ENV] = LINK_ENV, [DOCUMENT_ORDER] = LINK_ORDER};

int reconcile_relay(struct reconcile *r, const struct envelope *document, struct error *err)
{
    struct link_document body = {.kind = link_kind[document->type]};
    if (!r->held.ready)
        return fail(err, "E_AGENT_AWAY", "the agent on this host is not there, the document was dropped");
    if (r->out->agent_busy(r->ctx))
        return fail(err, "E_BUSY", "the agent on this host has not taken the documents before this one, it was dropped");
    for (size_t i = 0; i < document->signature_count && i < LINK_SIGNATURES_MAX; i++) {
        const struct envelope_signature *from = &document->signatures[i];
        struct link_signature *to = &body.signatures[body.signature_count];
        if (from->malformed)
            continue; /* it never counts */
        to->has_keyid = from->has_keyid;
        memcpy(to->keyid, from->keyid, sizeof to->keyid);
        memcpy(to->sig, from->sig, sizeof to->sig);
        body.signature_count++;
    }
    int fd = memfd_sealed("document", document->payload.data, document->payload.size, err);
    if (fd < 0)
        return -1;
    r->out->agent(r->ctx, LINK_DOCUMENT, &body, sizeof body, fd);
    return 0;
}

/* What the machine believes, never the plane's own number; and only news, so that a plane cannot make us chatter. */
static void tell_acked(struct reconcile *r, const char *name)
{
    struct link_grown body;
    if (held_acked(&r->held, name, &body))
        r->out->agent(r->ctx, LINK_ACKED, &body, sizeof body, -1);
}

static void heard(struct reconcile *r, enum stream_heard what, const char *name, uint64_t offset)
{
    struct error lost = {0};
    switch (what) {
    case STREAM_KNOWN:
    case STREAM_OVER:
        tell_acked(r, name);
        break;
    case STREAM_LOST:
        fail(&lost, "E_STREAM_LOST", "the plane has stream %s up to %llu, which is not what this host holds", name,
             (unsigned long long)offset);
        r->out->note(r->ctx, &lost);
        reconcile_error(r, &lost, name);
        break;
    case STREAM_BACK: /* what was acknowledged before stays said */
    case STREAM_UNKNOWN:
        break;
    }
}

static void start_streams(struct reconcile *r, const struct message_welcome *welcome)
{
    stream_connected(&r->held.sender);
    r->welcomed = true;
    for (size_t i = 0; i < welcome->stream_count; i++) {
        const struct welcome_stream *s = &welcome->streams[i];
        heard(r, stream_start_at(&r->held.sender, s->name, s->from), s->name, s->from);
    }
}

static void on_welcome(struct reconcile *r, const struct message_welcome *welcome)
{
    if (r->awaited == 0 || --r->awaited > 0)
        return;
    if (r->held.ready) /* else the agent that said hello is gone, and the next one says its own */
        start_streams(r, welcome);
    r->out->welcome(r->ctx, welcome);
    pump(r);
}

static void on_want(struct reconcile *r, const struct message_want *want)
{
    if (want->what != WANT_CHALLENGE || !r->held.ready || r->asked_challenge)
        return;
    r->asked_challenge = true;
    r->out->agent(r->ctx, LINK_NEED_CHALLENGE, NULL, 0, -1);
}

static void on_document(struct reconcile *r, const struct envelope *document)
{
    struct error err = {0};
    if (reconcile_relay(r, document, &err) < 0)
        reconcile_error(r, &err, document_type_name(document->type));
}

static void on_error(struct reconcile *r, const struct message_error *said)
{
    struct error note = {0};
    fail(&note, "E_PLANE_SAYS", "the plane says %s: %s", said->code, said->text);
    r->out->note(r->ctx, &note);
}

static void refuse(struct reconcile *r, const char *type_name)
{
    struct error what = {0};
    fail(&what, "E_UNKNOWN_TYPE", "this host does not take a message of type '%s' from a plane", type_name);
    reconcile_error(r, &what, type_name);
}

static void on_message(struct reconcile *r, const struct message *m)
{
    switch (m->type) {
    case MESSAGE_WELCOME:
        on_welcome(r, &m->as.welcome);
        return;
    case MESSAGE_ACK:
        heard(r, stream_acked(&r->held.sender, m->as.ack.name, m->as.ack.offset), m->as.ack.name, m->as.ack.offset);
        pump(r);
        return;
    case MESSAGE_WANT:
        on_want(r, &m->as.want);
        return;
    case MESSAGE_DOCUMENT:
        on_document(r, &m->as.document);
        return;
    case MESSAGE_CERT:
        if (m->as.cert.certificate != NULL)
            r->out->certificate(r->ctx, m->as.cert.certificate);
        return;
    case MESSAGE_GOAWAY:
        r->out->goaway(r->ctx, (uint32_t)m->as.goaway.retry_after);
        return;
    case MESSAGE_ERROR:
        on_error(r, &m->as.error);
        return;
    case MESSAGE_UNKNOWN:
    case MESSAGE_HELLO:
    case MESSAGE_OPEN:
        refuse(r, m->type_name);
        return;
    }
}

void reconcile_text(struct reconcile *r, struct bytes text)
{
    AUTO_MESSAGE struct message m = {0};
    struct error err = {0};
    if (message_decode(text, &m, &err) < 0)
        reconcile_error(r, &err, m.type_name);
    else
        on_message(r, &m);
}
