#include "ipc/box_api.h"

#include <stdlib.h>
#include <string.h>

/* Wire form: u32 argc, u32 envc, then cwd, argv…, env…, each ended by NUL. */
struct counts {
    uint32_t argc, envc;
};

static uint32_t count(const char *const *list)
{
    uint32_t n = 0;
    while (list[n] != NULL)
        n++;
    return n;
}

int box_command_pack(const char *cwd, const char *const *argv, const char *const *envp, struct buf *out, struct error *err)
{
    struct counts counts = {count(argv), count(envp)};
    if (counts.argc == 0 || counts.argc > BOX_ARGS_MAX || counts.envc > BOX_ENV_MAX)
        return fail(err, "E_BOX_COMMAND", "%u arguments and %u variables are outside 1-%d and 0-%d", counts.argc,
                    counts.envc, BOX_ARGS_MAX, BOX_ENV_MAX);
    if (buf_add(out, &counts, sizeof counts, err) < 0 || buf_add(out, cwd, strlen(cwd) + 1, err) < 0)
        return -1;
    for (uint32_t i = 0; i < counts.argc; i++)
        if (buf_add(out, argv[i], strlen(argv[i]) + 1, err) < 0)
            return -1;
    for (uint32_t i = 0; i < counts.envc; i++)
        if (buf_add(out, envp[i], strlen(envp[i]) + 1, err) < 0)
            return -1;
    return 0;
}

/* The next NUL-terminated text at *at, or NULL when the bytes end first. */
static char *next_text(char **at, const char *end)
{
    char *text = *at;
    char *nul = text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;
    if (nul == NULL)
        return NULL;
    *at = nul + 1;
    return text;
}

static char **next_list(char **at, const char *end, uint32_t n)
{
    char **list = calloc((size_t)n + 1, sizeof *list);
    for (uint32_t i = 0; list != NULL && i < n; i++) {
        list[i] = next_text(at, end);
        if (list[i] == NULL) {
            free(list);
            return NULL;
        }
    }
    return list;
}

int box_command_unpack(struct buf *text, struct box_command *out, struct error *err)
{
    *out = (struct box_command){.text = *text};
    *text = BUF(text->limit);
    struct counts counts;
    if (out->text.size < sizeof counts)
        return fail(err, "E_BOX_COMMAND", "a command is cut off");
    memcpy(&counts, out->text.data, sizeof counts);
    if (counts.argc == 0 || counts.argc > BOX_ARGS_MAX || counts.envc > BOX_ENV_MAX)
        return fail(err, "E_BOX_COMMAND", "a command has too many arguments or variables");
    char *at = (char *)out->text.data + sizeof counts, *end = (char *)out->text.data + out->text.size;
    out->cwd = next_text(&at, end);
    out->argv = out->cwd != NULL ? next_list(&at, end, counts.argc) : NULL;
    out->envp = out->argv != NULL ? next_list(&at, end, counts.envc) : NULL;
    if (out->envp == NULL || at != end)
        return fail(err, "E_BOX_COMMAND", "a command is cut off or too long");
    return 0;
}

void box_command_free(struct box_command *command)
{
    free(command->argv);
    free(command->envp);
    buf_wipe_free(&command->text);
    *command = (struct box_command){.text = BUF(0)};
}
