#include "agent/supervise/children.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ipc/layout.h"

#define CHILDREN_MAX 128
#define PAUSE_MS     500 /* before the first restart; doubled up to */
#define PAUSE_MAX_MS 30000
#define HEALTHY_MS   60000 /* a child that ran so long starts from the short pause again */

struct child {
    char name[UNIT_NAME_SIZE];          /* a unit's, or the program's */
    const char *program, *user, *names; /* of a program; NULL for units */
    int fds[2];                         /* sockets handed on */
    int *units;                         /* the warden's: our end of its second one */
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
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
}

void child_clean(void)
{
    sigset_t none;
    keep_environment();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_user(const char *name)
{
    const struct passwd *user = getpwnam(name);
    if (user == NULL || user->pw_uid < 100 || initgroups(name, user->pw_gid) < 0 ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(127);
}

static void become(const struct child *c)
{
    char path[128];
    child_clean();
    if (c->program == NULL) {
        unit_plan_path(&c->unit, path);
        execl(KLY_LIBEXEC "/klystrr-confine", "klystrr-confine", "--app", path, (char *)NULL);
        _exit(127);
    }
    hand_on(c);
    if (c->user != NULL)
        become_user(c->user);
    snprintf(path, sizeof path, KLY_LIBEXEC "/%s", c->program);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0)
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

/* A warden that was killed may have left a request behind: the next one gets a connection of its own. */
static void connect_warden(struct child *c)
{
    int ends[2];
    cleanup_close(&c->fds[1]);
    cleanup_close(c->units);
    c->fds[1] = *c->units = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return; /* a warden without it refuses to start, and is tried again */
    *c->units = ends[0];
    c->fds[1] = ends[1];
}

static void start(struct child *c)
{
    if (c->units != NULL)
        connect_warden(c);
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

int child_start_unit(const struct warden_unit *unit, struct error *err)
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

void child_stop_unit(const struct warden_unit *unit)
{
    struct child *c = find_unit(unit, true);
    if (c == NULL || c->state == UNIT_STOPPING || c->state == UNIT_ABSENT)
        return;
    bool runs = c->state == UNIT_RUNNING;
    c->state = runs ? UNIT_STOPPING : UNIT_ABSENT;
    c->due_ms = clock_mono_ms() + (int64_t)(unit->stop_s != 0 ? unit->stop_s : c->unit.stop_s) * 1000;
    if (runs)
        kill(c->pid, SIGTERM);
}

void child_unit_state(const struct warden_unit *unit, struct warden_unit_is *is)
{
    const struct child *c = find_unit(unit, true);
    *is = (struct warden_unit_is){.last_status = -1};
    if (c == NULL)
        return;
    bool runs = c->state == UNIT_RUNNING || c->state == UNIT_STOPPING;
    *is = (struct warden_unit_is){
        .state = c->state, .pid = runs ? c->pid : 0, .restarts = c->restarts, .last_status = c->last_status};
}

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
    fprintf(stderr, "<4>klystrr-supervise: %s ended (%s %d), starts again in %lld ms\n", c->name,
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

int children_tick(void)
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

void children_signal(int number)
{
    for (unsigned i = 0; i < child_count; i++)
        if (children[i].user != NULL && children[i].pid > 0)
            kill(children[i].pid, number);
}

void children_close(void)
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
        children_tick();
        alive = false;
        for (unsigned i = 0; i < child_count; i++)
            alive = alive || children[i].state == UNIT_STOPPING;
        poll(NULL, 0, alive ? 20 : 0);
    }
}

static struct child *add(const char *program, const char *user, const char *names, int first, int second)
{
    struct child *c = &children[child_count++];
    *c = (struct child){
        .program = program, .user = user, .names = names, .fds = {first, second}, .pause_ms = PAUSE_MS};
    snprintf(c->name, sizeof c->name, "%s", program);
    return c;
}

void child_add(const char *program, const char *user, const char *names, int first, int second)
{
    start(add(program, user, names, first, second));
}

void child_add_warden(int listener, int *units)
{
    struct child *c = add("klystrr-warden", NULL, "warden:units", listener, -1);
    c->units = units;
    start(c);
}
