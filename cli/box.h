/* A box by hand, over the same socket that deployments use. */
#ifndef KLY_CLI_BOX_H
#define KLY_CLI_BOX_H

#include "cli/cli.h"
#include "ipc/box_api.h"

struct box_run {
    enum box_profile profile;
    const char *project, *release; /* release NULL: an empty folder that is removed afterwards (build) */
    const char *const *argv;
    int out; /* stdout and stderr of the command */
    int err;
    uint32_t timeout_s;
};

int box_command(struct cli *cli, int argc, char **argv);
/* Runs it and fills *ended; denied (may be NULL) collects the names of refused system calls. Root only. */
int box_run(const struct box_run *run, struct box_exited *ended, struct buf *denied, struct error *err) KLY_MUST_USE;
/* The same in the build profile with an empty folder that is made before and removed afterwards; stdout to `out`. */
int box_scratch_run(const char *project, const char *const *argv, int out, struct box_exited *ended, struct error *err) KLY_MUST_USE;

#endif
