#include "proto/message.h"

#include <string.h>

#include "base/encode.h"
#include "proto/envelope_at.h"

static const char *const type_names[] = {
    [MESSAGE_UNKNOWN] = "unknown",   [MESSAGE_HELLO] = "hello", [MESSAGE_WELCOME] = "welcome",
    [MESSAGE_OPEN] = "open",         [MESSAGE_ACK] = "ack",     [MESSAGE_WANT] = "want",
    [MESSAGE_DOCUMENT] = "document", [MESSAGE_CERT] = "cert",   [MESSAGE_GOAWAY] = "goaway",
    [MESSAGE_ERROR] = "error",
};
static const char *const want_names[] = {"challenge", "trust", "manifest", "env", NULL};

const char *message_type_name(enum message_type type)
{
    return type >= MESSAGE_UNKNOWN && type <= MESSAGE_ERROR ? type_names[type] : "unknown";
}

bool name_is_stream(const char *s)
{
    return strcmp(s, "events") == 0 || (strncmp(s, "log/", 4) == 0 && name_is_deployment(s + 4));
}

static bool is_hex32(const char *s)
{
    uint8_t id[16];
    return hex_decode(s, strlen(s), id, sizeof id) == 0;
}

static bool is_feature(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n < HELLO_FEATURE_SIZE && s[n] == 0;
}

static bool is_version_text(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n >= VERSION_TEXT_SIZE)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || (unsigned char)s[i] >= 0x7f)
            return false;
    return true;
}

static bool is_code(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n > 0 && n < sizeof((struct message_error *)0)->code && s[n] == 0;
}

static int stream_name(const struct json_at *at, char *out, struct error *err)
{
    return json_named_copy(at, "name", JSON_REQUIRED, name_is_stream, "a stream's name", out, STREAM_NAME_SIZE,
                           err) < 0
               ? -1
               : 0;
}

static int offset(const struct json_at *at, const char *name, uint64_t *out, struct error *err)
{
    return json_number(at, name, JSON_REQUIRED, 0, DATA_OFFSET_MAX, out, err) < 0 ? -1 : 0;
}

/* ---- hello ---- */

static int decode_held(const struct json_at *project, const char *name, struct hello_held *out,
                       struct error *err)
{
    struct json_at at;
    int rc = json_object(project, name, JSON_OPTIONAL, &at, err);
    if (rc <= 0)
        return rc;
    if (json_number(&at, "version", JSON_REQUIRED, 1, JSON_INTEGER_MAX, &out->version, err) < 0)
        return -1;
    return json_hex(&at, "digest", JSON_REQUIRED, out->digest, sizeof out->digest, err) < 0 ? -1 : 0;
}

static int decode_hello_project(const struct json_at *item, struct message_hello *h, struct error *err)
{
    struct hello_project *p = &h->projects[h->project_count];
    struct json_at at;
    if (json_object(item, NULL, JSON_REQUIRED, &at, err) < 0 ||
        json_named_copy(&at, "project", JSON_REQUIRED, name_is_project, "a project's name", p->project,
                        sizeof p->project, err) < 0 ||
        decode_held(&at, "manifest", &p->manifest, err) < 0 || decode_held(&at, "env", &p->env, err) < 0 ||
        json_number(&at, "sequence", JSON_REQUIRED, 0, JSON_INTEGER_MAX, &p->sequence, err) < 0)
        return -1;
    for (size_t i = 0; i < h->project_count; i++)
        if (strcmp(h->projects[i].project, p->project) == 0)
            return json_fail(&at, "project", err, "E_MEMBER", "is there twice");
    h->project_count++;
    return 0;
}

static int decode_hello_stream(const struct json_at *item, struct message_hello *h, struct error *err)
{
    struct hello_stream *s = &h->streams[h->stream_count];
    struct json_at at;
    if (json_object(item, NULL, JSON_REQUIRED, &at, err) < 0 || stream_name(&at, s->name, err) < 0 ||
        offset(&at, "base", &s->base, err) < 0 || offset(&at, "end", &s->end, err) < 0 ||
        json_bool(&at, "closed", JSON_REQUIRED, &s->closed, err) < 0)
        return -1;
    if (s->end < s->base)
        return json_fail(&at, "end", err, "E_MEMBER", "is before base");
    for (size_t i = 0; i < h->stream_count; i++)
        if (strcmp(h->streams[i].name, s->name) == 0)
            return json_fail(&at, "name", err, "E_MEMBER", "is there twice");
    h->stream_count++;
    return 0;
}

