/* What is said on control.sock: local root (the `klystrr` command) to the agent. One request, one or more answers.
 * Refusals are IPC_VERB_ERROR. Texts are JSON in a sealed memfd, masked.
 *
 * The status (also LINK_STATUS, where the uplink puts its own `link` in):
 *   {"version","server","trust":N,"box_level":N,"link":{"online":bool,"text","since"},"warnings":["…"],
 *    "projects":[{"project","live":"<release>" or "","commit","state":"idle" or a state of wire.md,"deployment","stopped":bool,
 *                 "apps":[{"app","process","state":"running|starting|stopped|failed","slot":"blue|green","port":N,"pid":N,"text"}],
 *                 "last":{"deployment","outcome","at","code","text"} or null}]}
 * The releases: {"releases":[{"release","commit","state":"live|kept","deployed"}]} */
#ifndef KLY_IPC_CONTROL_API_H
#define KLY_IPC_CONTROL_API_H

#include <stdint.h>

#define CONTROL_SOCKET "/run/klystrr/control.sock"

enum control_verb {
    CONTROL_STATUS = 1, /* → CONTROL_TEXT */
    CONTROL_ACTIVATE,   /* control_target with release → CONTROL_ACCEPTED; a kept release, the live one too */
    CONTROL_ROLLBACK,   /* control_target → CONTROL_ACCEPTED: the release before the live one */
    CONTROL_RESTART,    /* control_target → CONTROL_ACCEPTED: activates the live release again */
    CONTROL_STOP,       /* control_target → CONTROL_DONE: the project's apps stop and stay stopped */
    CONTROL_START,      /* control_target → CONTROL_ACCEPTED */
    CONTROL_CANCEL,     /* control_target → CONTROL_DONE: the running deployment ends */
    CONTROL_RELEASES,   /* control_target → CONTROL_TEXT */
    CONTROL_WATCH,      /* control_watch → CONTROL_EVENT… until its result, then CONTROL_DONE */
    CONTROL_LOG,        /* control_watch → CONTROL_DONE + read-only descriptor of the spool file (gzip members) */
    CONTROL_RELOAD,     /* → CONTROL_DONE: read policy.json again */
    CONTROL_TRUST_RESET,/* → CONTROL_DONE: forget versions and sequences that were lost (journal refused) */
    CONTROL_TEXT = 100, /* sealed memfd: one JSON value */
    CONTROL_ACCEPTED,   /* control_watch: the local deployment's id */
    CONTROL_EVENT,      /* sealed memfd: one JSON event, as in proto/wire.md */
    CONTROL_DONE
};

struct control_target {
    char project[32];
    char release[40]; /* "" where not needed */
};
struct control_watch {
    char deployment[24];
};

#endif
