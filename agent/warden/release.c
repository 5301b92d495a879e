#include "agent/warden/release.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "ipc/layout.h"

static int folder(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int project_folder(const char *project, struct error *err)
{
    AUTO_CLOSE int top = open(KLY_SRV, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int root = top < 0 ? -1 : folder(top, project);
    return root < 0 ? fail_errno(err, "E_RELEASE", errno, "project '%s' has no folder", project) : root;
}

/* Moves a folder, never over another one; both parents are on disk when it returns. Already moved is fine. */
static int move(int from_dir, const char *from, int to_dir, const char *to, struct error *err)
{
    struct stat st;
    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) < 0) {
        int why = errno;
        if (why != ENOENT || fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return fail_errno(err, "E_RELEASE", why, "%s could not become %s", from, to);
    }
    return fsync(from_dir) < 0 || fsync(to_dir) < 0
               ? fail_errno(err, "E_RELEASE", errno, "folders could not be synced")
               : 0;
}

int release_commit(const struct warden_commit *what, uid_t build, gid_t group, struct error *err)
{
    AUTO_CLOSE int root = project_folder(what->project, err);
    AUTO_CLOSE int staging = root < 0 ? -1 : folder(root, "staging"),
                   releases = root < 0 ? -1 : folder(root, "releases");
    if (staging < 0 || releases < 0)
        return root < 0 ? -1 : fail_errno(err, "E_RELEASE", errno, "project '%s' is not set up", what->project);
    AUTO_CLOSE int source = folder(staging, what->staging);
    struct stat st;
    if (source >= 0 && (fstat(source, &st) < 0 || st.st_uid != build || syncfs(source) < 0))
        return fail(err, "E_RELEASE", "staging/%s is not the build user's, or could not be synced",
                    what->staging);
    if ((source < 0 && errno != ENOENT) || move(staging, what->staging, releases, what->release, err) < 0)
        return source < 0 && errno != ENOENT ? fail_errno(err, "E_RELEASE", errno, "staging/%s", what->staging)
                                             : -1;
    AUTO_CLOSE int release = folder(releases, what->release);
    if (release < 0 || fchown(release, build, group) < 0 || fchmod(release, 0750) < 0)
        return fail_errno(err, "E_RELEASE", errno, "release %s could not be set up", what->release);
    return 0;
}

int release_trash(const struct warden_name *what, struct error *err)
{
    char current[80], this[80], trash[80];
    AUTO_CLOSE int root = project_folder(what->project, err);
    AUTO_CLOSE int staging = root < 0 ? -1 : folder(root, "staging"),
                   releases = root < 0 ? -1 : folder(root, "releases");
    if (staging < 0 || releases < 0)
        return root < 0 ? -1 : fail_errno(err, "E_RELEASE", errno, "project '%s' is not set up", what->project);
    ssize_t n = readlinkat(root, "current", current, sizeof current - 1);
    current[n > 0 ? n : 0] = 0;
    snprintf(this, sizeof this, "releases/%s", what->release);
    if (strcmp(current, this) == 0)
        return fail(err, "E_RELEASE_CURRENT", "release %s is the current one", what->release);
    snprintf(trash, sizeof trash, "trash-%s", what->release);
    return move(releases, what->release, staging, trash, err);
}

int release_current(const struct warden_name *what, struct error *err)
{
    char target[80];
    struct stat st;
    AUTO_CLOSE int root = project_folder(what->project, err);
    if (root < 0)
        return -1;
    snprintf(target, sizeof target, "releases/%s", what->release);
    if (fstatat(root, target, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return fail(err, "E_RELEASE", "there is no release %s", what->release);
    if ((unlinkat(root, ".current", 0) < 0 && errno != ENOENT) || symlinkat(target, root, ".current") < 0 ||
        renameat(root, ".current", root, "current") < 0 || fsync(root) < 0)
        return fail_errno(err, "E_RELEASE", errno, "`current` could not be moved");
    return 0;
}

int node_ensure(struct warden_node *node, uid_t uid, gid_t gid, struct error *err)
{
    char staging[48];
    struct stat st;
    if (mkdir("/opt/klystrr", 0755) < 0 && errno != EEXIST)
        return fail_errno(err, "E_NODE", errno, "/opt/klystrr");
    AUTO_CLOSE int top = durable_dir(KLY_NODE, 0755, err);
    node->present =
        top >= 0 && fstatat(top, node->version, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    if (top < 0 || node->present != 0)
        return top < 0 ? -1 : 0;
    snprintf(staging, sizeof staging, ".staging-%s", node->version);
    if (mkdirat(top, staging, 0755) < 0 && errno != EEXIST)
        return fail_errno(err, "E_NODE", errno, "%s could not be made", staging);
    AUTO_CLOSE int fd = folder(top, staging);
    return fd < 0 || fchown(fd, uid, gid) < 0
               ? fail_errno(err, "E_NODE", errno, "%s could not be given away", staging)
               : 0;
}

int node_publish(struct warden_node *node, struct error *err)
{
    char staging[48];
    struct stat st;
    AUTO_CLOSE int top = open(KLY_NODE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    snprintf(staging, sizeof staging, ".staging-%s", node->version);
    AUTO_CLOSE int fd = top < 0 ? -1 : folder(top, staging);
    AUTO_CLOSE int bin = fd < 0 ? -1 : folder(fd, "bin");
    if (bin >= 0 && (fstatat(bin, "node", &st, AT_SYMLINK_NOFOLLOW) < 0 || syncfs(bin) < 0))
        return fail(err, "E_NODE", "%s/bin/node is not there", staging);
    if (top < 0 || (fd >= 0 && bin < 0) || move(top, staging, top, node->version, err) < 0)
        return top >= 0 && bin >= 0 ? -1 : fail(err, "E_NODE", "Node %s is not complete", node->version);
    if (fd >= 0 && fchown(fd, 0, 0) < 0)
        return fail_errno(err, "E_NODE", errno, "Node %s could not be closed", node->version);
    node->present = 1;
    return 0;
}
