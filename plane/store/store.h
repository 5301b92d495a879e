/* What the plane remembers, as rows. One writer: the plane's loop. Everything that was answered with 0 outside
 * a transaction is on the disk; inside store_begin … store_end it is there when store_end has answered 0.
 *
 * Times are wall-clock milliseconds, 0 is never. Codes: E_STORE (broken or locked), E_STORE_FULL (disk full),
 * E_EXISTS (that name is taken). Functions that look one row up return 1 if it is not there.
 * Values are never stored in clear: what has to be secret comes here already encrypted (plane/vault.h). */
#ifndef KLY_PLANE_STORE_STORE_H
#define KLY_PLANE_STORE_STORE_H

#include "base/buf.h"
#include "plane/store/db.h"

#define STORE_NAME_MAX     64
#define STORE_ENVELOPE_MAX (384 * 1024)
#define STORE_SEALED_MAX   (192 * 1024)

struct store {
    struct db db;
};

/* Makes or migrates the file. E_STORE_VERSION: it was written by a newer Klystrr. */
int store_open(struct store *s, const char *path, struct error *err) KLY_MUST_USE;
void store_close(struct store *s);
int store_begin(struct store *s, struct error *err) KLY_MUST_USE;
int store_end(struct store *s, bool ok, struct error *err) KLY_MUST_USE;

/* ---- settings and API keys ---- */

/* 1: not set. Text is cut to fit. */
int store_setting(struct store *s, const char *name, char *out, size_t room, struct error *err) KLY_MUST_USE;
int store_set(struct store *s, const char *name, const char *value, struct error *err) KLY_MUST_USE;

struct store_key {
    int64_t id, created, last_used, revoked;
    char account[STORE_NAME_MAX], name[STORE_NAME_MAX];
};
/* hash: SHA-256 of the key. E_EXISTS. */
int store_key_add(struct store *s, const char *account, const char *name, const uint8_t *hash, int64_t now,
                  struct error *err) KLY_MUST_USE;
/* A key that is not revoked; notes its use (to the minute). 1: no such key. */
int store_key_find(struct store *s, const uint8_t *hash, int64_t now, struct store_key *out,
                   struct error *err) KLY_MUST_USE;
int store_key_revoke(struct store *s, const char *name, int64_t now,
                     struct error *err) KLY_MUST_USE; /* 1: none */
int store_keys(struct store *s, int (*each)(void *ctx, const struct store_key *k), void *ctx,
               struct error *err) KLY_MUST_USE;

/* ---- servers ---- */

struct store_server {
    char id[24], name[STORE_NAME_MAX], hostname[256], version[32];
    char cert_serial[48];
    uint8_t cert_sha256[32], next_sha256[32], seal[65];
    bool enrolled, has_next; /* next: renewed, but not seen in a connect yet */
    int64_t created, cert_expires, revoked, last_seen, box_level, clock_skew, conn_gen, trust_version;
};
int store_server_add(struct store *s, const char *id, const char *name, int64_t now,
                     struct error *err) KLY_MUST_USE;
int store_server(struct store *s, const char *id, struct store_server *out, struct error *err) KLY_MUST_USE;
int store_servers(struct store *s, int (*each)(void *ctx, const struct store_server *v), void *ctx,
                  struct error *err) KLY_MUST_USE;
/* Its row, sealed env bundles, releases and stream ends; its open deployments are ended as cancelled. 1: none.
 */
int store_server_remove(struct store *s, const char *id, int64_t now, struct error *err) KLY_MUST_USE;
/* A new token replaces an older one. */
int store_token_set(struct store *s, const char *id, const uint8_t *hash, int64_t expires,
                    struct error *err) KLY_MUST_USE;
/* Uses the token up, if it is this server's and not too old: 0; else 1, and nothing changed. */
int store_token_use(struct store *s, const char *id, const uint8_t *hash, int64_t now,
                    struct error *err) KLY_MUST_USE;
struct store_enrolment {
    const char *id, *hostname, *version, *cert_serial;
    const uint8_t *cert_sha256, *seal;
    int64_t cert_expires;
};
/* A new identity: what the server had before (streams, sequences, releases) belongs to a host that is gone. */
int store_server_enrolled(struct store *s, const struct store_enrolment *e, struct error *err) KLY_MUST_USE;
/* A renewed certificate; the old one stays good until the new one is used. */
int store_server_renewed(struct store *s, const char *id, const uint8_t *sha256,
                         struct error *err) KLY_MUST_USE;
