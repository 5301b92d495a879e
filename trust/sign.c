#include "trust/sign.h"

#include "trust/digest.h"
#include "trust/pae.h"

static int check_type(enum document_type type, struct error *err)
{
    if (document_payload_type(type)[0] == '\0')
        return fail(err, "E_TYPE", "unknown kind of document (%d)", (int)type);
    return 0;
}

static int digest_to_sign(enum document_type type, struct bytes payload, uint8_t *digest, struct error *err)
{
    if (check_type(type, err) < 0)
        return -1;
    return pae_digest(document_payload_type(type), payload, digest, err);
}

int sign_payload(const struct p256_key *key, enum document_type type, struct bytes payload,
                 struct envelope_signature *out, struct error *err)
{
    uint8_t digest[DIGEST_SIZE];
    *out = (struct envelope_signature){.has_keyid = true};
    if (digest_to_sign(type, payload, digest, err) < 0 || p256_keyid(key->point, out->keyid, err) < 0)
        return -1;
    return p256_sign_digest(key, digest, out->sig, err);
}

int sign_document(const struct p256_key *const *keys, size_t count, enum document_type type,
                  struct bytes payload, struct buf *out, struct error *err)
{
    if (count == 0 || count > ENVELOPE_SIGNATURES_MAX)
        return fail(err, "E_ENVELOPE", "an envelope has 1 to %d signatures, not %zu", ENVELOPE_SIGNATURES_MAX,
                    count);
    AUTO_ENVELOPE struct envelope e = {.type = type, .payload = BUF(PAYLOAD_MAX), .signature_count = count};
    if (buf_add(&e.payload, payload.data, payload.size, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (sign_payload(keys[i], type, payload, &e.signatures[i], err) < 0)
            return -1;
    return envelope_encode(&e, out, err);
}

int sign_preimage(enum document_type type, struct bytes payload, struct buf *out, struct error *err)
{
    if (check_type(type, err) < 0)
        return -1;
    return pae_encode(document_payload_type(type), payload, out, err);
}

int sign_import(const uint8_t *point, enum document_type type, struct bytes payload, struct bytes der,
                struct envelope_signature *out, struct error *err)
{
    uint8_t digest[DIGEST_SIZE];
    struct envelope_signature s = {.has_keyid = true};
    if (digest_to_sign(type, payload, digest, err) < 0 || p256_sig_from_der(der, s.sig, err) < 0 ||
        p256_verify_digest(point, digest, (struct bytes){s.sig, sizeof s.sig}, err) < 0 ||
        p256_keyid(point, s.keyid, err) < 0)
        return -1;
    *out = s;
    return 0;
}
