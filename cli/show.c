#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/cli.h"

static const struct {
    const char *code;
    int exit;
} exits[] = {
    {"E_FORBIDDEN", EXIT_FORBIDDEN},   {"E_KEY_UNKNOWN", EXIT_FORBIDDEN}, {"E_UNAUTHORIZED", EXIT_FORBIDDEN},
    {"E_PERM", EXIT_FORBIDDEN},        {"E_PAUSED", EXIT_FORBIDDEN},      {"E_NOT_FOUND", EXIT_NOT_FOUND},
    {"E_NO_RELEASE", EXIT_NOT_FOUND},  {"E_SOURCE_URL", EXIT_USAGE},
    {"E_BUSY", EXIT_BUSY},             {"E_TIMED_OUT", EXIT_TIMED_OUT},   {"E_HTTP_TIMEOUT", EXIT_TIMED_OUT},
    {"E_CONN_REFUSED", EXIT_UNREACHABLE}, {"E_CONN_RESOLVE", EXIT_UNREACHABLE}, {"E_CONN_TIMEOUT", EXIT_UNREACHABLE},
    {"E_CONN_RESET", EXIT_UNREACHABLE},   {"E_IPC_CONNECT", EXIT_UNREACHABLE},  {"E_TLS_CA", EXIT_UNREACHABLE},
    {"E_TLS_NAME", EXIT_UNREACHABLE},     {"E_TLS_EXPIRED", EXIT_UNREACHABLE},  {"E_TLS_PROTOCOL", EXIT_UNREACHABLE},
    {"E_TLS_CLOSED", EXIT_UNREACHABLE},   {"E_USAGE", EXIT_USAGE},              {"E_ROLLBACK_FAILED", EXIT_ROLLBACK_FAILED},
};

int say_error(const struct cli *cli, const struct error *err)
{
    char safe[sizeof err->text * 4];
    show_safe(err->text, safe, sizeof safe);
    if (cli->json) {
        cJSON *out = cJSON_CreateObject(), *inner = cJSON_AddObjectToObject(out, "error");
        cJSON_AddStringToObject(inner, "code", err->code);
        cJSON_AddStringToObject(inner, "text", safe);
        say_json(out);
        cJSON_Delete(out);
    } else {
        fprintf(stderr, "klystrr: %s [%s]\n", safe, err->code);
    }
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        if (strcmp(exits[i].code, err->code) == 0)
            return exits[i].exit;
    return EXIT_FAILED;
}

void say_json(const cJSON *value)
{
    char *text = cJSON_Print(value);
    puts(text != NULL ? text : "null");
    cJSON_free(text);
}

void show_safe(const char *text, char *out, size_t room)
{
    mbstate_t state = {0};
    size_t left = strlen(text), used = 0;
    while (left > 0 && used + 5 < room) {
        wchar_t wide;
        size_t n = mbrtowc(&wide, text, left, &state);
        bool bad = n == (size_t)-1 || n == (size_t)-2 || n == 0;
        /* C0, DEL, C1, and what turns the direction of writing */
        bool control = !bad && ((wide < 0x20 && wide != '\t') || (wide >= 0x7f && wide < 0xa0) || wide == 0x200e || wide == 0x200f ||
                                (wide >= 0x202a && wide <= 0x202e) || (wide >= 0x2066 && wide <= 0x2069));
        if (bad)
            memset(&state, 0, sizeof state);
        if (bad || control) {
            size_t bytes = bad ? 1 : n;
            for (size_t i = 0; i < bytes && used + 5 < room; i++)
                used += (size_t)snprintf(out + used, room - used, "\\x%02x", (unsigned char)text[i]);
            n = bytes;
        } else {
            if (used + n + 1 > room)
                break;
            memcpy(out + used, text, n);
            used += n;
        }
        text += n;
        left -= n;
    }
    out[used] = 0;
}

static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != 0; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_row(const char *const *cells, size_t columns, const size_t *widths)
{
    for (size_t c = 0; c < columns; c++) {
        char safe[512];
        show_safe(cells[c] != NULL && *cells[c] != 0 ? cells[c] : "-", safe, sizeof safe);
        fputs(safe, stdout);
        if (c + 1 < columns)
            printf("%*s", (int)(widths[c] - width_of(safe) + 2), "");
    }
    puts("");
}

void show_table(const struct cli *cli, const char *const *titles, size_t columns, const char *const *cells, size_t rows)
{
    size_t widths[12] = {0};
    for (size_t r = 0; r <= rows; r++)
        for (size_t c = 0; c < columns && c < 12; c++) {
            const char *cell = r == 0 ? titles[c] : cells[(r - 1) * columns + c];
            char safe[512];
            show_safe(cell != NULL && *cell != 0 ? cell : "-", safe, sizeof safe);
            size_t width = width_of(safe);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    fputs(paint(cli, "dim"), stdout);
    print_row(titles, columns, widths);
    fputs(paint(cli, "off"), stdout);
    for (size_t r = 0; r < rows; r++)
        print_row(cells + r * columns, columns, widths);
}

const char *paint(const struct cli *cli, const char *color)
{
    static const char *const codes[][2] = {{"red", "\033[31m"}, {"green", "\033[32m"}, {"yellow", "\033[33m"},
                                           {"dim", "\033[2m"},  {"bold", "\033[1m"},   {"off", "\033[0m"}};
    for (size_t i = 0; cli->color && i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i][0], color) == 0)
            return codes[i][1];
    return "";
}

bool ask(const struct cli *cli, const char *question, const char *fallback, char *out, size_t room)
{
    if (!cli->prompt)
        return false;
    fprintf(stderr, fallback != NULL ? "%s [%s]: " : "%s: ", question, fallback);
    if (fgets(out, (int)room, stdin) == NULL)
        return false;
    out[strcspn(out, "\r\n")] = 0;
    if (*out == 0 && fallback != NULL)
        snprintf(out, room, "%s", fallback);
    return *out != 0;
}

bool ask_secret(const struct cli *cli, const char *question, struct buf *out)
{
    if (!cli->prompt)
        return false;
    struct termios before, silent;
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return false;
    silent = before;
    silent.c_lflag &= (tcflag_t)~ECHO;
    fprintf(stderr, "%s: ", question);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    char line[4096];
    bool got = fgets(line, sizeof line, stdin) != NULL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputs("\n", stderr);
    if (got)
        got = buf_add(out, line, strcspn(line, "\r\n"), NULL) == 0;
    wipe(line, sizeof line);
    return got;
}

const char *field_text(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

int64_t field_number(const cJSON *object, const char *name, int64_t otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : otherwise;
}
