#include <string.h>

#include "proto/envelope_at.h"
#include "proto/message.h"

static void put_held(struct json_writer *w, const char *name, const struct hello_held *held)
{
    if (held->version == 0) {
        json_put_null(w, name);
        return;
    }
    json_open(w, name, '{');
    json_put_number(w, "version", held->version);
    json_put_hex(w, "digest", held->digest, sizeof held->digest);
    json_close(w, '}');
}

static void put_hello_lists(struct json_writer *w, const struct message_hello *h)
{
    json_open(w, "projects", '[');
    for (size_t i = 0; i < h->project_count; i++) {
        const struct hello_project *p = &h->projects[i];
        json_open(w, NULL, '{');
        json_put_text(w, "project", p->project);
        put_held(w, "manifest", &p->manifest);
        put_held(w, "env", &p->env);
        json_put_number(w, "sequence", p->sequence);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_open(w, "streams", '[');
    for (size_t i = 0; i < h->stream_count; i++) {
        const struct hello_stream *s = &h->streams[i];
        json_open(w, NULL, '{');
        json_put_text(w, "name", s->name);
        json_put_number(w, "base", s->base);
        json_put_number(w, "end", s->end);
        json_put_bool(w, "closed", s->closed);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_hello(struct json_writer *w, const struct message_hello *h)
{
    json_put_text(w, "server", h->server);
    json_put_text(w, "version", h->version);
    json_open(w, "features", '[');
    for (size_t i = 0; i < h->feature_count; i++)
        json_put_text(w, NULL, h->features[i]);
    json_close(w, ']');
    json_put_int(w, "box_level", h->box_level);
    json_put_base64(w, "challenge", h->challenge, sizeof h->challenge);
    json_put_time(w, "wall", h->wall);
    json_put_number(w, "trust", h->trust);
    json_put_base64(w, "seal", h->seal, sizeof h->seal);
    put_hello_lists(w, h);
}

static void put_welcome(struct json_writer *w, const struct message_welcome *m)
{
    json_put_text(w, "plane", m->plane);
    json_put_text(w, "epoch", m->epoch);
    json_put_int(w, "heartbeat", m->heartbeat);
    json_open(w, "streams", '[');
    for (size_t i = 0; i < m->stream_count; i++) {
        json_open(w, NULL, '{');
        json_put_text(w, "name", m->streams[i].name);
        json_put_number(w, "from", m->streams[i].from);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_want(struct json_writer *w, const struct message_want *m)
{
    static const char *const what[] = {[WANT_CHALLENGE] = "challenge",
                                       [WANT_TRUST] = "trust",
                                       [WANT_MANIFEST] = "manifest",
                                       [WANT_ENV] = "env"};
    json_put_text(w, "what", m->what >= WANT_CHALLENGE && m->what <= WANT_ENV ? what[m->what] : "");
    if (m->what == WANT_TRUST)
        json_put_number(w, "version", m->version);
    if (m->what == WANT_MANIFEST || m->what == WANT_ENV)
        json_put_hex(w, "digest", m->digest, sizeof m->digest);
}

static void put_body(struct json_writer *w, const struct message *m)
{
    switch (m->type) {
    case MESSAGE_UNKNOWN:
        break;
    case MESSAGE_HELLO:
        put_hello(w, &m->as.hello);
        break;
    case MESSAGE_WELCOME:
        put_welcome(w, &m->as.welcome);
        break;
    case MESSAGE_OPEN:
        json_put_int(w, "handle", m->as.open.handle);
        json_put_text(w, "name", m->as.open.name);
        json_put_number(w, "from", m->as.open.from);
        break;
    case MESSAGE_ACK:
        json_put_text(w, "name", m->as.ack.name);
        json_put_number(w, "offset", m->as.ack.offset);
        break;
    case MESSAGE_WANT:
        put_want(w, &m->as.want);
        break;
    case MESSAGE_DOCUMENT:
        envelope_write(w, "envelope", &m->as.document);
        break;
    case MESSAGE_CERT:
        if (m->as.cert.csr != NULL)
            json_put_text(w, "csr", m->as.cert.csr);
        if (m->as.cert.certificate != NULL)
            json_put_text(w, "certificate", m->as.cert.certificate);
        break;
    case MESSAGE_GOAWAY:
        json_put_int(w, "retry_after", m->as.goaway.retry_after);
        break;
    case MESSAGE_ERROR:
        json_put_text(w, "code", m->as.error.code);
        json_put_text(w, "text", m->as.error.text);
        if (m->as.error.about[0] != 0)
            json_put_text(w, "about", m->as.error.about);
        break;
    }
}

static int ready(const struct message *m, struct error *err)
{
    if (m->type < MESSAGE_HELLO || m->type > MESSAGE_ERROR)
        return fail(err, "E_MEMBER", "a message needs a known type");
    if (m->type == MESSAGE_DOCUMENT)
        return envelope_ready(&m->as.document, err);
    if ((m->type == MESSAGE_HELLO &&
         (m->as.hello.feature_count > HELLO_FEATURES_MAX || m->as.hello.project_count > HELLO_PROJECTS_MAX ||
          m->as.hello.stream_count > HELLO_STREAMS_MAX)) ||
        (m->type == MESSAGE_WELCOME && m->as.welcome.stream_count > HELLO_STREAMS_MAX))
        return fail(err, "E_MEMBER", "a list is longer than the struct that holds it");
    return 0;
}

int message_encode(const struct message *m, struct buf *out, struct error *err)
{
    AUTO_MESSAGE struct message again = {0};
    if (ready(m, err) < 0)
        return -1;
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "type", message_type_name(m->type));
    put_body(&w, m);
    json_close(&w, '}');
    if (json_done(&w) < 0)
        return -1;
    if (message_decode((struct bytes){out->data + w.start, out->size - w.start}, &again, err) == 0)
        return 0;
    w.failed = true;
    return json_done(&w);
}
