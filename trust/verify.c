#include "trust/verify.h"

#include <string.h>

#include "trust/digest.h"
#include "trust/p256.h"
#include "trust/pae.h"

static const char *role_name(enum role role)
{
    switch (role) {
    case ROLE_ROOT:
        return "root";
    case ROLE_MANIFEST:
        return "manifest";
    case ROLE_ORDER:
        return "order";
    }
    return "unknown";
}

static bool same_key(const struct trust_key *a, const struct trust_key *b)
{
    return memcmp(a->point, b->point, sizeof a->point) == 0;
}

/* A name that is not the key's own would make the hint of a good signature point to the wrong key. */
static int check_key(const struct trust_key *key, enum role role, struct error *err)
{
    uint8_t keyid[P256_KEYID_SIZE];
    if (p256_check_point(key->point, err) < 0)
        return fail_in(err, "the %s key", role_name(role));
    if (p256_keyid(key->point, keyid, err) < 0)
        return -1;
    if (memcmp(keyid, key->keyid, sizeof keyid) != 0)
        return fail(err, "E_TRUST_KEYID", "the %s key is listed under a keyid that is not its own",
                    role_name(role));
    return 0;
}

int trust_keys_of(const struct trust_doc *doc, struct trust_keys *out, struct error *err)
{
    struct trust_keys keys = {0};
    for (int i = 0; i < ROLE_COUNT; i++) {
        const struct trust_key *key = &doc->roles[i];
        if (check_key(key, (enum role)i, err) < 0)
            return -1;
        for (int j = 0; j < i; j++)
            if (same_key(key, &doc->roles[j]))
                return fail(err, "E_TRUST_ROLES", "the roles %s and %s have the same key",
                            role_name((enum role)j), role_name((enum role)i));
        keys.roles[i] = (struct trust_role){.keys = {*key}, .count = 1, .threshold = 1};
    }
    *out = keys;
    return 0;
}

/* The signatures that claim this key are tried first, then, as a keyid proves nothing, the others. */
static bool signed_by(const struct trust_key *key, const struct signed_bytes *input, const uint8_t *digest)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < input->signature_count; i++) {
            const struct envelope_signature *s = &input->signatures[i];
            bool claimed = s->has_keyid && memcmp(s->keyid, key->keyid, sizeof s->keyid) == 0;
            if (s->malformed || claimed != (pass == 0))
                continue;
            if (p256_verify_digest(key->point, digest, (struct bytes){s->sig, sizeof s->sig}, NULL) == 0)
                return true;
        }
    return false;
}

static bool listed_before(const struct trust_role *role, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (same_key(&role->keys[i], &role->keys[index]))
            return true;
    return false;
}

/* Counts keys, not signatures. */
static bool role_signed(const struct trust_role *role, const struct signed_bytes *input, const uint8_t *digest)
{
    size_t signers = 0;
    for (size_t i = 0; i < role->count && i < TRUST_ROLE_KEYS_MAX; i++)
        if (!listed_before(role, i) && signed_by(&role->keys[i], input, digest))
            signers++;
    return role->threshold > 0 && signers >= role->threshold;
}

/* Which roles may sign a type, the stronger first. */
static size_t roles_for(enum document_type type, enum role roles[2])
{
    switch (type) {
    case DOCUMENT_TRUST:
        roles[0] = ROLE_ROOT;
        return 1;
    case DOCUMENT_MANIFEST:
        roles[0] = ROLE_MANIFEST;
        return 1;
    case DOCUMENT_ENV:
        roles[0] = ROLE_MANIFEST;
        roles[1] = ROLE_ORDER;
        return 2;
    case DOCUMENT_ORDER:
        roles[0] = ROLE_ORDER;
        return 1;
    }
    return 0; /* a number from a record that is no type */
}

