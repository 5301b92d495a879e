#include "agent/warden/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "ipc/box_api.h"
#include "ipc/control_api.h"
#include "ipc/layout.h"
#include "ipc/link_api.h"
#include "ipc/sock.h"

#define CHILDREN_MAX 128
#define PAUSE_MS     500 /* before the first restart; doubled up to */
#define PAUSE_MAX_MS 30000
#define HEALTHY_MS   60000 /* a child that ran so long starts from the short pause again */

struct child {
    char name[UNIT_NAME_SIZE];          /* a unit's, or the program's */
    const char *program, *user, *names; /* agent and uplink; NULL for units */
    int fds[2];                         /* sockets handed on */
    struct warden_unit unit;
    enum warden_unit_state state;
    pid_t pid;
    uid_t uid; /* of a unit */
    bool adopted;
    uint32_t restarts;
    int last_status;
    int64_t started_ms, due_ms, pause_ms; /* due: of the next start, or of the kill */
};
static struct child children[CHILDREN_MAX];
static unsigned child_count;

static void hand_on(const struct child *c)
{
    char pid[24], count[8];
    int n = 0;
    for (; n < 2 && c->fds[n] >= 0; n++)
        if (dup2(c->fds[n], 100 + n) < 0 || dup2(100 + n, 3 + n) < 0)
            _exit(127);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    snprintf(count, sizeof count, "%d", n);
    if (setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", count, 1) < 0 ||
        setenv("LISTEN_FDNAMES", c->names, 1) < 0)
        _exit(127);
    if (close_range((unsigned)(3 + n), ~0u, 0) < 0)
        _exit(127);
}

static void keep_environment(void)
{
    static const char *const kept[] = {"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"};
    char *values[4];
    for (int i = 0; i < 4; i++)
        values[i] = getenv(kept[i]);
    clearenv();
    for (int i = 0; i < 4; i++)
        if (values[i] != NULL)
            setenv(kept[i], values[i], 1);
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
}

static void plain_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become(const struct child *c)
{
    char path[128];
    plain_signals();
    keep_environment();
    if (c->program == NULL) {
        unit_plan_path(&c->unit, path);
        execl(KLY_LIBEXEC "/klystrr-confine", "klystrr-confine", "--app", path, (char *)NULL);
        _exit(127);
    }
    const struct passwd *user = getpwnam(c->user);
    hand_on(c);
    snprintf(path, sizeof path, KLY_LIBEXEC "/%s", c->program);
    if (user != NULL && user->pw_uid >= 100 && initgroups(c->user, user->pw_gid) == 0 &&
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) == 0 &&
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == 0 &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0)
        execl(path, c->program, (char *)NULL);
    _exit(127);
}

static void pid_path(const struct child *c, char out[128])
{
    snprintf(out, 128, KLY_RUN_APPS "/%s.pid", c->name);
}

static void write_pid(const struct child *c)
{
    char path[128];
    pid_path(c, path);
    FILE *file = c->program == NULL ? fopen(path, "we") : NULL;
    if (file != NULL) {
        fprintf(file, "%d\n", (int)c->pid);
        fclose(file);
    }
}

static void start(struct child *c)
{
    c->adopted = false;
    c->pid = fork();
    if (c->pid == 0)
        become(c);
    c->started_ms = clock_mono_ms();
    c->state = c->pid > 0 ? UNIT_RUNNING : UNIT_STARTING;
    c->due_ms = c->started_ms + PAUSE_MAX_MS;
    write_pid(c);
}

/* A killed supervisor leaves its apps: a process of the right user under the noted number is one. */
static void adopt(struct child *c)
{
    char path[128];
    struct stat st;
    int pid = 0;
    pid_path(c, path);
    FILE *file = fopen(path, "re");
    if (file != NULL && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file != NULL)
        fclose(file);
    snprintf(path, sizeof path, "/proc/%d", pid);
    if (pid > 1 && stat(path, &st) == 0 && st.st_uid == c->uid) {
        c->pid = pid;
        c->adopted = true;
        c->state = UNIT_RUNNING;
        c->started_ms = clock_mono_ms();
    }
}

