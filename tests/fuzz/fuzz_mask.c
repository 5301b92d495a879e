/* The masker against its definition: input is patterns, each behind its length, then a cut, then the text. The output must
 * be the reference's, whole and cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/scribe/mask_lab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lab lab = {.list = PATTERNS};
    if (size < 2 || size > 2000)
        return 0;
    size_t patterns = data[0] % 8, piece = data[1] % 40 + 1u;
    data += 2, size -= 2;
    for (size_t i = 0; i < patterns && size > 1; i++) {
        size_t length = PATTERN_MIN + data[0] % 20;
        if (length > size - 1)
            break;
        lab_pattern(&lab, data + 1, length);
        data += length + 1, size -= length + 1;
    }
    lab_build(&lab);
    struct buf want = lab_reference(&lab, data, size);
    struct buf whole = lab_mask(&lab, data, size, 0, size + 1), cut = lab_mask(&lab, data, size, piece / 2, piece);
    if (whole.size != want.size || cut.size != want.size ||
        (want.size > 0 && (memcmp(whole.data, want.data, want.size) != 0 || memcmp(cut.data, want.data, want.size) != 0)))
        abort();
    buf_free(&want);
    buf_free(&whole);
    buf_free(&cut);
    lab_free(&lab);
    return 0;
}
