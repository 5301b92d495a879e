/* REST, /api/v1 (proto/api.md): a table of routes, and a file a resource. */
#ifndef KLY_PLANE_API_API_H
#define KLY_PLANE_API_API_H

#include "plane/plane.h"
#include "proto/json.h"
#include "proto/json_write.h"

#define API_BODY_MAX   (1024 * 1024)
#define API_ANSWER_MAX (8 * 1024 * 1024)
#define API_PARAMS     2

extern const struct http_handler api_handler; /* ctx: struct plane */

struct call;
struct route {
    const char *method, *path; /* '*' stands for one segment */
    void (*run)(struct call *c);
    size_t body;   /* cap; 0: none */
    bool open;     /* no API key needed */
    bool json;     /* the body is one JSON object, checked: call.body */
    bool any_type; /* whatever the Content-Type */
};

/* One request. Lives until the exchange is gone, its function has returned and nothing asynchronous holds it.
 */
struct call {
    struct plane *plane;
    struct http_exchange *x; /* NULL: the client left */
    const struct route *route;
    char param[API_PARAMS][64];
    char account[STORE_NAME_MAX];
    cJSON *tree;
    struct json_at body;
    int refs;
    struct log_reader *log;
    bool raw;
};

/* ---- answering ---- */

/* The status of an error code; 422 for what is said of contents. */
int api_status(const struct error *err);
void api_error(struct call *c, const struct error *err);
void api_fail(struct call *c, int status, const char *code, const char *format, ...) KLY_PRINTF(4, 5);
void api_json(struct call *c, int status, struct buf *body);
void api_empty(struct call *c); /* 204 */
/* Finishes a writer and answers with it. */
void api_write(struct call *c, int status, struct json_writer *w);

/* Something asynchronous will finish it; x may be NULL by then. */
void api_hold(struct call *c);
void api_release(struct call *c);

/* ---- helpers that answer by themselves when they fail (and then return false) ---- */

bool api_project(struct call *c, struct store_project *p); /* param 0 */
bool api_server(struct call *c, const char *id, struct store_server *v);
bool api_deployment(struct call *c, struct store_deployment *d); /* param 0 */
/* Refuses members that are not in allowed[] (ends with NULL): a typo must not be taken for "nothing to do". */
bool api_members(struct call *c, const char *const *allowed);

/* ---- resources ---- */

void api_healthz(struct call *c);
void api_plane(struct call *c);
void api_trust_put(struct call *c);
void api_trust_get(struct call *c);
void api_servers_post(struct call *c);
void api_servers_get(struct call *c);
void api_server_get(struct call *c);
void api_server_delete(struct call *c);
void api_server_token(struct call *c);
void api_projects_post(struct call *c);
void api_projects_get(struct call *c);
void api_project_get(struct call *c);
void api_project_delete(struct call *c);
void api_project_patch(struct call *c);
void api_manifest_put(struct call *c);
void api_manifest_get(struct call *c);
void api_releases_get(struct call *c);
void api_webhook_put(struct call *c);
void api_webhook_delete(struct call *c);
void api_env_get(struct call *c);
void api_env_patch(struct call *c);
void api_deployments_post(struct call *c);
void api_deployments_get(struct call *c);
void api_deployment_get(struct call *c);
void api_deployment_cancel(struct call *c);
void api_rollback(struct call *c);
void api_restart(struct call *c);
void api_events(struct call *c);
void api_log(struct call *c);
void api_log_gz(struct call *c);
void api_log_more(struct call *c); /* on_drain */
void api_hook(struct call *c);

void api_put_deployment(struct json_writer *w, const char *name, const struct store_deployment *d);

#endif
