/* /etc/klystrr/agent.json: which host this is, and the pin of its first trust document. Written by root at enrolment. */
#ifndef KLY_AGENT_CONFIG_H
#define KLY_AGENT_CONFIG_H

#include <stdint.h>

#include "base/buf.h"
#include "proto/order.h"

#define AGENT_CONFIG     "/etc/klystrr/agent.json"
#define AGENT_CONFIG_MAX 16384

struct agent_config {
    char server[ID_TEXT_SIZE];
    uint8_t trust_pin[32]; /* digest of trust version 1 */
};

/* Appends a file that root (or the caller) owns and nobody else may write. 0; 1 if it is not there; -1: E_PERM, E_READ,
 * E_TOO_LARGE. For policy.json too. */
int config_load(const char *path, struct buf *out, struct error *err) KLY_MUST_USE;
/* E_CONFIG. */
int config_parse(struct bytes text, struct agent_config *out, struct error *err) KLY_MUST_USE;
/* Both. 1 if there is no such file: not enrolled. */
int config_read(const char *path, struct agent_config *out, struct error *err) KLY_MUST_USE;

#endif
