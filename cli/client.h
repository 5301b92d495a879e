/* The plane's API (proto/api.md), one call at a time: runs a loop until the answer is there. */
#ifndef KLY_CLI_CLIENT_H
#define KLY_CLI_CLIENT_H

#include "cli/cli.h"

#define ANSWER_MAX (4u * 1024u * 1024u)

struct answer {
    int status;      /* HTTP's */
    cJSON *json;     /* owned; NULL if the body was not JSON */
    struct buf body;
};
void answer_free(struct answer *a);
#define AUTO_ANSWER __attribute__((cleanup(answer_free)))

/* Where the plane is: $KLYSTRR_CONFIG/config.json, written by `klystrr login`. */
struct plane_access {
    char url[300];  /* https://host:port */
    char host[256];
    uint16_t port;
    struct buf ca;  /* PEM; empty: the system's roots */
    struct buf key; /* kly_… ; a secret */
};
void plane_access_free(struct plane_access *p);
#define AUTO_ACCESS __attribute__((cleanup(plane_access_free)))
int plane_access_load(const struct cli *cli, struct plane_access *out, struct error *err) KLY_MUST_USE;
/* "https://host[:port]" → host, port. E_USAGE. */
int plane_url_parse(const char *url, char *host, size_t room, uint16_t *port, struct error *err) KLY_MUST_USE;

/* body may be NULL. A status of 400 and above is an error with the plane's own code and text. */
int api_call(const struct plane_access *plane, const char *method, const char *target, const cJSON *body, struct answer *out,
             struct error *err) KLY_MUST_USE;
/* Load, call, and say what went wrong: for commands. EXIT_OK or the exit code. */
int api(const struct cli *cli, const char *method, const char *target, const cJSON *body, struct answer *out);

/* GET target and show `array` of the answer as a table (or the whole answer with --json). A column's field is a member's
 * name, or "live.release" for a member of a member (of its first item, if that is an array). empty: said when there is none. */
struct list_column {
    const char *title, *field;
};
#define LIST_COLUMNS_MAX 8
int api_list(struct cli *cli, const char *target, const char *array, const char *empty, const struct list_column *columns, size_t count);

/* A body that comes in pieces (Server-Sent Events, logs): each piece goes to on_bytes, which returns false to stop.
 * Returns 0 when the answer ended or was stopped. */
typedef bool (*api_bytes)(void *ctx, const uint8_t *data, size_t size);
int api_stream(const struct plane_access *plane, const char *target, const char *last_event_id, api_bytes on_bytes, void *ctx,
               struct error *err) KLY_MUST_USE;

/* GET over a local Unix socket, for the read-only one. */
int unix_get(const char *path, const char *target, struct answer *out, struct error *err) KLY_MUST_USE;

#endif
