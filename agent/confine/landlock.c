#include "agent/confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"

#define READING      (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS       ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* all of ABI 1 */
#define ACCESS_REFER (UINT64_C(1) << 13)                      /* ABI 2 */

bool landlock_here(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 2;
}

static int allow(int ruleset, const char *path, uint64_t access, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    if (fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return fail_errno(err, "E_BOX_LANDLOCK", errno, "no Landlock rule for %s", path);
    return 0;
}

static int allow_plan(int ruleset, const struct plan *plan, struct error *err)
{
    char path[PLAN_PATH];
    for (int i = 0; i < PLAN_FOLDERS && plan->profile->folders[i].from != NULL; i++) {
        const struct folder *folder = &plan->profile->folders[i];
        plan_path(plan, folder->to != NULL ? folder->to : folder->from, path);
        if (allow(ruleset, path, ACCESS | ACCESS_REFER, err) < 0)
            return -1;
    }
    plan_path(plan, plan->profile->home, path);
    return allow(ruleset, path, ACCESS | ACCESS_REFER, err);
}

int landlock_restrict(const struct plan *plan, struct error *err)
{
    if (!landlock_here())
        return 0;
    struct landlock_ruleset_attr handled = {.handled_access_fs = ACCESS | ACCESS_REFER};
    AUTO_CLOSE int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled.handled_access_fs, 0);
    if (ruleset < 0)
        return fail_errno(err, "E_BOX_LANDLOCK", errno, "no Landlock ruleset");
    if (allow(ruleset, "/", READING, err) < 0 || allow(ruleset, "/tmp", ACCESS | ACCESS_REFER, err) < 0 ||
        allow(ruleset, "/dev", ACCESS, err) < 0 ||
        allow(ruleset, "/proc", READING | LANDLOCK_ACCESS_FS_WRITE_FILE, err) < 0 ||
        allow_plan(ruleset, plan, err) < 0)
        return -1;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return fail_errno(err, "E_BOX_LANDLOCK", errno, "Landlock refused");
    return 0;
}
