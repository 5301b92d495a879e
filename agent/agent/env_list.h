/* An environment for a box: "NAME=value" texts, wiped when freed. */
#ifndef KLY_AGENT_ENV_LIST_H
#define KLY_AGENT_ENV_LIST_H

#include "ipc/box_api.h"
#include "proto/env_doc.h"
#include "proto/manifest.h"

struct env_list {
    char *at[BOX_ENV_MAX + 1]; /* a NULL follows the last */
    size_t count;
};

/* E_BOX_COMMAND if there are too many, E_NO_MEMORY. */
int env_list_add(struct env_list *list, const char *name, const char *value, struct error *err) KLY_MUST_USE;
/* Those of names that have a value. */
int env_list_add_names(struct env_list *list, const struct env_names *names, const struct env_values *values,
                       struct error *err) KLY_MUST_USE;
void env_list_free(struct env_list *list);
#define AUTO_ENV_LIST __attribute__((cleanup(env_list_free)))

#endif
