/* A project's users, folders and ports. */
#ifndef KLY_WARDEN_PROJECT_H
#define KLY_WARDEN_PROJECT_H

#include "ipc/policy_table.h"
#include <sys/types.h>

#include "base/buf.h"
#include "ipc/warden_api.h"

/* Makes what is missing; idempotent. E_PROJECT_USER, E_PROJECT_FOLDER, E_PROJECT_PORTS. */
int project_ensure(const struct policy_row *row, const struct warden_project *asked,
                   struct warden_project_is *is, struct error *err) KLY_MUST_USE;
/* Folders and users go; what is the project's users' is removed as them. Units and vhosts must be gone.
 * E_PROJECT_REMOVE. */
int project_remove(const char *project, struct error *err) KLY_MUST_USE;
/* The ports of an app, for life. E_PROJECT_PORTS if it has none. */
int project_ports(const char *project, const char *app, uint16_t ports[2], struct error *err) KLY_MUST_USE;
/* The i-th app of a project that has ports; false after the last. */
bool project_app(const char *project, unsigned i, char app[24]);
/* kb-, ka- and kp-<project>, 0 where there is none. */
void project_ids(const char *project, struct warden_project_is *is);

#endif
