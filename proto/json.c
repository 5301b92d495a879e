#include "proto/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"

/* ---- parsing ---- */

/* The next node in the order of the text: down, else along, else up and along. */
static cJSON *next_in_text(cJSON *node, cJSON **parents, int *depth)
{
    if (node->child != NULL) {
        parents[(*depth)++] = node;
        return node->child;
    }
    while (node->next == NULL && *depth > 0)
        node = parents[--*depth];
    return *depth > 0 ? node->next : NULL;
}

/* cJSON keeps a double and forgets how it was written; the check saw it. Both met the numbers in the same
 * order. */
static void mark_numbers(cJSON *tree, const struct buf *canonical)
{
    cJSON *parents[JSON_DEPTH_MAX + 1];
    int depth = 0;
    size_t seen = 0;
    for (cJSON *node = tree; node != NULL; node = next_in_text(node, parents, &depth))
        if (cJSON_IsNumber(node) && (seen >= canonical->size || !canonical->data[seen++]))
            node->valuedouble = (double)NAN;
}

int json_parse(struct bytes text, const struct json_limits *limits, cJSON **out, struct error *err)
{
    *out = NULL;
    if (limits->depth > JSON_DEPTH_MAX || limits->allow_duplicates || limits->allow_nul_escape ||
        limits->allow_big_numbers)
        return fail(err, "E_JSON", "what is built must be checked strictly");
    AUTO_BUF struct buf canonical = BUF(limits->values);
    if (json_check_numbers(text, limits, &canonical, err) < 0)
        return -1;
    const char *end = NULL;
    cJSON *tree = cJSON_ParseWithLengthOpts((const char *)text.data, text.size, &end, false);
    if (tree == NULL)
        return fail(err, "E_NO_MEMORY", "%zu bytes of JSON could not be held", text.size);
    mark_numbers(tree, &canonical);
    *out = tree;
    return 0;
}

void json_free(cJSON *tree)
{
    cJSON_Delete(tree);
}

void json_wipe_free(cJSON *tree)
{
    cJSON *parents[JSON_DEPTH_MAX + 1];
    int depth = 0;
    for (cJSON *node = tree; node != NULL; node = next_in_text(node, parents, &depth)) {
        if (node->valuestring != NULL)
            wipe(node->valuestring, strlen(node->valuestring));
        if (node->string != NULL)
            wipe(node->string, strlen(node->string));
    }
    cJSON_Delete(tree);
}

void cleanup_json(cJSON **tree)
{
    cJSON_Delete(*tree);
}

/* ---- where we are ---- */

/* Appends the way from the top to `at`; what does not fit is left out. */
static void write_path(const struct json_at *at, char *out, size_t room)
{
    if (at->up == NULL)
        return;
    write_path(at->up, out, room);
    size_t used = strlen(out);
    if (at->name != NULL)
        snprintf(out + used, room - used, "%s%.64s", used > 0 ? "." : "", at->name);
    else
        snprintf(out + used, room - used, "[%zu]", at->index);
}

