#include "agent/agent/documents.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/encode.h"
#include "trust/digest.h"

#define FILE_NAME_SIZE 96

static void file_name(enum document_type type, const uint8_t *digest, char *out)
{
    char hex[DIGEST_TEXT_SIZE];
    hex_encode(digest, DIGEST_SIZE, hex);
    snprintf(out, FILE_NAME_SIZE, "%s-%s", document_type_name(type), hex);
}

int documents_store(int dirfd, const struct signed_bytes *document, const uint8_t *digest, struct error *err)
{
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    char name[FILE_NAME_SIZE];
    file_name(document->type, digest, name);
    struct envelope e = {.type = document->type, .payload = BUF(PAYLOAD_MAX), .signature_count = document->signature_count};
    if (document->signature_count > ENVELOPE_SIGNATURES_MAX)
        return fail(err, "E_TOO_LARGE", "too many signatures");
    memcpy(e.signatures, document->signatures, document->signature_count * sizeof e.signatures[0]);
    int rc = buf_add(&e.payload, document->payload.data, document->payload.size, err);
    if (rc == 0)
        rc = envelope_encode(&e, &text, err);
    envelope_free(&e);
    return rc < 0 ? -1 : durable_replace(dirfd, name, text.data, text.size, 0600, err);
}

static int check_digest(enum document_type type, const uint8_t *digest, const struct envelope *e, struct error *err)
{
    uint8_t real[DIGEST_SIZE];
    if (digest_of(e->payload.data, e->payload.size, real, err) < 0)
        return -1;
    if (e->type != type || memcmp(real, digest, sizeof real) != 0)
        return fail(err, "E_DOCUMENT", "a stored %s document is not what was accepted: it was changed on this host's disk",
                    document_type_name(type));
    return 0;
}

int documents_load(int dirfd, enum document_type type, const uint8_t *digest, const struct trust_keys *keys,
                   struct envelope *keep, struct verified *out, struct error *err)
{
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    char name[FILE_NAME_SIZE];
    *keep = (struct envelope){0};
    file_name(type, digest, name);
    int rc = durable_read_private(dirfd, name, &text, err);
    if (rc != 0)
        return rc;
    AUTO_ENVELOPE struct envelope e = {0};
    if (envelope_decode(buf_view(&text), &e, err) < 0 || check_digest(type, digest, &e, err) < 0)
        return -1;
    *keep = e;
    e = (struct envelope){0};
    struct signed_bytes input = signed_bytes_of(keep);
    if (type != DOCUMENT_TRUST && verify(keys, &input, out, err) < 0) {
        envelope_free(keep);
        return -1;
    }
    return 0;
}

void documents_remove(int dirfd, enum document_type type, const uint8_t *digest)
{
    char name[FILE_NAME_SIZE];
    file_name(type, digest, name);
    unlinkat(dirfd, name, 0);
}

bool documents_any(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return true; /* not to be seen: never taken for a fresh host */
    }
    bool any = false;
    for (struct dirent *e; !any && (e = readdir(dir)) != NULL;)
        any = e->d_name[0] != '.';
    closedir(dir);
    return any;
}
