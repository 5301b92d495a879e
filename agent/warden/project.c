#include "agent/warden/project.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/run.h"
#include "ipc/layout.h"

#define PORTS_FILE "ports" /* in KLY_WARDEN_STATE: lines of "project app blue green" */
#define PORTS_MAX  512

struct ports {
    unsigned count;
    struct port_line {
        char project[32], app[24];
        unsigned blue, green;
    } lines[PORTS_MAX];
};

/* "kb-shop", "ka-shop", "kp-shop". */
struct name {
    char text[40];
};
static struct name name_of(const char *prefix, const char *project)
{
    struct name name;
    snprintf(name.text, sizeof name.text, "%s%s", prefix, project);
    return name;
}

void project_ids(const char *project, struct warden_project_is *is)
{
    const struct passwd *user = getpwnam(name_of("kb-", project).text);
    is->build_uid = user != NULL ? user->pw_uid : 0;
    is->build_gid = user != NULL ? user->pw_gid : 0;
    user = getpwnam(name_of("ka-", project).text);
    is->app_uid = user != NULL ? user->pw_uid : 0;
    is->app_gid = user != NULL ? user->pw_gid : 0;
    const struct group *group = getgrnam(name_of("kp-", project).text);
    is->group_gid = group != NULL ? group->gr_gid : 0;
}

static int tool(struct error *err, const char *const argv[])
{
    AUTO_BUF struct buf out = BUF(400);
    int rc = run(argv, &out, err);
    return rc == 0 ? 0 : rc < 0 ? -1 : fail(err, "E_PROJECT_USER", "%s failed: %s", argv[0], buf_text(&out));
}

static int ensure_user(const char *prefix, const char *project, uint32_t uid, struct error *err)
{
    char home[64];
    const struct name user = name_of(prefix, project), group = name_of("kp-", project);
    snprintf(home, sizeof home, KLY_SRV "/%s", project);
    const char *argv[] = {"useradd",  "--system",          "--user-group", "--no-create-home",
                          "--shell",  "/usr/sbin/nologin", "--home-dir",   home,
                          "--groups", group.text,          "--",           user.text,
                          NULL};
    return uid != 0 ? 0 : tool(err, argv);
}

static int ensure_users(const char *project, struct warden_project_is *is, struct error *err)
{
    const struct name group = name_of("kp-", project);
    const char *argv[] = {"groupadd", "--system", "--", group.text, NULL};
    project_ids(project, is);
    if ((is->group_gid == 0 && tool(err, argv) < 0) || ensure_user("kb-", project, is->build_uid, err) < 0 ||
        ensure_user("ka-", project, is->app_uid, err) < 0)
        return -1;
    project_ids(project, is);
    if (is->build_uid < 100 || is->app_uid < 100 || is->group_gid < 100)
        return fail(err, "E_PROJECT_USER", "the users of project '%s' could not be made, or are the system's",
                    project);
    return 0;
}

/* The parent is root's, so what is there under this name is what root made. */
static int ensure_folder(int parent, const char *name, mode_t mode, uid_t uid, gid_t gid, struct error *err)
{
    if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return fail_errno(err, "E_PROJECT_FOLDER", errno, "folder %s could not be made", name);
    AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
        return fail_errno(err, "E_PROJECT_FOLDER", errno, "folder %s could not be set up", name);
    return take_fd(&fd);
}

enum owner { ROOT, BUILD, APP };

/* staging: the app's user may pass through, to remove what it wrote into a release that was dropped. */
static const struct {
    const char *name;
    mode_t mode;
    enum owner owner;
    bool shared; /* the group is both users' */
} folders[] = {{"staging", 0710, BUILD, true},     {"releases", 0750, ROOT, true},
               {"shared", 0700, APP, false},       {"run", 0700, APP, false},
               {"mirror.git", 0700, BUILD, false}, {"cache", 0700, BUILD, false}};
#define FOLDERS (sizeof folders / sizeof *folders)

