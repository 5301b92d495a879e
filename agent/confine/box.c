/* Happy path: BOX_START → plan → tmp, cgroup, namespaces → init builds the mounts and starts the command →
 * `birth` closes at exec: BOX_STARTED → `control` brings how it ended → init is reaped, the cgroup is empty →
 * BOX_EXITED.
 *
 * Failure: whatever cannot be built comes back over `birth` and is told as IPC_VERB_ERROR; there is no box
 * then. End: the time limit and BOX_KILL ask with SIGTERM and kill after the grace; a closed connection kills
 * at once. */
#include "agent/confine/box.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/confine/cgroup.h"
#include "agent/confine/filter.h"
#include "agent/confine/init.h"
#include "agent/confine/landlock.h"
#include "agent/confine/mounts.h"
#include "base/clock.h"
#include "ipc/layout.h"
#include "ipc/record.h"
#include "ipc/sock.h"

#define START_WAIT_S 10 /* for BOX_START, once connected */

struct box {
    struct launch launch;
    struct cgroup group;
    int conn, control, birth, listener; /* -1: closed */
    uint32_t serial;
    pid_t init;
    bool started, stopping, killed, gone; /* gone: the peer */
    uint64_t told[2];
    enum box_end cause; /* 0: it ended by itself */
    int64_t deadline_ms;
    bool ended_known;
    struct init_ended ended;
};

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool is_null(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* A folder or device would lead out of the box. Output pipes are given to the box's user, for writing alone. */
static int check_fd(const struct plan *plan, int fd, bool output, struct error *err)
{
    struct stat st;
    bool customer = plan->profile->program == NULL;
    int mode = fcntl(fd, F_GETFL);
    if (mode < 0 || fstat(fd, &st) < 0 || (mode & O_PATH) != 0)
        return fail(err, "E_BOX_FDS", "a passed descriptor cannot be used");
    if (!S_ISFIFO(st.st_mode) && !is_null(&st) && (customer || (!S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode))))
        return fail(err, "E_BOX_FDS", "a passed descriptor is neither a pipe nor /dev/null");
    if (output && S_ISFIFO(st.st_mode) && (fchown(fd, plan->uid, plan->gid) < 0 || fchmod(fd, 0200) < 0))
        return fail_errno(err, "E_BOX_FDS", errno, "an output pipe could not be given to %s", plan->user);
    return 0;
}

static int take_fds(struct box *box, struct ipc_record *record, struct error *err)
{
    unsigned extra = box->launch.plan.start.extra_fds;
    if (record->fd_count != 4 + extra)
        return fail(err, "E_BOX_FDS", "%u descriptors came, %u were announced", record->fd_count, 4 + extra);
    box->launch.command = ipc_take_fd(record, 0);
    for (unsigned i = 0; i < 3 + extra; i++) {
        box->launch.fds[i] = ipc_take_fd(record, i + 1);
        if (check_fd(&box->launch.plan, box->launch.fds[i], i == 1 || i == 2, err) < 0)
            return -1;
    }
    return 0;
}

static int plan_box(struct box *box, struct ipc_record *record, struct error *err)
{
    static struct policy_table policy;
    struct ipc_record *r = record;
    const struct box_start *start = r->head.verb == BOX_START ? ipc_body(r, sizeof *start) : NULL;
    if (start == NULL || start->profile == BOX_APP)
        return fail(err, "E_BOX_START", "not the start of a box");
    if (policy_table_load(POLICY_TABLE_PATH, &policy, err) < 0 ||
        plan_make(start, &policy, "/etc/passwd", "/etc/group", &box->launch.plan, err) < 0 ||
        take_fds(box, r, err) < 0)
        return -1;
    box->launch.filter = filter_open(box->launch.plan.profile->filter, err);
    return box->launch.filter < 0 ? -1 : 0;
}

static int make_channels(int control[2], int birth[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, birth) < 0)
        return fail_errno(err, "E_BOX_INIT", errno, "no channel to the box");
    return 0;
}

static int spawn(struct box *box, struct error *err)
{
    const struct plan *plan = &box->launch.plan;
    int control[2], birth[2];
    if (make_channels(control, birth, err) < 0)
        return -1;
    unsigned long flags = CLONE_NEWNS | CLONE_NEWIPC | SIGCHLD;
    flags |= plan_sees(plan, SEES_SELF) ? CLONE_NEWPID : 0;
    flags |= plan_sees(plan, SEES_NET) ? 0 : CLONE_NEWNET;
    box->init = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (box->init == 0) {
        close(control[0]);
        close(birth[0]);
        close(box->conn);
        box->launch.birth = birth[1];
        init_run(&box->launch, control[1]);
    }
    int why = errno;
    close(control[1]);
    close(birth[1]);
    box->control = control[0];
    box->birth = birth[0];
    for (unsigned i = 0; i < LAUNCH_FDS; i++)
        shut(&box->launch.fds[i]);
    shut(&box->launch.command);
    shut(&box->launch.filter);
    return box->init < 0 ? fail_errno(err, "E_BOX_INIT", why, "the kernel gives no namespaces") : 0;
}