static int check_input(const struct signed_bytes *input, struct error *err)
{
    enum role roles[2];
    if (roles_for(input->type, roles) == 0)
        return fail(err, "E_TYPE", "unknown kind of document (%d)", (int)input->type);
    if (input->payload.size > PAYLOAD_MAX)
        return fail(err, "E_TOO_LARGE", "a %s may have %d bytes, not %zu", document_type_name(input->type),
                    PAYLOAD_MAX, input->payload.size);
    if (input->signature_count > ENVELOPE_SIGNATURES_MAX)
        return fail(err, "E_TOO_LARGE", "a %s may have %d signatures, not %zu", document_type_name(input->type),
                    ENVELOPE_SIGNATURES_MAX, input->signature_count);
    return 0;
}

static int unsigned_by(const struct signed_bytes *input, const char *who, struct error *err)
{
    return fail(err, "E_SIG_THRESHOLD", "this %s is not signed by %s", document_type_name(input->type), who);
}

static const char *signers_of(enum document_type type)
{
    switch (type) {
    case DOCUMENT_TRUST:
        return "the root key this host trusts";
    case DOCUMENT_MANIFEST:
        return "the manifest key this host trusts";
    case DOCUMENT_ENV:
        return "the manifest or the order key this host trusts";
    case DOCUMENT_ORDER:
        return "the order key this host trusts";
    }
    return "anyone";
}

static int check_roles(const struct trust_keys *keys, const struct signed_bytes *input, enum role *by,
                       struct error *err)
{
    uint8_t digest[DIGEST_SIZE];
    enum role roles[2];
    size_t count = roles_for(input->type, roles);
    if (pae_digest(document_payload_type(input->type), input->payload, digest, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (role_signed(&keys->roles[roles[i]], input, digest)) {
            *by = roles[i];
            return 0;
        }
    return unsigned_by(input, signers_of(input->type), err);
}

static int make_verified(const struct signed_bytes *input, enum role role, struct verified *out,
                         struct error *err)
{
    *out = (struct verified){.payload = input->payload, .type = input->type, .role = role};
    return digest_of(input->payload.data, input->payload.size, out->digest, err);
}

/* The owner must hold the new root key, too: else one wrong byte in it would end all further versions. */
static int check_own_root(const struct signed_bytes *input, const struct verified *v, uint64_t *version,
                          struct error *err)
{
    AUTO_TRUST_DOC struct trust_doc doc = {0};
    struct trust_keys own = {0};
    enum role by = ROLE_ROOT;
    if (trust_doc_decode(v, &doc, err) < 0 || trust_keys_of(&doc, &own, err) < 0)
        return -1;
    *version = doc.version;
    if (check_roles(&own, input, &by, NULL) < 0)
        return unsigned_by(input, "the root key that it names itself", err);
    return 0;
}

int verify(const struct trust_keys *keys, const struct signed_bytes *input, struct verified *out,
           struct error *err)
{
    struct verified v = {0};
    enum role by = ROLE_ROOT;
    uint64_t version = 0;
    if (check_input(input, err) < 0 || check_roles(keys, input, &by, err) < 0 ||
        make_verified(input, by, &v, err) < 0)
        return -1;
    if (input->type == DOCUMENT_TRUST && check_own_root(input, &v, &version, err) < 0)
        return -1;
    *out = v;
    return 0;
}

int verify_trust_first(const uint8_t *pin, const struct signed_bytes *input, struct verified *out,
                       struct error *err)
{
    struct verified v = {0};
    uint64_t version = 0;
    if (input->type != DOCUMENT_TRUST)
        return fail(err, "E_TYPE", "a host without trust takes a trust document and nothing else");
    if (check_input(input, err) < 0 || make_verified(input, ROLE_ROOT, &v, err) < 0)
        return -1;
    if (!equal_secret(v.digest, pin, sizeof v.digest))
        return fail(err, "E_TRUST_PIN", "this trust document is not the one that was pinned at enrolment");
    /* The pin vouches for every byte; from here on they may be parsed. */
    if (check_own_root(input, &v, &version, err) < 0)
        return -1;
    if (version != 1)
        return fail(err, "E_TRUST_VERSION", "the first trust document has version 1, not %llu",
                    (unsigned long long)version);
    *out = v;
    return 0;
}
