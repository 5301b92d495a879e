#include "proto/document.h"

#include <string.h>

static const struct {
    const char *name, *payload_type;
} types[] = {
    [DOCUMENT_TRUST] = {"trust", "application/vnd.klystrr.trust.v1+json"},
    [DOCUMENT_MANIFEST] = {"manifest", "application/vnd.klystrr.manifest.v1+json"},
    [DOCUMENT_ENV] = {"env", "application/vnd.klystrr.env.v1+json"},
    [DOCUMENT_ORDER] = {"order", "application/vnd.klystrr.order.v1+json"},
};

static bool known_type(enum document_type type)
{
    return type >= DOCUMENT_TRUST && type <= DOCUMENT_ORDER;
}

const char *document_payload_type(enum document_type type)
{
    return known_type(type) ? types[type].payload_type : "";
}

const char *document_type_name(enum document_type type)
{
    return known_type(type) ? types[type].name : "unknown";
}

int document_type_of(const char *payload_type, enum document_type *out, struct error *err)
{
    for (enum document_type t = DOCUMENT_TRUST; t <= DOCUMENT_ORDER; t++) {
        if (strcmp(types[t].payload_type, payload_type) == 0) {
            *out = t;
            return 0;
        }
    }
    return fail(err, "E_TYPE", "the payload type is none that this version of Klystrr knows");
}

int document_is(const struct verified *v, enum document_type type, struct error *err)
{
    if (v->type != type)
        return fail(err, "E_TYPE", "the document is %s, not %s", document_type_name(v->type),
                    document_type_name(type));
    return 0;
}

/* Are all names of `critical` in known[], or "type"? The two share one list in the message for people. */
static int check_critical(const struct json_at *top, const char *const *known, struct error *err)
{
    const char *all[32] = {"type", "critical"};
    size_t n = 2;
    for (size_t i = 0; known[i] != NULL && n < 31; i++)
        all[n++] = known[i];
    return json_critical(top, all, err);
}

int document_open(struct bytes payload, enum document_type type, const char *const *known, cJSON **tree,
                  struct json_at *top, struct error *err)
{
    const struct json_limits limits = json_strict(PAYLOAD_MAX);
    const char *said;
    if (json_parse(payload, &limits, tree, err) < 0 || json_top(*tree, top, err) < 0)
        return -1;
    if (json_text(top, "type", JSON_REQUIRED, 64, &said, err) < 0)
        return -1;
    if (strcmp(said, document_type_name(type)) != 0)
        return fail(err, "E_TYPE", "type: is not \"%s\"", document_type_name(type));
    return check_critical(top, known, err);
}

int document_times(const struct json_at *top, int64_t *issued, int64_t *expires, struct error *err)
{
    if (json_time(top, "issued", JSON_REQUIRED, issued, err) < 0)
        return -1;
    if (expires == NULL)
        return 0;
    if (json_time(top, "expires", JSON_REQUIRED, expires, err) < 0)
        return -1;
    return *expires > *issued ? 0 : json_fail(top, "expires", err, "E_MEMBER", "is not later than issued");
}
