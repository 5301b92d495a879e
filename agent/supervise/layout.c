#include "agent/supervise/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "ipc/layout.h"

static const struct {
    const char *path, *owner;
    mode_t mode;
} folders[] = {
    {KLY_RUN, NULL, 0755},
    {KLY_RUN_SW, NULL, 0755},
    {KLY_RUN_OUT, NULL, 0711},
    {KLY_RUN_APPS, NULL, 0700},
    {KLY_RUN_BOX, NULL, 0700},
    {KLY_STATE, NULL, 0755},
    {KLY_WARDEN_STATE, NULL, 0700},
    {KLY_STATE "/journal", KLY_USER, 0700},
    {KLY_STATE "/trust", KLY_USER, 0700},
    {KLY_STATE "/seal", KLY_USER, 0700},
    {KLY_STATE "/spool", KLY_USER, 0700},
    {KLY_STATE "/identity", KLY_USER_NET, 0700},
    {KLY_SRV, NULL, 0711},
    {"/opt/klystrr", NULL, 0755},
    {KLY_NODE, NULL, 0755},
};

int layout_make(struct error *err)
{
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const struct passwd *owner = folders[i].owner != NULL ? getpwnam(folders[i].owner) : NULL;
        if (folders[i].owner != NULL && owner == NULL)
            return fail(err, "E_LAYOUT", "there is no user '%s': install Klystrr's users first",
                        folders[i].owner);
        AUTO_CLOSE int fd = durable_dir(folders[i].path, folders[i].mode, err);
        if (fd < 0 || fchown(fd, owner != NULL ? owner->pw_uid : 0, owner != NULL ? owner->pw_gid : 0) < 0 ||
            fchmod(fd, folders[i].mode) < 0)
            return fd < 0
                       ? -1
                       : fail_errno(err, "E_LAYOUT", errno, "folder %s could not be set up", folders[i].path);
    }
    return 0;
}
