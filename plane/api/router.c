/* A request's way: head → route → key → body → the resource's function → one answer. What is wrong with the
 * head is answered before a byte of the body is read. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/names.h"
#include "plane/api/api.h"
#include "plane/follow.h"
#include "trust/digest.h"

static const struct route routes[] = {
    {.method = "GET", .path = "/healthz", .run = api_healthz, .open = true},
    {.method = "GET", .path = "/api/v1/plane", .run = api_plane},
    {.method = "PUT", .path = "/api/v1/trust", .run = api_trust_put, .body = STORE_ENVELOPE_MAX},
    {.method = "GET", .path = "/api/v1/trust", .run = api_trust_get},
    {.method = "POST", .path = "/api/v1/servers", .run = api_servers_post, .body = 4096, .json = true},
    {.method = "GET", .path = "/api/v1/servers", .run = api_servers_get},
    {.method = "GET", .path = "/api/v1/servers/*", .run = api_server_get},
    {.method = "DELETE", .path = "/api/v1/servers/*", .run = api_server_delete},
    {.method = "POST",
     .path = "/api/v1/servers/*/token",
     .run = api_server_token,
     .body = 4096,
     .any_type = true},
    {.method = "POST", .path = "/api/v1/projects", .run = api_projects_post, .body = 4096, .json = true},
    {.method = "GET", .path = "/api/v1/projects", .run = api_projects_get},
    {.method = "GET", .path = "/api/v1/projects/*", .run = api_project_get},
    {.method = "DELETE", .path = "/api/v1/projects/*", .run = api_project_delete},
    {.method = "PATCH", .path = "/api/v1/projects/*", .run = api_project_patch, .body = 4096, .json = true},
    {.method = "PUT",
     .path = "/api/v1/projects/*/manifest",
     .run = api_manifest_put,
     .body = STORE_ENVELOPE_MAX},
    {.method = "GET", .path = "/api/v1/projects/*/manifest", .run = api_manifest_get},
    {.method = "GET", .path = "/api/v1/projects/*/env", .run = api_env_get},
    {.method = "PATCH",
     .path = "/api/v1/projects/*/env",
     .run = api_env_patch,
     .body = API_BODY_MAX,
     .json = true},
    {.method = "POST",
     .path = "/api/v1/projects/*/deployments",
     .run = api_deployments_post,
     .body = 4096,
     .json = true},
    {.method = "GET", .path = "/api/v1/projects/*/deployments", .run = api_deployments_get},
    {.method = "GET", .path = "/api/v1/projects/*/releases", .run = api_releases_get},
    {.method = "POST", .path = "/api/v1/projects/*/rollback", .run = api_rollback, .body = 4096, .json = true},
    {.method = "POST", .path = "/api/v1/projects/*/restart", .run = api_restart, .body = 4096, .json = true},
    {.method = "PUT",
     .path = "/api/v1/projects/*/webhook",
     .run = api_webhook_put,
     .body = 4096,
     .any_type = true},
    {.method = "DELETE", .path = "/api/v1/projects/*/webhook", .run = api_webhook_delete},
    {.method = "GET", .path = "/api/v1/deployments/*", .run = api_deployment_get},
    {.method = "POST",
     .path = "/api/v1/deployments/*/cancel",
     .run = api_deployment_cancel,
     .body = 4096,
     .any_type = true},
    {.method = "GET", .path = "/api/v1/deployments/*/events", .run = api_events},
    {.method = "GET", .path = "/api/v1/deployments/*/log", .run = api_log},
    {.method = "GET", .path = "/api/v1/deployments/*/log.gz", .run = api_log_gz},
    {.method = "POST",
     .path = "/hooks/v1/*",
     .run = api_hook,
     .body = API_BODY_MAX,
     .open = true,
     .any_type = true},
};
#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

static const struct http_header json_headers[] = {
    {"Content-Type", "application/json"}, {"Cache-Control", "no-store"}, {NULL, NULL}};

/* ---- answering ---- */

int api_status(const struct error *err)
{
    static const struct {
        const char *code;
        int status;
    } known[] = {
        {"E_JSON", 400},          {"E_MEMBER", 400},      {"E_USAGE", 400},        {"E_ENVELOPE", 400},
        {"E_BASE64", 400},        {"E_NOT_FOUND", 404},   {"E_EXISTS", 409},       {"E_DONE", 409},
        {"E_NO_TRUST", 409},      {"E_NO_MANIFEST", 409}, {"E_NO_SERVER", 409},    {"E_NO_RELEASE", 409},
        {"E_TRUST_VERSION", 409}, {"E_TOO_LARGE", 413},   {"E_RATE", 429},         {"E_STORE", 500},
        {"E_STORE_FULL", 507},    {"E_NO_MEMORY", 500},   {"E_CRYPTO", 500},       {"E_RANDOM", 500},
        {"E_VAULT", 500},         {"E_LOG", 500},         {"E_BUSY", 503},         {"E_STOPPING", 503},
        {"E_FETCH_PROGRAM", 500}, {"E_TIMEOUT", 504},     {"E_GIT_CONNECT", 502},  {"E_GIT_CERTIFICATE", 502},
        {"E_GIT_AUTH", 502},      {"E_GIT_FETCH", 502},   {"E_GIT_REDIRECT", 502},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].code, err->code) == 0)
            return known[i].status;
    return 422;
}

