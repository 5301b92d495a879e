// /etc/klystrr/policy.json: what root allows on this host, above all documents.
//
//     {"projects": {"shop": {"repositories": ["https://git.example.org/*"], "refs": ["refs/heads/main"],
//                            "domains": ["*.example.org"], "pause": false},
//                   "*": {…}}}
//
// A project's own entry counts, or that of "*", never both. In repositories and refs '*' stands for any text; in domains
// "*.example.org" for any depth below it, "*" for all. No file, no entry, an absent list: refused.
#ifndef KLY_AGENT_POLICY_H
#define KLY_AGENT_POLICY_H

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "proto/manifest.h"

#define POLICY_FILE     "/etc/klystrr/policy.json"
#define POLICY_FILE_MAX (256 * 1024)

struct policy {
    cJSON *tree;      /* owned; NULL: nothing is allowed */
    struct error why; /* then why */
};

/* Never fails: a file that is missing or wrong is a policy that refuses everything and says so. */
void policy_read(const char *path, struct policy *out);
int policy_parse(struct bytes text, struct policy *out, struct error *err) KLY_MUST_USE;
void policy_free(struct policy *policy);

/* May this manifest be used here? E_POLICY names the rule that refuses; E_PAUSED if the project is paused. */
int policy_check(const struct policy *policy, const struct manifest *manifest, struct error *err) KLY_MUST_USE;

#endif