static int start_box(struct box *box, struct error *err)
{
    if (mounts_fresh_tmp(&box->launch.plan, err) < 0)
        return -1;
    cgroup_make(&box->launch.plan, &box->group);
    if (spawn(box, err) < 0 || cgroup_enter(&box->group, &box->launch.plan, box->init, err) < 0)
        return -1;
    if (ipc_send(box->control, INIT_GO, 0, NULL, 0, NULL, 0, err) != IPC_OK)
        return -1;
    box->deadline_ms = clock_mono_ms() + (int64_t)box->launch.plan.start.timeout_s * 1000;
    return 0;
}

static void tell(struct box *box, uint16_t verb, const void *body, size_t size)
{
    if (!box->gone && ipc_send(box->conn, verb, box->serial, body, size, NULL, 0, NULL) == IPC_CLOSED)
        box->gone = true;
}

/* Without a PID namespace init must outlive the others to sweep them; closing its control socket asks for that.
 */
static void kill_box(struct box *box)
{
    box->killed = true;
    cgroup_kill(&box->group);
    if (plan_sees(&box->launch.plan, SEES_SELF) && box->init > 0)
        kill(box->init, SIGKILL);
    shut(&box->control);
}

static void stop_box(struct box *box, enum box_end cause)
{
    if (box->stopping)
        return;
    box->stopping = true;
    box->cause = cause;
    box->deadline_ms = clock_mono_ms() + (int64_t)box->launch.plan.start.stop_s * 1000;
    if (box->control >= 0)
        ipc_tell(box->control, INIT_TERM, 0, NULL, 0);
}

static void on_deadline(struct box *box)
{
    if (!box->stopping)
        stop_box(box, BOX_END_TIMEOUT);
    if (clock_mono_ms() >= box->deadline_ms)
        kill_box(box);
}

static void on_peer(struct box *box)
{
    struct ipc_record record;
    enum ipc_result got = ipc_recv(box->conn, &record, NULL);
    if (got == IPC_AGAIN)
        return;
    if (got == IPC_OK && record.head.verb == BOX_KILL) {
        ipc_close_fds(&record);
        stop_box(box, BOX_END_KILLED);
        return;
    }
    ipc_close_fds(&record);
    box->gone = true;
    box->cause = BOX_END_KILLED;
    kill_box(box);
}

static void tell_started(struct box *box)
{
    struct box_started started = {
        .pid = box->init,
        .level = !landlock_here()     ? 1
                 : box->group.limited ? 3
                                      : 2,
        .cgroup_ino = box->group.inode,
    };
    box->started = true;
    tell(box, BOX_STARTED, &started, sizeof started);
}

/* 0, or -1 when the box could not be built. */
static int on_birth(struct box *box, struct error *err)
{
    struct ipc_record record;
    enum ipc_result got = ipc_recv(box->birth, &record, err);
    if (got == IPC_OK && ipc_check_error(&record, err) < 0)
        return -1;
    if (got == IPC_OK) {
        box->listener = ipc_take_fd(&record, 0);
        ipc_close_fds(&record);
        return 0;
    }
    shut(&box->birth);
    if (!box->killed)
        tell_started(box);
    return 0;
}

static void on_control(struct box *box)
{
    struct ipc_record record;
    if (ipc_recv(box->control, &record, NULL) == IPC_OK) {
        const struct init_ended *ended =
            record.head.verb == INIT_ENDED ? ipc_body(&record, sizeof *ended) : NULL;
        box->ended_known = ended != NULL;
        if (ended != NULL)
            box->ended = *ended;
    }
    shut(&box->control);
}

static void on_refused(struct box *box, short events)
{
    struct box_denied denied;
    if ((events & POLLIN) == 0)
        shut(&box->listener); /* the last process with this filter has ended */
    else if (filter_answer(box->listener, box->told, &denied) == 1)
        tell(box, BOX_DENIED, &denied, sizeof denied);
}

/* A short command's birth and end may lie there together: what is left of the first is heard after the second. */
static int hear_birth(struct box *box, struct error *err)
{
    struct pollfd birth = {box->birth, POLLIN, 0};
    while (box->birth >= 0 && poll(&birth, 1, 0) == 1)
        if (on_birth(box, err) < 0)
            return -1;
    return 0;
}