void api_json(struct call *c, int status, struct buf *body)
{
    if (c->x != NULL)
        http_respond(c->x, status, json_headers, body->data, body->size);
}

void api_empty(struct call *c)
{
    if (c->x != NULL)
        http_respond(c->x, 204, NULL, NULL, 0);
}

static void answer_error(struct call *c, int status, const struct error *why)
{
    struct error err;
    AUTO_BUF struct buf out = BUF(8192);
    struct json_writer w = json_writer(&out, &err);
    json_open(&w, NULL, '{');
    json_open(&w, "error", '{');
    json_put_text(&w, "code", strcmp(why->code, "E_STORE_FULL") == 0 ? "E_STORE" : why->code);
    json_put_text(&w, "text", why->text);
    json_close(&w, '}');
    json_close(&w, '}');
    if (json_done(&w) == 0)
        api_json(c, status, &out);
    else if (c->x != NULL)
        http_respond_text(c->x, 500, "E_NO_MEMORY\n");
    if (status >= 500)
        plane_log("%s %s: %s: %s", c->route != NULL ? c->route->method : "",
                  c->route != NULL ? c->route->path : "", why->code, why->text);
}

void api_error(struct call *c, const struct error *err)
{
    answer_error(c, api_status(err), err);
}

void api_fail(struct call *c, int status, const char *code, const char *format, ...)
{
    struct error err = {0};
    va_list args;
    va_start(args, format);
    snprintf(err.code, sizeof err.code, "%s", code);
    vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    answer_error(c, status, &err);
}

void api_write(struct call *c, int status, struct json_writer *w)
{
    if (json_done(w) == 0)
        api_json(c, status, w->out);
    else
        api_error(c, w->err);
}

/* ---- helpers ---- */

void api_hold(struct call *c)
{
    c->refs++;
}

void api_release(struct call *c)
{
    if (--c->refs > 0)
        return;
    log_reader_free(c->log);
    json_wipe_free(c->tree);
    free(c);
}

bool api_project(struct call *c, struct store_project *p)
{
    struct error err;
    int rc = name_is_project(c->param[0]) ? store_project(&c->plane->store, c->param[0], p, &err) : 1;
    if (rc < 0)
        api_error(c, &err);
    else if (rc > 0)
        api_fail(c, 404, "E_NOT_FOUND", "there is no project '%s'", c->param[0]);
    return rc == 0;
}

bool api_server(struct call *c, const char *id, struct store_server *v)
{
    struct error err;
    int rc = name_is_server(id) ? store_server(&c->plane->store, id, v, &err) : 1;
    if (rc < 0)
        api_error(c, &err);
    else if (rc > 0)
        api_fail(c, 404, "E_NOT_FOUND", "there is no server '%s'", id);
    return rc == 0;
}

bool api_deployment(struct call *c, struct store_deployment *d)
{
    struct error err;
    int rc = name_is_deployment(c->param[0]) ? store_deployment(&c->plane->store, c->param[0], d, &err) : 1;
    if (rc < 0)
        api_error(c, &err);
    else if (rc > 0)
        api_fail(c, 404, "E_NOT_FOUND", "there is no deployment '%s'", c->param[0]);
    return rc == 0;
}

bool api_members(struct call *c, const char *const *allowed)
{
    struct json_at item;
    for (bool more = json_first(&c->body, &item); more; more = json_next(&item)) {
        int i = 0;
        while (allowed[i] != NULL && strcmp(allowed[i], item.name) != 0)
            i++;
        if (allowed[i] == NULL) {
            api_fail(c, 400, "E_MEMBER", "%s: not known here", item.name);
            return false;
        }
    }
    return true;
}

void api_healthz(struct call *c)
{
    static const char ok[] = "{\"status\":\"ok\"}";
    http_respond(c->x, 200, json_headers, ok, sizeof ok - 1);
}

/* ---- finding the route ---- */

static bool match(const char *pattern, const char *path, char (*param)[64])
{
    int n = 0;
    while (*pattern != '\0') {
        if (*pattern != '*') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t size = strcspn(path, "/");
        if (size == 0 || size >= sizeof param[0] || n == API_PARAMS)
            return false;
        memcpy(param[n], path, size);
        param[n++][size] = '\0';
        path += size;
        pattern++;
    }
    return *path == '\0';
}

static const struct route *find_route(struct call *c, const struct http_head *h, bool *path_known)
{
    const char *method = strcmp(h->method, "HEAD") == 0 ? "GET" : h->method;
    *path_known = false;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!match(routes[i].path, h->path, c->param))
            continue;
        *path_known = true;
        if (strcmp(routes[i].method, method) == 0)
            return &routes[i];
    }
    return NULL;
}

