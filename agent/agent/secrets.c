#include "agent/agent/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/durable.h"
#include "trust/seal.h"

#define KEY_FILE  "seal.key"
#define MASKED    "[MASKED]"
#define SHORTEST  6u

int secrets_key(int dirfd, struct p256_key *out, struct error *err)
{
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
    int rc = durable_read_private(dirfd, KEY_FILE, &pem, err);
    if (rc < 0)
        return fail_in(err, "the seal key");
    if (rc == 0)
        return p256_read_pem(buf_view(&pem), out, err);
    if (p256_generate(out, err) < 0 || p256_write_pem(out, &pem, err) < 0)
        return -1;
    return durable_replace(dirfd, KEY_FILE, pem.data, pem.size, 0600, err);
}

int secrets_open(const struct p256_key *key, const struct env_doc *doc, struct env_values *out, struct error *err)
{
    AUTO_WIPE struct buf plain = BUF(SEAL_PLAIN_MAX);
    if (unseal_env(key, doc->server, doc->project, doc->version, doc->enc, buf_view(&doc->ct), &plain, err) < 0)
        return -1;
    return env_values_decode(buf_view(&plain), out, err);
}

static void mask_one(const char *secret, size_t size, char *text, size_t room)
{
    char *at = text;
    while (size >= SHORTEST && (at = memmem(at, strlen(at), secret, size)) != NULL) {
        size_t before = (size_t)(at - text), mask = strlen(MASKED);
        char *tail = strndup(at + size, room);
        if (tail == NULL) {
            *at = 0; /* rather half a sentence than a secret */
            return;
        }
        snprintf(at, room - before, MASKED "%s", tail);
        free(tail);
        at += strnlen(at, mask);
    }
}

void secrets_mask_text(const struct env_values *values, char *text, size_t room)
{
    for (size_t i = 0; i < values->count; i++) {
        const char *value = values->list[i].value;
        mask_one(value, strlen(value), text, room);
        while (*value != 0) {
            size_t line = strcspn(value, "\r\n");
            mask_one(value, line, text, room);
            value += line + strspn(value + line, "\r\n");
        }
    }
}
