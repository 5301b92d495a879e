#include "proto/enrol.h"

#include <string.h>

#include "base/encode.h"
#include "proto/envelope_at.h"

static bool is_printable(const char *s, size_t max)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || (unsigned char)s[i] >= 0x7f)
            return false;
    return n > 0 && n <= max;
}

static bool is_hostname(const char *s)
{
    return is_printable(s, 253);
}

static bool is_version_text(const char *s)
{
    return is_printable(s, VERSION_TEXT_SIZE - 1);
}

static bool is_plane_id(const char *s)
{
    uint8_t id[16];
    return hex_decode(s, strlen(s), id, sizeof id) == 0;
}

static int decode_request(const struct json_at *top, struct enrol_request *r, struct error *err)
{
    if (json_hex(top, "token", JSON_REQUIRED, r->token, sizeof r->token, err) < 0 ||
        json_named_copy(top, "server", JSON_REQUIRED, name_is_server, "a server's id", r->server,
                        sizeof r->server, err) < 0 ||
        json_text(top, "csr", JSON_REQUIRED, MESSAGE_PEM_MAX, &r->csr, err) < 0 ||
        json_point(top, "seal", JSON_REQUIRED, r->seal, err) < 0 ||
        json_named_copy(top, "hostname", JSON_REQUIRED, is_hostname, "a host's name", r->hostname,
                        sizeof r->hostname, err) < 0)
        return -1;
    return json_named_copy(top, "version", JSON_REQUIRED, is_version_text, "a version", r->version,
                           sizeof r->version, err) < 0
               ? -1
               : 0;
}

int enrol_request_decode(struct bytes text, struct enrol_request *out, struct error *err)
{
    const struct json_limits limits = json_strict(ENROL_REQUEST_MAX);
    struct json_at top;
    memset(out, 0, sizeof *out);
    if (json_parse(text, &limits, &out->tree, err) == 0 && json_top(out->tree, &top, err) == 0 &&
        decode_request(&top, out, err) == 0)
        return 0;
    enrol_request_free(out);
    return fail_in(err, "enrolment");
}

int enrol_request_encode(const struct enrol_request *r, struct buf *out, struct error *err)
{
    AUTO_ENROL_REQUEST struct enrol_request again = {0};
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_hex(&w, "token", r->token, sizeof r->token);
    json_put_text(&w, "server", r->server);
    json_put_text(&w, "csr", r->csr);
    json_put_base64(&w, "seal", r->seal, sizeof r->seal);
    json_put_text(&w, "hostname", r->hostname);
    json_put_text(&w, "version", r->version);
    json_close(&w, '}');
    if (json_done(&w) < 0)
        return -1;
    if (enrol_request_decode((struct bytes){out->data + w.start, out->size - w.start}, &again, err) == 0)
        return 0;
    wipe(out->data + w.start, out->size - w.start);
    w.failed = true;
    return json_done(&w);
}

void enrol_request_free(struct enrol_request *r)
{
    json_wipe_free(r->tree);
    wipe(r, sizeof *r);
}

static int decode_response(const struct json_at *top, struct enrol_response *r, struct error *err)
{
    struct json_at at;
    if (json_named_copy(top, "server", JSON_REQUIRED, name_is_server, "a server's id", r->server,
                        sizeof r->server, err) < 0 ||
        json_text(top, "certificate", JSON_REQUIRED, MESSAGE_PEM_MAX, &r->certificate, err) < 0 ||
        json_named_copy(top, "plane", JSON_REQUIRED, is_plane_id, "32 lower-case hex digits", r->plane,
                        sizeof r->plane, err) < 0 ||
        json_object(top, "trust", JSON_REQUIRED, &at, err) < 0 || envelope_decode_at(&at, &r->trust, err) < 0)
        return -1;
    return r->trust.type == DOCUMENT_TRUST ? 0
                                           : json_fail(top, "trust", err, "E_TYPE", "is not a trust document");
}

int enrol_response_decode(struct bytes text, struct enrol_response *out, struct error *err)
{
    const struct json_limits limits = json_strict(ENROL_RESPONSE_MAX);
    struct json_at top;
    memset(out, 0, sizeof *out);
    if (json_parse(text, &limits, &out->tree, err) == 0 && json_top(out->tree, &top, err) == 0 &&
        decode_response(&top, out, err) == 0)
        return 0;
    enrol_response_free(out);
    return fail_in(err, "answer to an enrolment");
}

int enrol_response_encode(const struct enrol_response *r, struct buf *out, struct error *err)
{
    AUTO_ENROL_RESPONSE struct enrol_response again = {0};
    if (envelope_ready(&r->trust, err) < 0)
        return -1;
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_text(&w, "server", r->server);
    json_put_text(&w, "certificate", r->certificate);
    json_put_text(&w, "plane", r->plane);
    envelope_write(&w, "trust", &r->trust);
    json_close(&w, '}');
    if (json_done(&w) < 0)
        return -1;
    if (enrol_response_decode((struct bytes){out->data + w.start, out->size - w.start}, &again, err) == 0)
        return 0;
    w.failed = true;
    return json_done(&w);
}

void enrol_response_free(struct enrol_response *r)
{
    envelope_free(&r->trust);
    json_free(r->tree);
    memset(r, 0, sizeof *r);
}
