/* One line of the stream `events` (wire.md, "Streams"): NDJSON, from the agent to the plane. */
#ifndef KLY_PROTO_EVENT_H
#define KLY_PROTO_EVENT_H

#include <cjson/cJSON.h>

#include "proto/order.h"

#define EVENT_MAX      8192 /* bytes of a line, its '\n' included */
#define EVENT_TEXT_MAX 4096 /* bytes of `text` that are read */
#define EVENT_TEXT_CUT 1024 /* bytes of `text` that are written */
#define EVENT_CODE_MAX 39

enum event_kind { EVENT_STATE, EVENT_RESULT, EVENT_REFUSED, EVENT_APP, EVENT_HOST };
enum deploy_state {
    DEPLOY_ACCEPTED,
    DEPLOY_FETCHING,
    DEPLOY_INSTALLING,
    DEPLOY_BUILDING,
    DEPLOY_COMMITTING,
    DEPLOY_RELEASING,
    DEPLOY_STARTING,
    DEPLOY_PROBING,
    DEPLOY_SWITCHING,
    DEPLOY_DRAINING,
};
enum deploy_outcome {
    OUTCOME_LIVE,
    OUTCOME_REFUSED,
    OUTCOME_FAILED,
    OUTCOME_ROLLED_BACK,
    OUTCOME_ROLLBACK_FAILED,
    OUTCOME_CANCELLED,
    OUTCOME_SUPERSEDED,
    OUTCOME_INTERRUPTED,
};
enum app_state { APP_RUNNING, APP_STOPPED, APP_FAILED };
const char *deploy_state_name(enum deploy_state state);       /* "accepted" */
const char *deploy_outcome_name(enum deploy_outcome outcome); /* "rolled_back" */
const char *app_state_name(enum app_state state);             /* "running" */

/* Texts are borrowed: from the caller when encoded, from `tree` when decoded. NULL: not said. Zero-initialise.
 */
struct event {
    enum event_kind kind;
    int64_t at;             /* ms */
    const char *project;    /* all but host */
    const char *deployment; /* state and result */
    union {
        enum deploy_state deploy; /* state */
        enum app_state app;       /* app */
    } state;
    enum deploy_outcome outcome; /* result */
    const char *code;            /* result, refused, host */
    const char *text;            /* the same, and app; longer ones are cut at a whole character */
    const char *about;           /* refused: digest */
    const char *app;             /* app: its name */
    const char *release;         /* result, app */
    const char *commit;          /* result */
    const char *serving;         /* result: the release that serves now; NULL is written as null */
    int64_t elapsed_ms;          /* result */
    cJSON *tree;
};

/* Appends one line with its '\n'. E_MEMBER, E_TOO_LARGE. */
int event_encode(const struct event *e, struct buf *out, struct error *err) KLY_MUST_USE;
/* One line, with its '\n' or without. An unknown `event` gives 1 and owns nothing; 0 decoded; -1 E_JSON,
 * E_MEMBER. */
int event_decode(struct bytes line, struct event *out, struct error *err) KLY_MUST_USE;
void event_free(struct event *e);
#define AUTO_EVENT __attribute__((cleanup(event_free)))

#endif