static struct child *find_unit(const struct warden_unit *unit, bool add)
{
    char name[UNIT_NAME_SIZE], user[40];
    unit_name(unit, name);
    for (unsigned i = 0; i < child_count; i++)
        if (children[i].program == NULL && strcmp(children[i].name, name) == 0)
            return &children[i];
    snprintf(user, sizeof user, "ka-%s", unit->project);
    const struct passwd *app = getpwnam(user);
    if (!add || child_count == CHILDREN_MAX || app == NULL)
        return NULL;
    struct child *c = &children[child_count++];
    *c = (struct child){.unit = *unit, .uid = app->pw_uid, .last_status = -1, .fds = {-1, -1}};
    memcpy(c->name, name, sizeof c->name);
    adopt(c);
    return c;
}

static int unit_start(const struct warden_unit *unit, struct error *err)
{
    struct child *c = find_unit(unit, true);
    if (c == NULL)
        return fail(err, "E_UNIT", "more than %d units, or no user for this one", CHILDREN_MAX);
    if (c->state == UNIT_RUNNING)
        return 0;
    c->unit = *unit;
    c->restarts = 0;
    c->pause_ms = PAUSE_MS;
    start(c);
    return 0;
}

static int unit_stop(const struct warden_unit *unit, struct error *err)
{
    struct child *c = find_unit(unit, true);
    (void)err;
    if (c == NULL || c->state == UNIT_STOPPING || c->state == UNIT_ABSENT)
        return 0;
    bool runs = c->state == UNIT_RUNNING;
    c->state = runs ? UNIT_STOPPING : UNIT_ABSENT;
    c->due_ms = clock_mono_ms() + (int64_t)(unit->stop_s != 0 ? unit->stop_s : c->unit.stop_s) * 1000;
    if (runs)
        kill(c->pid, SIGTERM);
    return 0;
}

static int unit_state(const struct warden_unit *unit, struct warden_unit_is *is, struct error *err)
{
    const struct child *c = find_unit(unit, true);
    (void)err;
    *is =
        c == NULL
            ? (struct warden_unit_is){.last_status = -1}
            : (struct warden_unit_is){.state = c->state,
                                      .pid = c->state == UNIT_RUNNING || c->state == UNIT_STOPPING ? c->pid : 0,
                                      .restarts = c->restarts,
                                      .last_status = c->last_status};
    return 0;
}

const struct unit_manager unit_supervised = {unit_start, unit_stop, unit_state};

/* What a unit left behind has become our child, as we are its subreaper: it ends with the unit. */
static void sweep(uid_t uid)
{
    char text[4096], path[32];
    struct stat st;
    FILE *file = fopen("/proc/thread-self/children", "re");
    size_t n = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[n] = 0;
    char *at = text, *end;
    for (long pid = strtol(at, &end, 10); end != at; pid = strtol(at = end, &end, 10)) {
        bool unit = false;
        for (unsigned i = 0; i < child_count; i++)
            unit = unit || children[i].pid == pid;
        snprintf(path, sizeof path, "/proc/%ld", pid);
        if (!unit && stat(path, &st) == 0 && st.st_uid == uid)
            kill((pid_t)pid, SIGKILL);
    }
}

static void ended(struct child *c, int status)
{
    int64_t now = clock_mono_ms();
    c->last_status = status;
    c->pid = 0;
    if (c->program == NULL)
        sweep(c->uid);
    if (c->state == UNIT_STOPPING) {
        char path[128];
        c->state = UNIT_ABSENT;
        pid_path(c, path);
        unlink(path);
        return;
    }
    c->pause_ms = now - c->started_ms > HEALTHY_MS || c->pause_ms == 0 ? PAUSE_MS
                  : c->pause_ms * 2 < PAUSE_MAX_MS                     ? c->pause_ms * 2
                                                                       : PAUSE_MAX_MS;
    c->state = UNIT_STARTING;
    c->due_ms = now + c->pause_ms;
    fprintf(stderr, "<4>klystrr-warden: %s ended (%s %d), starts again in %lld ms\n", c->name,
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)c->pause_ms);
}

/* For one that is not ours to wait for; a zombie has no program any more. */
static bool lives(pid_t pid)
{
    char path[32], program[8];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return readlink(path, program, sizeof program) >= 0;
}

static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (unsigned i = 0; i < child_count; i++)
            if (children[i].pid == pid)
                ended(&children[i], status);
    for (unsigned i = 0; i < child_count; i++)
        if (children[i].adopted && children[i].pid > 0 && !lives(children[i].pid))
            ended(&children[i], 0);
}

