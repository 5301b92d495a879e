/* klystrr-agent: started by its units with two listening sockets, control.sock and link.sock. */
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent/agent.h"
#include "ipc/layout.h"
#include "ipc/sock.h"

static int harden(struct error *err)
{
    struct rlimit none = {0, 0};
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(err, "E_HARDEN", "this process cannot be kept from being read");
    if (geteuid() == 0)
        return fail(err, "E_ROOT", "klystrr-agent does not run as root; its unit starts it as user " KLY_USER);
    return 0;
}

static void on_signal(uv_signal_t *handle, int number)
{
    if (number == SIGHUP) {
        agent_reload(handle->data);
        return;
    }
    uv_stop(handle->loop); /* boxes end with their connections; the journal says the rest */
}

static int run(const struct agent_files *files, struct error *err)
{
    static struct agent agent;
    static uv_signal_t signals[3];
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    uv_loop_t *loop = uv_default_loop();
    struct passwd *net = getpwnam(KLY_USER_NET);
    int control = sock_inherited_named("control", err), link = control < 0 ? -1 : sock_inherited_named("link", err);
    if (link < 0)
        return -1;
    if (net == NULL)
        return fail(err, "E_USER", "there is no user " KLY_USER_NET ": run the installer again");
    if (agent_open(&agent, loop, files, control, link, net->pw_uid, err) < 0)
        return -1;
    for (int i = 0; i < 3; i++) {
        uv_signal_init(loop, &signals[i]);
        signals[i].data = &agent;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}

static int usage(void)
{
    fputs("usage: klystrr-agent [--config FILE] [--policy FILE] [--state FOLDER] | --version\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct agent_files files = {AGENT_CONFIG, POLICY_FILE, KLY_STATE};
    struct error err = {0};
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("klystrr-agent " KLY_VERSION) < 0;
    for (int i = 1; i < argc; i += 2) {
        const char **to = strcmp(argv[i], "--config") == 0   ? &files.config
                          : strcmp(argv[i], "--policy") == 0 ? &files.policy
                          : strcmp(argv[i], "--state") == 0  ? &files.state
                                                             : NULL;
        if (to == NULL || i + 1 == argc)
            return usage();
        *to = argv[i + 1];
    }
    if (harden(&err) < 0 || run(&files, &err) < 0) {
        fprintf(stderr, "klystrr-agent: %s %s\n", err.code, err.text);
        return 1;
    }
    return 0;
}
