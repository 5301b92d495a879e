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
