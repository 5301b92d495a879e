/* Happy path: open the folder, start the parts, listen, run the loop until SIGTERM or SIGINT.
 * Failures: whatever cannot start ends the program with one line; once it runs, nothing from outside does.
 * Close: accept no more → goaway to hosts, end of streams, idle connections closed → after at most 5 s what is
 * left is cut → the loop runs dry. */
#include "plane/plane.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "plane/agents.h"
#include "plane/api/api.h"
#include "plane/follow.h"
#include "plane/poll.h"
#include "plane/resolve.h"
#include "plane/retention.h"

#define TICKETS_S       86400
#define ROTATE_MS       (12ull * 3600 * 1000)
#define STOP_GRACE_MS   5000
#define WRONG_A_MINUTE  10
#define AGENTS_OPEN_MAX 4096

#ifndef KLY_FETCH_PROGRAM
#define KLY_FETCH_PROGRAM "/usr/local/libexec/klystrr/klystrr-fetch"
#endif

void plane_log(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    /* What a host or a Git server says must not forge lines here. */
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (n >= 0)
        fprintf(stderr, "klystrr-plane: %s\n", line);
}

/* ---- starting ---- */

static int harden(struct error *err)
{
    struct rlimit none = {0, 0}, files;
    umask(077);
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return fail(err, "E_START", "core dumps could not be turned off");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) < 0)
            plane_log("the limit of open files stays low");
    }
    return 0;
}

static void on_agent_accept(void *ctx, struct conn *c)
{
    struct plane *p = ctx;
    struct error err;
    struct conn *secure = tls_conn_server(c, p->agents_tls, 0, &err);
    if (secure != NULL)
        http_server_take(p->agents_http, secure);
}

static void on_api_accept(void *ctx, struct conn *c)
{
    struct plane *p = ctx;
    struct error err;
    struct conn *secure = tls_conn_server(c, p->api_tls, 0, &err);
    if (secure != NULL)
        http_server_take(p->api_http, secure);
}

static int make_tls(struct plane *p, struct error *err)
{
    const struct home *h = &p->home;
    struct tls_server_options options = {.cert_pem = buf_text(&h->server_pem),
                                         .key_pem = buf_text(&h->server_key)};
    p->tickets = tls_tickets_new(TICKETS_S, err);
    if (p->tickets == NULL)
        return -1;
    p->api_tls = tls_context_server(&options, err);
    options.client_cert = TLS_CLIENT_CERT_OPTIONAL;
    options.client_ca_pem = buf_text(&h->ca_pem);
    options.tickets = p->tickets;
    p->agents_tls = p->api_tls != NULL ? tls_context_server(&options, err) : NULL;
    return p->agents_tls != NULL ? 0 : -1;
}

/* Where to listen for a URL: on its own address if that is one of the loopback, else on all of them. */
static int listen_default(const char *url, char *address, size_t room, uint16_t *port, struct error *err)
{
    struct plane_url u;
    if (url_plane(url, &u, err) < 0)
        return -1;
    bool loopback = strncmp(u.host, "127.", 4) == 0 || strcmp(u.host, "::1") == 0;
    snprintf(address, room, "%s", loopback ? u.host : strcmp(u.host, "localhost") == 0 ? "127.0.0.1" : "::");
    *port = u.port;
    return 0;
}

static int listen_flag(const char *flag, char *address, size_t room, uint16_t *port, struct error *err)
{
    const char *colon = strrchr(flag, ':');
    char *end = NULL;
    unsigned long number = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    if (colon == NULL || colon == flag || *end != '\0' || end == colon + 1 || number > 65535)
        return fail(err, "E_USAGE", "'%s' is no ADDRESS:PORT", flag);
    bool bracket = flag[0] == '[' && colon[-1] == ']';
    snprintf(address, room, "%.*s", (int)(colon - flag) - 2 * bracket, flag + bracket);
    *port = (uint16_t)number;
    return 0;
}

