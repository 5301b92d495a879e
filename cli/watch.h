/* Watching deployments: a line for each step with the time it took, and what is to be said at the end. */
#ifndef KLY_CLI_WATCH_H
#define KLY_CLI_WATCH_H

#include "cli/cli.h"

/* list: deployments as the API gives them. One after the other; the worst exit code is returned. */
int watch_deployments(struct cli *cli, const cJSON *list, int64_t timeout_s);
/* The log as it grows, until the deployment has ended. */
int watch_log(struct cli *cli, const char *deployment);
/* "live" → 0, "rollback_failed" → 7, "failed" and "rolled_back" → 6 … */
int outcome_exit(const char *outcome);

#endif
