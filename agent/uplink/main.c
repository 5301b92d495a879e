/* klystrr-uplink: the one process of a host that speaks with the network. It cannot run programs, leaves no core, and is
 * started with agent.sock as its first passed descriptor (LISTEN_FDS). */
#include <errno.h>
#include <getopt.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/uplink/config.h"
#include "agent/uplink/uplink.h"
#include "ipc/link_api.h"
#include "ipc/sock.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#define CALL_TOP 0x40000000u /* from here on: the x32 ABI's numbers */
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#define CALL_TOP 0xffffffffu
#else
#error "only x86-64 and arm64 are known here: name the architecture, or this process could start programs"
#endif

/* No program is ever started from here, whoever has taken the process over: execve, execveat and every foreign ABI kill.
 * The unit's own filter is stricter; this one holds however the program was started. */
static int forbid_exec(struct error *err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CALL_TOP, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_execve, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_execveat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = sizeof code / sizeof code[0], .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        return fail_errno(err, "E_HARDEN", errno, "starting programs could not be forbidden");
    return 0;
}

/* The key is in our memory: no core, no debugger, no file that others can read. */
static int harden(struct error *err)
{
    const struct rlimit none = {0, 0};
    umask(077);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return fail_errno(err, "E_HARDEN", errno, "core dumps could not be forbidden");
    return forbid_exec(err);
}

static int read_arguments(int argc, char **argv, struct uplink_options *options)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"state", required_argument, NULL, 's'},
                                          {"link", required_argument, NULL, 'l'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'c')
            options->config = optarg;
        else if (c == 's')
            options->state = optarg;
        else if (c == 'l')
            options->link = optarg;
        else
            return -1;
    }
    return optind == argc ? 0 : -1;
}

struct stop {
    struct uplink *uplink;
    uv_signal_t term, interrupt;
};

static void on_signal(uv_signal_t *signal, int number)
{
    struct stop *stop = signal->data;
    (void)number;
    uplink_close(stop->uplink);
    uv_close((uv_handle_t *)&stop->term, NULL);
    uv_close((uv_handle_t *)&stop->interrupt, NULL);
}

static int watch_signals(uv_loop_t *loop, struct stop *stop, struct error *err)
{
    uv_signal_init(loop, &stop->term);
    uv_signal_init(loop, &stop->interrupt);
    stop->term.data = stop->interrupt.data = stop;
    if (uv_signal_start(&stop->term, on_signal, SIGTERM) != 0 || uv_signal_start(&stop->interrupt, on_signal, SIGINT) != 0)
        return fail(err, "E_START", "signals cannot be watched");
    return 0;
}

static int run(const struct uplink_options *options, struct error *err)
{
    uv_loop_t loop;
    struct net_loop net;
    struct stop stop = {0};
    if (uv_loop_init(&loop) != 0)
        return fail(err, "E_START", "no event loop");
    if (net_loop_init(&net, &loop, err) < 0 || watch_signals(&loop, &stop, err) < 0 ||
        (stop.uplink = uplink_open(&net, options, err)) == NULL)
        return -1; /* the process ends */
    uv_run(&loop, UV_RUN_DEFAULT);
    uplink_free(&stop.uplink);
    net_loop_free(&net);
    uv_loop_close(&loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct uplink_options options = {.config = CONFIG_FILE, .state = UPLINK_STATE_FOLDER, .link = LINK_SOCKET, .api = -1};
    if (read_arguments(argc, argv, &options) < 0) {
        fprintf(stderr, "usage: klystrr-uplink [--config FILE] [--state FOLDER] [--link SOCKET]\n");
        return 2;
    }
    options.api = sock_inherited(0, &err);
    if (options.api < 0)
        fprintf(stderr, "klystrr-uplink: no agent.sock was passed, so nobody can ask here: %s\n", err.text);
    if (harden(&err) < 0 || run(&options, &err) < 0) {
        fprintf(stderr, "klystrr-uplink: %s: %s\n", err.code, err.text);
        return 1;
    }
    return 0;
}
