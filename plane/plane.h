/* The hub: what the parts of the running plane share. plane.c makes it, starts the parts and ends them. */
#ifndef KLY_PLANE_PLANE_H
#define KLY_PLANE_PLANE_H

#include "net/http/http_server.h"
#include "net/loop/listener.h"
#include "net/loop/timer.h"
#include "net/tls/ticket.h"
#include "net/tls/tls_conn.h"
#include "plane/home.h"
#include "plane/limit.h"
#include "plane/logstore.h"
#include "plane/store/store.h"

struct agents;    /* plane/agents.h */
struct followers; /* plane/follow.h */
struct resolver;  /* plane/resolve.h */
struct poller;    /* plane/poll.h */

#define PLANE_LISTENERS 4

struct plane {
    uv_loop_t uv;
    struct net_loop net;
    struct home home; /* keys, names, folder */
    struct store store;
    struct logstore logs;
    struct tls_tickets *tickets;
    struct tls_context *agents_tls, *api_tls;
    struct listener *listeners[PLANE_LISTENERS]; /* agents and API, and both on ::1 where the URL says localhost */
    struct http_server *agents_http, *api_http;
    struct agents *agents;
    struct followers *followers;
    struct resolver *resolver;
    struct poller *poller;
    struct limit wrong_keys, wrong_tokens;
    bool stopping;
};

struct plane_options {
    const char *dir;
    const char *listen_api, *listen_agents; /* "address:port"; NULL: from the URLs */
    const char *fetch_program;              /* NULL: the installed klystrr-fetch */
};

/* Runs until SIGTERM or SIGINT. */
int plane_run(const struct plane_options *options, struct error *err) KLY_MUST_USE;

/* One line on standard error, for journald. Never a value, key or token. */
void plane_log(const char *format, ...) KLY_PRINTF(1, 2);

#endif
