/* Root's policy: /etc/klystrr/policy.json to the flat table that the warden obeys.
 *
 *   {"projects": {"shop": {"repositories": ["https://git.example.org/shop.git"], "refs": ["refs/heads/main"],
 *                          "domains": ["shop.example.org", "*.shop.example.org"], "ports": [20000, 20099],
 *                          "memory_mb": 2048, "tasks": 512, "pause": false},
 *                 "*": {…}}}
 *
 * The agent reads repositories, refs, domains and pause itself; the table holds what root's own programs must refuse. */
#ifndef KLY_CLI_POLICY_H
#define KLY_CLI_POLICY_H

#include "base/error.h"
#include "ipc/policy_table.h"

#define POLICY_JSON_MAX  (256u * 1024u)
#define POLICY_PORT_LOW  20000 /* when "ports" is not given */
#define POLICY_PORT_HIGH 24999

int policy_compile(const char *path, struct policy_table *out, struct error *err) KLY_MUST_USE;
/* Compiles and puts POLICY_TABLE_PATH in place, 0644. */
int policy_apply(const char *path, unsigned *projects, struct error *err) KLY_MUST_USE;

#endif
