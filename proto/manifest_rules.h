/* What a manifest's single texts may be, and the rules that join several members. For proto/ alone. */
#ifndef KLY_PROTO_MANIFEST_RULES_H
#define KLY_PROTO_MANIFEST_RULES_H

#include "proto/manifest.h"

bool manifest_is_known_host(const char *s); /* "type base64" */
bool manifest_is_pem(const char *s); /* looks like one PEM certificate or more; parsing it is for its user */
bool manifest_is_integrity(const char *s);  /* "sha512-" and canonical base64 of 64 bytes */
bool manifest_is_argument(const char *s);   /* no control characters but tab and newline */
bool manifest_is_probe_path(const char *s); /* '/', printable ASCII without space or '#', 1,024 bytes at most */
bool manifest_is_inner_path(const char *s); /* a relative path other than "." */

/* Names used are listed, dangerous ones allowed, credentials kept apart, apps and domains distinct, no path
 * inside another. E_MEMBER, E_ENV_NAME. */
int manifest_rules(const struct manifest *m, struct error *err) KLY_MUST_USE;

#endif
