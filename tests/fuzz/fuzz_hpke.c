/* A sealed message from anyone: 65 bytes enc, then the text. Opens only if it was sealed for this key. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trust/hpke.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t scalar[P256_SCALAR_SIZE] = {[31] = 7};
    static struct p256_key key;
    if (size < HPKE_ENC_SIZE || (key.point[0] == 0 && p256_from_scalar(scalar, &key, NULL) < 0))
        return 0;
    AUTO_BUF struct buf plain = BUF(HPKE_PLAIN_MAX);
    struct bytes nothing = {(const uint8_t *)"", 0}, ct = {data + HPKE_ENC_SIZE, size - HPKE_ENC_SIZE};
    struct error err = {0};
    if (hpke_open(&key, data, nothing, nothing, ct, &plain, &err) == 0) {
        if (plain.size + HPKE_TAG_SIZE != ct.size)
            abort();
    } else if (plain.size != 0 || err.code[0] == '\0') {
        abort();
    }
    /* The same bytes as what other tools hand us. */
    uint8_t sig[P256_SIG_SIZE], again[P256_POINT_SIZE];
    (void)!p256_sig_from_der((struct bytes){data, size}, sig, NULL);
    (void)!p256_read_public_pem((struct bytes){data, size}, again, NULL);
    return 0;
}
