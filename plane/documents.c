#include "plane/documents.h"

#include <stdio.h>
#include <string.h>

#include "proto/json_write.h"

int documents_trust(struct store *s, struct trust_doc *out, char *digest, struct error *err)
{
    AUTO_BUF struct buf text = BUF(STORE_ENVELOPE_MAX);
    AUTO_ENVELOPE struct envelope e = {0};
    int rc = store_document(s, STORE_TRUST, "", 0, NULL, digest, &text, err);
    if (rc != 0)
        return rc;
    if (envelope_decode(buf_view(&text), &e, err) < 0)
        return -1;
    return trust_doc_check(buf_view(&e.payload), out, err);
}

int documents_manifest(struct store *s, const char *project, struct manifest *out, char *digest,
                       struct buf *envelope, struct error *err)
{
    AUTO_BUF struct buf text = BUF(STORE_ENVELOPE_MAX);
    AUTO_ENVELOPE struct envelope e = {0};
    int rc = store_document(s, STORE_MANIFEST, project, 0, NULL, digest, &text, err);
    if (rc != 0)
        return rc;
    if (envelope != NULL && buf_add(envelope, text.data, text.size, err) < 0)
        return -1;
    if (envelope_decode(buf_view(&text), &e, err) < 0)
        return -1;
    return manifest_check(buf_view(&e.payload), out, err);
}

void documents_env_label(const char *project, const char *name, char *out)
{
    snprintf(out, DOCUMENTS_LABEL_SIZE, "env/%s/%s", project, name);
}

struct values {
    const struct vault *vault;
    const char *project, *only; /* only: NULL is all */
    struct json_writer *json;
    struct buf *value;
    bool found;
    struct error *err;
};

static int add_value(void *ctx, const struct store_env *e)
{
    struct values *v = ctx;
    if (v->only != NULL && strcmp(v->only, e->name) != 0)
        return 0;
    AUTO_WIPE struct buf plain = BUF(ENV_VALUE_MAX);
    char label[DOCUMENTS_LABEL_SIZE];
    documents_env_label(v->project, e->name, label);
    if (vault_unseal(v->vault, label, e->sealed, &plain, v->err) < 0)
        return fail_in(v->err, "env value %s", e->name);
    v->found = true;
    if (v->value != NULL)
        return buf_add(v->value, plain.data, plain.size, v->err);
    json_put_bytes(v->json, e->name, buf_view(&plain));
    return 0;
}

int documents_values(struct store *s, const struct vault *vault, const char *project, struct buf *json,
                     struct error *err)
{
    struct json_writer w = json_writer(json, err);
    struct values v = {.vault = vault, .project = project, .json = &w, .err = err};
    json_open(&w, NULL, '{');
    json_open(&w, "values", '{');
    if (store_env_each(s, project, add_value, &v, err) < 0)
        return -1;
    json_close(&w, '}');
    json_close(&w, '}');
    return json_done(&w);
}

int documents_value(struct store *s, const struct vault *vault, const char *project, const char *name,
                    struct buf *value, struct error *err)
{
    struct values v = {.vault = vault, .project = project, .only = name, .value = value, .err = err};
    if (store_env_each(s, project, add_value, &v, err) < 0)
        return -1;
    return v.found ? 0 : 1;
}

int documents_env(struct store *s, const struct vault *vault, const struct p256_key *order_key,
                  const struct documents_sealed *what, struct buf *envelope, char *digest, struct error *err)
{
    int rc = store_env_doc(s, what->project, what->server, what->version, what->seal, digest, envelope, err);
    if (rc <= 0)
        return rc;
    AUTO_WIPE struct buf values = BUF(ENV_PLAIN_MAX);
    if (documents_values(s, vault, what->project, &values, err) < 0)
        return -1;
    struct mint_env mint = {.server = what->server,
                            .project = what->project,
                            .version = (uint64_t)what->version,
                            .issued = what->now,
                            .seal = what->seal,
                            .values = buf_view(&values)};
    if (mint_env(order_key, &mint, envelope, digest, err) < 0)
        return -1;
    return store_env_doc_add(s, what->project, what->server, what->version, what->seal, digest,
                             buf_view(envelope), err);
}