static int ensure_folders(const char *project, const struct warden_project_is *is, struct error *err)
{
    const uid_t uids[] = {[ROOT] = 0, [BUILD] = is->build_uid, [APP] = is->app_uid};
    const gid_t gids[] = {[ROOT] = 0, [BUILD] = is->build_gid, [APP] = is->app_gid};
    AUTO_CLOSE int top = durable_dir(KLY_SRV, 0711, err);
    AUTO_CLOSE int root = top < 0 ? -1 : ensure_folder(top, project, 0751, 0, 0, err);
    if (root < 0)
        return -1;
    for (size_t i = 0; i < FOLDERS; i++) {
        AUTO_CLOSE int fd = ensure_folder(root, folders[i].name, folders[i].mode, uids[folders[i].owner],
                                          folders[i].shared ? is->group_gid : gids[folders[i].owner], err);
        if (fd < 0)
            return -1;
    }
    return fsync(root) < 0 || fsync(top) < 0
               ? fail_errno(err, "E_PROJECT_FOLDER", errno, "folders could not be synced")
               : 0;
}

static int ports_load(struct ports *ports, struct error *err)
{
    AUTO_BUF struct buf text = BUF(PORTS_MAX * 80);
    AUTO_CLOSE int dir = durable_dir(KLY_WARDEN_STATE, 0700, err);
    ports->count = 0;
    if (dir < 0 || durable_read_private(dir, PORTS_FILE, &text, err) < 0)
        return -1;
    for (const char *at = buf_text(&text); *at != 0; at = strchr(at, '\n') + 1) {
        struct port_line *line = &ports->lines[ports->count];
        if (ports->count == PORTS_MAX || strchr(at, '\n') == NULL ||
            sscanf(at, "%31s %23s %u %u", line->project, line->app, &line->blue, &line->green) != 4)
            return fail(err, "E_PROJECT_PORTS", KLY_WARDEN_STATE "/" PORTS_FILE " is damaged at line %u",
                        ports->count + 1);
        ports->count++;
    }
    return 0;
}

static int ports_save(const struct ports *ports, struct error *err)
{
    AUTO_BUF struct buf text = BUF(PORTS_MAX * 80);
    AUTO_CLOSE int dir = durable_dir(KLY_WARDEN_STATE, 0700, err);
    for (unsigned i = 0; i < ports->count; i++) {
        const struct port_line *line = &ports->lines[i];
        if (buf_addf(&text, err, "%s %s %u %u\n", line->project, line->app, line->blue, line->green) < 0)
            return -1;
    }
    return dir < 0 ? -1 : durable_replace(dir, PORTS_FILE, text.data, text.size, 0600, err);
}

static struct port_line *ports_of(struct ports *ports, const char *project, const char *app)
{
    for (unsigned i = 0; i < ports->count; i++)
        if (strcmp(ports->lines[i].project, project) == 0 && strcmp(ports->lines[i].app, app) == 0)
            return &ports->lines[i];
    return NULL;
}

static bool port_free(const struct ports *ports, unsigned port)
{
    for (unsigned i = 0; i < ports->count; i++)
        if (ports->lines[i].blue == port || ports->lines[i].green == port)
            return false;
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 || errno != EADDRINUSE;
}

static unsigned next_free(const struct ports *ports, unsigned from, unsigned last)
{
    while (from <= last && !port_free(ports, from))
        from++;
    return from;
}

static int ensure_ports(struct ports *ports, const struct policy_row *row, const char *project, const char *app,
                        uint16_t out[2], struct error *err)
{
    struct port_line *line = ports_of(ports, project, app);
    if (line == NULL) {
        unsigned blue = next_free(ports, row->port_first, row->port_last),
                 green = next_free(ports, blue + 1, row->port_last);
        if (ports->count == PORTS_MAX || green > row->port_last)
            return fail(err, "E_PROJECT_PORTS",
                        "no two free ports in %u-%u for %s/%s: widen the range in the policy", row->port_first,
                        row->port_last, project, app);
        line = &ports->lines[ports->count++];
        snprintf(line->project, sizeof line->project, "%s", project);
        snprintf(line->app, sizeof line->app, "%s", app);
        line->blue = blue;
        line->green = green;
    }
    out[0] = (uint16_t)line->blue;
    out[1] = (uint16_t)line->green;
    return 0;
}

