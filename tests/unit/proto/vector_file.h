/* Reads files of proto/vectors. */
#ifndef KLY_TESTS_VECTOR_FILE_H
#define KLY_TESTS_VECTOR_FILE_H

#include "proto/json.h"
#include "proto_test.h"

#define VECTORS KLY_SOURCE_DIR "/proto/vectors/"

static inline void read_file(const char *name, struct buf *out)
{
    char path[512], block[4096];
    snprintf(path, sizeof path, VECTORS "%s", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s is missing", path);
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        assert_int_equal(buf_add(out, block, n, NULL), 0);
    fclose(f);
}

/* Free with json_free, or AUTO_JSON. */
static inline cJSON *read_json(const char *name)
{
    AUTO_BUF struct buf text = BUF(1 << 20);
    struct json_limits l = json_strict(1 << 20);
    struct error err;
    cJSON *tree;
    read_file(name, &text);
    if (json_parse(buf_view(&text), &l, &tree, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    return tree;
}

static inline const char *text_of(const cJSON *item, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(item, name);
    if (!cJSON_IsString(member))
        fail_msg("a vector without %s", name);
    return member->valuestring;
}

#endif
