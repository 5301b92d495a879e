/* Environment values: they go to the plane over TLS, never as arguments, and never come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/names.h"
#include "cli/cli.h"
#include "cli/client.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define ENV_FILE_MAX (1024u * 1024u)
#define VALUE_MAX    65536u

static int env_target(const char *project, char *target, size_t room)
{
    char name[64];
    if (project_or_here(project, name, sizeof name) == NULL)
        return -1;
    snprintf(target, room, "/api/v1/projects/%s/env", name);
    return 0;
}

static int env_list(struct cli *cli, int argc, char **argv)
{
    static const struct list_column columns[] = {{"NAME", "name"}, {"SET", "updated"}, {"TOO SHORT TO MASK", "too_short"}};
    const char *project = NULL, *words[1];
    const struct option_spec specs[] = {{.name = "project", .value = &project}};
    char target[128];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0 || env_target(project, target, sizeof target) < 0)
        return EXIT_USAGE;
    return api_list(cli, target, "names", "No values yet. 'klystrr env set NAME' sets one.", columns, COUNT(columns));
}

/* Sends a change and says when it takes effect. Takes body. */
static int env_change(struct cli *cli, const char *target, cJSON *body, const char *what)
{
    AUTO_ANSWER struct answer a = {0};
    int code = api(cli, "PATCH", target, body, &a);
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(body, "set")) if (item->valuestring != NULL)
        wipe(item->valuestring, strlen(item->valuestring));
    cJSON_Delete(body);
    if (code != EXIT_OK)
        return code;
    if (cli->json) {
        say_json(a.json);
        return EXIT_OK;
    }
    printf("%s. It takes effect %s.\n", what, field_text(a.json, "takes_effect"));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(a.json, "too_short")) if (cJSON_IsString(item))
        printf("%sNote:%s the value of %s is too short to be masked in logs.\n", paint(cli, "yellow"), paint(cli, "off"), item->valuestring);
    return EXIT_OK;
}

static void trim_newline(struct buf *b)
{
    if (b->size > 0 && b->data[b->size - 1] == '\n')
        b->data[--b->size] = 0;
    if (b->size > 0 && b->data[b->size - 1] == '\r')
        b->data[--b->size] = 0;
}

static int read_value(struct cli *cli, const char *name, const char *file, struct buf *value, struct error *err)
{
    char question[NAME_ENV_MAX + 32];
    value->limit = VALUE_MAX;
    if (file != NULL) {
        if (file_read(file, VALUE_MAX, value, err) < 0)
            return -1;
    } else if (!isatty(STDIN_FILENO)) {
        if (file_read("-", VALUE_MAX, value, err) < 0)
            return -1;
    } else {
        snprintf(question, sizeof question, "Value of %s (not shown)", name);
        if (!ask_secret(cli, question, value))
            return fail(err, "E_USAGE", "no value was given: type it, pipe it in, or name a file with --from FILE");
    }
    trim_newline(value);
    if (memchr(value->data != NULL ? value->data : (const uint8_t *)"", 0, value->size) != NULL)
        return fail(err, "E_USAGE", "a value may not hold a NUL byte");
    return 0;
}

static int env_set(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *file = NULL, *words[2];
    const struct option_spec specs[] = {{.name = "project", .value = &project}, {.name = "from", .value = &file}};
    char target[128];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    if (words[0] != NULL && strchr(words[0], '=') != NULL) {
        return say_usage("values are never taken as arguments (others can read those): run 'klystrr env set %.*s' and type it, or pipe it in",
                         (int)strcspn(words[0], "="), words[0]);
    }
    if (words[0] == NULL || !name_is_env(words[0]))
        return say_usage("env set needs a name: letters, digits and _, not beginning with a digit");
    if (env_target(project, target, sizeof target) < 0)
        return EXIT_USAGE;
    struct error err = {0};
    AUTO_WIPE struct buf value = BUF(VALUE_MAX);
    if (read_value(cli, words[0], file, &value, &err) < 0)
        return say_error(cli, &err);
    cJSON *body = cJSON_CreateObject(), *set = cJSON_AddObjectToObject(body, "set");
    cJSON_AddStringToObject(set, words[0], buf_text(&value));
    char what[NAME_ENV_MAX + 16];
    snprintf(what, sizeof what, "%s is set", words[0]);
    return env_change(cli, target, body, what);
}

