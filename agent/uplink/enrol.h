/* Enrolment (proto/wire.md): a token's secret becomes a certificate.
 *
 * Happy path: enrol_start → GET the CA over a connection that checks nothing → its SHA-256 is the pinned one → a new connection
 * that trusts that CA only, and the plane's name → POST the request → on_done with the plane's answer.
 * Failures: every one of them in on_done, exactly once, with a sentence; the secret was sent to nobody but a plane that
 * holds a certificate of the pinned CA. */
#ifndef KLY_UPLINK_ENROL_H
#define KLY_UPLINK_ENROL_H

#include "agent/uplink/config.h"
#include "net/http/http_client.h"
#include "net/loop/timer.h"
#include "net/tls/tls.h"
#include "proto/enrol.h"

#define ENROL_TOTAL_MS 30000u /* each of the two requests */

struct enrol {
    struct net_loop *net;
    struct config config;
    /* answer is borrowed, NULL on failure; ca_pem is the pinned CA. Codes of refusals: E_TOKEN (unknown, used or too old),
     * E_CA_PIN, E_PLANE_REFUSED, E_ENROL, and those of the connection. */
    void (*on_done)(void *ctx, const struct enrol_response *answer, const char *ca_pem, const struct error *err);
    void *ctx;
    struct buf body;   /* of the POST; holds the secret */
    struct buf ca_pem;
    struct tls_context *unverified, *pinned;
    struct http_client *request; /* the one that is on its way, or NULL */
};

/* e is zeroed or was given to enrol_free. request is borrowed for the call. on_done comes from the loop if this returns 0. */
int enrol_start(struct enrol *e, struct net_loop *net, const struct config *config, const struct enrol_request *request,
                void (*on_done)(void *ctx, const struct enrol_response *answer, const char *ca_pem, const struct error *err),
                void *ctx, struct error *err) KLY_MUST_USE;
/* Ends it: on_done comes from the loop if it has not come yet. */
void enrol_cancel(struct enrol *e);
/* In a later turn of the loop than on_done or a failed start: their connections are closed then. */
void enrol_free(struct enrol *e);

#endif
