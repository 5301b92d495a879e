#include "plane/webhook.h"

#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "trust/digest.h"

void webhook_label(const char *project, char *out)
{
    snprintf(out, WEBHOOK_LABEL_SIZE, "webhook/%s", project);
}

bool webhook_github_ok(const char *header, struct bytes secret, struct bytes body)
{
    uint8_t told[DIGEST_SIZE], ours[DIGEST_SIZE];
    struct error ignored;
    static const char prefix[] = "sha256=";
    if (header == NULL || strncmp(header, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *hex = header + sizeof prefix - 1;
    if (hex_decode(hex, strlen(hex), told, sizeof told) < 0 || digest_hmac(secret, body, ours, &ignored) < 0)
        return false;
    return equal_secret(told, ours, sizeof ours);
}

bool webhook_gitlab_ok(const char *header, struct bytes secret)
{
    uint8_t told[DIGEST_SIZE], ours[DIGEST_SIZE];
    struct error ignored;
    if (header == NULL || secret.size == 0)
        return false;
    /* Digests, so that the time says nothing of the length either. */
    if (digest_of(header, strlen(header), told, &ignored) < 0 ||
        digest_of(secret.data, secret.size, ours, &ignored) < 0)
        return false;
    return equal_secret(told, ours, sizeof ours);
}
