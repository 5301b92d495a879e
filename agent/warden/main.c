/* klystrr-warden: root; fixed verbs over fixed records. With --supervise it is also what systemd would be. */
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/warden/layout.h"
#include "agent/warden/supervise.h"
#include "agent/warden/verbs.h"
#include "ipc/layout.h"
#include "ipc/sock.h"

#define CLIENTS_MAX 16
#define LOOK_MS     200 /* between looks at a unit that is stopping */

struct state {
    struct warden warden;
    struct listeners listeners;
    uid_t agent;
    int signals;
    struct client {
        int fd; /* -1: free */
        struct waiting waiting;
    } clients[CLIENTS_MAX];
    bool supervise, ending;
};

static void take_client(struct state *s)
{
    struct error err = {0};
    int conn = sock_accept(s->listeners.warden, &s->agent, 1, NULL, &err);
    if (conn == -1)
        fprintf(stderr, "<4>klystrr-warden: %s: %s\n", err.code, err.text);
    for (int i = 0; conn >= 0 && i < CLIENTS_MAX; i++)
        if (s->clients[i].fd < 0) {
            s->clients[i] = (struct client){.fd = conn};
            return;
        }
    if (conn >= 0)
        close(conn);
}

static void serve_client(struct state *s, struct client *client)
{
    static struct ipc_record request;
    struct error err = {0};
    enum ipc_result got = ipc_recv(client->fd, &request, &err);
    if (got == IPC_OK)
        verbs_serve(&s->warden, client->fd, &request, &client->waiting);
    else if (got != IPC_AGAIN) {
        if (got == IPC_ERROR)
            fprintf(stderr, "<4>klystrr-warden: %s: %s\n", err.code, err.text);
        close(client->fd);
        client->fd = -1;
    }
}

static void on_signal(struct state *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            supervise_signal(SIGHUP);
        s->ending = s->ending || info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
    }
}

/* Milliseconds until something must be looked at. */
static int next_look(struct state *s)
{
    int wait = s->supervise ? supervise_tick() : -1;
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (s->clients[i].fd >= 0 && s->clients[i].waiting.active)
            verbs_look_again(&s->warden, s->clients[i].fd, &s->clients[i].waiting);
        if (s->clients[i].fd >= 0 && s->clients[i].waiting.active)
            wait = wait < 0 || wait > LOOK_MS ? LOOK_MS : wait;
    }
    return wait;
}

static void loop(struct state *s)
{
    while (!s->ending) {
        int wait = next_look(s);
        struct pollfd p[3 + CLIENTS_MAX] = {
            {s->listeners.warden, POLLIN, 0}, {s->listeners.box, POLLIN, 0}, {s->signals, POLLIN, 0}};
        for (int i = 0; i < CLIENTS_MAX; i++)
            p[3 + i] = (struct pollfd){s->clients[i].fd, s->clients[i].waiting.active ? 0 : POLLIN, 0};
        if (poll(p, 3 + CLIENTS_MAX, wait) < 0 && errno != EINTR)
            return;
        if ((p[2].revents & POLLIN) != 0)
            on_signal(s);
        if ((p[1].revents & POLLIN) != 0)
            supervise_box(s->listeners.box);
        for (int i = 0; i < CLIENTS_MAX; i++)
            if (p[3 + i].revents != 0)
                serve_client(s, &s->clients[i]);
        if ((p[0].revents & POLLIN) != 0)
            take_client(s);
    }
}

static int open_all(struct state *s, struct error *err)
{
    struct stat st;
    const struct passwd *agent = getpwnam(KLY_USER);
    if (agent == NULL || agent->pw_uid < 100)
        return fail(err, "E_LAYOUT", "there is no user " KLY_USER ": install Klystrr's users first");
    s->agent = agent->pw_uid;
    s->warden.readers = agent->pw_gid;
    s->warden.systemd = !s->supervise && stat("/run/systemd/system", &st) == 0;
    s->warden.units = s->supervise ? &unit_supervised : &unit_systemd;
    umask(022);
    if (layout_make(err) < 0)
        return -1;
    if (s->supervise)
        return supervise_open(&s->listeners, err);
    s->listeners.warden = sock_inherited(0, err);
    return s->listeners.warden < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct state s = {.listeners = {-1, -1}, .supervise = argc == 2 && strcmp(argv[1], "--supervise") == 0};
    sigset_t set;
    for (int i = 0; i < CLIENTS_MAX; i++)
        s.clients[i].fd = -1;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (s.supervise)
        sigaddset(&set, SIGCHLD); /* the tick that follows reaps */
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    s.signals = sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (argc > 1 && !s.supervise)
        fail(&err, "E_USAGE", "klystrr-warden [--supervise]");
    if (err.code[0] != 0 || s.signals < 0 || open_all(&s, &err) < 0) {
        fprintf(stderr, "<3>klystrr-warden: %s: %s\n", err.code, err.text);
        return 1;
    }
    loop(&s);
    if (s.supervise)
        supervise_close();
    return 0;
}
