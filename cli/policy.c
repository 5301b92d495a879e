#include "cli/policy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/durable.h"
#include "base/names.h"
#include "cli/cli.h"
#include "proto/json.h"

static bool is_policy_project(const char *s)
{
    return strcmp(s, "*") == 0 || name_is_project(s);
}

static bool is_domain_pattern(const char *s)
{
    return strcmp(s, "*") == 0 || name_is_domain(strncmp(s, "*.", 2) == 0 ? s + 2 : s);
}

static int take_domains(const struct json_at *project, struct policy_row *row, struct error *err)
{
    struct json_at list, item;
    size_t count = 0, at = 0;
    int rc = json_array(project, "domains", JSON_OPTIONAL, 0, POLICY_DOMAINS, &list, &count, err);
    if (rc <= 0)
        return rc;
    for (bool more = json_first(&list, &item); more; more = json_next(&item))
        if (json_named_copy(&item, NULL, JSON_REQUIRED, is_domain_pattern, "a domain, *.domain or *", row->domains[at++],
                            sizeof row->domains[0], err) < 0)
            return -1;
    return 0;
}

static int take_ports(const struct json_at *project, struct policy_row *row, struct error *err)
{
    struct json_at list, item;
    size_t count = 0;
    int64_t ports[2] = {POLICY_PORT_LOW, POLICY_PORT_HIGH};
    int rc = json_array(project, "ports", JSON_OPTIONAL, 2, 2, &list, &count, err), at = 0;
    if (rc < 0)
        return -1;
    if (rc == 1)
        for (bool more = json_first(&list, &item); more; more = json_next(&item))
            if (json_integer(&item, NULL, JSON_REQUIRED, 1024, 32767, &ports[at++], err) < 0)
                return -1;
    row->port_first = (uint16_t)ports[0];
    row->port_last = (uint16_t)ports[1];
    return 0;
}

static int take_project(const struct json_at *project, struct policy_row *row, struct error *err)
{
    int64_t memory = 0, tasks = 0;
    bool pause = false;
    if (!is_policy_project(project->name))
        return json_fail(project, NULL, err, "E_POLICY", "no project's name, nor *");
    snprintf(row->project, sizeof row->project, "%s", project->name);
    if (take_domains(project, row, err) < 0 || take_ports(project, row, err) < 0 ||
        json_integer(project, "memory_mb", JSON_OPTIONAL, 0, 1048576, &memory, err) < 0 ||
        json_integer(project, "tasks", JSON_OPTIONAL, 0, 1048576, &tasks, err) < 0 || json_bool(project, "pause", JSON_OPTIONAL, &pause, err) < 0)
        return -1;
    row->memory_mb = (uint32_t)memory;
    row->tasks = (uint32_t)tasks;
    row->paused = pause;
    return 0;
}

int policy_compile(const char *path, struct policy_table *out, struct error *err)
{
    AUTO_BUF struct buf text = BUF(POLICY_JSON_MAX);
    AUTO_JSON cJSON *tree = NULL;
    struct json_limits limits = json_strict(POLICY_JSON_MAX);
    struct json_at top, projects, item;
    memset(out, 0, sizeof *out);
    if (file_read(path, POLICY_JSON_MAX, &text, err) < 0)
        return -1;
    if (json_parse(buf_view(&text), &limits, &tree, err) < 0 || json_top(tree, &top, err) < 0 ||
        json_object(&top, "projects", JSON_REQUIRED, &projects, err) < 0)
        return fail_in(err, "%s", path);
    for (bool more = json_first(&projects, &item); more; more = json_next(&item)) {
        if (out->count == POLICY_ROWS_MAX)
            return fail(err, "E_POLICY", "%s: more than %d projects", path, POLICY_ROWS_MAX);
        struct json_at project;
        const char *name = item.name;
        if (json_object(&item, NULL, JSON_REQUIRED, &project, err) < 0)
            return fail_in(err, "%s", path);
        project.name = name;
        if (take_project(&project, &out->rows[out->count++], err) < 0)
            return fail_in(err, "%s", path);
    }
    return 0;
}

int policy_apply(const char *path, unsigned *projects, struct error *err)
{
    AUTO_BUF struct buf file = BUF(POLICY_ROWS_MAX * sizeof(struct policy_row) + 64);
    AUTO_FREE struct policy_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    if (policy_compile(path, table, err) < 0 || policy_table_encode(table, &file, err) < 0)
        return -1;
    char folder[256];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(POLICY_TABLE_PATH, '/') - POLICY_TABLE_PATH), POLICY_TABLE_PATH);
    AUTO_CLOSE int dir = durable_dir(folder, 0755, err);
    if (dir < 0 || durable_replace(dir, strrchr(POLICY_TABLE_PATH, '/') + 1, file.data, file.size, 0644, err) < 0)
        return -1;
    *projects = table->count;
    return 0;
}
