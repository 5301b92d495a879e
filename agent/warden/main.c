/* klystrr-warden: root; fixed verbs over fixed records. Started by its units, or by klystrr-supervise. */
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/warden/verbs.h"
#include "ipc/layout.h"
#include "ipc/sock.h"

#define CLIENTS_MAX 16
#define LOOK_MS     200 /* between looks at a unit that is stopping */

static struct client {
    int fd; /* -1: free */
    struct waiting waiting;
} clients[CLIENTS_MAX];

static void take_client(int listener, uid_t agent)
{
    struct error err = {0};
    int conn = sock_accept(listener, &agent, 1, NULL, &err);
    if (conn == -1)
        fprintf(stderr, "<4>klystrr-warden: %s: %s\n", err.code, err.text);
    for (int i = 0; conn >= 0 && i < CLIENTS_MAX; i++)
        if (clients[i].fd < 0) {
            clients[i] = (struct client){.fd = conn};
            return;
        }
    if (conn >= 0)
        close(conn);
}

static void serve_client(const struct warden *warden, struct client *client)
{
    static struct ipc_record request;
    struct error err = {0};
    enum ipc_result got = ipc_recv(client->fd, &request, &err);
    if (got == IPC_OK)
        verbs_serve(warden, client->fd, &request, &client->waiting);
    else if (got != IPC_AGAIN) {
        if (got == IPC_ERROR)
            fprintf(stderr, "<4>klystrr-warden: %s: %s\n", err.code, err.text);
        close(client->fd);
        *client = (struct client){.fd = -1};
    }
}

/* Signals end it only here, between two verbs. */
static void loop(const struct warden *warden, int listener, uid_t agent)
{
    sigset_t none;
    sigemptyset(&none);
    for (;;) {
        struct pollfd p[1 + CLIENTS_MAX] = {{listener, POLLIN, 0}};
        struct timespec look = {0, LOOK_MS * 1000000}, *wait = NULL;
        for (int i = 0; i < CLIENTS_MAX; i++) {
            if (clients[i].waiting.active)
                verbs_look_again(warden, clients[i].fd, &clients[i].waiting);
            bool waits = clients[i].waiting.active;
            wait = waits ? &look : wait;
            p[1 + i] = (struct pollfd){clients[i].fd, waits ? 0 : POLLIN, 0};
        }
        if (ppoll(p, 1 + CLIENTS_MAX, wait, &none) < 0 && errno != EINTR)
            return;
        for (int i = 0; i < CLIENTS_MAX; i++)
            if (p[1 + i].revents != 0)
                serve_client(warden, &clients[i]);
        if (p[0].revents != 0)
            take_client(listener, agent);
    }
}

int main(int argc, char **argv)
{
    struct error err = {0};
    sigset_t ends;
    if (argc == 2 && strcmp(argv[1], "--supervise") == 0) {
        execl(KLY_LIBEXEC "/klystrr-supervise", "klystrr-supervise", (char *)NULL);
        fail_errno(&err, "E_SUPERVISE", errno, KLY_LIBEXEC "/klystrr-supervise could not be started");
    } else if (argc > 1)
        fail(&err, "E_USAGE", "klystrr-warden [--supervise]");
    for (int i = 0; i < CLIENTS_MAX; i++)
        clients[i].fd = -1;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    const struct passwd *agent = getpwnam(KLY_USER);
    int listener = err.code[0] != 0 ? -1 : sock_inherited(0, &err);
    if (listener >= 0 && agent != NULL && agent->pw_uid >= 100) {
        const struct warden warden = {.supervisor = sock_inherited(1, NULL), .readers = agent->pw_gid};
        loop(&warden, listener, agent->pw_uid);
    } else if (err.code[0] == 0)
        fail(&err, "E_LAYOUT", "there is no user " KLY_USER ": install Klystrr's users first");
    fprintf(stderr, "<3>klystrr-warden: %s: %s\n", err.code, err.text);
    return 1;
}
