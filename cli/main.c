#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct {
    const char *title;
    const struct command *commands;
} groups[] = {
    {"On the plane", plane_commands},
    {"Environment values", env_commands},
    {"The owner's keys and manifests", owner_commands},
    {"On this host", host_commands},
    {"Tools", tool_commands},
};
#define GROUPS (sizeof groups / sizeof *groups)

static void print_help(void)
{
    puts("klystrr: deploy to your own servers without giving anyone a key to them.\n");
    for (size_t g = 0; g < GROUPS; g++) {
        printf("%s\n", groups[g].title);
        for (const struct command *c = groups[g].commands; c->name != NULL; c++)
            printf("  %-16s %s\n", c->name, c->summary);
        puts("");
    }
    puts("klystrr COMMAND --help tells more. Everywhere: --json, --config FOLDER. NO_COLOR is respected.\n"
         "Exit codes: 0 ok, 1 failed, 2 usage, 3 forbidden, 4 not found, 5 busy, 6 deploy failed and the old release\n"
         "serves on, 7 the way back failed too, 8 timed out, 9 unreachable, 130 interrupted.");
}

/* Does "env set" or "status" begin argv? Returns how many words it takes, 0 if it does not. */
static int name_matches(const char *name, int argc, char **argv)
{
    const char *space = strchr(name, ' ');
    if (space == NULL)
        return argc > 0 && strcmp(argv[0], name) == 0 ? 1 : 0;
    size_t first = (size_t)(space - name);
    bool same = argc > 1 && strlen(argv[0]) == first && strncmp(argv[0], name, first) == 0 && strcmp(argv[1], space + 1) == 0;
    return same ? 2 : 0;
}

static const struct command *find_command(int argc, char **argv, int *words)
{
    const struct command *found = NULL;
    *words = 0;
    for (size_t g = 0; g < GROUPS; g++)
        for (const struct command *c = groups[g].commands; c->name != NULL; c++) {
            int n = name_matches(c->name, argc, argv);
            if (n > *words) {
                *words = n;
                found = c;
            }
        }
    return found;
}

static unsigned distance(const char *a, const char *b)
{
    enum { ROOM = 32 };
    unsigned row[ROOM + 1];
    size_t n = strnlen(b, ROOM);
    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= strnlen(a, ROOM); i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned least = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = change < least + 1 ? change : least + 1;
        }
    }
    return row[n];
}

static int unknown_command(int argc, char **argv)
{
    char typed[80];
    snprintf(typed, sizeof typed, "%s%s%s", argv[0], argc > 1 && argv[1][0] != '-' ? " " : "",
             argc > 1 && argv[1][0] != '-' ? argv[1] : "");
    const char *near = NULL;
    unsigned least = 3;
    for (size_t g = 0; g < GROUPS; g++)
        for (const struct command *c = groups[g].commands; c->name != NULL; c++) {
            unsigned whole = distance(typed, c->name), first = distance(argv[0], c->name);
            unsigned d = whole < first ? whole : first;
            if (d < least) {
                least = d;
                near = c->name;
            }
        }
    char safe[160];
    show_safe(typed, safe, sizeof safe);
    if (near != NULL)
        return say_usage("there is no command '%s'. Did you mean '%s'?", safe, near);
    return say_usage("there is no command '%s'. 'klystrr --help' lists them", safe);
}

static void print_command_help(const struct command *c)
{
    printf("klystrr %s %s\n\n%s.\n", c->name, c->usage, c->summary);
    if (c->help != NULL)
        printf("\n%s\n", c->help);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static void settings_folder(struct cli *cli)
{
    const char *given = getenv("KLYSTRR_CONFIG"), *home = getenv("HOME");
    if (given != NULL && *given != 0)
        snprintf(cli->folder, sizeof cli->folder, "%s", given);
    else
        snprintf(cli->folder, sizeof cli->folder, "%s/.config/klystrr", home != NULL && *home != 0 ? home : "/root");
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* secrets pass through here */
    umask(077);
    struct cli cli = {
        .color = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL,
        .prompt = isatty(STDIN_FILENO) && isatty(STDERR_FILENO),
    };
    settings_folder(&cli);
    argc--;
    argv++;
    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "help") == 0) {
        print_help();
        return argc == 0 ? EXIT_USAGE : EXIT_OK;
    }
    if (strcmp(argv[0], "--version") == 0) {
        puts("klystrr " KLY_VERSION);
        return EXIT_OK;
    }
    int words;
    const struct command *command = find_command(argc, argv, &words);
    if (command == NULL)
        return unknown_command(argc, argv);
    if (wants_help(argc, argv)) {
        print_command_help(command);
        return EXIT_OK;
    }
    return command->run(&cli, argc - words + 1, argv + words - 1);
}