int supervise_tick(void)
{
    int64_t now = clock_mono_ms(), next = now + 1000;
    reap();
    for (unsigned i = 0; i < child_count; i++) {
        struct child *c = &children[i];
        if (c->state != UNIT_STARTING && c->state != UNIT_STOPPING)
            continue;
        if (c->due_ms > now) {
            next = c->due_ms < next ? c->due_ms : next;
            continue;
        }
        if (c->state == UNIT_STOPPING) {
            kill(c->pid, SIGKILL);
            c->due_ms = now + 1000;
        } else {
            c->restarts++;
            start(c);
        }
    }
    return (int)(next - now);
}

void supervise_signal(int number)
{
    for (unsigned i = 0; i < child_count; i++)
        if (children[i].program != NULL && children[i].pid > 0)
            kill(children[i].pid, number);
}

void supervise_close(void)
{
    bool alive = true;
    for (unsigned i = 0; i < child_count; i++) {
        struct child *c = &children[i];
        bool runs = c->pid > 0;
        c->state = runs ? UNIT_STOPPING : UNIT_ABSENT;
        c->due_ms = clock_mono_ms() + (c->program != NULL ? 10000 : (int64_t)c->unit.stop_s * 1000);
        if (runs)
            kill(c->pid, SIGTERM);
    }
    while (alive) {
        supervise_tick();
        alive = false;
        for (unsigned i = 0; i < child_count; i++)
            alive = alive || children[i].state == UNIT_STOPPING;
        poll(NULL, 0, alive ? 20 : 0);
    }
}

void supervise_box(int listener)
{
    const struct passwd *agent = getpwnam(KLY_USER);
    struct error err = {0};
    if (agent == NULL)
        return;
    int conn = sock_accept(listener, &agent->pw_uid, 1, NULL, &err);
    if (conn == -1)
        fprintf(stderr, "<4>klystrr-warden: refused a box: %s: %s\n", err.code, err.text);
    if (conn < 0)
        return;
    if (fork() == 0) {
        plain_signals();
        if (fcntl(conn, F_SETFL, 0) == 0 && dup2(conn, 0) == 0)
            execl(KLY_LIBEXEC "/klystrr-confine", "klystrr-confine", (char *)NULL);
        _exit(127);
    }
    close(conn);
}

/* With the lock held, whoever still holds an older socket is a child of a killed supervisor, about to end. */
static int fresh_socket(const char *path, int type, mode_t mode, uid_t uid, gid_t gid, struct error *err)
{
    unlink(path);
    return sock_listen(path, type, mode, uid, gid, err);
}

static void add(const char *program, const char *user, const char *names, int first, int second)
{
    struct child *c = &children[child_count++];
    *c = (struct child){
        .program = program, .user = user, .names = names, .fds = {first, second}, .pause_ms = PAUSE_MS};
    snprintf(c->name, sizeof c->name, "%s", program);
    start(c);
}

int supervise_open(struct listeners *listeners, struct error *err)
{
    static int lock = -1; /* held for life */
    const struct passwd *user = getpwnam(KLY_USER);
    uid_t agent = user != NULL ? user->pw_uid : 0;
    user = getpwnam(KLY_USER_NET);
    uid_t net = user != NULL ? user->pw_uid : 0;
    const struct group *readers = getgrnam(KLY_GROUP_READ);
    if (agent == 0 || net == 0 || readers == NULL)
        return fail(err, "E_LAYOUT", "Klystrr's users are missing: install them first");
    lock = open(KLY_RUN "/supervise.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return fail(err, "E_SUPERVISE_LOCKED", "another klystrr-warden --supervise runs already");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return fail_errno(err, "E_SUPERVISE", errno, "orphans could not be kept");
    listeners->warden = fresh_socket(WARDEN_SOCKET, SOCK_SEQPACKET, 0600, agent, 0, err);
    listeners->box = listeners->warden < 0 ? -1 : fresh_socket(BOX_SOCKET, SOCK_SEQPACKET, 0600, agent, 0, err);
    int control = listeners->box < 0 ? -1 : fresh_socket(CONTROL_SOCKET, SOCK_SEQPACKET, 0600, 0, 0, err);
    int link = control < 0 ? -1 : fresh_socket(LINK_SOCKET, SOCK_SEQPACKET, 0600, net, 0, err);
    int people =
        link < 0 ? -1 : fresh_socket(KLY_RUN "/agent.sock", SOCK_STREAM, 0660, 0, readers->gr_gid, err);
    if (people < 0)
        return -1;
    add("klystrr-agent", KLY_USER, "control:link", control, link);
    add("klystrr-uplink", KLY_USER_NET, "agent", people, -1);
    return 0;
}
