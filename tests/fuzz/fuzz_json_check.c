/* What passes the strict check must be parsed by cJSON; the plain rules accept all that the strict ones do. */
#include <stdlib.h>

#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_limits strict = json_strict(1 << 16), plain = strict;
    struct bytes text = {data, size};
    struct error err;
    plain.allow_duplicates = plain.allow_nul_escape = plain.allow_big_numbers = true;
    bool accepted = json_check(text, &strict, &err) == 0;
    if (accepted && json_check(text, &plain, &err) < 0)
        abort();
    cJSON *tree;
    int rc = json_parse(text, &strict, &tree, &err);
    if (accepted != (rc == 0))
        abort();
    json_wipe_free(tree);
    return 0;
}
