#include "agent/agent/env_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int env_list_add(struct env_list *list, const char *name, const char *value, struct error *err)
{
    if (list->count == BOX_ENV_MAX)
        return fail(err, "E_BOX_COMMAND", "more than %d environment variables", BOX_ENV_MAX);
    size_t size = strlen(name) + 1 + strlen(value) + 1;
    char *text = malloc(size);
    if (text == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for the environment");
    snprintf(text, size, "%s=%s", name, value);
    list->at[list->count++] = text;
    list->at[list->count] = NULL;
    return 0;
}

int env_list_add_names(struct env_list *list, const struct env_names *names, const struct env_values *values,
                       struct error *err)
{
    for (size_t i = 0; i < names->count; i++) {
        const char *value = env_values_get(values, names->at[i]);
        if (value != NULL && env_list_add(list, names->at[i], value, err) < 0)
            return -1;
    }
    return 0;
}

void env_list_free(struct env_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        wipe(list->at[i], strlen(list->at[i]));
        free(list->at[i]);
    }
    *list = (struct env_list){0};
}
