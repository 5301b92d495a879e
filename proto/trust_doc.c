#include "proto/trust_doc.h"

#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "proto/document.h"

static const char *const members[] = {"version", "issued", "expires", "plane", "keys", "roles", "hosts", NULL};
static const char *const role_names[] = {
    [ROLE_ROOT] = "root", [ROLE_MANIFEST] = "manifest", [ROLE_ORDER] = "order"};

static bool is_plane_id(const char *s)
{
    uint8_t id[16];
    return hex_decode(s, strlen(s), id, sizeof id) == 0;
}

static int decode_urls(const struct json_at *plane, struct trust_doc *t, struct error *err)
{
    struct json_at list, item;
    size_t count;
    if (json_array(plane, "urls", JSON_REQUIRED, 1, TRUST_URLS_MAX, &list, &count, err) < 0)
        return -1;
    for (bool more = json_first(&list, &item); more; more = json_next(&item), t->url_count++)
        if (json_named_copy(&item, NULL, JSON_REQUIRED, url_is_plane,
                            "an address like https://plane.example.org:7443", t->urls[t->url_count],
                            sizeof t->urls[0], err) < 0)
            return -1;
    return 0;
}

static int decode_plane(const struct json_at *top, struct trust_doc *t, struct error *err)
{
    struct json_at plane;
    const char *mode;
    if (json_object(top, "plane", JSON_REQUIRED, &plane, err) < 0 ||
        json_named_copy(&plane, "id", JSON_REQUIRED, is_plane_id, "32 lower-case hex digits", t->plane,
                        sizeof t->plane, err) < 0 ||
        decode_urls(&plane, t, err) < 0 || json_text(&plane, "mode", JSON_REQUIRED, 64, &mode, err) < 0)
        return -1;
    if (strcmp(mode, "direct") != 0)
        return json_fail(&plane, "mode", err, "E_UNSUPPORTED",
                         "only \"direct\" is known to this version of Klystrr");
    return json_hex(&plane, "ca", JSON_REQUIRED, t->ca, sizeof t->ca, err) < 0 ? -1 : 0;
}

struct key_list {
    struct trust_key at[TRUST_KEYS_MAX];
    size_t count;
};

static int decode_keys(const struct json_at *top, struct key_list *keys, struct error *err)
{
    struct json_at list, item;
    keys->count = 0;
    if (json_object(top, "keys", JSON_REQUIRED, &list, err) < 0)
        return -1;
    for (bool more = json_first(&list, &item); more; more = json_next(&item)) {
        if (keys->count == TRUST_KEYS_MAX)
            return json_fail(top, "keys", err, "E_MEMBER", "has more than %d keys", TRUST_KEYS_MAX);
        struct trust_key *key = &keys->at[keys->count++];
        if (hex_decode(item.name, strlen(item.name), key->keyid, sizeof key->keyid) < 0)
            return json_fail(&item, NULL, err, "E_MEMBER", "a key's name must be 64 lower-case hex digits");
        if (json_point(&item, NULL, JSON_REQUIRED, key->point, err) < 0)
            return -1;
    }
    return 0;
}

/* One key and threshold 1 a role; anything else belongs to a later version and must not be half understood. */
static int decode_role(const struct json_at *roles, enum role role, const struct key_list *keys,
                       struct trust_key *out, struct error *err)
{
    struct json_at at, list, item;
    size_t count;
    int64_t threshold = 0;
    if (json_object(roles, role_names[role], JSON_REQUIRED, &at, err) < 0 ||
        json_array(&at, "keyids", JSON_REQUIRED, 1, TRUST_KEYS_MAX, &list, &count, err) < 0 ||
        json_integer(&at, "threshold", JSON_REQUIRED, 1, TRUST_KEYS_MAX, &threshold, err) < 0)
        return -1;
    if ((size_t)threshold > count)
        return json_fail(&at, "threshold", err, "E_MEMBER", "asks for more keys than the role has");
    if (count > 1)
        return json_fail(&at, "keyids", err, "E_UNSUPPORTED", "this version of Klystrr knows one key a role");
    if (!json_first(&list, &item) ||
        json_hex(&item, NULL, JSON_REQUIRED, out->keyid, sizeof out->keyid, err) < 0)
        return -1;
    for (size_t i = 0; i < keys->count; i++) {
        if (memcmp(keys->at[i].keyid, out->keyid, sizeof out->keyid) == 0) {
            *out = keys->at[i];
            return 0;
        }
    }
    return json_fail(&item, NULL, err, "E_MEMBER", "is not among keys");
}

static bool same_key(const struct trust_key *a, const struct trust_key *b)
{
    return memcmp(a->keyid, b->keyid, sizeof a->keyid) == 0 || memcmp(a->point, b->point, sizeof a->point) == 0;
}

static int decode_roles(const struct json_at *top, struct trust_doc *t, struct error *err)
{
    struct key_list keys;
    struct json_at roles;
    if (decode_keys(top, &keys, err) < 0 || json_object(top, "roles", JSON_REQUIRED, &roles, err) < 0)
        return -1;
    for (enum role r = ROLE_ROOT; r <= ROLE_ORDER; r++) {
        if (decode_role(&roles, r, &keys, &t->roles[r], err) < 0)
            return -1;
        for (enum role before = ROLE_ROOT; before < r; before++)
            if (same_key(&t->roles[before], &t->roles[r]))
                return json_fail(&roles, role_names[r], err, "E_TRUST_ROLES",
                                 "has the key of %s: the three must differ", role_names[before]);
    }
    return 0;
}

