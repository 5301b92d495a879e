#include "proto/envelope.h"

#include <string.h>

#include "base/encode.h"
#include "proto/envelope_at.h"

#define SIG_TEXT_MAX 1024 /* letters of a sig or keyid worth reading; longer ones are malformed */

/* Both alphabets, always padded: a text without padding is not the one base64 of its bytes. */
static int decode_payload(const struct json_at *at, struct buf *out, struct error *err)
{
    const char *text;
    struct error why;
    if (json_text(at, "payload", JSON_REQUIRED, BASE64_SIZE(PAYLOAD_MAX) - 1, &text, err) < 0)
        return -1;
    size_t n = strlen(text);
    if (n % 4 != 0)
        return json_fail(at, "payload", err, "E_ENVELOPE", "its base64 is not padded");
    if (base64_decode(text, n, out, &why) < 0)
        return json_fail(at, "payload", err, strcmp(why.code, "E_BASE64") == 0 ? "E_ENVELOPE" : why.code, "%s",
                         why.text);
    return 0;
}

/* A garbled signature or key id must not spoil a good one beside it. */
static int decode_signature(const struct json_at *item, struct envelope_signature *s, struct error *err)
{
    struct json_at at;
    const char *text = NULL;
    *s = (struct envelope_signature){0};
    if (json_object(item, NULL, JSON_REQUIRED, &at, err) < 0 ||
        json_text(&at, "sig", JSON_REQUIRED, ENVELOPE_MAX, &text, err) < 0)
        return -1;
    size_t n = strlen(text);
    s->malformed = n > SIG_TEXT_MAX || n % 4 != 0 || base64_decode_exact(text, n, s->sig, sizeof s->sig) < 0;
    const char *keyid = NULL;
    if (json_text(&at, "keyid", JSON_OPTIONAL, SIG_TEXT_MAX, &keyid, NULL) == 1)
        s->has_keyid = hex_decode(keyid, strlen(keyid), s->keyid, sizeof s->keyid) == 0;
    if (!s->has_keyid)
        memset(s->keyid, 0, sizeof s->keyid);
    return 0;
}

static int decode_signatures(const struct json_at *at, struct envelope *e, struct error *err)
{
    struct json_at list, item;
    size_t count;
    if (json_array(at, "signatures", JSON_REQUIRED, 1, ENVELOPE_SIGNATURES_MAX, &list, &count, err) < 0)
        return -1;
    for (bool more = json_first(&list, &item); more; more = json_next(&item))
        if (decode_signature(&item, &e->signatures[e->signature_count++], err) < 0)
            return -1;
    return 0;
}

static int decode(const struct json_at *at, struct envelope *e, struct error *err)
{
    const char *type;
    if (json_text(at, "payloadType", JSON_REQUIRED, 256, &type, err) < 0 ||
        document_type_of(type, &e->type, err) < 0)
        return -1;
    return decode_payload(at, &e->payload, err) < 0 || decode_signatures(at, e, err) < 0 ? -1 : 0;
}

int envelope_decode_at(const struct json_at *at, struct envelope *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    out->payload.limit = PAYLOAD_MAX;
    if (decode(at, out, err) == 0)
        return 0;
    envelope_free(out);
    if (err != NULL && strcmp(err->code, "E_MEMBER") == 0)
        memcpy(err->code, "E_ENVELOPE", sizeof "E_ENVELOPE");
    return -1;
}

int envelope_decode(struct bytes text, struct envelope *out, struct error *err)
{
    const struct json_limits limits = json_strict(ENVELOPE_MAX);
    AUTO_JSON cJSON *tree = NULL;
    struct json_at top;
    memset(out, 0, sizeof *out);
    if (json_parse(text, &limits, &tree, err) < 0)
        return -1;
    if (json_top(tree, &top, err) < 0)
        return fail(err, "E_ENVELOPE", "an envelope is one JSON object");
    return envelope_decode_at(&top, out, err);
}

void envelope_write(struct json_writer *w, const char *name, const struct envelope *e)
{
    json_open(w, name, '{');
    json_put_text(w, "payloadType", document_payload_type(e->type));
    json_put_base64(w, "payload", e->payload.data, e->payload.size);
    json_open(w, "signatures", '[');
    for (size_t i = 0; i < e->signature_count && i < ENVELOPE_SIGNATURES_MAX; i++) {
        const struct envelope_signature *s = &e->signatures[i];
        json_open(w, NULL, '{');
        if (s->has_keyid)
            json_put_hex(w, "keyid", s->keyid, sizeof s->keyid);
        json_put_base64(w, "sig", s->sig, s->malformed ? 0 : sizeof s->sig);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

int envelope_ready(const struct envelope *e, struct error *err)
{
    if (e->signature_count < 1 || e->signature_count > ENVELOPE_SIGNATURES_MAX)
        return fail(err, "E_ENVELOPE", "an envelope has 1 to %d signatures, not %zu", ENVELOPE_SIGNATURES_MAX,
                    e->signature_count);
    if (document_payload_type(e->type)[0] == 0)
        return fail(err, "E_ENVELOPE", "an envelope needs a type");
    if (e->payload.size > PAYLOAD_MAX)
        return fail(err, "E_TOO_LARGE", "a payload has at most %d bytes, not %zu", PAYLOAD_MAX,
                    e->payload.size);
    return 0;
}

int envelope_encode(const struct envelope *e, struct buf *out, struct error *err)
{
    if (envelope_ready(e, err) < 0)
        return -1;
    struct json_writer w = json_writer(out, err);
    envelope_write(&w, NULL, e);
    return json_done(&w);
}

void envelope_free(struct envelope *e)
{
    buf_free(&e->payload);
    memset(e, 0, sizeof *e);
}
