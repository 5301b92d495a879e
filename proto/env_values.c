/* The plaintext of an env document. Whoever knows the public seal key can have made it, so it is checked like
 * any input; and no error may repeat a value. */
#include "proto/env_doc.h"

#include <string.h>

#include "proto/json.h"
#include "proto/json_write.h"

static int decode_value(const struct json_at *item, struct env_values *v, struct error *err)
{
    struct env_value *value = &v->list[v->count];
    if (v->count == ENV_VALUES_MAX)
        return fail(err, "E_MEMBER", "values: has more than %d names", ENV_VALUES_MAX);
    if (!name_is_env(item->name))
        return json_fail(item, NULL, err, "E_MEMBER", "is not a name that an environment variable can have");
    if (json_text(item, NULL, JSON_REQUIRED, ENV_VALUE_MAX, &value->value, err) < 0)
        return -1;
    value->name = item->name;
    v->count++;
    return 0;
}

static int decode(const cJSON *tree, struct env_values *v, struct error *err)
{
    struct json_at top, values, item;
    if (json_top(tree, &top, err) < 0 || json_object(&top, "values", JSON_REQUIRED, &values, err) < 0)
        return -1;
    for (bool more = json_first(&values, &item); more; more = json_next(&item))
        if (decode_value(&item, v, err) < 0)
            return -1;
    return 0;
}

int env_values_decode(struct bytes plain, struct env_values *out, struct error *err)
{
    const struct json_limits limits = json_strict(ENV_PLAIN_MAX);
    memset(out, 0, sizeof *out);
    if (json_parse(plain, &limits, &out->tree, err) == 0 && decode(out->tree, out, err) == 0)
        return 0;
    env_values_free(out);
    return fail_in(err, "env values");
}

/* JSON can only hold UTF-8: another value must be refused, not silently become a different one. */
static int unchanged(const struct env_values *v, const struct env_values *again, struct error *err)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->list[i].value, again->list[i].value) != 0)
            return fail(err, "E_MEMBER", "the value of %s is not valid UTF-8: encode it, for example as base64",
                        v->list[i].name);
    return 0;
}

int env_values_encode(const struct env_values *v, struct buf *out, struct error *err)
{
    AUTO_ENV_VALUES struct env_values again = {0};
    struct json_writer w = json_writer(out, err);
    if (v->count > ENV_VALUES_MAX)
        return fail(err, "E_MEMBER", "at most %d values, not %zu", ENV_VALUES_MAX, v->count);
    json_open(&w, NULL, '{');
    json_open(&w, "values", '{');
    for (size_t i = 0; i < v->count; i++)
        json_put_text(&w, v->list[i].name, v->list[i].value);
    json_close(&w, '}');
    json_close(&w, '}');
    if (json_done(&w) < 0)
        return -1;
    struct bytes text = {out->data + w.start, out->size - w.start};
    if (env_values_decode(text, &again, err) == 0 && unchanged(v, &again, err) == 0)
        return 0;
    wipe(out->data + w.start, out->size - w.start);
    w.failed = true;
    return json_done(&w);
}

const char *env_values_get(const struct env_values *v, const char *name)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->list[i].name, name) == 0)
            return v->list[i].value;
    return NULL;
}

void env_values_free(struct env_values *v)
{
    json_wipe_free(v->tree);
    memset(v, 0, sizeof *v);
}
