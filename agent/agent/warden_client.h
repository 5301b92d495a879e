/* One question to the warden, blocking: a connection, a record, an answer. */
#ifndef KLY_AGENT_WARDEN_CLIENT_H
#define KLY_AGENT_WARDEN_CLIENT_H

#include <stddef.h>

#include "base/error.h"
#include "ipc/warden_api.h"

/* Sends body (borrowed) with fd (or -1, borrowed) and takes an answer of exactly answer_size bytes into answer.
 * E_WARDEN_GONE, E_WARDEN_TIMEOUT, or the warden's own refusal. */
int warden_call(enum warden_verb verb, const void *body, size_t size, int fd, void *answer, size_t answer_size,
                struct error *err) KLY_MUST_USE;

#endif