int project_ensure(const struct policy_row *row, const struct warden_project *asked,
                   struct warden_project_is *is, struct error *err)
{
    static struct ports ports;
    if (ensure_users(asked->project, is, err) < 0 || ensure_folders(asked->project, is, err) < 0 ||
        ports_load(&ports, err) < 0)
        return -1;
    unsigned before = ports.count;
    for (uint32_t i = 0; i < asked->app_count; i++)
        if (ensure_ports(&ports, row, asked->project, asked->apps[i], is->ports[i], err) < 0)
            return -1;
    return ports.count == before ? 0 : ports_save(&ports, err);
}

int project_ports(const char *project, const char *app, uint16_t out[2], struct error *err)
{
    static struct ports ports;
    const struct port_line *line = ports_load(&ports, err) < 0 ? NULL : ports_of(&ports, project, app);
    if (line == NULL)
        return fail(err, "E_PROJECT_PORTS", "app %s/%s has no ports: the project was not set up", project, app);
    out[0] = (uint16_t)line->blue;
    out[1] = (uint16_t)line->green;
    return 0;
}

bool project_app(const char *project, unsigned i, char app[24])
{
    static struct ports ports;
    if (ports_load(&ports, NULL) < 0)
        return false;
    for (unsigned n = 0; n < ports.count; n++)
        if (strcmp(ports.lines[n].project, project) == 0 && i-- == 0) {
            memcpy(app, ports.lines[n].app, 24);
            return true;
        }
    return false;
}

static int forget_ports(const char *project, struct error *err)
{
    static struct ports ports;
    if (ports_load(&ports, err) < 0)
        return -1;
    unsigned kept = 0;
    for (unsigned i = 0; i < ports.count; i++)
        if (strcmp(ports.lines[i].project, project) != 0)
            ports.lines[kept++] = ports.lines[i];
    ports.count = kept;
    return ports_save(&ports, err);
}

/* releases/ is root's own, its entries are not: each must be empty by now. */
static int remove_releases(int root, struct error *err)
{
    int fd = openat(root, "releases", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return errno == ENOENT ? 0 : fail_errno(err, "E_PROJECT_REMOVE", errno, "releases");
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0)
            rc = fail_errno(err, "E_PROJECT_REMOVE", errno, "release %s could not be removed", e->d_name);
    closedir(dir);
    return rc;
}

static int remove_folders(const char *project, struct error *err)
{
    AUTO_CLOSE int top = open(KLY_SRV, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int root = top < 0 ? -1 : openat(top, project, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return errno == ENOENT ? 0 : fail_errno(err, "E_PROJECT_REMOVE", errno, "the project's folder");
    unlinkat(root, "current", 0);
    if (remove_releases(root, err) < 0)
        return -1;
    for (size_t i = 0; i < FOLDERS; i++)
        if (unlinkat(root, folders[i].name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            return fail_errno(err, "E_PROJECT_REMOVE", errno, "folder %s could not be removed",
                              folders[i].name);
    if (unlinkat(top, project, AT_REMOVEDIR) < 0)
        return fail_errno(err, "E_PROJECT_REMOVE", errno, "the project's folder could not be removed");
    return fsync(top);
}

int project_remove(const char *project, struct error *err)
{
    char paths[FOLDERS][80];
    const char *list[FOLDERS + 1] = {NULL};
    struct warden_project_is is;
    project_ids(project, &is);
    for (size_t i = 0; i < FOLDERS; i++) {
        snprintf(paths[i], sizeof paths[i], KLY_SRV "/%s/%s", project, folders[i].name);
        list[i] = paths[i];
    }
    if (is.app_uid >= 100)
        run_sweep_as(is.app_uid, is.app_gid, is.group_gid, list);
    if (is.build_uid >= 100)
        run_sweep_as(is.build_uid, is.build_gid, is.group_gid, list);
    if (remove_folders(project, err) < 0 || forget_ports(project, err) < 0)
        return -1;
    const struct {
        const char *tool, *prefix;
        bool there;
    } accounts[] = {{"userdel", "ka-", is.app_uid != 0},
                    {"userdel", "kb-", is.build_uid != 0},
                    {"groupdel", "kp-", is.group_gid != 0}};
    for (int i = 0; i < 3; i++) {
        const struct name name = name_of(accounts[i].prefix, project);
        const char *argv[] = {accounts[i].tool, "--", name.text, NULL};
        if (accounts[i].there && tool(err, argv) < 0)
            return -1;
    }
    return 0;
}
