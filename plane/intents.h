/* What was asked for: rows of deployments that wait until their host is there, and which of them is next.
 *
 * On one host a project's deployments run one after the other; a newer one takes the place of an older one that
 * still waits. A commit that a webhook or a poll brings is asked for only if it is not what was asked for last,
 * and a poll never makes the first deployment of a project on a server. */
#ifndef KLY_PLANE_INTENTS_H
#define KLY_PLANE_INTENTS_H

#include "plane/store/store.h"
#include "proto/manifest.h"

#define INTENTS_MAX MANIFEST_SERVERS_MAX

struct intents {
    char id[INTENTS_MAX][24];
    char server[INTENTS_MAX][24];
    size_t count;
};

struct intent_ask {
    const char *project;
    const char *server;  /* NULL: all of the manifest's that exist here */
    const char *trigger; /* cli, webhook, poll, rollback, restart */
    int64_t now;
    bool only_new;
};
/* E_NO_MANIFEST, E_TARGET (the manifest does not name that server), E_NO_SERVER (none of its servers is here).
 */
int intents_deploy(struct store *s, const struct intent_ask *ask, const char *commit, struct intents *made,
                   struct error *err) KLY_MUST_USE;
/* release NULL: the one before the live one (rollback), or the live one (restart). E_NO_RELEASE. */
int intents_activate(struct store *s, const struct intent_ask *ask, const char *release, struct intents *made,
                     struct error *err) KLY_MUST_USE;
/* A deployment that waits is over at once; one that was ordered gets an order to cancel it. E_DONE: it is over.
 */
int intents_cancel(struct store *s, struct store_deployment *d, int64_t now, struct error *err) KLY_MUST_USE;
/* Ends a deployment without its host. */
int intents_end(struct store *s, struct store_deployment *d, const char *outcome, const char *code,
                const char *text, int64_t now, struct error *err) KLY_MUST_USE;

/* The open deployments of one server. */
struct intent_open {
    struct store_deployment *at; /* oldest first; owned */
    size_t count;
};
int intents_open(struct store *s, const char *server, struct intent_open *out, struct error *err) KLY_MUST_USE;
void intents_open_free(struct intent_open *o);
/* Pure: the index of the next that an order can be made for, at or after `from`; -1: none. */
int intents_next(const struct intent_open *o, size_t from);

#endif