static int env_unset(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *words[OPTION_LIST_MAX + 1];
    const struct option_spec specs[] = {{.name = "project", .value = &project}};
    char target[128];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, OPTION_LIST_MAX) < 0)
        return EXIT_USAGE;
    if (words[0] == NULL)
        return say_usage("env unset needs a name");
    if (env_target(project, target, sizeof target) < 0)
        return EXIT_USAGE;
    cJSON *body = cJSON_CreateObject(), *unset = cJSON_AddArrayToObject(body, "unset");
    for (size_t i = 0; words[i] != NULL; i++)
        cJSON_AddItemToArray(unset, cJSON_CreateString(words[i]));
    return env_change(cli, target, body, "Removed");
}

/* One line of a .env file: NAME=value, "export NAME=value", quotes around the value, comments, blank lines. */
static int take_env_line(char *line, int number, cJSON *set, struct error *err)
{
    line += strspn(line, " \t");
    if (strncmp(line, "export ", 7) == 0)
        line += 7;
    if (*line == 0 || *line == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return fail(err, "E_ENV_FILE", "line %d is not NAME=value", number);
    *equals = 0;
    char *value = equals + 1;
    size_t length = strlen(value);
    if (length >= 2 && (*value == '"' || *value == '\'') && value[length - 1] == *value) {
        value[length - 1] = 0;
        value++;
    }
    if (!name_is_env(line))
        return fail(err, "E_ENV_FILE", "line %d: a name is letters, digits and _, not beginning with a digit", number);
    cJSON_DeleteItemFromObjectCaseSensitive(set, line);
    cJSON_AddStringToObject(set, line, value);
    return 0;
}

static int env_import(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *words[2];
    const struct option_spec specs[] = {{.name = "project", .value = &project}};
    char target[128], what[64];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    if (words[0] == NULL)
        return say_usage("env import needs a file, or - for standard input");
    if (env_target(project, target, sizeof target) < 0)
        return EXIT_USAGE;
    struct error err = {0};
    AUTO_WIPE struct buf text = BUF(ENV_FILE_MAX);
    if (file_read(words[0], ENV_FILE_MAX, &text, &err) < 0)
        return say_error(cli, &err);
    cJSON *body = cJSON_CreateObject(), *set = cJSON_AddObjectToObject(body, "set");
    int number = 0, rc = 0;
    for (char *line = (char *)text.data, *next; rc == 0 && line != NULL && *line != 0; line = next) {
        size_t n = strcspn(line, "\n");
        next = line[n] != 0 ? line + n + 1 : NULL;
        line[n] = 0;
        if (n > 0 && line[n - 1] == '\r')
            line[n - 1] = 0;
        rc = take_env_line(line, ++number, set, &err);
    }
    if (rc < 0) {
        cJSON_Delete(body);
        return say_error(cli, &err);
    }
    snprintf(what, sizeof what, "%d names are set", cJSON_GetArraySize(set));
    return env_change(cli, target, body, what);
}

const struct command env_commands[] = {
    {"env list", "[--project NAME]", "List the names; values are never shown", NULL, env_list},
    {"env set", "NAME [--project NAME] [--from FILE]", "Set a value: typed unseen, piped in, or from a file",
     "Example:\n  openssl rand -hex 32 | klystrr env set SESSION_KEY", env_set},
    {"env unset", "NAME… [--project NAME]", "Remove values", NULL, env_unset},
    {"env import", "FILE|- [--project NAME]", "Set every NAME=value of a .env file", NULL, env_import},
    {0},
};
