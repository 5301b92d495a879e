/* `klystrr-confine --app PLAN`: an app unit. No connection, no PID namespace: this process becomes the app. */
#ifndef KLY_CONFINE_APP_H
#define KLY_CONFINE_APP_H

#include "base/error.h"

/* path: a plan in KLY_RUN_APPS, root's (ipc/unit_plan.h). Returns only when the app could not be started. */
int app_become(const char *path, struct error *err);

#endif