/* Only wrong keys are slowed down: nobody can lock an owner out from the same address. */
static void refuse_key(struct call *c, bool tried)
{
    char peer[CONN_PEER_SIZE];
    conn_peer(http_conn(c->x), peer);
    bool reached = limit_reached(&c->plane->wrong_keys, peer, clock_boot_ms());
    if (tried)
        limit_count(&c->plane->wrong_keys, peer, clock_boot_ms());
    if (tried && reached)
        api_fail(c, 429, "E_RATE", "too many wrong API keys from this address; wait a minute");
    else
        api_fail(c, 401, "E_KEY", "an API key is needed: Authorization: Bearer kly_…");
}

static bool authorised(struct call *c, const struct http_head *h)
{
    struct error err = {0};
    struct store_key key;
    uint8_t hash[DIGEST_SIZE];
    const char *value = http_header(h, "Authorization");
    int rc = 1;
    if (value != NULL && strncasecmp(value, "Bearer ", 7) == 0 && strlen(value) < 256)
        rc = digest_of(value + 7, strlen(value + 7), hash, &err) < 0
                 ? -1
                 : store_key_find(&c->plane->store, hash, clock_wall_ms(), &key, &err);
    if (rc < 0)
        api_error(c, &err);
    if (rc > 0)
        refuse_key(c, value != NULL);
    if (rc == 0)
        memcpy(c->account, key.account, sizeof c->account);
    return rc == 0;
}

static bool type_is_json(const struct http_head *h)
{
    const char *type = http_header(h, "Content-Type");
    if (type == NULL)
        return false;
    size_t n = strcspn(type, "; \t");
    return n == 16 && strncasecmp(type, "application/json", n) == 0;
}

static bool has_body(const struct http_head *h)
{
    const char *length = http_header(h, "Content-Length");
    return http_header(h, "Transfer-Encoding") != NULL || (length != NULL && strcmp(length, "0") != 0);
}

/* false: answered. */
static bool check_head(struct call *c, const struct http_head *h)
{
    bool path_known;
    c->route = find_route(c, h, &path_known);
    if (c->plane->stopping) {
        api_fail(c, 503, "E_STOPPING", "the plane is going down; try again in a moment");
        return false;
    }
    /* Without a key nothing is said about what exists, routes included. */
    if ((c->route == NULL || !c->route->open) && !authorised(c, h))
        return false;
    if (c->route == NULL) {
        if (path_known)
            api_fail(c, 405, "E_METHOD", "%s is not done to this address", h->method);
        else
            api_fail(c, 404, "E_NOT_FOUND", "nothing is at this address");
        return false;
    }
    if (c->route->body > 0 && !c->route->any_type && has_body(h) && !type_is_json(h)) {
        api_fail(c, 415, "E_CONTENT_TYPE", "the body must be application/json");
        return false;
    }
    const char *length = http_header(h, "Content-Length");
    if (length != NULL && strtoull(length, NULL, 10) > (c->route->body > 0 ? c->route->body : 0)) {
        api_fail(c, 413, "E_TOO_LARGE", "the body is too large: %zu bytes at most here", c->route->body);
        return false;
    }
    return true;
}

static size_t on_head(void *ctx, struct http_exchange *x)
{
    struct call *c = calloc(1, sizeof *c);
    if (c == NULL) {
        http_respond_text(x, 503, "no memory, try again\n");
        return 0;
    }
    c->plane = ctx;
    c->x = x;
    c->refs = 1;
    http_set_user(x, c);
    /* An answer may end the exchange at once, and on_gone with it comes before we are back here. */
    api_hold(c);
    size_t body = check_head(c, http_request(x)) ? c->route->body : 0;
    api_release(c);
    return body;
}

static bool parse_body(struct call *c)
{
    struct error err;
    struct bytes body = http_body(c->x);
    static const uint8_t nothing[] = "{}";
    if (!c->route->json)
        return true;
    if (body.size == 0)
        body = (struct bytes){nothing, 2};
    struct json_limits limits = json_strict(c->route->body);
    if (json_parse(body, &limits, &c->tree, &err) < 0 || json_top(c->tree, &c->body, &err) < 0) {
        api_error(c, &err);
        return false;
    }
    return true;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct call *c = http_user(x);
    (void)ctx;
    if (c == NULL || c->route == NULL)
        return;
    api_hold(c);
    if (parse_body(c))
        c->route->run(c);
    api_release(c);
}

static void on_drain(void *ctx, struct http_exchange *x)
{
    struct call *c = http_user(x);
    if (follow_drain(ctx, x) || c == NULL || c->log == NULL)
        return;
    api_hold(c);
    api_log_more(c);
    api_release(c);
}

static void on_gone(void *ctx, struct http_exchange *x, bool complete)
{
    struct call *c = http_user(x);
    (void)complete;
    follow_gone(ctx, x);
    if (c == NULL)
        return;
    c->x = NULL;
    api_release(c);
}

const struct http_handler api_handler = {
    .on_head = on_head, .on_request = on_request, .on_drain = on_drain, .on_gone = on_gone};