static int decode_features(const struct json_at *top, struct message_hello *h, struct error *err)
{
    struct json_at list, item;
    size_t n;
    int rc = json_array(top, "features", JSON_OPTIONAL, 0, HELLO_FEATURES_MAX, &list, &n, err);
    if (rc <= 0 || n == 0)
        return rc < 0 ? -1 : 0;
    for (bool more = json_first(&list, &item); more; more = json_next(&item), h->feature_count++)
        if (json_named_copy(&item, NULL, JSON_REQUIRED, is_feature, "a feature's name",
                            h->features[h->feature_count], HELLO_FEATURE_SIZE, err) < 0)
            return -1;
    return 0;
}

static int decode_hello_lists(const struct json_at *top, struct message_hello *h, struct error *err)
{
    struct json_at list, item;
    size_t n;
    if (decode_features(top, h, err) < 0 ||
        json_array(top, "projects", JSON_REQUIRED, 0, HELLO_PROJECTS_MAX, &list, &n, err) < 0)
        return -1;
    for (bool more = json_first(&list, &item); more; more = json_next(&item))
        if (decode_hello_project(&item, h, err) < 0)
            return -1;
    if (json_array(top, "streams", JSON_REQUIRED, 0, HELLO_STREAMS_MAX, &list, &n, err) < 0)
        return -1;
    for (bool more = json_first(&list, &item); more; more = json_next(&item))
        if (decode_hello_stream(&item, h, err) < 0)
            return -1;
    return 0;
}

static int decode_hello(const struct json_at *top, struct message *m, struct error *err)
{
    struct message_hello *h = &m->as.hello;
    int64_t level = 0;
    if (json_named_copy(top, "server", JSON_REQUIRED, name_is_server, "a server's id", h->server,
                        sizeof h->server, err) < 0 ||
        json_named_copy(top, "version", JSON_REQUIRED, is_version_text, "a version", h->version,
                        sizeof h->version, err) < 0 ||
        json_integer(top, "box_level", JSON_REQUIRED, 1, 3, &level, err) < 0 ||
        json_base64(top, "challenge", JSON_REQUIRED, h->challenge, sizeof h->challenge, err) < 0 ||
        json_time(top, "wall", JSON_REQUIRED, &h->wall, err) < 0 ||
        json_number(top, "trust", JSON_REQUIRED, 0, JSON_INTEGER_MAX, &h->trust, err) < 0 ||
        json_point(top, "seal", JSON_REQUIRED, h->seal, err) < 0)
        return -1;
    h->box_level = (int)level;
    return decode_hello_lists(top, h, err);
}

/* ---- the others ---- */

static int decode_welcome(const struct json_at *top, struct message *m, struct error *err)
{
    struct message_welcome *w = &m->as.welcome;
    struct json_at list, item, at;
    size_t n;
    int64_t heartbeat = 0;
    if (json_named_copy(top, "plane", JSON_REQUIRED, is_hex32, "32 lower-case hex digits", w->plane,
                        sizeof w->plane, err) < 0 ||
        json_named_copy(top, "epoch", JSON_REQUIRED, is_hex32, "32 lower-case hex digits", w->epoch,
                        sizeof w->epoch, err) < 0 ||
        json_integer(top, "heartbeat", JSON_REQUIRED, 1, MESSAGE_HEARTBEAT_MAX, &heartbeat, err) < 0 ||
        json_array(top, "streams", JSON_REQUIRED, 0, HELLO_STREAMS_MAX, &list, &n, err) < 0)
        return -1;
    w->heartbeat = (int)heartbeat;
    for (bool more = json_first(&list, &item); more; more = json_next(&item), w->stream_count++) {
        struct welcome_stream *s = &w->streams[w->stream_count];
        if (json_object(&item, NULL, JSON_REQUIRED, &at, err) < 0 || stream_name(&at, s->name, err) < 0 ||
            offset(&at, "from", &s->from, err) < 0)
            return -1;
        for (size_t i = 0; i < w->stream_count; i++)
            if (strcmp(w->streams[i].name, s->name) == 0)
                return json_fail(&at, "name", err, "E_MEMBER", "is there twice");
    }
    return 0;
}

static int decode_open(const struct json_at *top, struct message *m, struct error *err)
{
    int64_t handle = 0;
    if (json_integer(top, "handle", JSON_REQUIRED, 1, MESSAGE_HANDLE_MAX, &handle, err) < 0)
        return -1;
    m->as.open.handle = (uint32_t)handle;
    return stream_name(top, m->as.open.name, err) < 0 ? -1 : offset(top, "from", &m->as.open.from, err);
}

static int decode_ack(const struct json_at *top, struct message *m, struct error *err)
{
    return stream_name(top, m->as.ack.name, err) < 0 ? -1 : offset(top, "offset", &m->as.ack.offset, err);
}

