#include "net/tls/names.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define TAG_DNS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2)
#define TAG_IP  (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

size_t tls_ip_bytes(const char *host, uint8_t *out)
{
    if (inet_pton(AF_INET, host, out) == 1)
        return 4;
    return inet_pton(AF_INET6, host, out) == 1 ? 16 : 0;
}

static bool same_text(const unsigned char *name, size_t size, const char *host)
{
    return strlen(host) == size && memchr(name, 0, size) == NULL && strncasecmp((const char *)name, host, size) == 0;
}

static bool name_matches(const unsigned char *name, size_t size, const char *host)
{
    if (size > 0 && host[0] != 0 && host[strlen(host) - 1] == '.')
        return false;
    if (same_text(name, size, host))
        return true;
    const char *rest = strchr(host, '.');
    /* "*.example.org", but never "*.org" and never a part of a label. */
    return size > 2 && name[0] == '*' && name[1] == '.' && memchr(name + 2, '.', size - 2) != NULL && rest != NULL &&
           rest != host && same_text(name + 1, size - 1, rest);
}

bool tls_cert_names(const mbedtls_x509_crt *cert, const char *host)
{
    uint8_t ip[16];
    size_t ip_size = tls_ip_bytes(host, ip);
    for (const mbedtls_x509_sequence *san = &cert->subject_alt_names; san != NULL; san = san->next) {
        if (san->buf.p == NULL)
            continue;
        if (ip_size > 0 && san->buf.tag == TAG_IP && san->buf.len == ip_size && memcmp(san->buf.p, ip, ip_size) == 0)
            return true;
        if (ip_size == 0 && san->buf.tag == TAG_DNS && name_matches(san->buf.p, san->buf.len, host))
            return true;
    }
    return false;
}
