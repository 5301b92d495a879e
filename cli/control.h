/* Local root and the agent (ipc/control_api.h). */
#ifndef KLY_CLI_CONTROL_H
#define KLY_CLI_CONTROL_H

#include "cli/cli.h"
#include "ipc/control_api.h"

/* A question answered by one JSON text. target may be NULL. *out is owned. */
int control_text(uint16_t verb, const struct control_target *target, cJSON **out, struct error *err) KLY_MUST_USE;
/* An action: says `done`, or watches the local deployment that it began. Exit code. */
int control_act(struct cli *cli, uint16_t verb, const struct control_target *target, const char *done);
int control_reload(struct error *err) KLY_MUST_USE;

#endif