static int decode_want(const struct json_at *top, struct message *m, struct error *err)
{
    struct message_want *w = &m->as.want;
    int what = 0;
    if (json_word(top, "what", JSON_REQUIRED, want_names, &what, err) < 0)
        return -1;
    w->what = (enum want_what)what;
    switch (w->what) {
    case WANT_CHALLENGE:
        return 0;
    case WANT_TRUST:
        return json_number(top, "version", JSON_REQUIRED, 1, JSON_INTEGER_MAX, &w->version, err) < 0 ? -1 : 0;
    case WANT_MANIFEST:
    case WANT_ENV:
        return json_hex(top, "digest", JSON_REQUIRED, w->digest, sizeof w->digest, err) < 0 ? -1 : 0;
    }
    return -1;
}

static int decode_document(const struct json_at *top, struct message *m, struct error *err)
{
    struct json_at at;
    if (json_object(top, "envelope", JSON_REQUIRED, &at, err) < 0)
        return -1;
    return envelope_decode_at(&at, &m->as.document, err);
}

static int decode_cert(const struct json_at *top, struct message *m, struct error *err)
{
    struct message_cert *c = &m->as.cert;
    if (json_text(top, "csr", JSON_OPTIONAL, MESSAGE_PEM_MAX, &c->csr, err) < 0 ||
        json_text(top, "certificate", JSON_OPTIONAL, MESSAGE_PEM_MAX, &c->certificate, err) < 0)
        return -1;
    if ((c->csr == NULL) == (c->certificate == NULL))
        return fail(err, "E_MEMBER", "needs csr or certificate, not both");
    return 0;
}

static int decode_goaway(const struct json_at *top, struct message *m, struct error *err)
{
    int64_t seconds = 0;
    if (json_integer(top, "retry_after", JSON_REQUIRED, 0, MESSAGE_RETRY_AFTER_MAX, &seconds, err) < 0)
        return -1;
    m->as.goaway.retry_after = (int)seconds;
    return 0;
}

/* Texts are for people: too long ones are cut, at a whole character. */
static void copy_cut(const char *text, char *out, size_t room)
{
    size_t n = strnlen(text, room);
    if (n == room)
        for (n = room - 1; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;)
            n--;
    memcpy(out, text, n);
    out[n] = 0;
}

static int decode_error(const struct json_at *top, struct message *m, struct error *err)
{
    struct message_error *e = &m->as.error;
    const char *text = "", *about = "";
    if (json_named_copy(top, "code", JSON_REQUIRED, is_code, "a code like E_REPLAY", e->code, sizeof e->code,
                        err) < 0 ||
        json_text(top, "text", JSON_REQUIRED, 4096, &text, err) < 0 ||
        json_text(top, "about", JSON_OPTIONAL, 4096, &about, err) < 0)
        return -1;
    copy_cut(text, e->text, sizeof e->text);
    copy_cut(about, e->about, sizeof e->about);
    return 0;
}

/* ---- one door ---- */

static void keep_type_name(const char *text, char *out)
{
    copy_cut(text, out, sizeof((struct message *)0)->type_name);
    for (; *out != 0; out++)
        if (*out < ' ' || (unsigned char)*out >= 0x7f)
            *out = '?';
}

static int decode_body(const struct json_at *top, struct message *m, struct error *err)
{
    static int (*const decoders[])(const struct json_at *, struct message *, struct error *) = {
        [MESSAGE_HELLO] = decode_hello, [MESSAGE_WELCOME] = decode_welcome,
        [MESSAGE_OPEN] = decode_open,   [MESSAGE_ACK] = decode_ack,
        [MESSAGE_WANT] = decode_want,   [MESSAGE_DOCUMENT] = decode_document,
        [MESSAGE_CERT] = decode_cert,   [MESSAGE_GOAWAY] = decode_goaway,
        [MESSAGE_ERROR] = decode_error,
    };
    const char *type;
    if (json_text(top, "type", JSON_REQUIRED, MESSAGE_MAX, &type, err) < 0)
        return -1;
    keep_type_name(type, m->type_name);
    for (enum message_type t = MESSAGE_HELLO; t <= MESSAGE_ERROR; t++)
        if (strcmp(type, type_names[t]) == 0)
            m->type = t;
    return m->type == MESSAGE_UNKNOWN ? 0 : decoders[m->type](top, m, err);
}

int message_decode(struct bytes text, struct message *out, struct error *err)
{
    const struct json_limits limits = json_strict(MESSAGE_MAX);
    struct json_at top;
    memset(out, 0, sizeof *out);
    if (json_parse(text, &limits, &out->tree, err) == 0 && json_top(out->tree, &top, err) == 0 &&
        decode_body(&top, out, err) == 0)
        return 0;
    char name[sizeof out->type_name];
    memcpy(name, out->type_name, sizeof name);
    message_free(out);
    memcpy(out->type_name, name, sizeof name);
    return fail_in(err, "message %s", name[0] != 0 ? name : "without a type");
}

void message_free(struct message *m)
{
    if (m->type == MESSAGE_DOCUMENT)
        envelope_free(&m->as.document);
    json_free(m->tree);
    memset(m, 0, sizeof *m);
}