static struct listener *listen_on(struct plane *p, const char *flag, const char *url,
                                  void (*on_accept)(void *, struct conn *), struct error *err)
{
    char address[URL_HOST_MAX + 1];
    uint16_t port = 0;
    struct listener_options options = {.max_open = AGENTS_OPEN_MAX, .on_accept = on_accept, .ctx = p};
    int rc = flag != NULL ? listen_flag(flag, address, sizeof address, &port, err)
                          : listen_default(url, address, sizeof address, &port, err);
    if (rc < 0)
        return NULL;
    struct listener *l = listener_tcp(&p->net, address, port, &options, err);
    /* A machine without IPv6. */
    if (l == NULL && flag == NULL && strcmp(address, "::") == 0)
        l = listener_tcp(&p->net, "0.0.0.0", port, &options, err);
    if (l != NULL)
        plane_log("%s: listening on %s port %u", url, address, (unsigned)listener_port(l));
    return l;
}

static int start_parts(struct plane *p, const struct plane_options *o, struct error *err)
{
    if (follow_start(p, err) < 0 || agents_start(p, err) < 0 ||
        resolve_start(p, o->fetch_program != NULL ? o->fetch_program : KLY_FETCH_PROGRAM, err) < 0 ||
        poll_start(p, err) < 0)
        return -1;
    static const struct http_server_options options = {.max_connections = AGENTS_OPEN_MAX};
    p->agents_http = http_server_new(&p->net, &agents_handler, p, &options, err);
    p->api_http = p->agents_http != NULL ? http_server_new(&p->net, &api_handler, p, &options, err) : NULL;
    return p->api_http != NULL ? 0 : -1;
}

/* "localhost" is two addresses, and clients differ in which they try. The second is not on every machine. */
static struct listener *listen_too(struct plane *p, const char *flag, const char *url, const struct listener *first,
                                   void (*on_accept)(void *, struct conn *))
{
    struct plane_url u;
    struct listener_options options = {.max_open = AGENTS_OPEN_MAX, .on_accept = on_accept, .ctx = p};
    if (flag != NULL || url_plane(url, &u, NULL) < 0 || strcmp(u.host, "localhost") != 0)
        return NULL;
    return listener_tcp(&p->net, "::1", listener_port(first), &options, NULL);
}

static int start_listening(struct plane *p, const struct plane_options *o, struct error *err)
{
    struct listener **l = p->listeners;
    l[0] = listen_on(p, o->listen_agents, p->home.agent_url, on_agent_accept, err);
    l[1] = l[0] != NULL ? listen_on(p, o->listen_api, p->home.api_url, on_api_accept, err) : NULL;
    if (l[1] == NULL)
        return -1;
    l[2] = listen_too(p, o->listen_agents, p->home.agent_url, l[0], on_agent_accept);
    l[3] = listen_too(p, o->listen_api, p->home.api_url, l[1], on_api_accept);
    return 0;
}

static void stop_listening(struct plane *p)
{
    for (int i = 0; i < PLANE_LISTENERS; i++)
        if (p->listeners[i] != NULL)
            listener_close(&p->listeners[i]);
}

/* ---- stopping ---- */

struct ending {
    struct plane *plane;
    uv_signal_t term, interrupt;
    struct loop_timer *rotate, *deadline, *check;
    bool finished;
};

static void forget_old(struct plane *p)
{
    struct error err;
    int64_t removed = 0;
    if (retention_run(&p->store, &p->logs, clock_wall_ms(), &removed, &err) < 0)
        plane_log("forgetting what is old: %s: %s", err.code, err.text);
    else if (removed > 0)
        plane_log("removed %lld logs older than 90 days", (long long)removed);
}

static void on_rotate(void *ctx)
{
    struct ending *e = ctx;
    struct error err;
    forget_old(e->plane);
    if (tls_tickets_rotate(e->plane->tickets, &err) < 0)
        plane_log("%s", err.text);
}

/* Everything that keeps the loop alive, closed. What is still connected is cut. */
static void finish(struct ending *e)
{
    struct plane *p = e->plane;
    if (e->finished)
        return;
    e->finished = true;
    stop_listening(p);
    agents_cut(p);
    follow_stop(p);
    poll_stop(p);
    resolve_stop(p);
    if (p->agents_http != NULL)
        http_server_free(&p->agents_http, NULL);
    if (p->api_http != NULL)
        http_server_free(&p->api_http, NULL);
    struct loop_timer **timers[] = {&e->rotate, &e->deadline, &e->check};
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++)
        if (*timers[i] != NULL)
            loop_timer_free(timers[i]);
    uv_close((uv_handle_t *)&e->term, NULL);
    uv_close((uv_handle_t *)&e->interrupt, NULL);
}

