/* Which commit is at the head of a ref? Asked of the Git host by klystrr-fetch, a child of its own: no byte
 * from a Git host is parsed in this process but one line of hex. */
#ifndef KLY_PLANE_RESOLVE_H
#define KLY_PLANE_RESOLVE_H

#include "plane/plane.h"

int resolve_start(struct plane *p, const char *program, struct error *err) KLY_MUST_USE;
void resolve_stop(struct plane *p); /* kills what runs; callbacks come with E_STOPPING */
void resolve_free(struct plane *p);

/* commit NULL: err says why. Comes exactly once, from the loop. */
typedef void resolved(void *ctx, const char *commit, const struct error *err);
/* Resolves ref (NULL: the manifest's) of a project's repository. E_NO_MANIFEST, E_BUSY (64 are waiting). -1:
 * the callback does not come. */
int resolve_project(struct plane *p, const char *project, const char *ref, resolved *done, void *ctx,
                    struct error *err) KLY_MUST_USE;

/* Pure: the commit in the program's output, or -1. out takes 65 bytes. */
int resolve_parse_output(const char *output, char *out);
/* Pure: "klystrr-fetch: E_CODE sentence", the last such line of its standard error, as an error. */
void resolve_parse_error(const char *text, struct error *err);

#endif
