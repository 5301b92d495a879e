#include "trust/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

#include <mbedtls/entropy.h>

#include "base/buf.h"

int random_bytes(void *out, size_t size, struct error *err)
{
    uint8_t *to = out;
    for (size_t done = 0; done < size;) {
        ssize_t got = getrandom(to + done, size - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int why = got < 0 ? errno : EIO;
            wipe(out, size);
            return fail_errno(err, "E_RANDOM", why, "the kernel gives no random bytes");
        }
        done += (size_t)got;
    }
    return 0;
}

int random_for_mbedtls(void *context, unsigned char *out, size_t size)
{
    (void)context;
    return random_bytes(out, size, NULL) == 0 ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
}
