#include "trust/pae.h"

#include <stdio.h>
#include <string.h>

#include "trust/digest.h"

int pae_digest(const char *payload_type, struct bytes payload, uint8_t *out, struct error *err)
{
    size_t type_size = strlen(payload_type);
    char number[32];
    struct digest d;
    digest_begin(&d);
    int size = snprintf(number, sizeof number, "DSSEv1 %zu ", type_size);
    digest_add(&d, number, (size_t)size);
    digest_add(&d, payload_type, type_size);
    size = snprintf(number, sizeof number, " %zu ", payload.size);
    digest_add(&d, number, (size_t)size);
    digest_add(&d, payload.data, payload.size);
    return digest_end(&d, out, err);
}

int pae_encode(const char *payload_type, struct bytes payload, struct buf *out, struct error *err)
{
    char head[128];
    int size =
        snprintf(head, sizeof head, "DSSEv1 %zu %s %zu ", strlen(payload_type), payload_type, payload.size);
    if (size < 0 || (size_t)size >= sizeof head)
        return fail(err, "E_TOO_LARGE", "the payload type is too long");
    if (buf_reserve(out, (size_t)size + payload.size, err) < 0 || buf_add(out, head, (size_t)size, err) < 0)
        return -1;
    return buf_add(out, payload.data, payload.size, err);
}
