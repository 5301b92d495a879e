/* One use of libgit2: set up without any configuration of the machine or user, with limits, and with a watchdog for
 * hosts that fall silent. */
#ifndef KLY_FETCH_SESSION_H
#define KLY_FETCH_SESSION_H

#include <git2.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/fetch/source.h"
#include "base/buf.h"

struct session_options {
    const char *url;
    const char *ca;          /* NULL: the system's roots; else only the certificates in this file */
    const char *https_user;  /* with a token */
    int credential_fd;       /* -1: none. Token, or private key (PEM) for ssh */
    int known_hosts_fd;      /* -1: none; needed for ssh */
    uint64_t bytes_max;
    unsigned stall_s, deadline_s;
};

struct session {
    const struct session_options *options;
    struct source_url url;
    struct buf credential, known_hosts;
    struct error why;     /* said by a callback, in place of libgit2's words */
    bool started;         /* libgit2 was */
    bool asked;           /* credentials were given once already */
    int64_t shown_ms;     /* progress was printed */
    char home[512];       /* ssh: a folder of our own for a known_hosts file */
    git_remote *remote;
};

/* Takes the URL apart, reads the descriptors, starts libgit2. Close it in any case, after all that came from it. */
int session_open(struct session *s, const struct session_options *options, struct error *err) KLY_MUST_USE;
void session_close(struct session *s);
/* Lets go of the connection, and so of the repository given to session_connect. */
void session_disconnect(struct session *s);

/* Connects and finds what `ref` is there, tags peeled. E_GIT_… The remote belongs to repo, or to none (NULL). */
int session_connect(struct session *s, git_repository *repo, const char *ref, git_oid *tip, struct error *err) KLY_MUST_USE;
/* Fetches ref into refs/klystrr/fetched of the repository given to session_connect. */
int session_download(struct session *s, const char *ref, struct error *err) KLY_MUST_USE;

/* err from what libgit2 said last, or from what a callback said. Returns -1. */
int session_fail(struct session *s, int result, const char *code, const char *what, struct error *err);

#endif
