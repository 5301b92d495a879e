/* Release folders, `current`, and Node versions: renames between folders, never a walk. */
#ifndef KLY_WARDEN_RELEASE_H
#define KLY_WARDEN_RELEASE_H

#include <sys/types.h>

#include "base/buf.h"
#include "ipc/warden_api.h"

/* All are idempotent: what a crash left half done is done by asking again. E_RELEASE. */
int release_commit(const struct warden_commit *what, uid_t build, gid_t group, struct error *err) KLY_MUST_USE;
int release_trash(const struct warden_name *what, struct error *err) KLY_MUST_USE;
int release_current(const struct warden_name *what, struct error *err) KLY_MUST_USE;
/* E_NODE. */
int node_ensure(struct warden_node *node, uid_t uid, gid_t gid, struct error *err) KLY_MUST_USE;
int node_publish(struct warden_node *node, struct error *err) KLY_MUST_USE;

#endif
