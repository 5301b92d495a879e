#ifndef KLY_CLI_DOCTOR_H
#define KLY_CLI_DOCTOR_H

#include "cli/cli.h"

/* One line a check: what was looked at, what was found, what to do. EXIT_OK, or EXIT_FAILED if one failed. */
int doctor_command(struct cli *cli, int argc, char **argv);

#endif
