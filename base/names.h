/* What a name may be. One place, used by every program, so that a name that passes here is safe as a
 * path component, a user name and an nginx word. All take NUL-terminated text and accept whole texts only. */
#ifndef KLY_BASE_NAMES_H
#define KLY_BASE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#define NAME_PROJECT_MAX 24 /* letters: "kb-" + project is a user name, and those end at 32 */
#define NAME_APP_MAX     16
#define NAME_ENV_MAX     128
#define NAME_RELEASE_MAX 33 /* 20 digits, '-', 12 hex */
#define NAME_DOMAIN_MAX  253
#define NAME_PATH_MAX    255 /* a relative path in a manifest */

bool name_is_project(const char *s);    /* [a-z][a-z0-9-]{0,23}, no "--", no '-' at the end */
bool name_is_app(const char *s);        /* the same, 16 letters at most */
bool name_is_server(const char *s);     /* "srv_" and 16 lower-case hex digits */
bool name_is_deployment(const char *s); /* "dep_" and 16 lower-case hex digits */
bool name_is_env(const char *s);        /* [A-Za-z_][A-Za-z0-9_]{0,127} */
bool name_is_commit(const char *s);     /* 40 or 64 lower-case hex digits */
bool name_is_ref(const char *s);        /* "refs/heads/…" or "refs/tags/…", git-check-ref-format's rules */
bool name_is_domain(const char *s);     /* lower-case LDH labels, 253 letters at most; no wildcard, no dot at the end */
bool name_is_node_version(const char *s); /* "22.23.3": three canonical numbers */
/* Release "<sequence>-<first 12 of the commit>". Gives the sequence; 0 if s is no release name. */
uint64_t name_release_sequence(const char *s);
/* A relative path without empty, "." or ".." parts, control bytes or a leading '/'. "." alone is accepted. */
bool name_is_relative_path(const char *s);
/* Names that would change how a loader or tool behaves (LD_*, NODE_OPTIONS, PATH, GIT_*, npm_config_*, PM2_*, …):
 * refused as env names unless the manifest lists them in env.allow. Case-insensitive where the tool is. */
bool name_is_dangerous_env(const char *s);

#endif
