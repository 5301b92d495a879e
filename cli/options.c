#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int say_usage(const char *format, ...)
{
    va_list args;
    fputs("klystrr: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    return EXIT_USAGE;
}

static const struct option_spec *find_spec(const struct option_spec *specs, size_t count, const char *word, const char **value)
{
    *value = NULL;
    if (word[1] != '-') { /* -f */
        for (size_t i = 0; i < count; i++)
            if (specs[i].letter != 0 && word[1] == specs[i].letter && word[2] == 0)
                return &specs[i];
        return NULL;
    }
    size_t length = strcspn(word + 2, "=");
    for (size_t i = 0; i < count; i++)
        if (strlen(specs[i].name) == length && strncmp(specs[i].name, word + 2, length) == 0) {
            *value = word[2 + length] == '=' ? word + 3 + length : NULL;
            return &specs[i];
        }
    return NULL;
}

static int store(const struct option_spec *spec, const char *value)
{
    if (spec->value != NULL) {
        *spec->value = value;
        return 0;
    }
    if (spec->list->count == OPTION_LIST_MAX) {
        say_usage("--%s may be given %d times at most", spec->name, OPTION_LIST_MAX);
        return -1;
    }
    spec->list->items[spec->list->count++] = value;
    return 0;
}

/* One option at argv[*i]; moves *i on over its value. */
static int take_option(struct cli *cli, int argc, char **argv, int *i, const struct option_spec *specs, size_t count)
{
    const char *folder = NULL, *value;
    const struct option_spec global[] = {{.name = "json", .flag = &cli->json}, {.name = "config", .value = &folder}};
    const struct option_spec *spec = find_spec(specs, count, argv[*i], &value);
    if (spec == NULL)
        spec = find_spec(global, 2, argv[*i], &value);
    if (spec == NULL) {
        say_usage("'%s' does not know the option '%s' (see --help)", argv[0], argv[*i]);
        return -1;
    }
    if (spec->flag != NULL) {
        if (value != NULL) {
            say_usage("--%s takes no value", spec->name);
            return -1;
        }
        *spec->flag = true;
        return 0;
    }
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL) {
        say_usage("--%s needs a value", spec->name);
        return -1;
    }
    int rc = store(spec, value);
    if (folder != NULL)
        snprintf(cli->folder, sizeof cli->folder, "%s", folder);
    return rc;
}

int options_parse(struct cli *cli, int argc, char **argv, const struct option_spec *specs, size_t count, const char **words,
                  size_t most)
{
    size_t found = 0;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != 0) {
            if (take_option(cli, argc, argv, &i, specs, count) < 0)
                return -1;
        } else if (found == most) {
            say_usage("'%s' does not know what to do with '%s' (see --help)", argv[0], argv[i]);
            return -1;
        } else {
            words[found++] = argv[i];
        }
    }
    if (words != NULL)
        words[found] = NULL;
    return 0;
}

int option_number(const char *name, const char *text, int64_t low, int64_t high, int64_t *out)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text == 0 || *end != 0 || errno != 0 || value < low || value > high) {
        say_usage("--%s takes a whole number from %lld to %lld, not '%s'", name, (long long)low, (long long)high, text);
        return -1;
    }
    *out = value;
    return 0;
}
