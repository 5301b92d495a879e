/* The document `manifest` (documents.md): what may be done for one project. */
#ifndef KLY_PROTO_MANIFEST_H
#define KLY_PROTO_MANIFEST_H

#include <cjson/cJSON.h>

#include "proto/order.h"
#include "proto/url.h"

#define MANIFEST_SERVERS_MAX     64
#define MANIFEST_KNOWN_HOSTS_MAX 8
#define MANIFEST_CA_MAX          (16 * 1024)
#define MANIFEST_ARGS_MAX        64
#define MANIFEST_ARG_MAX         4096
#define MANIFEST_ENV_MAX         128
#define MANIFEST_APPS_MAX        8
#define MANIFEST_DOMAINS_MAX     16
#define MANIFEST_PATHS_MAX       32

enum phase { PHASE_INSTALL, PHASE_BUILD, PHASE_RELEASE };
#define PHASE_COUNT 3
const char *phase_name(enum phase phase); /* "install" */

enum process_manager { PROCESS_PM2, PROCESS_SYSTEMD };

struct argv_list {
    const char *at[MANIFEST_ARGS_MAX + 1]; /* a NULL follows the last, as exec wants it */
    size_t count;
};
struct env_names {
    const char *at[MANIFEST_ENV_MAX];
    size_t count;
};

struct manifest_source {
    const char *url;
    enum source_kind kind;
    const char *ref;
    const char *root;                                  /* "." unless said */
    const char *since;                                 /* NULL: none */
    const char *ca;                                    /* PEM; NULL: system roots */
    const char *known_hosts[MANIFEST_KNOWN_HOSTS_MAX]; /* "type base64" */
    size_t known_host_count;
    const char *credential; /* env name; NULL: none */
};
/* All NULL: "system". Else node, npm, npm_integrity and at least one of the two integrities are there. */
struct manifest_runtime {
    const char *node, *npm;
    const char *integrity_x64, *integrity_arm64; /* "sha512-…" */
    const char *npm_integrity;
};
struct manifest_phase {
    bool present;
    struct argv_list run;
    int timeout; /* s */
    struct env_names env;
};
struct manifest_vhost {
    bool present; /* false: a worker without a port */
    const char *names[MANIFEST_DOMAINS_MAX];
    size_t name_count;
    int listen, max_body_mb;
};
struct manifest_probe {
    bool present; /* always where there is a vhost */
    const char *path;
    int status, timeout; /* timeout: s */
};
struct manifest_app {
    const char *name;
    enum process_manager process;
    struct argv_list run;
    struct env_names env;
    int instances;
    int drain, stop_timeout; /* s */
    struct manifest_vhost vhost;
    struct manifest_probe probe;
};

/* Texts belong to `tree` when decoded; to the caller, and tree is NULL, when encoded. About 25 KiB. */
struct manifest {
    char project[NAME_PROJECT_MAX + 1];
    uint64_t version;        /* 1 to 2^53-1 */
    int64_t issued, expires; /* ms */
    char servers[MANIFEST_SERVERS_MAX][ID_TEXT_SIZE];
    size_t server_count;
    struct manifest_source source;
    struct manifest_runtime runtime;
    struct manifest_phase phases[PHASE_COUNT]; /* by enum phase */
    struct env_names env, public_names, allow;
    bool env_signed;
    uint64_t env_min_version; /* 0: any */
    struct manifest_app apps[MANIFEST_APPS_MAX];
    size_t app_count;
    const char *shared[MANIFEST_PATHS_MAX];
    size_t shared_count;
    const char *writable[MANIFEST_PATHS_MAX];
    size_t writable_count;
    int memory_mb, tasks, disk_mb;
    int retain;
    cJSON *tree;
};

/* E_TYPE, E_JSON, E_MEMBER, E_CRITICAL, E_SOURCE_URL, E_ENV_NAME (a name that is refused unless env.allow lists
 * it). The text begins with the member's path. On failure nothing is owned. */
int manifest_decode(const struct verified *v, struct manifest *out, struct error *err) KLY_MUST_USE;
/* Appends the payload's JSON, all defaults written out; refuses what manifest_decode would. */
int manifest_encode(const struct manifest *m, struct buf *out, struct error *err) KLY_MUST_USE;
/* Unverified authoring use: `klystrr manifest check`, an owner's tool that wrote these bytes just now, a plane
 * that looks at an upload before it stores it. Nothing on a host may call it. */
int manifest_check(struct bytes payload, struct manifest *out, struct error *err) KLY_MUST_USE;
void manifest_free(struct manifest *m);
#define AUTO_MANIFEST __attribute__((cleanup(manifest_free)))

/* A manifest with every default of documents.md set, for authors. */
void manifest_defaults(struct manifest *m);
void manifest_app_defaults(struct manifest_app *a);
bool manifest_names_server(const struct manifest *m, const char *server);
bool env_names_have(const struct env_names *names, const char *name);

#endif