static int decode_host(const struct json_at *item, struct trust_doc *t, struct error *err)
{
    struct trust_host *host = &t->hosts[t->host_count];
    struct json_at at;
    if (json_object(item, NULL, JSON_REQUIRED, &at, err) < 0 ||
        json_named_copy(&at, "server", JSON_REQUIRED, name_is_server, "a server's id", host->server,
                        sizeof host->server, err) < 0 ||
        json_point(&at, "seal", JSON_REQUIRED, host->seal, err) < 0)
        return -1;
    for (size_t i = 0; i < t->host_count; i++)
        if (strcmp(t->hosts[i].server, host->server) == 0)
            return json_fail(&at, "server", err, "E_MEMBER", "is there twice");
    t->host_count++;
    return 0;
}

static int decode_hosts(const struct json_at *top, struct trust_doc *t, struct error *err)
{
    struct json_at list, item;
    size_t count;
    int rc = json_array(top, "hosts", JSON_OPTIONAL, 0, TRUST_HOSTS_MAX, &list, &count, err);
    if (rc <= 0 || count == 0)
        return rc < 0 ? -1 : 0;
    t->hosts = calloc(count, sizeof *t->hosts);
    if (t->hosts == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for %zu hosts", count);
    for (bool more = json_first(&list, &item); more; more = json_next(&item))
        if (decode_host(&item, t, err) < 0)
            return -1;
    return 0;
}

static int decode(const struct json_at *top, struct trust_doc *t, struct error *err)
{
    if (json_number(top, "version", JSON_REQUIRED, 1, JSON_INTEGER_MAX, &t->version, err) < 0 ||
        document_times(top, &t->issued, &t->expires, err) < 0 || decode_plane(top, t, err) < 0 ||
        decode_roles(top, t, err) < 0)
        return -1;
    return decode_hosts(top, t, err);
}

int trust_doc_check(struct bytes payload, struct trust_doc *out, struct error *err)
{
    AUTO_JSON cJSON *tree = NULL;
    struct json_at top;
    memset(out, 0, sizeof *out);
    if (document_open(payload, DOCUMENT_TRUST, members, &tree, &top, err) == 0 && decode(&top, out, err) == 0)
        return 0;
    trust_doc_free(out);
    return fail_in(err, "trust");
}

int trust_doc_decode(const struct verified *v, struct trust_doc *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    return document_is(v, DOCUMENT_TRUST, err) < 0 ? -1 : trust_doc_check(v->payload, out, err);
}

void trust_doc_free(struct trust_doc *t)
{
    free(t->hosts);
    memset(t, 0, sizeof *t);
}

/* ---- writing ---- */

static void write_plane(struct json_writer *w, const struct trust_doc *t)
{
    json_open(w, "plane", '{');
    json_put_text(w, "id", t->plane);
    json_open(w, "urls", '[');
    for (size_t i = 0; i < t->url_count; i++)
        json_put_text(w, NULL, t->urls[i]);
    json_close(w, ']');
    json_put_text(w, "mode", "direct");
    json_put_hex(w, "ca", t->ca, sizeof t->ca);
    json_close(w, '}');
}

static void write_keys_and_roles(struct json_writer *w, const struct trust_doc *t)
{
    char keyid[65];
    json_open(w, "keys", '{');
    for (enum role r = ROLE_ROOT; r <= ROLE_ORDER; r++) {
        hex_encode(t->roles[r].keyid, sizeof t->roles[r].keyid, keyid);
        json_put_base64(w, keyid, t->roles[r].point, sizeof t->roles[r].point);
    }
    json_close(w, '}');
    json_open(w, "roles", '{');
    for (enum role r = ROLE_ROOT; r <= ROLE_ORDER; r++) {
        json_open(w, role_names[r], '{');
        json_open(w, "keyids", '[');
        json_put_hex(w, NULL, t->roles[r].keyid, sizeof t->roles[r].keyid);
        json_close(w, ']');
        json_put_int(w, "threshold", 1);
        json_close(w, '}');
    }
    json_close(w, '}');
}

static void write_trust(struct json_writer *w, const struct trust_doc *t)
{
    json_open(w, NULL, '{');
    json_put_text(w, "type", "trust");
    json_put_number(w, "version", t->version);
    json_put_time(w, "issued", t->issued);
    json_put_time(w, "expires", t->expires);
    write_plane(w, t);
    write_keys_and_roles(w, t);
    json_open(w, "hosts", '[');
    for (size_t i = 0; i < t->host_count; i++) {
        json_open(w, NULL, '{');
        json_put_text(w, "server", t->hosts[i].server);
        json_put_base64(w, "seal", t->hosts[i].seal, sizeof t->hosts[i].seal);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

int trust_doc_encode(const struct trust_doc *t, struct buf *out, struct error *err)
{
    AUTO_TRUST_DOC struct trust_doc again = {0};
    struct json_writer w = json_writer(out, err);
    if (t->url_count > TRUST_URLS_MAX)
        return fail(err, "E_MEMBER", "trust: plane.urls: has more than %d items", TRUST_URLS_MAX);
    write_trust(&w, t);
    if (json_done(&w) < 0)
        return -1;
    if (trust_doc_check((struct bytes){out->data + w.start, out->size - w.start}, &again, err) == 0)
        return 0;
    w.failed = true;
    return json_done(&w);
}
