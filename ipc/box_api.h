/* What is said on box.sock: one connection is one box. The agent (or root) sends one BOX_START with descriptors,
 * confine answers BOX_STARTED, then BOX_EXITED, or a refusal (IPC_VERB_ERROR) if the box cannot be built: never a
 * phase without a box. Closing the connection kills everything in the box. */
#ifndef KLY_IPC_BOX_API_H
#define KLY_IPC_BOX_API_H

#include <stdint.h>

#include "base/buf.h"

#define BOX_SOCKET "/run/klystrr/box.sock"

enum box_verb { BOX_START = 1, BOX_STARTED = 2, BOX_EXITED = 3, BOX_DENIED = 4, BOX_KILL = 5 };

/* Who runs and what exists in there. P is /srv/klystrr/<project>. FETCH, BUILD, RELEASE,
 * ACTIVATE, APP, NODE and PROBE see the host's network; the others see none. */
enum box_profile {
    BOX_FETCH = 1, /* kb-P: P/mirror.git and P/staging, rw; runs klystrr-fetch only */
    BOX_BUILD,     /* kb-P: P/staging/<subject>, rw, shown as P/releases/<subject> so that paths a build writes down stay
                      true; P/cache, rw; Node <node>, read-only; HOME on tmpfs */
    BOX_RELEASE,   /* ka-P: P/releases/<subject> read-only but its writable paths, P/shared; Node */
    BOX_ACTIVATE,  /* ka-P: P/releases (read-only but writable paths), P/shared, P/run; Node, pm2; no PID namespace */
    BOX_APP,       /* ka-P: as ACTIVATE; a unit of its own, started by the warden, not over box.sock */
    BOX_PROBE,     /* klystrr-probe: runs klystrr-probe only */
    BOX_NODE,      /* klystrr-node: /opt/klystrr/node/.staging-<node>, rw; the system's npm */
    BOX_TIDY,      /* kb-P: P/staging, rw; klystrr-fetch finish and remove; no network */
    BOX_TIDY_APP,  /* ka-P: P/staging, for what an app wrote into a dropped release; klystrr-fetch remove; no network */
    BOX_SCRIBE,    /* klystrr-log: no folder, no network; runs klystrr-scribe only; two extra descriptors */
    BOX_PROFILES
};

struct box_start {
    uint32_t profile;
    char project[32]; /* "" for PROBE and NODE */
    char subject[72]; /* BUILD: a release name, a folder in staging/; RELEASE: one in releases/; else "" */
    char node[32];    /* "22.23.3", or "" for the system's */
    uint32_t timeout_s;   /* 1 to 7200: then everything in the box is killed */
    uint32_t stop_s;      /* grace from SIGTERM to SIGKILL, 0 to 300 */
    uint32_t memory_mb;   /* 0: no limit of its own; applied where a controller is there */
    uint32_t tasks;       /* 0: no limit of its own */
    uint32_t file_mb;     /* RLIMIT_FSIZE; 0: none */
    uint32_t extra_fds;   /* 0 to 2: descriptors 4 and 5 below become fds 3 and 4 inside */
};
/* What a descriptor may be: a pipe or /dev/null for customers' commands; also a file or socket for our own helpers. Never a
 * folder, a device or O_PATH. BOX_KILL asks with SIGTERM and kills after stop_s; so does the time limit.
 * Descriptors with BOX_START, in order: 0 the command (sealed memfd, box_command_pack), 1 stdin, 2 stdout, 3 stderr,
 * then extra_fds more (a phase: the mask descriptor; the scribe: its control socket and its spool file). stdout and stderr that are FIFOs are given to the phase's user with mode
 * 0200 (writing /dev/stdout works, reading it back is denied). */

struct box_started {
    int32_t pid; /* of the box's first process (confine's own, PID 1 in there), as seen outside */
    uint32_t level; /* 1 users+seccomp+namespaces, 2 +Landlock, 3 +cgroup limits */
    uint64_t cgroup_ino;
};

enum box_end { BOX_END_EXIT = 1, BOX_END_SIGNAL, BOX_END_TIMEOUT, BOX_END_KILLED, BOX_END_OOM };
struct box_exited {
    uint32_t end;    /* enum box_end */
    int32_t status;  /* exit status or signal number */
    uint32_t cpu_ms; /* user and system */
    uint32_t peak_kb;
};

/* A system call that the box refused; told once per syscall and box, so that the log can name it. */
struct box_denied {
    char syscall[32];
    char program[32]; /* comm of the caller; untrusted text */
};

/* Where HOME is in a box whose profile has none on disk. */
#define BOX_HOME_PATH "/home/box"

/* The command: where it runs, relative to the profile's folder ("." for itself), argv and env ("NAME=value").
 * Read by confine only after root is dropped. PATH, HOME (BOX_HOME_PATH on tmpfs; P/run for ACTIVATE and APP) and LANG are
 * added where envp has none. /tmp is the box's own: on disk in P/cache or P/run for BUILD and RELEASE, P/run/tmp for
 * ACTIVATE and APP, 64 MiB of memory for the others. */
#define BOX_ARGS_MAX    160
#define BOX_ENV_MAX     256
#define BOX_COMMAND_MAX (512u * 1024u)

struct box_command {
    char *cwd;
    char **argv; /* NULL-terminated */
    char **envp; /* NULL-terminated */
    struct buf text; /* owns all of it; wipe-freed: env holds secrets */
};

/* Appends the wire form to out. E_BOX_COMMAND beyond the limits. */
int box_command_pack(const char *cwd, const char *const *argv, const char *const *envp, struct buf *out,
                     struct error *err) KLY_MUST_USE;
/* Takes a whole wire form apart; takes over *text (empty afterwards), also on failure. */
int box_command_unpack(struct buf *text, struct box_command *out, struct error *err) KLY_MUST_USE;
void box_command_free(struct box_command *command);

#endif
