#include "agent/agent/policy.h"

#include <string.h>

#include "agent/agent/config.h"
#include "base/names.h"
#include "proto/json.h"

#define RULES_MAX 256 /* patterns in one list */

static bool text_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *back = NULL;
    while (*text != 0) {
        if (*pattern == '*') {
            star = pattern++;
            back = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

static bool domain_matches(const char *pattern, const char *domain)
{
    if (strcmp(pattern, "*") == 0)
        return true;
    if (strncmp(pattern, "*.", 2) != 0)
        return strcmp(pattern, domain) == 0;
    size_t tail = strlen(pattern) - 1, size = strlen(domain);
    return size > tail && strcmp(domain + size - tail, pattern + 1) == 0;
}

static int check_list(const struct json_at *entry, const char *name, struct error *err)
{
    struct json_at list, item;
    size_t count;
    if (json_array(entry, name, JSON_OPTIONAL, 0, RULES_MAX, &list, &count, err) < 0)
        return -1;
    if (count == 0)
        return 0;
    for (bool more = json_first(&list, &item); more; more = json_next(&item)) {
        const char *text;
        if (json_text(&item, NULL, JSON_REQUIRED, URL_SOURCE_MAX, &text, err) < 0)
            return -1;
    }
    return 0;
}

static int check_shape(const struct json_at *top, struct error *err)
{
    struct json_at projects, entry;
    if (json_object(top, "projects", JSON_REQUIRED, &projects, err) < 0)
        return -1;
    for (bool more = json_first(&projects, &entry); more; more = json_next(&entry)) {
        bool pause = false;
        if (strcmp(entry.name, "*") != 0 && !name_is_project(entry.name))
            return json_fail(&entry, NULL, err, "E_POLICY_FILE", "neither a project's name nor \"*\"");
        struct json_at object;
        if (json_object(&projects, entry.name, JSON_REQUIRED, &object, err) < 0 ||
            check_list(&object, "repositories", err) < 0 || check_list(&object, "refs", err) < 0 ||
            check_list(&object, "domains", err) < 0 || json_bool(&object, "pause", JSON_OPTIONAL, &pause, err) < 0)
            return -1;
    }
    return 0;
}

int policy_parse(struct bytes text, struct policy *out, struct error *err)
{
    struct json_limits limits = json_strict(POLICY_FILE_MAX);
    struct json_at top;
    AUTO_JSON cJSON *tree = NULL;
    if (json_parse(text, &limits, &tree, err) < 0 || json_top(tree, &top, err) < 0 || check_shape(&top, err) < 0)
        return -1;
    *out = (struct policy){.tree = take_pointer(&tree)};
    return 0;
}

void policy_read(const char *path, struct policy *out)
{
    AUTO_BUF struct buf text = BUF(POLICY_FILE_MAX);
    struct error err = {0};
    *out = (struct policy){0};
    int rc = config_load(path, &text, &err);
    if (rc == 0 && policy_parse(buf_view(&text), out, &err) == 0)
        return;
    if (rc == 1)
        fail(&out->why, "E_POLICY", "there is no %s, so nothing may be deployed here: root must write one", path);
    else
        fail(&out->why, "E_POLICY", "%s cannot be used, so nothing may be deployed here: %s", path, err.text);
}

void policy_free(struct policy *policy)
{
    json_free(policy->tree);
    policy->tree = NULL;
}

static bool allows(const struct json_at *entry, const char *list_name, bool (*matches)(const char *, const char *),
                   const char *text)
{
    struct json_at list, item;
    size_t count = 0;
    if (json_array(entry, list_name, JSON_OPTIONAL, 0, RULES_MAX, &list, &count, NULL) < 0 || count == 0)
        return false;
    for (bool more = json_first(&list, &item); more; more = json_next(&item)) {
        const char *pattern = NULL;
        if (json_text(&item, NULL, JSON_REQUIRED, URL_SOURCE_MAX, &pattern, NULL) == 1 && matches(pattern, text))
            return true;
    }
    return false;
}

static int refuse(struct error *err, const char *rule, const char *list, const char *text)
{
    return fail(err, "E_POLICY", "policy.json: projects[\"%s\"].%s does not allow %s; root can add it and run "
                                 "'klystrr policy apply'", rule, list, text);
}

static int check_domains(const struct json_at *entry, const struct manifest *m, const char *rule, struct error *err)
{
    for (size_t a = 0; a < m->app_count; a++) {
        const struct manifest_vhost *vhost = &m->apps[a].vhost;
        for (size_t i = 0; vhost->present && i < vhost->name_count; i++)
            if (!allows(entry, "domains", domain_matches, vhost->names[i]))
                return refuse(err, rule, "domains", vhost->names[i]);
    }
    return 0;
}

int policy_check(const struct policy *policy, const struct manifest *m, struct error *err)
{
    struct json_at top, projects, entry;
    if (policy->tree == NULL)
        return fail(err, policy->why.code[0] != 0 ? policy->why.code : "E_POLICY", "%s", policy->why.text);
    if (json_top(policy->tree, &top, err) < 0 || json_object(&top, "projects", JSON_REQUIRED, &projects, err) < 0)
        return -1;
    const char *rule = json_has(&projects, m->project) ? m->project : "*";
    if (json_object(&projects, rule, JSON_OPTIONAL, &entry, err) != 1)
        return fail(err, "E_POLICY", "policy.json has no entry for project '%s' and none for \"*\"", m->project);
    bool pause = false;
    if (json_bool(&entry, "pause", JSON_OPTIONAL, &pause, err) < 0)
        return -1;
    if (pause)
        return fail(err, "E_PAUSED", "policy.json: projects[\"%s\"].pause is set: nothing new is started", rule);
    if (!allows(&entry, "repositories", text_matches, m->source.url))
        return refuse(err, rule, "repositories", m->source.url);
    if (!allows(&entry, "refs", text_matches, m->source.ref))
        return refuse(err, rule, "refs", m->source.ref);
    return check_domains(&entry, m, rule, err);
}