/* The renewed certificate was shown: from now on it is the only one. */
int store_server_promote(struct store *s, const char *id, const char *serial, int64_t expires,
                         struct error *err) KLY_MUST_USE;
/* A new connection: *gen is higher than any before. */
int store_server_connected(struct store *s, const char *id, int64_t now, int64_t *gen,
                           struct error *err) KLY_MUST_USE;
int store_server_seen(struct store *s, const char *id, int64_t now, struct error *err) KLY_MUST_USE;
int store_server_hello(struct store *s, const struct store_server *told, struct error *err) KLY_MUST_USE;

/* ---- documents: trust and manifests, as signed ---- */

enum store_kind { STORE_TRUST = 1, STORE_MANIFEST = 2 };
/* project is "" for trust. E_EXISTS if that version is there with other bytes; the same again is fine. */
int store_document_add(struct store *s, enum store_kind kind, const char *project, int64_t version,
                       const char *digest, struct bytes envelope, int64_t now, struct error *err) KLY_MUST_USE;
/* The newest (version 0) or that version. Any of the outputs may be NULL; digest takes 65 bytes. 1: none. */
int store_document(struct store *s, enum store_kind kind, const char *project, int64_t version, int64_t *found,
                   char *digest, struct buf *envelope, struct error *err) KLY_MUST_USE;
int store_document_by_digest(struct store *s, const char *digest, struct buf *envelope,
                             struct error *err) KLY_MUST_USE;

/* ---- projects ---- */

struct store_project {
    char name[32];
    int64_t created, env_version, poll_seconds;
    bool webhook;
};
int store_project_add(struct store *s, const char *name, int64_t now, struct error *err) KLY_MUST_USE;
int store_project(struct store *s, const char *name, struct store_project *out, struct error *err) KLY_MUST_USE;
int store_projects(struct store *s, int (*each)(void *ctx, const struct store_project *p), void *ctx,
                   struct error *err) KLY_MUST_USE;
/* With its manifests, env, releases and deployments. 1: none. Names of the deployments (for their logs) go to
 * each. */
int store_project_remove(struct store *s, const char *name, struct error *err) KLY_MUST_USE;
int store_project_poll(struct store *s, const char *name, int64_t seconds, struct error *err) KLY_MUST_USE;
/* sealed: the encrypted secret; NULL removes the webhook. */
int store_webhook_set(struct store *s, const char *project, const struct buf *sealed,
                      struct error *err) KLY_MUST_USE;
int store_webhook(struct store *s, const char *project, struct buf *sealed, struct error *err) KLY_MUST_USE;

/* ---- env ---- */

struct store_env {
    char name[136];
    int64_t updated;
    bool too_short;
    struct bytes sealed; /* borrowed for the call */
};
int store_env_set(struct store *s, const char *project, const struct store_env *value,
                  struct error *err) KLY_MUST_USE;
int store_env_unset(struct store *s, const char *project, const char *name, struct error *err) KLY_MUST_USE;
int store_env_each(struct store *s, const char *project, int (*each)(void *ctx, const struct store_env *e),
                   void *ctx, struct error *err) KLY_MUST_USE;
int store_env_count(struct store *s, const char *project, int64_t *count, struct error *err) KLY_MUST_USE;
int store_env_bump(struct store *s, const char *project, int64_t *version, struct error *err) KLY_MUST_USE;
/* The env document made for one server's seal key, so that the same version always is the same bytes. */
int store_env_doc(struct store *s, const char *project, const char *server, int64_t version,
                  const uint8_t *seal, char *digest, struct buf *envelope, struct error *err) KLY_MUST_USE;
int store_env_doc_add(struct store *s, const char *project, const char *server, int64_t version,
                      const uint8_t *seal, const char *digest, struct bytes envelope,
                      struct error *err) KLY_MUST_USE;
int store_env_doc_by_digest(struct store *s, const char *server, const char *digest, struct buf *envelope,
                            struct error *err) KLY_MUST_USE;

/* ---- deployments ---- */

