#include "plane/retention.h"

#include <string.h>

#define BATCH 64

struct batch {
    char id[BATCH][24];
    size_t count;
};

static int keep_id(void *ctx, const char *id)
{
    struct batch *b = ctx;
    if (b->count < BATCH)
        COPY_TEXT(b->id[b->count++], id);
    return 0;
}

/* The file first: a row without a file is an empty log, a file without a row would stay for ever. */
static int remove_batch(struct store *s, struct logstore *logs, const struct batch *b, struct error *err)
{
    for (size_t i = 0; i < b->count; i++)
        if (logstore_remove(logs, b->id[i], err) < 0 || store_log_forget(s, b->id[i], err) < 0)
            return -1;
    return 0;
}

int retention_run(struct store *s, struct logstore *logs, int64_t now, int64_t *removed, struct error *err)
{
    int64_t before = now - RETENTION_MS;
    *removed = 0;
    for (;;) {
        struct batch b = {.count = 0};
        if (store_logs_before(s, before, BATCH, keep_id, &b, err) < 0 || remove_batch(s, logs, &b, err) < 0)
            return -1;
        *removed += (int64_t)b.count;
        if (b.count < BATCH)
            return store_forget_before(s, before, err);
    }
}
