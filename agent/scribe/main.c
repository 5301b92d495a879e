/* klystrr-scribe: writes one deployment's log. Opens no file and no socket: it works on what it inherits. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "agent/scribe/scribe.h"
#include "ipc/scribe_api.h"

static volatile int stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void prepare(void)
{
    struct rlimit none = {0, 0};
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    struct sigaction stops = {.sa_handler = on_signal}, ignored = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGTERM, &stops, NULL);
    (void)sigaction(SIGINT, &ignored, NULL);
    (void)sigaction(SIGPIPE, &ignored, NULL);
    (void)sigaction(SIGXFSZ, &ignored, NULL);
}

int main(int argc, char **argv)
{
    (void)argv;
    int type = 0;
    socklen_t size = sizeof type;
    if (argc != 1 || getsockopt(SCRIBE_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
        fprintf(stderr, "klystrr-scribe: E_USAGE it is started by klystrr-agent, with its socket as descriptor %d and "
                        "the spool file as %d\n", SCRIBE_CONTROL_FD, SCRIBE_SPOOL_FD);
        return 2;
    }
    prepare();
    struct error err = {0};
    if (scribe_run(SCRIBE_CONTROL_FD, SCRIBE_SPOOL_FD, &stop, &err) == 0)
        return 0;
    fprintf(stderr, "klystrr-scribe: %s %s\n", err.code, err.text);
    return 1;
}
