/* Root's socket: requests in, answers out (ipc/control_api.h).
 *
 * Happy path: accept (root alone) → a request → the hub answers with control_text, control_say or control_refuse. A
 * client that watches a deployment is told its events until the result. Failures: a broken record or a client that
 * does not read ends that client. */
#ifndef KLY_AGENT_CONTROL_H
#define KLY_AGENT_CONTROL_H

#include <uv.h>

#include "base/buf.h"
#include "ipc/control_api.h"

#define CONTROL_CLIENTS 32

struct control;
struct control_client;

struct control_events {
    /* One valid request. target and watch are NULL unless the verb has one. Must answer, now or later. */
    void (*on_request)(void *ctx, struct control_client *client, enum control_verb verb, const struct control_target *target,
                       const struct control_watch *watch);
};

int control_open(uv_loop_t *loop, int listener, const struct control_events *events, void *ctx, struct control **out,
                 struct error *err) KLY_MUST_USE;
/* JSON text, as a sealed memfd. verb: CONTROL_TEXT or CONTROL_EVENT. */
void control_text(struct control_client *client, enum control_verb verb, struct bytes json);
/* fd (or -1) is taken. */
void control_say(struct control_client *client, enum control_verb verb, const void *body, size_t size, int fd);
void control_refuse(struct control_client *client, const struct error *why);
/* From here on the client is told this deployment's events. */
void control_follow(struct control_client *client, const char *deployment);
/* An event line to everyone who follows; over: it was the result, they are told DONE. */
void control_event(struct control *control, const char *deployment, struct bytes line, bool over);
/* A number that stays with a client, for answers that come later; NULL once it has gone. */
uint64_t control_id(const struct control_client *client);
struct control_client *control_by_id(struct control *control, uint64_t id);

#endif