static void on_deadline(void *ctx)
{
    finish(ctx);
}

static void on_check(void *ctx)
{
    struct ending *e = ctx;
    struct plane *p = e->plane;
    if (agents_count(p) == 0 && http_server_connections(p->agents_http) == 0 &&
        http_server_connections(p->api_http) == 0)
        finish(e);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct ending *e = signal->data;
    struct plane *p = e->plane;
    (void)number;
    if (p->stopping) {
        finish(e);
        return;
    }
    plane_log("going down");
    agents_stop(p);
    p->stopping = true;
    stop_listening(p);
    follow_stop(p);
    poll_stop(p);
    resolve_stop(p);
    http_server_drain(p->agents_http);
    http_server_drain(p->api_http);
    loop_timer_start(e->deadline, STOP_GRACE_MS, 0);
    loop_timer_start(e->check, 0, 50);
}

static int start_ending(struct ending *e, struct error *err)
{
    struct plane *p = e->plane;
    uv_signal_init(&p->uv, &e->term);
    uv_signal_init(&p->uv, &e->interrupt);
    e->term.data = e->interrupt.data = e;
    e->rotate = loop_timer_new(&p->net, on_rotate, e);
    e->deadline = loop_timer_new(&p->net, on_deadline, e);
    e->check = loop_timer_new(&p->net, on_check, e);
    if (e->rotate == NULL || e->deadline == NULL || e->check == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    loop_timer_start(e->rotate, ROTATE_MS, ROTATE_MS);
    if (uv_signal_start(&e->term, on_signal, SIGTERM) < 0 ||
        uv_signal_start(&e->interrupt, on_signal, SIGINT) < 0)
        return fail(err, "E_START", "signals cannot be caught");
    return 0;
}

/* ---- all of it ---- */

static int open_logs(struct plane *p, struct error *err)
{
    char path[HOME_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/logs", p->home.dir);
    return logstore_open(&p->logs, path, err);
}

static int run(struct plane *p, const struct plane_options *o, struct error *err)
{
    struct ending e = {.plane = p};
    int rc = start_ending(&e, err);
    if (rc == 0)
        rc = open_logs(p, err);
    if (rc == 0)
        rc = make_tls(p, err);
    if (rc == 0)
        rc = start_parts(p, o, err);
    if (rc == 0)
        rc = start_listening(p, o, err);
    if (rc < 0)
        finish(&e);
    else
        forget_old(p);
    if (rc == 0)
        plane_log("plane %s, version %s, is up", p->home.id, KLY_VERSION);
    uv_run(&p->uv, UV_RUN_DEFAULT);
    return rc;
}

static void free_parts(struct plane *p)
{
    agents_free(p);
    follow_free(p);
    poll_free(p);
    resolve_free(p);
    tls_context_free(p->agents_tls);
    tls_context_free(p->api_tls);
    tls_tickets_free(p->tickets);
    logstore_close(&p->logs);
    net_loop_free(&p->net);
    uv_loop_close(&p->uv);
}

static int run_opened(struct plane *p, const struct plane_options *o, struct error *err)
{
    if (uv_loop_init(&p->uv) < 0)
        return fail(err, "E_START", "the event loop cannot be made");
    if (net_loop_init(&p->net, &p->uv, err) < 0)
        return -1;
    int rc = run(p, o, err);
    free_parts(p);
    return rc;
}

int plane_run(const struct plane_options *options, struct error *err)
{
    struct plane *p = calloc(1, sizeof *p);
    if (p == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    p->logs.dirfd = -1;
    p->wrong_keys.max = p->wrong_tokens.max = WRONG_A_MINUTE;
    int rc = harden(err);
    if (rc == 0)
        rc = home_open(&p->home, &p->store, options->dir, clock_wall_ms(), err);
    if (rc == 0) {
        rc = run_opened(p, options, err);
        store_close(&p->store);
        home_close(&p->home);
    }
    free(p);
    return rc;
}
