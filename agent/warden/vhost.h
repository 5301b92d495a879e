/* An app's vhost as text, rendered from typed fields, and what other files of the same nginx say. Pure. */
#ifndef KLY_WARDEN_VHOST_H
#define KLY_WARDEN_VHOST_H

#include "base/buf.h"
#include "ipc/warden_api.h"

#define VHOST_HEADER "# klystrr-vhost "

/* Renders into out. The generation is a digest of all fields: same fields, same bytes. Fields are checked by
 * the caller. */
int vhost_render(const struct warden_vhost *vhost, const uint16_t ports[2], bool ipv6, char generation[24],
                 struct buf *out, struct error *err) KLY_MUST_USE;
/* In the output of `nginx -T` with our file `own` in place: refuses (E_VHOST_TAKEN, naming the other file) when
 * nginx warns that one of these names is there twice on this port; E_VHOST_INCLUDE when it does not read ours. */
int vhost_check_dump(const struct warden_vhost *vhost, const char *own, const char *dump,
                     struct error *err) KLY_MUST_USE;

#endif
