/* What a deployment does next: a pure state machine. No I/O, no clock; a crash is one more event (RESUME).
 *
 * At every place but IDLE and DONE exactly one action is outstanding, and the event that ends it is DONE or FAILED.
 * CANCEL may come at any time. The happy path is the order of enum deploy_at. Before SWITCH nothing of the old release
 * is touched, so every failure there ends in STOP_NEW → CLEAN → REPORT; from VHOST on a failure first goes through
 * FLIP_BACK. From LIVE on the new release serves, and what fails then is a warning, never another outcome. */
#ifndef KLY_AGENT_DEPLOY_H
#define KLY_AGENT_DEPLOY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define DEPLOY_APPS_MAX 8

enum deploy_at {
    AT_IDLE,
    AT_PREPARE,        /* users, folders, ports, log */
    AT_NODE,           /* the pinned Node is there */
    AT_FETCH,          /* the commit lies in staging */
    AT_INSTALL,
    AT_BUILD,
    AT_COMMIT,         /* scanned, and moved to releases/ */
    AT_RELEASE,        /* migrations */
    AT_START,          /* app by app: the candidate on its other port */
    AT_PROBE,          /* app by app: answers, and it is really this one that listens */
    AT_JOURNAL_SWITCH, /* "may have switched" is durable before it is true */
    AT_VHOST,
    AT_SWITCH,         /* app by app: the flag */
    AT_CONFIRM,        /* app by app: nginx says that the new one answers */
    AT_JOURNAL_LIVE,
    AT_DRAIN,
    AT_STOP_OLD,
    AT_CURRENT,        /* the symlink `current` */
    AT_RETAIN,         /* old releases go */
    AT_REENTER,        /* after a crash: ports and log again */
    AT_FLIP_BACK,      /* flags and vhosts as they were */
    AT_CONFIRM_BACK,   /* nginx says that the old one answers */
    AT_STOP_NEW,       /* candidates stop */
    AT_CLEAN,          /* staging, or the release that never lived, goes */
    AT_REPORT,         /* the one result */
    AT_DONE,
    AT_COUNT
};

enum deploy_event_type { EV_BEGIN, EV_RESUME, EV_OK, EV_FAILED, EV_CANCEL, EV_COUNT };

/* How far a deployment had come, as the journal knows it. */
enum deploy_stage { STAGE_NONE, STAGE_RUN, STAGE_SWITCH, STAGE_LIVE, STAGE_REPORT, STAGE_COUNT };

/* In the order of enum deploy_outcome (proto/event.h), behind END_NONE. */
enum deploy_end {
    END_NONE,
    END_LIVE,
    END_REFUSED,
    END_FAILED,
    END_ROLLED_BACK,
    END_ROLLBACK_FAILED,
    END_CANCELLED,
    END_SUPERSEDED,
    END_INTERRUPTED,
    END_COUNT
};

/* What there is to do; fixed for the whole deployment. */
struct deploy_plan {
    bool activate; /* a kept release: nothing is fetched, built or migrated */
    bool node, install, build, release;
    bool has_old;  /* a release serves now */
    bool drain;    /* and is given time to finish what it has */
    unsigned apps; /* 1 to DEPLOY_APPS_MAX */
    uint32_t web;  /* bit per app: it has a vhost */
};

struct deploy {
    enum deploy_at at;
    unsigned app; /* which one, where the place is per app */
    struct deploy_plan plan;
    uint32_t started, proven, flipped, confirmed; /* bit per app: done, or begun and not known to have failed */
    bool made;        /* there may be something in staging or releases/ that is not live */
    bool vhosts;      /* vhosts may have changed */
    bool live;        /* durable: the new release serves */
    bool cancelled;
    bool keep_new;    /* nobody knows which one is served: neither is stopped */
    enum deploy_end end;
    int64_t began_ms; /* as the events tell */
    struct error why; /* of the outcome */
};

struct deploy_event {
    enum deploy_event_type type;
    int64_t now_ms;           /* BEGIN, RESUME: a clock that never jumps */
    struct deploy_plan plan;  /* BEGIN, RESUME */
    enum deploy_stage stage;  /* RESUME */
    enum deploy_end end; /* RESUME with STAGE_REPORT */
    struct error why;         /* FAILED; RESUME with STAGE_REPORT */
};

struct deploy_action {
    enum deploy_at start;  /* begin this place's work (its name says which); AT_IDLE: nothing new */
    unsigned app;
    bool interrupt;        /* end the running work: what is in its box must go */
    const char *announce;  /* a `state` event, or NULL */
    struct error warning;  /* something failed that changes nothing; code "" if not */
};

/* One step. *next may not alias *state. An event that does not fit the place changes nothing. */
void deploy_step(const struct deploy *state, const struct deploy_event *event, struct deploy *next,
                 struct deploy_action *action);

bool deploy_is_over(const struct deploy *state);
/* Past this a cancel comes too late. */
bool deploy_may_cancel(const struct deploy *state);
const char *deploy_at_name(enum deploy_at at);

#endif