/* Names come from outside and end in logs and on terminals. */
static void make_printable(char *text)
{
    for (; *text != 0; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
            *text = '?';
}

int json_fail(const struct json_at *at, const char *name, struct error *err, const char *code,
              const char *format, ...)
{
    char path[256] = "", text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_path(at, path, sizeof path);
    size_t used = strlen(path);
    if (name != NULL)
        snprintf(path + used, sizeof path - used, "%s%.64s", used > 0 ? "." : "", name);
    make_printable(path);
    return path[0] != 0 ? fail(err, code, "%s: %s", path, text) : fail(err, code, "%s", text);
}

int json_top(const cJSON *tree, struct json_at *out, struct error *err)
{
    *out = (struct json_at){.value = tree};
    return cJSON_IsObject(tree) ? 0 : fail(err, "E_MEMBER", "the value is not an object");
}

bool json_has(const struct json_at *at, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(at->value, name) != NULL;
}

/* 1 and the value; 0 if it is absent or null and may be; -1. */
static int find(const struct json_at *at, const char *name, enum json_need need, const cJSON **out,
                struct error *err)
{
    const cJSON *item = name == NULL ? at->value : cJSON_GetObjectItemCaseSensitive(at->value, name);
    if (item != NULL && !cJSON_IsNull(item)) {
        *out = item;
        return 1;
    }
    return need == JSON_OPTIONAL
               ? 0
               : json_fail(at, name, err, "E_MEMBER", item == NULL ? "is missing" : "must not be null");
}

static struct json_at step_to(const struct json_at *at, const char *name, const cJSON *value)
{
    return name == NULL ? (struct json_at){value, at->up, at->name, at->index}
                        : (struct json_at){value, at, name, 0};
}

int json_object(const struct json_at *at, const char *name, enum json_need need, struct json_at *out,
                struct error *err)
{
    const cJSON *item;
    int rc = find(at, name, need, &item, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsObject(item))
        return json_fail(at, name, err, "E_MEMBER", "must be an object");
    *out = step_to(at, name, item);
    return 1;
}

int json_array(const struct json_at *at, const char *name, enum json_need need, size_t min, size_t max,
               struct json_at *out, size_t *count, struct error *err)
{
    const cJSON *item;
    *count = 0;
    int rc = find(at, name, need, &item, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsArray(item))
        return json_fail(at, name, err, "E_MEMBER", "must be an array");
    size_t n = (size_t)cJSON_GetArraySize(item);
    if (n < min || n > max)
        return json_fail(at, name, err, "E_MEMBER", "has %zu items, must have %zu to %zu", n, min, max);
    *out = step_to(at, name, item);
    *count = n;
    return 1;
}

bool json_first(const struct json_at *list, struct json_at *item)
{
    const cJSON *child = list->value->child;
    *item =
        (struct json_at){child, list, child != NULL && cJSON_IsObject(list->value) ? child->string : NULL, 0};
    return child != NULL;
}

bool json_next(struct json_at *item)
{
    const cJSON *next = item->value->next;
    if (next == NULL)
        return false;
    item->value = next;
    item->index++;
    item->name = item->name != NULL ? next->string : NULL;
    return true;
}

/* ---- getters ---- */

int json_text(const struct json_at *at, const char *name, enum json_need need, size_t max, const char **out,
              struct error *err)
{
    const cJSON *item;
    int rc = find(at, name, need, &item, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsString(item))
        return json_fail(at, name, err, "E_MEMBER", "must be a string");
    size_t n = strlen(item->valuestring);
    if (n > max)
        return json_fail(at, name, err, "E_MEMBER", "has %zu bytes, at most %zu are allowed", n, max);
    *out = item->valuestring;
    return 1;
}

#define NAMED_MAX (64 * 1024)

int json_named(const struct json_at *at, const char *name, enum json_need need, bool (*ok)(const char *),
               const char *what, const char **out, struct error *err)
{
    const char *text;
    int rc = json_text(at, name, need, NAMED_MAX, &text, err);
    if (rc <= 0)
        return rc;
    if (!ok(text))
        return json_fail(at, name, err, "E_MEMBER", "is not %s", what);
    *out = text;
    return 1;
}

int json_named_copy(const struct json_at *at, const char *name, enum json_need need, bool (*ok)(const char *),
                    const char *what, char *out, size_t room, struct error *err)
{
    const char *text;
    int rc = json_named(at, name, need, ok, what, &text, err);
    if (rc <= 0)
        return rc;
    size_t n = strlen(text);
    if (n >= room)
        return json_fail(at, name, err, "E_MEMBER", "has %zu bytes, at most %zu are allowed", n, room - 1);
    memcpy(out, text, n + 1);
    return 1;
}

int json_hex(const struct json_at *at, const char *name, enum json_need need, uint8_t *out, size_t size,
             struct error *err)
{
    const char *text;
    int rc = json_text(at, name, need, NAMED_MAX, &text, err);
    if (rc <= 0)
        return rc;
    if (hex_decode(text, strlen(text), out, size) < 0)
        return json_fail(at, name, err, "E_MEMBER", "must be %zu lower-case hex digits", size * 2);
    return 1;
}

int json_base64(const struct json_at *at, const char *name, enum json_need need, uint8_t *out, size_t size,
                struct error *err)
{
    const char *text;
    int rc = json_text(at, name, need, NAMED_MAX, &text, err);
    if (rc <= 0)
        return rc;
    if (base64_decode_exact(text, strlen(text), out, size) < 0)
        return json_fail(at, name, err, "E_MEMBER", "must be base64 of %zu bytes", size);
    return 1;
}

int json_point(const struct json_at *at, const char *name, enum json_need need, uint8_t *out, struct error *err)
{
    uint8_t point[65];
    int rc = json_base64(at, name, need, point, sizeof point, err);
    if (rc <= 0)
        return rc;
    if (point[0] != 4)
        return json_fail(at, name, err, "E_MEMBER", "must be an uncompressed P-256 point");
    memcpy(out, point, sizeof point);
    return 1;
}

int json_integer(const struct json_at *at, const char *name, enum json_need need, int64_t min, int64_t max,
                 int64_t *out, struct error *err)
{
    const cJSON *item;
    int rc = find(at, name, need, &item, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsNumber(item) || isnan(item->valuedouble))
        return json_fail(at, name, err, "E_MEMBER",
                         "must be an integer, written without a point, exponent or quotes");
    int64_t v = (int64_t)item->valuedouble; /* within ±(2^53-1): exact */
    if (v < min || v > max)
        return json_fail(at, name, err, "E_MEMBER", "is %lld, must be %lld to %lld", (long long)v,
                         (long long)min, (long long)max);
    *out = v;
    return 1;
}

int json_number(const struct json_at *at, const char *name, enum json_need need, uint64_t min, uint64_t max,
                uint64_t *out, struct error *err)
{
    int64_t v;
    int rc = json_integer(at, name, need, (int64_t)min, (int64_t)max, &v, err);
    if (rc == 1)
        *out = (uint64_t)v;
    return rc;
}

int json_bool(const struct json_at *at, const char *name, enum json_need need, bool *out, struct error *err)
{
    const cJSON *item;
    int rc = find(at, name, need, &item, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsBool(item))
        return json_fail(at, name, err, "E_MEMBER", "must be true or false");
    *out = cJSON_IsTrue(item);
    return 1;
}

int json_time(const struct json_at *at, const char *name, enum json_need need, int64_t *wall_ms,
              struct error *err)
{
    const char *text;
    struct error why;
    int rc = json_text(at, name, need, 32, &text, err);
    if (rc <= 0)
        return rc;
    if (clock_parse(text, wall_ms, &why) < 0)
        return json_fail(at, name, err, "E_MEMBER", "%s", why.text);
    return 1;
}

int json_word(const struct json_at *at, const char *name, enum json_need need, const char *const *words,
              int *out, struct error *err)
{
    const char *text;
    char list[160] = "";
    int rc = json_text(at, name, need, NAMED_MAX, &text, err);
    if (rc <= 0)
        return rc;
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return 1;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return json_fail(at, name, err, "E_MEMBER", "must be one of: %s", list);
}

#define CRITICAL_MAX 16

int json_critical(const struct json_at *top, const char *const *known, struct error *err)
{
    struct json_at list, item;
    size_t count;
    int rc = json_array(top, "critical", JSON_OPTIONAL, 0, CRITICAL_MAX, &list, &count, err);
    if (rc <= 0)
        return rc;
    for (bool more = json_first(&list, &item); more; more = json_next(&item)) {
        const char *text;
        if (json_text(&item, NULL, JSON_REQUIRED, 128, &text, err) < 0)
            return -1;
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], text) != 0)
            i++;
        if (known[i] == NULL)
            return json_fail(&item, NULL, err, "E_CRITICAL",
                             "names a member this version of Klystrr does not know: update it");
    }
    return 0;
}
