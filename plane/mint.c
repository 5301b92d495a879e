#include "plane/mint.h"

#include <string.h>

#include "base/encode.h"
#include "trust/seal.h"
#include "trust/sign.h"
#include "trust/verify.h"

static int sign(const struct p256_key *key, enum document_type type, const struct buf *payload,
                struct buf *envelope, char *digest, struct error *err)
{
    uint8_t sum[DIGEST_SIZE];
    if (digest_of(payload->data, payload->size, sum, err) < 0)
        return -1;
    hex_encode(sum, sizeof sum, digest);
    return sign_document(&key, 1, type, buf_view(payload), envelope, err);
}

int mint_order(const struct p256_key *key, const struct order *order, struct buf *envelope, char *digest,
               struct error *err)
{
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    if (order_encode(order, &payload, err) < 0)
        return -1;
    return sign(key, DOCUMENT_ORDER, &payload, envelope, digest, err);
}

static int env_payload(const struct mint_env *what, struct buf *payload, struct error *err)
{
    AUTO_ENV_DOC struct env_doc d = {.version = what->version, .issued = what->issued, .ct = BUF(ENV_CT_MAX)};
    if (strlen(what->server) >= sizeof d.server || strlen(what->project) >= sizeof d.project)
        return fail(err, "E_NAME", "'%s' or '%s' is no name", what->server, what->project);
    strcpy(d.server, what->server);
    strcpy(d.project, what->project);
    if (seal_env(what->seal, what->server, what->project, what->version, what->values, d.enc, &d.ct, err) < 0)
        return -1;
    return env_doc_encode(&d, payload, err);
}

int mint_env(const struct p256_key *key, const struct mint_env *what, struct buf *envelope, char *digest,
             struct error *err)
{
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    if (env_payload(what, &payload, err) < 0)
        return -1;
    return sign(key, DOCUMENT_ENV, &payload, envelope, digest, err);
}

static int check_plane(const struct trust_doc *t, const struct mint_plane *self, struct error *err)
{
    if (strcmp(t->plane, self->id) != 0)
        return fail(err, "E_TRUST_PLANE", "trust: it is for plane %s, this one is %s", t->plane, self->id);
    if (memcmp(t->ca, self->ca_sha256, sizeof t->ca) != 0)
        return fail(err, "E_TRUST_PLANE", "trust: plane.ca is not the fingerprint of this plane's CA");
    if (memcmp(t->roles[ROLE_ORDER].point, self->order_point, P256_POINT_SIZE) != 0)
        return fail(err, "E_TRUST_PLANE", "trust: the order role's key is not this plane's");
    return 0;
}

static int check_step(const struct trust_doc *t, const struct trust_doc *previous, struct error *err)
{
    uint64_t want = previous != NULL ? previous->version + 1 : 1;
    if (t->version != want)
        return fail(err, "E_TRUST_VERSION", "trust: version %llu was sent, %llu comes next",
                    (unsigned long long)t->version, (unsigned long long)want);
    return 0;
}

static int verify_trust(const struct signed_bytes *input, const struct trust_doc *previous,
                        struct verified *out, struct error *err)
{
    if (previous != NULL) {
        struct trust_keys keys;
        if (trust_keys_of(previous, &keys, err) < 0)
            return -1;
        return verify(&keys, input, out, err);
    }
    /* The owner's first word: whoever holds an API key may say it, and every host pins its digest by token. */
    uint8_t pin[DIGEST_SIZE];
    if (digest_of(input->payload.data, input->payload.size, pin, err) < 0)
        return -1;
    return verify_trust_first(pin, input, out, err);
}

static int check_trust(const struct verified *v, const struct trust_doc *previous,
                       const struct mint_plane *self, struct trust_doc *out, struct error *err)
{
    struct trust_keys keys;
    if (trust_doc_decode(v, out, err) < 0)
        return -1;
    if (check_plane(out, self, err) == 0 && check_step(out, previous, err) == 0 &&
        trust_keys_of(out, &keys, err) == 0)
        return 0;
    trust_doc_free(out);
    return -1;
}

static int wanted(const struct envelope *e, enum document_type type, struct error *err)
{
    if (e->type == type)
        return 0;
    return fail(err, "E_TYPE", "a document of type %s is wanted here, this is one of type %s",
                document_type_name(type), document_type_name(e->type));
}

int mint_check_trust(struct bytes envelope, const struct trust_doc *previous, const struct mint_plane *self,
                     struct trust_doc *out, char *digest, struct error *err)
{
    AUTO_ENVELOPE struct envelope e = {0};
    struct verified v;
    if (envelope_decode(envelope, &e, err) < 0 || wanted(&e, DOCUMENT_TRUST, err) < 0)
        return -1;
    struct signed_bytes input = signed_bytes_of(&e);
    if (verify_trust(&input, previous, &v, err) < 0)
        return -1;
    hex_encode(v.digest, sizeof v.digest, digest);
    return check_trust(&v, previous, self, out, err);
}

int mint_check_manifest(struct bytes envelope, const struct trust_doc *trust, const char *project,
                        struct manifest *out, char *digest, struct error *err)
{
    AUTO_ENVELOPE struct envelope e = {0};
    struct trust_keys keys;
    struct verified v;
    if (envelope_decode(envelope, &e, err) < 0 || wanted(&e, DOCUMENT_MANIFEST, err) < 0 ||
        trust_keys_of(trust, &keys, err) < 0)
        return -1;
    struct signed_bytes input = signed_bytes_of(&e);
    if (verify(&keys, &input, &v, err) < 0 || manifest_decode(&v, out, err) < 0)
        return -1;
    hex_encode(v.digest, sizeof v.digest, digest);
    if (strcmp(out->project, project) == 0)
        return 0;
    fail(err, "E_TARGET", "the manifest is for project '%s', not '%s'", out->project, project);
    manifest_free(out);
    return -1;
}