struct store_deployment {
    char id[24], project[32], server[24];
    char action[12]; /* deploy, activate, cancel */
    char commit[65], release[40], target[24];
    char manifest[65]; /* digest, of the last order made */
    char state[16], outcome[20], code[48], text[1100], serving[40];
    char trigger[12], order_digest[65];
    int64_t sequence, attempts, created, started, finished, elapsed_ms;
};
int store_deployment_add(struct store *s, const struct store_deployment *d, struct error *err) KLY_MUST_USE;
int store_deployment(struct store *s, const char *id, struct store_deployment *out,
                     struct error *err) KLY_MUST_USE;
/* Everything but id, project, server, action, trigger, created. */
int store_deployment_save(struct store *s, const struct store_deployment *d, struct error *err) KLY_MUST_USE;
typedef int store_deployment_each(void *ctx, const struct store_deployment *d);
/* A project's, newest first; cancels are left out. */
int store_deployments(struct store *s, const char *project, int64_t limit, store_deployment_each *each,
                      void *ctx, struct error *err) KLY_MUST_USE;
/* A server's that are not done, oldest first, cancels included. */
int store_deployments_open(struct store *s, const char *server, store_deployment_each *each, void *ctx,
                           struct error *err) KLY_MUST_USE;
int store_deployment_by_order(struct store *s, const char *server, const char *order_digest,
                              struct store_deployment *out, struct error *err) KLY_MUST_USE;
/* Is this commit the newest thing asked for there? The newest deploy of that server and project, done or not.
 * 1: none. */
int store_deployment_newest(struct store *s, const char *project, const char *server,
                            struct store_deployment *out, struct error *err) KLY_MUST_USE;
/* The highest sequence the plane has given out or a host has told. */
int store_sequence(struct store *s, const char *server, const char *project, int64_t *sequence,
                   struct error *err) KLY_MUST_USE;
int store_sequence_raise(struct store *s, const char *server, const char *project, int64_t sequence,
                         struct error *err) KLY_MUST_USE;

/* One line of a host's `events`. added: false if it was there already. */
int store_event_add(struct store *s, const char *deployment, const char *event, const char *json, bool *added,
                    struct error *err) KLY_MUST_USE;
int store_events(struct store *s, const char *deployment, int64_t after, int64_t limit,
                 int (*each)(void *ctx, int64_t id, const char *event, const char *json), void *ctx,
                 struct error *err) KLY_MUST_USE;
/* An event without a deployment; the newest 500 of a server are kept. */
int store_host_event_add(struct store *s, const char *server, const char *json, int64_t now,
                         struct error *err) KLY_MUST_USE;

struct store_release {
    char server[24], release[40], commit[65];
    bool live;
    int64_t deployed, since;
};
/* It serves now; what was live before is kept; of the kept, the newest `retain` - 1 stay. */
int store_release_live(struct store *s, const char *project, const struct store_release *r, int64_t retain,
                       struct error *err) KLY_MUST_USE;
int store_releases(struct store *s, const char *project, int (*each)(void *ctx, const struct store_release *r),
                   void *ctx, struct error *err) KLY_MUST_USE;
/* name "": the live one; before: the newest below that sequence. 1: none. */
int store_release(struct store *s, const char *project, const char *server, const char *name,
                  struct store_release *out, struct error *err) KLY_MUST_USE;
int store_release_before(struct store *s, const char *project, const char *server, int64_t sequence,
                         struct store_release *out, struct error *err) KLY_MUST_USE;

/* ---- streams: how far a host's bytes are durable here ---- */

struct store_stream {
    char server[24], name[32];
    int64_t end;      /* of the stream */
    int64_t file_end; /* of the file: differs if a gap was noted */
    bool closed;
};
int store_stream(struct store *s, const char *server, const char *name, struct store_stream *out,
                 struct error *err) KLY_MUST_USE;
int store_stream_save(struct store *s, const struct store_stream *v, struct error *err) KLY_MUST_USE;
int store_streams(struct store *s, const char *server, int (*each)(void *ctx, const struct store_stream *v),
                  void *ctx, struct error *err) KLY_MUST_USE;

/* ---- retention ---- */

/* Deployments that are done, were asked for before then, and whose log is still here. By our own clock: a
 * host's may be years off. */
int store_logs_before(struct store *s, int64_t before, int64_t limit,
                      int (*each)(void *ctx, const char *deployment), void *ctx,
                      struct error *err) KLY_MUST_USE;
int store_log_forget(struct store *s, const char *deployment, struct error *err) KLY_MUST_USE;
/* Revoked API keys and host events from before then. */
int store_forget_before(struct store *s, int64_t before, struct error *err) KLY_MUST_USE;

#endif
