/* A project's bare mirror: one ref of one repository, kept from deployment to deployment so that little is fetched. */
#ifndef KLY_FETCH_MIRROR_H
#define KLY_FETCH_MIRROR_H

#include "agent/fetch/session.h"

struct mirror_wish {
    const char *folder; /* made if missing, made anew if broken */
    const char *ref;    /* "refs/heads/main" */
    const char *commit; /* 40 hex digits: must be the ref's tip or an ancestor of it */
    const char *since;  /* NULL, or 40 hex digits: must be the commit or an ancestor of it */
};

/* Brings the mirror up to date and checks the commit. *repo and *commit are the caller's to free, also on failure if
 * not NULL. E_GIT_…, E_REPO_LIMIT. */
int mirror_update(struct session *s, const struct mirror_wish *wish, git_repository **repo, git_commit **commit,
                  struct error *err) KLY_MUST_USE;

#endif
