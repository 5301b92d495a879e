#include "trust/digest.h"

#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <mbedtls/version.h>

/* mbedTLS 2.28 calls the functions that report failure …_ret; 3.x calls them by the plain name. */
#if MBEDTLS_VERSION_MAJOR >= 3
#define sha_start  mbedtls_sha256_starts
#define sha_update mbedtls_sha256_update
#define sha_finish mbedtls_sha256_finish
#else
#define sha_start  mbedtls_sha256_starts_ret
#define sha_update mbedtls_sha256_update_ret
#define sha_finish mbedtls_sha256_finish_ret
#endif

void digest_begin(struct digest *d)
{
    mbedtls_sha256_init(&d->sha);
    d->failed = sha_start(&d->sha, 0);
}

void digest_add(struct digest *d, const void *data, size_t size)
{
    if (d->failed == 0 && size > 0)
        d->failed = sha_update(&d->sha, data, size);
}

int digest_end(struct digest *d, uint8_t *out, struct error *err)
{
    if (d->failed == 0)
        d->failed = sha_finish(&d->sha, out);
    int failed = d->failed;
    mbedtls_sha256_free(&d->sha);
    if (failed != 0)
        return fail(err, "E_CRYPTO", "SHA-256 failed (mbedTLS -0x%04x)", (unsigned)-failed);
    return 0;
}

int digest_of(const void *data, size_t size, uint8_t *out, struct error *err)
{
    struct digest d;
    digest_begin(&d);
    digest_add(&d, data, size);
    return digest_end(&d, out, err);
}

static int check(int rc, const char *what, struct error *err)
{
    return rc == 0 ? 0 : fail(err, "E_CRYPTO", "%s failed (mbedTLS -0x%04x)", what, (unsigned)-rc);
}

/* mbedTLS hands lengths to memcpy, which must not see a null pointer even for nothing. */
static const uint8_t *not_null(struct bytes b)
{
    static const uint8_t nothing[1];
    return b.data != NULL ? b.data : nothing;
}

int digest_hmac(struct bytes key, struct bytes message, uint8_t *out, struct error *err)
{
    const mbedtls_md_info_t *sha = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    return check(mbedtls_md_hmac(sha, not_null(key), key.size, not_null(message), message.size, out),
                 "HMAC-SHA256", err);
}

int hkdf_extract(struct bytes salt, struct bytes secret, uint8_t *prk, struct error *err)
{
    static const uint8_t zeros[DIGEST_SIZE];
    if (salt.size == 0)
        salt = (struct bytes){zeros, sizeof zeros};
    return digest_hmac(salt, secret, prk, err);
}

int hkdf_expand(const uint8_t *prk, struct bytes info, uint8_t *out, size_t size, struct error *err)
{
    if (size > (size_t)255 * DIGEST_SIZE)
        return fail(err, "E_TOO_LARGE", "HKDF gives at most %d bytes, not %zu", 255 * DIGEST_SIZE, size);
    const mbedtls_md_info_t *sha = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    return check(mbedtls_hkdf_expand(sha, prk, DIGEST_SIZE, not_null(info), info.size, out, size),
                 "HKDF-SHA256", err);
}
