/* What is said on warden.sock: fixed verbs over fixed records, one answer each (the same verb, or IPC_VERB_ERROR).
 *
 * The warden takes names, never paths, and obeys root's compiled policy (policy_table.h): a project, domain or port
 * that it does not allow is refused here too, whatever the agent says. P is /srv/klystrr/<project>.
 * A paused project: E_WARDEN_PAUSED for PROJECT_ENSURE, RELEASE_COMMIT and VHOST_SET: nothing new is made. What was
 * released before may run, and start again after a reboot; that no order is taken meanwhile is the agent's to see to. */
#ifndef KLY_IPC_WARDEN_API_H
#define KLY_IPC_WARDEN_API_H

#include <stdint.h>

#define WARDEN_SOCKET "/run/klystrr/warden.sock"
#define WARDEN_APPS_MAX    8
#define WARDEN_DOMAINS_MAX 16

enum warden_verb {
    WARDEN_PROJECT_ENSURE = 1, /* warden_project   → warden_project_is: users, folders, ports; idempotent */
    WARDEN_PROJECT_REMOVE,     /* warden_name      → the same: vhosts, folders, ports and users go; units must be stopped before */
    WARDEN_RELEASE_COMMIT,     /* warden_commit    → the same: P/staging/<staging> becomes P/releases/<release> */
    WARDEN_RELEASE_TRASH,      /* warden_name      → the same: P/releases/<release> becomes P/staging/trash-<release>; never the current one */
    WARDEN_CURRENT_SET,        /* warden_name      → the same: the symlink P/current, atomically */
    WARDEN_VHOST_SET,          /* warden_vhost     → warden_vhost_is: render, test, install, reload if anything changed */
    WARDEN_VHOST_DROP,         /* warden_app       → the same */
    WARDEN_FLAG_SET,           /* warden_flag      → the same: which of the two ports is served; one rename, no reload */
    WARDEN_UNIT_START,         /* warden_unit + descriptor: sealed memfd with a box command → warden_unit_is */
    WARDEN_UNIT_STOP,          /* warden_unit      → warden_unit_is: once it is gone; UNIT_STOPPING if it still lives 10 s after its grace */
    WARDEN_UNIT_STATE,         /* warden_unit      → warden_unit_is */
    WARDEN_NODE_ENSURE,        /* warden_node      → warden_node: /opt/klystrr/node/.staging-<version> for klystrr-node, unless there */
    WARDEN_NODE_PUBLISH,       /* warden_node      → warden_node: the staging becomes /opt/klystrr/node/<version> */
    WARDEN_VERBS
};

struct warden_name {
    char project[32];
    char release[40]; /* "" where the verb needs none */
};
struct warden_app {
    char project[32];
    char app[24];
};
struct warden_project {
    char project[32];
    uint32_t app_count;
    char apps[WARDEN_APPS_MAX][24]; /* each gets two ports for life: blue and green */
};
struct warden_project_is {
    uint32_t build_uid, build_gid; /* kb-<project> */
    uint32_t app_uid, app_gid;     /* ka-<project> */
    uint32_t group_gid;            /* kp-<project>: both; owns releases/ and writable paths */
    uint16_t ports[WARDEN_APPS_MAX][2]; /* [app][0 blue, 1 green], in the order asked */
};
struct warden_commit {
    char project[32];
    char staging[72];
    char release[40];
};
struct warden_vhost {
    char project[32];
    char app[24];
    uint16_t listen; /* 80, or 1024 to 32767 */
    uint16_t max_body_mb;
    uint32_t name_count;
    char names[WARDEN_DOMAINS_MAX][254];
};
struct warden_vhost_is {
    uint32_t changed;   /* nginx was reloaded */
    char generation[24]; /* hex; a loopback request sees it as X-Klystrr-Vhost once the new configuration answers */
};
struct warden_flag {
    char project[32];
    char app[24];
    uint32_t green; /* 0: blue's port is served, 1: green's */
};
struct warden_unit {
    char project[32];
    char app[24];  /* "" : the project's pm2 daemon */
    uint32_t slot; /* 0 blue, 1 green; 0 for the daemon */
    char node[32]; /* START: Node version that the box shows, "" for the system's */
    uint32_t memory_mb, tasks; /* START: limits where a controller is there */
    uint32_t stop_s; /* grace from SIGTERM to SIGKILL, 1 to 300 */
};
enum warden_unit_state { UNIT_ABSENT = 0, UNIT_STARTING, UNIT_RUNNING, UNIT_STOPPING, UNIT_FAILED };
struct warden_unit_is {
    uint32_t state;
    int32_t pid;
    uint32_t restarts;
    int32_t last_status; /* how it ended last, waitpid's form; -1 unknown */
};
struct warden_node {
    char version[32];
    uint32_t present; /* in the answer: it is published */
};

#endif
