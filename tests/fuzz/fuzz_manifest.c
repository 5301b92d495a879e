/* The four documents, their envelope and the plaintext of env. What decodes must encode, and decode again. */
#include <stdlib.h>

#include "proto/env_doc.h"
#include "proto/envelope.h"
#include "proto/manifest.h"
#include "proto/trust_doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int rc)
{
    if (rc < 0)
        abort();
}

static void documents(struct bytes text)
{
    AUTO_MANIFEST struct manifest m = {0};
    AUTO_TRUST_DOC struct trust_doc t = {0};
    AUTO_ENV_DOC struct env_doc e = {0};
    AUTO_BUF struct buf out = BUF(1 << 22);
    struct order o;
    struct error err;
    if (manifest_check(text, &m, &err) == 0)
        must(manifest_encode(&m, &out, &err));
    if (trust_doc_check(text, &t, &err) == 0)
        must(trust_doc_encode(&t, &out, &err));
    if (env_doc_check(text, &e, &err) == 0)
        must(env_doc_encode(&e, &out, &err));
    if (order_check(text, &o, &err) == 0)
        must(order_encode(&o, &out, &err));
}

static void envelope_and_values(struct bytes text)
{
    AUTO_ENVELOPE struct envelope e = {0};
    AUTO_ENV_VALUES struct env_values v = {0};
    AUTO_BUF struct buf out = BUF(1 << 22);
    struct error err;
    if (envelope_decode(text, &e, &err) == 0) {
        must(envelope_encode(&e, &out, &err));
        documents(buf_view(&e.payload));
    }
    if (env_values_decode(text, &v, &err) == 0)
        must(env_values_encode(&v, &out, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {data, size};
    documents(text);
    envelope_and_values(text);
    return 0;
}
