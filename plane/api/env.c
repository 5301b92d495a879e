/* Env values: names out, values in, never the other way. */
#include <string.h>

#include "base/clock.h"
#include "plane/api/api.h"
#include "plane/documents.h"

#define SHORT_VALUE 8 /* bytes: shorter ones cannot be masked without masking half of the log */

static int list_name(void *ctx, const struct store_env *e)
{
    struct json_writer *w = ctx;
    json_open(w, NULL, '{');
    json_put_text(w, "name", e->name);
    json_put_time(w, "updated", e->updated);
    json_put_bool(w, "too_short", e->too_short);
    json_close(w, '}');
    return 0;
}

void api_env_get(struct call *c)
{
    struct error err;
    struct store_project v;
    AUTO_BUF struct buf out = BUF(API_ANSWER_MAX);
    if (!api_project(c, &v))
        return;
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_put_int(&w, "version", v.env_version);
    json_open(&w, "names", '[');
    if (store_env_each(&c->plane->store, v.name, list_name, &w, &err) < 0) {
        api_error(c, &err);
        return;
    }
    json_close(&w, ']');
    json_close(&w, '}');
    api_write(c, 200, &w);
}

struct change {
    struct call *c;
    const char *project;
    int64_t now;
    const char *too_short[ENV_VALUES_MAX];
    size_t short_count;
};

static int set_one(struct change *ch, const struct json_at *item, struct error *err)
{
    const char *value;
    char label[DOCUMENTS_LABEL_SIZE];
    AUTO_BUF struct buf sealed = BUF(ENV_VALUE_MAX + VAULT_OVERHEAD);
    if (!name_is_env(item->name))
        return fail(err, "E_MEMBER", "set: '%.130s' is no name of an env variable", item->name);
    if (json_text(item, NULL, JSON_REQUIRED, ENV_VALUE_MAX, &value, err) < 0)
        return -1;
    struct store_env e = {.updated = ch->now, .too_short = strlen(value) < SHORT_VALUE};
    snprintf(e.name, sizeof e.name, "%s", item->name);
    documents_env_label(ch->project, item->name, label);
    if (vault_seal(&ch->c->plane->home.vault, label, (struct bytes){(const uint8_t *)value, strlen(value)},
                   &sealed, err) < 0)
        return -1;
    e.sealed = buf_view(&sealed);
    if (e.too_short && ch->short_count < ENV_VALUES_MAX)
        ch->too_short[ch->short_count++] = item->name;
    return store_env_set(&ch->c->plane->store, ch->project, &e, err);
}

static int set_all(struct change *ch, struct error *err)
{
    struct json_at set, item;
    int rc = json_object(&ch->c->body, "set", JSON_OPTIONAL, &set, err);
    if (rc <= 0)
        return rc;
    for (bool more = json_first(&set, &item); more; more = json_next(&item))
        if (set_one(ch, &item, err) < 0)
            return -1;
    return 0;
}

static int unset_all(struct change *ch, struct error *err)
{
    struct json_at unset, item;
    size_t count;
    int rc = json_array(&ch->c->body, "unset", JSON_OPTIONAL, 0, ENV_VALUES_MAX, &unset, &count, err);
    if (rc <= 0)
        return rc;
    for (bool more = json_first(&unset, &item); more; more = json_next(&item)) {
        const char *name;
        if (json_named(&item, NULL, JSON_REQUIRED, name_is_env, "a name of an env variable", &name, err) < 0 ||
            store_env_unset(&ch->c->plane->store, ch->project, name, err) < 0)
            return -1;
    }
    return 0;
}

/* What a host can open has bounds: better refused here than at the deployment. */
static int check_bounds(struct change *ch, struct error *err)
{
    int64_t count = 0;
    AUTO_WIPE struct buf values = BUF(ENV_PLAIN_MAX);
    if (store_env_count(&ch->c->plane->store, ch->project, &count, err) < 0)
        return -1;
    if (count > ENV_VALUES_MAX)
        return fail(err, "E_TOO_LARGE", "a project has %d env values at most", ENV_VALUES_MAX);
    return documents_values(&ch->c->plane->store, &ch->c->plane->home.vault, ch->project, &values, err);
}

static int apply(struct change *ch, int64_t *version, struct error *err)
{
    if (set_all(ch, err) < 0 || unset_all(ch, err) < 0 || check_bounds(ch, err) < 0)
        return -1;
    return store_env_bump(&ch->c->plane->store, ch->project, version, err);
}

void api_env_patch(struct call *c)
{
    static const char *const members[] = {"set", "unset", NULL};
    struct error err = {0};
    struct store_project v;
    AUTO_BUF struct buf out = BUF(API_BODY_MAX);
    if (!api_project(c, &v) || !api_members(c, members))
        return;
    struct change ch = {.c = c, .project = v.name, .now = clock_wall_ms()};
    int64_t version = 0;
    int rc = store_begin(&c->plane->store, &err);
    if (rc == 0)
        rc = store_end(&c->plane->store, apply(&ch, &version, &err) == 0, &err);
    if (rc < 0) {
        api_error(c, &err);
        return;
    }
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_put_int(&w, "version", version);
    json_put_text(&w, "takes_effect", "with the next deployment or restart");
    json_open(&w, "too_short", '[');
    for (size_t i = 0; i < ch.short_count; i++)
        json_put_text(&w, NULL, ch.too_short[i]);
    json_close(&w, ']');
    json_close(&w, '}');
    api_write(c, 200, &w);
}
