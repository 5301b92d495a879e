/* klystrr-supervise: stands in for systemd where PID 1 is not systemd (containers, test machines): makes the
 * same folders and sockets, starts the same programs, and runs app units for the warden. On a machine with
 * systemd it never runs.
 *
 * Happy path: lock → folders → sockets → warden, agent, uplink; then units as the warden asks for them, and a
 * klystrr-confine for each connection on box.sock. Failure: what ends starts again. End: SIGTERM, all children
 * with it. Killed, it takes its programs along; apps live on and are taken over by the next one. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/supervise/children.h"
#include "agent/supervise/layout.h"
#include "base/durable.h"
#include "ipc/box_api.h"
#include "ipc/control_api.h"
#include "ipc/layout.h"
#include "ipc/link_api.h"
#include "ipc/record.h"
#include "ipc/sock.h"

struct supervisor {
    uid_t agent, net;
    int lock, signals, box, units; /* units: from the warden; -1 while there is none */
    bool ending;
};

static void log_refusal(const char *what, const struct error *err)
{
    fprintf(stderr, "<4>klystrr-supervise: %s: %s: %s\n", what, err->code, err->text);
}

/* A connection on box.sock becomes the standard input of a klystrr-confine of its own. */
static void serve_box(const struct supervisor *s)
{
    struct error err = {0};
    int conn = sock_accept(s->box, &s->agent, 1, NULL, &err);
    if (conn == -1)
        log_refusal("refused a box", &err);
    if (conn < 0)
        return;
    if (fork() == 0) {
        child_clean();
        if (fcntl(conn, F_SETFL, 0) == 0 && dup2(conn, 0) == 0)
            execl(KLY_LIBEXEC "/klystrr-confine", "klystrr-confine", (char *)NULL);
        _exit(127);
    }
    close(conn);
}

/* One of the warden's verbs about units; what it asks has been checked there. The answer is how the unit is
 * then. */
static int serve_unit(const struct ipc_record *request, struct warden_unit_is *is, struct error *err)
{
    const struct warden_unit *unit = ipc_body(request, sizeof *unit);
    if (unit == NULL)
        return fail(err, "E_UNIT", "no unit");
    if (request->head.verb == WARDEN_UNIT_START && child_start_unit(unit, err) < 0)
        return -1;
    if (request->head.verb == WARDEN_UNIT_STOP)
        child_stop_unit(unit);
    child_unit_state(unit, is);
    return 0;
}

static void serve_warden(struct supervisor *s)
{
    static struct ipc_record request;
    struct warden_unit_is is;
    struct error err = {0};
    enum ipc_result got = ipc_recv(s->units, &request, &err);
    if (got != IPC_OK) {
        cleanup_close(&s->units); /* it has ended: its next start brings another connection */
        s->units = -1;
    } else if (serve_unit(&request, &is, &err) < 0)
        ipc_tell_error(s->units, request.head.serial, &err);
    else
        ipc_tell(s->units, request.head.verb, request.head.serial, &is, sizeof is);
    ipc_close_fds(&request);
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            children_signal(SIGHUP);
        s->ending = s->ending || info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
    }
}

static void loop(struct supervisor *s)
{
    while (!s->ending) {
        int wait = children_tick();
        struct pollfd p[3] = {{s->signals, POLLIN, 0}, {s->box, POLLIN, 0}, {s->units, POLLIN, 0}};
        if (poll(p, 3, wait) < 0 && errno != EINTR)
            return;
        if (p[0].revents != 0)
            on_signal(s);
        if (p[1].revents != 0)
            serve_box(s);
        if (p[2].revents != 0)
            serve_warden(s);
    }
}

/* With the lock held, whoever still holds an older socket is a child of a killed supervisor, about to end. */
static int fresh_socket(const char *path, int type, mode_t mode, uid_t uid, gid_t gid, struct error *err)
{
    unlink(path);
    return sock_listen(path, type, mode, uid, gid, err);
}

static int start_programs(struct supervisor *s, gid_t readers, struct error *err)
{
    int warden = fresh_socket(WARDEN_SOCKET, SOCK_SEQPACKET, 0600, s->agent, 0, err);
    s->box = warden < 0 ? -1 : fresh_socket(BOX_SOCKET, SOCK_SEQPACKET, 0600, s->agent, 0, err);
    int control = s->box < 0 ? -1 : fresh_socket(CONTROL_SOCKET, SOCK_SEQPACKET, 0600, 0, 0, err);
    int link = control < 0 ? -1 : fresh_socket(LINK_SOCKET, SOCK_SEQPACKET, 0600, s->net, 0, err);
    int people = link < 0 ? -1 : fresh_socket(KLY_RUN "/agent.sock", SOCK_STREAM, 0660, 0, readers, err);
    if (people < 0)
        return -1;
    child_add_warden(warden, &s->units);
    child_add("klystrr-agent", KLY_USER, "control:link", control, link);
    child_add("klystrr-uplink", KLY_USER_NET, "agent", people, -1);
    return 0;
}

static uid_t uid_of(const char *name)
{
    const struct passwd *user = getpwnam(name);
    return user != NULL ? user->pw_uid : 0;
}

static int open_all(struct supervisor *s, struct error *err)
{
    const struct group *readers = getgrnam(KLY_GROUP_READ);
    s->agent = uid_of(KLY_USER);
    s->net = uid_of(KLY_USER_NET);
    if (s->agent < 100 || s->net < 100 || readers == NULL)
        return fail(err, "E_LAYOUT", "Klystrr's users are missing: install them first");
    gid_t gid = readers->gr_gid;
    umask(022);
    if (layout_make(err) < 0)
        return -1;
    s->lock = open(KLY_RUN "/supervise.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB) < 0)
        return fail(err, "E_SUPERVISE_LOCKED", "another klystrr-warden --supervise runs already");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return fail_errno(err, "E_SUPERVISE", errno, "orphans could not be kept");
    return start_programs(s, gid, err);
}

static int take_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD}; /* the tick after SIGCHLD reaps */
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&set, numbers[i]);
    signal(SIGPIPE, SIG_IGN);
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(void)
{
    struct error err = {0};
    static struct supervisor s = {.lock = -1, .signals = -1, .box = -1, .units = -1};
    prctl(PR_SET_DUMPABLE, 0);
    s.signals = take_signals();
    if (s.signals < 0)
        fail_errno(&err, "E_SUPERVISE", errno, "signals could not be taken");
    if (s.signals < 0 || open_all(&s, &err) < 0) {
        fprintf(stderr, "<3>klystrr-supervise: %s: %s\n", err.code, err.text);
        return 1;
    }
    loop(&s);
    cleanup_close(&s.units); /* a warden that waits for an answer gets none */
    s.units = -1;
    children_close();
    return 0;
}
