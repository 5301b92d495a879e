/* nginx's files and its process. Only files that begin with VHOST_HEADER and name the same app are ever
 * touched. */
#ifndef KLY_WARDEN_NGINX_H
#define KLY_WARDEN_NGINX_H

#include <sys/types.h>

#include "base/buf.h"
#include "ipc/warden_api.h"

/* Renders, installs, tests, reloads; unchanged fields change nothing. The previous file is back when it returns
 * an error: E_NGINX_MISSING, E_NGINX_CONFIG (somebody else's file is broken, named), E_VHOST_…. */
int nginx_set(const struct warden_vhost *vhost, const uint16_t ports[2], bool systemd,
              struct warden_vhost_is *is, struct error *err) KLY_MUST_USE;
int nginx_drop(const struct warden_app *app, bool systemd, struct error *err) KLY_MUST_USE;
/* The switch: one rename, no reload. E_FLAG. */
int nginx_flag(const struct warden_app *app, bool green, struct error *err) KLY_MUST_USE;

#endif
