#include "net/tls/compat.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int tls_random(void *state, unsigned char *out, size_t size)
{
    (void)state;
    while (size > 0) {
        ssize_t got = getrandom(out, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        out += got;
        size -= (size_t)got;
    }
    return 0;
}

int tls_fail(struct error *err, const char *code, int number, const char *what)
{
    char words[160];
    mbedtls_strerror(number, words, sizeof words);
    return fail(err, code, "%s: %s", what, words);
}

int tls_parse_certs(mbedtls_x509_crt *out, const char *pem, const char *what, struct error *err)
{
    int r = mbedtls_x509_crt_parse(out, (const unsigned char *)pem, strlen(pem) + 1);
    if (r > 0) /* some parsed, r did not: half a chain is no chain */
        return fail(err, "E_TLS_CONFIG", "%s: %d certificates cannot be read", what, r);
    return r < 0 ? tls_fail(err, "E_TLS_CONFIG", r, what) : 0;
}

int tls_parse_key(mbedtls_pk_context *out, const char *pem, const char *what, struct error *err)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    int r = mbedtls_pk_parse_key(out, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0, tls_random, NULL);
#else
    int r = mbedtls_pk_parse_key(out, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0);
#endif
    return r != 0 ? tls_fail(err, "E_TLS_CONFIG", r, what) : 0;
}
