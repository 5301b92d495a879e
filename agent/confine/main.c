/* klystrr-confine: root until dropped; builds one box. See ipc/box_api.h. */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "agent/confine/app.h"
#include "agent/confine/box.h"
#include "ipc/sock.h"

/* systemd passes the accepted connection as descriptor 3 or as standard input, `klystrr-warden --supervise` as
 * input. */
static int connection(struct error *err)
{
    struct stat st;
    int fd = sock_inherited(0, NULL);
    if (fd < 0 && fstat(0, &st) == 0 && S_ISSOCK(st.st_mode))
        fd = 0;
    if (fd < 0)
        fail(err, "E_BOX_START", "no connection was passed: klystrr-confine is started by its units");
    return fd;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    int rc;
    prctl(PR_SET_DUMPABLE, 0);
    if (argc == 3 && strcmp(argv[1], "--app") == 0)
        rc = app_become(argv[2], &err);
    else if (argc == 1) {
        int conn = connection(&err);
        rc = conn < 0 ? -1 : box_serve(conn, &err);
    } else
        rc =
            fail(&err, "E_USAGE", "klystrr-confine [--app PLAN]: started by units and the warden, not by hand");
    if (rc < 0)
        fprintf(stderr, "<4>klystrr-confine: %s: %s\n", err.code, err.text);
    return rc < 0 ? 1 : 0;
}
