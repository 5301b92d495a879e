/* What all commands share: exit codes, options, the caller's settings, talking to people. */
#ifndef KLY_CLI_CLI_H
#define KLY_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

/* Documented in --help: scripts rely on them. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_FORBIDDEN = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_BUSY = 5,
    EXIT_DEPLOY_FAILED = 6,   /* the old release serves on */
    EXIT_ROLLBACK_FAILED = 7, /* and so did the way back */
    EXIT_TIMED_OUT = 8,
    EXIT_UNREACHABLE = 9,
    EXIT_INTERRUPTED = 130
};

struct cli {
    bool json;   /* --json: one JSON value on stdout, nothing else */
    bool color;  /* stdout is a terminal and NO_COLOR is not set */
    bool prompt; /* stdin and stderr are terminals: questions may be asked */
    char folder[512]; /* settings: $KLYSTRR_CONFIG, or ~/.config/klystrr */
};

struct command {
    const char *name;    /* "env set": one or two words */
    const char *usage;   /* what follows the name */
    const char *summary; /* one line */
    const char *help;    /* options and an example, more lines */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the command; returns an exit code */
};

extern const struct command plane_commands[];
extern const struct command env_commands[];
extern const struct command owner_commands[];
extern const struct command host_commands[];
extern const struct command tool_commands[];

/* ---- Options: "--name value", "--name=value", "--flag", "-f". A list option may be given again. ---- */
#define OPTION_LIST_MAX 32
struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};
struct option_spec {
    const char *name;
    char letter;              /* 0: none */
    bool *flag;               /* exactly one of these three */
    const char **value;
    struct option_list *list;
};
/* Fills what the specs point at; up to `most` other words go to words (NULL-terminated, room for most + 1).
 * Also takes the global options. Returns 0, or -1 after saying what is wrong (exit with EXIT_USAGE). */
int options_parse(struct cli *cli, int argc, char **argv, const struct option_spec *specs, size_t count, const char **words,
                  size_t most);
/* A whole number within [low, high] from an option's text; -1 after saying what is wrong. */
int option_number(const char *name, const char *text, int64_t low, int64_t high, int64_t *out);

/* ---- Talking ---- */
/* "klystrr: text [E_CODE]" on stderr; with --json {"error":{…}} on stdout. Returns the exit code that fits err's code. */
int say_error(const struct cli *cli, const struct error *err);
int say_usage(const char *format, ...) KLY_PRINTF(1, 2); /* on stderr; returns EXIT_USAGE */
void say_json(const cJSON *value);                         /* on stdout, indented, with a newline */
/* Text from outside (a repository, a server), safe for a terminal: control bytes and invalid UTF-8 shown as \xNN.
 * out always ends with NUL. */
void show_safe(const char *text, char *out, size_t room);
/* Columns padded to the widest; every cell passes show_safe. rows * columns cells, NULL is "-". */
void show_table(const struct cli *cli, const char *const *titles, size_t columns, const char *const *cells, size_t rows);
const char *paint(const struct cli *cli, const char *color); /* "red" "green" "yellow" "dim" "bold" "off" → SGR or "" */
/* Asks on stderr; answer into out, or the default. False without a terminal or at end of input. */
bool ask(const struct cli *cli, const char *question, const char *fallback, char *out, size_t room);
/* Asks without echo. */
bool ask_secret(const struct cli *cli, const char *question, struct buf *out);

/* ---- Files ---- */
/* Whole file, size bytes at most; "-" is standard input. */
int file_read(const char *path, size_t limit, struct buf *out, struct error *err) KLY_MUST_USE;
/* Text and a newline into a file of mode 0600, replaced as a whole. */
int file_write_private(const char *path, const char *text, struct error *err) KLY_MUST_USE;
/* Settings folder entry, 0600, replaced as a whole. */
int settings_write(const struct cli *cli, const char *name, struct bytes data, struct error *err) KLY_MUST_USE;
int settings_read(const struct cli *cli, const char *name, struct buf *out, struct error *err) KLY_MUST_USE; /* 1: missing */

/* A server's id by its name or id, from the plane. EXIT_OK, or the exit code after saying what is wrong. */
int server_id_of(const struct cli *cli, const char *name, char *id, size_t room);

/* The project a command is about: --project, or "project" of ./klystrr.json. NULL after saying what is wrong. */
const char *project_or_here(const char *option, char *room, size_t size);

/* Runs a program found on PATH, no shell; its stdout into out (cut at out->limit is an error). Exit status or -1. */
int program_output(const char *const *argv, struct buf *out, struct error *err) KLY_MUST_USE;

/* Typed looks into answers; never NULL. */
const char *field_text(const cJSON *object, const char *name); /* "" if missing */
int64_t field_number(const cJSON *object, const char *name, int64_t otherwise);

#endif
