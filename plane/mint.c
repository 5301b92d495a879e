#include "plane/mint.h"

#include <string.h>

#include "base/encode.h"
#include "trust/pae.h"
#include "trust/seal.h"

static int payload_digest(const struct buf *payload, char *digest, struct error *err)
{
    uint8_t sum[DIGEST_SIZE];
    if (digest_of(payload->data, payload->size, sum, err) < 0)
        return -1;
    hex_encode(sum, sizeof sum, digest);
    return 0;
}

static int sign_envelope(const struct p256_key *key, struct envelope *e, struct buf *out, char *digest, struct error *err)
{
    uint8_t pae[DIGEST_SIZE];
    struct envelope_signature *s = &e->signatures[0];
    e->signature_count = 1;
    s->has_keyid = true;
    if (pae_digest(document_payload_type(e->type), buf_view(&e->payload), pae, err) < 0 ||
        p256_sign_digest(key, pae, s->sig, err) < 0 || p256_keyid(key->point, s->keyid, err) < 0 ||
        payload_digest(&e->payload, digest, err) < 0)
        return -1;
    return envelope_encode(e, out, err);
}

int mint_order(const struct p256_key *key, const struct order *order, struct buf *envelope, char *digest, struct error *err)
{
    AUTO_ENVELOPE struct envelope e = {.type = DOCUMENT_ORDER, .payload = BUF(ORDER_MAX)};
    if (order_encode(order, &e.payload, err) < 0)
        return -1;
    return sign_envelope(key, &e, envelope, digest, err);
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

int mint_env(const struct p256_key *key, const struct mint_env *what, struct buf *envelope, char *digest, struct error *err)
{
    AUTO_ENVELOPE struct envelope e = {.type = DOCUMENT_ENV, .payload = BUF(PAYLOAD_MAX)};
    if (env_payload(what, &e.payload, err) < 0)
        return -1;
    return sign_envelope(key, &e, envelope, digest, err);
}

int mint_signed_by(const struct envelope *e, const uint8_t *point, struct error *err)
{
    uint8_t pae[DIGEST_SIZE];
    if (pae_digest(document_payload_type(e->type), buf_view(&e->payload), pae, err) < 0)
        return -1;
    for (size_t i = 0; i < e->signature_count; i++) {
        struct error ignored;
        const struct envelope_signature *s = &e->signatures[i];
        if (!s->malformed && p256_verify_digest(point, pae, (struct bytes){s->sig, sizeof s->sig}, &ignored) == 0)
            return 0;
    }
    return fail(err, "E_SIG", "the %s is not signed by the key that must sign it", document_type_name(e->type));
}

static int check_keyids(const struct trust_doc *t, struct error *err)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        uint8_t keyid[P256_KEYID_SIZE];
        if (p256_check_point(t->roles[i].point, err) < 0 || p256_keyid(t->roles[i].point, keyid, err) < 0)
            return fail_in(err, "trust");
        if (memcmp(keyid, t->roles[i].keyid, sizeof keyid) != 0)
            return fail(err, "E_TRUST_ROLES", "trust: a key is listed under an id that is not its own");
    }
    return 0;
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
        return fail(err, "E_TRUST_VERSION", "trust: version %llu was sent, %llu comes next", (unsigned long long)t->version,
                    (unsigned long long)want);
    return 0;
}

static int check_trust(const struct envelope *e, const struct trust_doc *previous, const struct mint_plane *self,
                       struct trust_doc *out, struct error *err)
{
    if (trust_doc_check(buf_view(&e->payload), out, err) < 0)
        return -1;
    if (check_keyids(out, err) == 0 && mint_signed_by(e, out->roles[ROLE_ROOT].point, err) == 0 &&
        (previous == NULL || mint_signed_by(e, previous->roles[ROLE_ROOT].point, err) == 0) &&
        check_plane(out, self, err) == 0 && check_step(out, previous, err) == 0)
        return 0;
    trust_doc_free(out);
    return -1;
}

int mint_check_trust(struct bytes envelope, const struct trust_doc *previous, const struct mint_plane *self,
                     struct trust_doc *out, char *digest, struct error *err)
{
    AUTO_ENVELOPE struct envelope e = {0};
    if (envelope_decode(envelope, &e, err) < 0)
        return -1;
    if (e.type != DOCUMENT_TRUST)
        return fail(err, "E_TYPE", "a trust document is wanted, this is a document of type %s", document_type_name(e.type));
    if (payload_digest(&e.payload, digest, err) < 0)
        return -1;
    return check_trust(&e, previous, self, out, err);
}

int mint_check_manifest(struct bytes envelope, const struct trust_doc *trust, const char *project, struct manifest *out,
                        char *digest, struct error *err)
{
    AUTO_ENVELOPE struct envelope e = {0};
    if (envelope_decode(envelope, &e, err) < 0)
        return -1;
    if (e.type != DOCUMENT_MANIFEST)
        return fail(err, "E_TYPE", "a manifest is wanted, this is a document of type %s", document_type_name(e.type));
    if (mint_signed_by(&e, trust->roles[ROLE_MANIFEST].point, err) < 0 || payload_digest(&e.payload, digest, err) < 0 ||
        manifest_check(buf_view(&e.payload), out, err) < 0)
        return -1;
    if (strcmp(out->project, project) == 0)
        return 0;
    fail(err, "E_TARGET", "the manifest is for project '%s', not '%s'", out->project, project);
    manifest_free(out);
    return -1;
}