/* Until init has said how it ended, or has been killed. */
static int watch(struct box *box, struct error *err)
{
    while (box->control >= 0) {
        struct pollfd watched[4] = {{box->gone ? -1 : box->conn, POLLIN, 0},
                                    {box->birth, POLLIN, 0},
                                    {box->control, POLLIN, 0},
                                    {box->listener, POLLIN, 0}};
        int64_t left = box->deadline_ms - clock_mono_ms();
        int n = poll(watched, 4, left < 0 ? 0 : (int)left);
        if (n == 0 || (n < 0 && errno != EINTR) || left <= 0)
            on_deadline(box);
        if (n <= 0)
            continue;
        if (watched[1].revents != 0 && on_birth(box, err) < 0)
            return -1;
        if (watched[3].revents != 0)
            on_refused(box, watched[3].revents);
        if (watched[0].revents != 0)
            on_peer(box);
        if (watched[2].revents != 0 && box->control >= 0)
            on_control(box);
    }
    return hear_birth(box, err);
}

/* Everything in the box is dead when this returns, and its tmp is gone. */
static bool empty_box(struct box *box)
{
    if (box->init > 0 && box->control >= 0)
        kill_box(box);
    while (box->init > 0 && waitpid(box->init, NULL, 0) < 0 && errno == EINTR)
        continue;
    bool oom = cgroup_oom(&box->group);
    uint32_t peak = cgroup_peak_kb(&box->group);
    if (peak != 0)
        box->ended.peak_kb = peak;
    cgroup_drop(&box->group);
    mounts_drop_tmp(&box->launch.plan);
    return oom;
}

static void tell_exited(struct box *box, bool oom)
{
    int status = box->ended.status;
    struct box_exited exited = {.cpu_ms = box->ended.cpu_ms, .peak_kb = box->ended.peak_kb};
    bool signalled = box->ended_known && WIFSIGNALED(status);
    exited.status = signalled ? WTERMSIG(status) : box->ended_known ? WEXITSTATUS(status) : SIGKILL;
    if (box->cause != 0)
        exited.end = box->cause;
    else if (!box->ended_known)
        exited.end = oom ? BOX_END_OOM : BOX_END_KILLED;
    else
        exited.end = signalled && oom ? BOX_END_OOM : signalled ? BOX_END_SIGNAL : BOX_END_EXIT;
    tell(box, BOX_EXITED, &exited, sizeof exited);
}

static int run(struct box *box, struct error *err)
{
    int rc = start_box(box, err) < 0 ? -1 : watch(box, err);
    bool oom = empty_box(box);
    if (rc == 0 && !box->started && !box->gone)
        rc = fail(err, "E_BOX_INIT", "the box ended before its command had started");
    if (rc == 0)
        tell_exited(box, oom);
    return rc;
}

static int check_peer(int conn, struct error *err)
{
    uid_t uid;
    pid_t pid;
    if (sock_peer(conn, &uid, &pid, err) < 0)
        return -1;
    const struct passwd *agent = getpwnam(KLY_USER);
    if (uid != 0 && (agent == NULL || agent->pw_uid != uid))
        return fail(err, "E_IPC_PEER", "user %u (process %d) may not ask for a box", (unsigned)uid, (int)pid);
    return 0;
}

static int receive(int conn, struct ipc_record *record, struct error *err)
{
    struct pollfd readable = {conn, POLLIN, 0};
    if (poll(&readable, 1, START_WAIT_S * 1000) <= 0)
        return fail(err, "E_BOX_START", "nothing was asked within %d s", START_WAIT_S);
    enum ipc_result got = ipc_recv(conn, record, err);
    return got == IPC_OK ? 0 : got == IPC_ERROR ? -1 : fail(err, "E_BOX_START", "the connection was closed");
}

int box_serve(int conn, struct error *err)
{
    static struct ipc_record record;
    struct box box = {.conn = conn, .control = -1, .birth = -1, .listener = -1, .group = {.dir = -1}};
    memset(box.launch.fds, -1, sizeof box.launch.fds);
    box.launch.command = box.launch.filter = box.launch.birth = -1;
    if (check_peer(conn, err) < 0)
        return -1;
    int rc = receive(conn, &record, err);
    box.serial = record.head.serial;
    if (rc == 0)
        rc = plan_box(&box, &record, err);
    if (rc == 0)
        rc = run(&box, err);
    ipc_close_fds(&record);
    if (rc < 0 && !box.gone)
        ipc_tell_error(conn, box.serial, err);
    shut(&box.birth);
    shut(&box.listener);
    return rc;
}
