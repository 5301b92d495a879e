#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "cli/client.h"

static const char *cell(const cJSON *row, const char *field)
{
    const char *dot = strchr(field, '.');
    if (dot == NULL) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, field);
        return cJSON_IsBool(item) ? (cJSON_IsTrue(item) ? "yes" : "") : field_text(row, field);
    }
    char outer[32];
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - field), field);
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(row, outer);
    return field_text(cJSON_IsArray(inner) ? cJSON_GetArrayItem(inner, 0) : inner, dot + 1);
}

static int show_rows(const struct cli *cli, const cJSON *list, const char *empty, const struct list_column *columns, size_t count)
{
    const char *titles[LIST_COLUMNS_MAX];
    size_t rows = (size_t)cJSON_GetArraySize(list), at = 0;
    if (rows == 0) {
        puts(empty);
        return EXIT_OK;
    }
    const char **cells = calloc(rows * count, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    for (size_t c = 0; c < count; c++)
        titles[c] = columns[c].title;
    const cJSON *row;
    cJSON_ArrayForEach(row, list) for (size_t c = 0; c < count; c++)
        cells[at++] = cell(row, columns[c].field);
    show_table(cli, titles, count, cells, rows);
    free(cells);
    return EXIT_OK;
}

int api_list(struct cli *cli, const char *target, const char *array, const char *empty, const struct list_column *columns, size_t count)
{
    AUTO_ANSWER struct answer a = {0};
    int code = api(cli, "GET", target, NULL, &a);
    if (code != EXIT_OK)
        return code;
    if (!cli->json)
        return show_rows(cli, cJSON_GetObjectItemCaseSensitive(a.json, array), empty, columns, count);
    say_json(a.json);
    return EXIT_OK;
}

int server_id_of(const struct cli *cli, const char *name, char *id, size_t room)
{
    if (name_is_server(name)) {
        snprintf(id, room, "%s", name);
        return EXIT_OK;
    }
    AUTO_ANSWER struct answer a = {0};
    int code = api(cli, "GET", "/api/v1/servers", NULL, &a);
    if (code != EXIT_OK)
        return code;
    const cJSON *s;
    cJSON_ArrayForEach(s, cJSON_GetObjectItemCaseSensitive(a.json, "servers"))
    {
        if (strcmp(field_text(s, "name"), name) == 0) {
            snprintf(id, room, "%s", field_text(s, "id"));
            return EXIT_OK;
        }
    }
    struct error err = {0};
    fail(&err, "E_NOT_FOUND", "there is no server '%s' ('klystrr servers' lists them)", name);
    return say_error(cli, &err);
}
