#include "proto/env_doc.h"

#include <string.h>

#include "base/encode.h"
#include "proto/document.h"

static const char *const members[] = {"server", "project", "version", "issued", "sealed", NULL};
#define TAG_SIZE 16 /* of AES-128-GCM: a sealed text is longer than this */

static int decode_sealed(const struct json_at *top, struct env_doc *e, struct error *err)
{
    struct json_at sealed;
    const char *text;
    struct error why;
    if (json_object(top, "sealed", JSON_REQUIRED, &sealed, err) < 0 ||
        json_point(&sealed, "enc", JSON_REQUIRED, e->enc, err) < 0 ||
        json_text(&sealed, "ct", JSON_REQUIRED, BASE64_SIZE(ENV_CT_MAX) - 1, &text, err) < 0)
        return -1;
    if (base64_decode(text, strlen(text), &e->ct, &why) < 0)
        return json_fail(&sealed, "ct", err, "E_MEMBER", "%s", why.text);
    if (e->ct.size <= TAG_SIZE)
        return json_fail(&sealed, "ct", err, "E_MEMBER", "is too short to hold anything");
    return 0;
}

static int decode(const struct json_at *top, struct env_doc *e, struct error *err)
{
    if (json_named_copy(top, "server", JSON_REQUIRED, name_is_server, "a server's id", e->server,
                        sizeof e->server, err) < 0 ||
        json_named_copy(top, "project", JSON_REQUIRED, name_is_project, "a project's name", e->project,
                        sizeof e->project, err) < 0 ||
        json_number(top, "version", JSON_REQUIRED, 1, JSON_INTEGER_MAX, &e->version, err) < 0 ||
        document_times(top, &e->issued, NULL, err) < 0)
        return -1;
    return decode_sealed(top, e, err);
}

int env_doc_check(struct bytes payload, struct env_doc *out, struct error *err)
{
    AUTO_JSON cJSON *tree = NULL;
    struct json_at top;
    memset(out, 0, sizeof *out);
    out->ct.limit = ENV_CT_MAX;
    if (document_open(payload, DOCUMENT_ENV, members, &tree, &top, err) == 0 && decode(&top, out, err) == 0)
        return 0;
    env_doc_free(out);
    return fail_in(err, "env");
}

int env_doc_decode(const struct verified *v, struct env_doc *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    return document_is(v, DOCUMENT_ENV, err) < 0 ? -1 : env_doc_check(v->payload, out, err);
}

void env_doc_free(struct env_doc *e)
{
    buf_free(&e->ct);
    memset(e, 0, sizeof *e);
}

static void write_env(struct json_writer *w, const struct env_doc *e)
{
    json_open(w, NULL, '{');
    json_put_text(w, "type", "env");
    json_put_text(w, "server", e->server);
    json_put_text(w, "project", e->project);
    json_put_number(w, "version", e->version);
    json_put_time(w, "issued", e->issued);
    json_open(w, "sealed", '{');
    json_put_base64(w, "enc", e->enc, sizeof e->enc);
    json_put_base64(w, "ct", e->ct.data, e->ct.size);
    json_close(w, '}');
    json_close(w, '}');
}

int env_doc_encode(const struct env_doc *e, struct buf *out, struct error *err)
{
    AUTO_ENV_DOC struct env_doc again = {0};
    struct json_writer w = json_writer(out, err);
    write_env(&w, e);
    if (json_done(&w) < 0)
        return -1;
    if (env_doc_check((struct bytes){out->data + w.start, out->size - w.start}, &again, err) == 0)
        return 0;
    w.failed = true;
    return json_done(&w);
}
