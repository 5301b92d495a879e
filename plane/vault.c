#include "plane/vault.h"

#include <mbedtls/gcm.h>
#include <string.h>

#include "base/durable.h"
#include "trust/digest.h"
#include "trust/random.h"

#define FORMAT     1
#define NONCE_SIZE 12
#define TAG_SIZE   16

int vault_make(int dirfd, struct error *err)
{
    AUTO_WIPE struct buf there = BUF(1024);
    int rc = durable_read_private(dirfd, VAULT_FILE, &there, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1;
    uint8_t key[VAULT_KEY_SIZE];
    if (random_bytes(key, sizeof key, err) < 0)
        return -1;
    rc = durable_replace(dirfd, VAULT_FILE, key, sizeof key, 0600, err);
    wipe(key, sizeof key);
    return rc;
}

int vault_load(struct vault *v, int dirfd, struct error *err)
{
    AUTO_WIPE struct buf key = BUF(1024);
    int rc = durable_read_private(dirfd, VAULT_FILE, &key, err);
    if (rc < 0)
        return -1;
    if (rc > 0 || key.size != VAULT_KEY_SIZE)
        return fail(err, "E_VAULT", "%s is %s; restore it from a backup", VAULT_FILE,
                    rc > 0 ? "missing" : "damaged");
    memcpy(v->master, key.data, VAULT_KEY_SIZE);
    return 0;
}

void vault_wipe(struct vault *v)
{
    wipe(v, sizeof *v);
}

static int label_key(const struct vault *v, const char *label, mbedtls_gcm_context *gcm, struct error *err)
{
    uint8_t prk[DIGEST_SIZE], key[VAULT_KEY_SIZE];
    static const char salt[] = "klystrr vault v1";
    int rc = -1;
    if (hkdf_extract((struct bytes){(const uint8_t *)salt, sizeof salt - 1},
                     (struct bytes){v->master, sizeof v->master}, prk, err) == 0 &&
        hkdf_expand(prk, (struct bytes){(const uint8_t *)label, strlen(label)}, key, sizeof key, err) == 0)
        rc = mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, key, 8 * sizeof key) == 0
                 ? 0
                 : fail(err, "E_CRYPTO", "setting an AES key failed");
    wipe(prk, sizeof prk);
    wipe(key, sizeof key);
    return rc;
}

static int seal_into(mbedtls_gcm_context *gcm, const char *label, struct bytes plain, uint8_t *at)
{
    uint8_t *nonce = at + 1, *text = nonce + NONCE_SIZE, *tag = text + plain.size;
    return mbedtls_gcm_crypt_and_tag(gcm, MBEDTLS_GCM_ENCRYPT, plain.size, nonce, NONCE_SIZE,
                                     (const uint8_t *)label, strlen(label), plain.data, text, TAG_SIZE, tag);
}

int vault_seal(const struct vault *v, const char *label, struct bytes plain, struct buf *out, struct error *err)
{
    size_t size = plain.size + VAULT_OVERHEAD;
    if (buf_reserve(out, size, err) < 0)
        return -1;
    uint8_t *at = out->data + out->size;
    at[0] = FORMAT;
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    int rc = random_bytes(at + 1, NONCE_SIZE, err);
    if (rc == 0)
        rc = label_key(v, label, &gcm, err);
    if (rc == 0 && seal_into(&gcm, label, plain, at) != 0)
        rc = fail(err, "E_CRYPTO", "encrypting failed");
    mbedtls_gcm_free(&gcm);
    if (rc == 0) {
        out->size += size;
        out->data[out->size] = 0;
    }
    return rc;
}

static int unseal_into(mbedtls_gcm_context *gcm, const char *label, struct bytes sealed, uint8_t *at)
{
    size_t size = sealed.size - VAULT_OVERHEAD;
    const uint8_t *nonce = sealed.data + 1, *text = nonce + NONCE_SIZE, *tag = text + size;
    return mbedtls_gcm_auth_decrypt(gcm, size, nonce, NONCE_SIZE, (const uint8_t *)label, strlen(label), tag,
                                    TAG_SIZE, text, at);
}

int vault_unseal(const struct vault *v, const char *label, struct bytes sealed, struct buf *plain,
                 struct error *err)
{
    if (sealed.size < VAULT_OVERHEAD || sealed.data[0] != FORMAT)
        return fail(err, "E_VAULT", "an encrypted value is damaged");
    size_t size = sealed.size - VAULT_OVERHEAD;
    if (buf_reserve(plain, size, err) < 0)
        return -1;
    uint8_t *at = plain->data + plain->size;
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    int rc = label_key(v, label, &gcm, err);
    if (rc == 0 && unseal_into(&gcm, label, sealed, at) != 0)
        rc = fail(err, "E_VAULT", "an encrypted value does not open: it was changed, or %s is another one",
                  VAULT_FILE);
    mbedtls_gcm_free(&gcm);
    if (rc == 0) {
        plain->size += size;
        plain->data[plain->size] = 0;
    } else {
        wipe(at, size);
    }
    return rc;
}
