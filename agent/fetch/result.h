/* What klystrr-fetch says to whoever started it.
 *
 * Exit status 0: done. 1: refused or failed; the last line of standard error is then
 *     klystrr-fetch: E_CODE a sentence for people
 * 2: wrong usage, the same line with E_USAGE. The sentence may quote a server's or a repository's words: they are
 * escaped (control bytes as \xNN) and hold no credential. Exit status above 128: killed.
 *
 * Standard output is progress in plain words for the log, at most one line a second. Lines that machines read:
 *     commit <hex> <author, escaped>\t<subject, escaped>      `fetch`: the commit that was checked out
 *     files <count> bytes <count>                             `fetch`, `finish`
 *     lfs <path, escaped>                                     `fetch`: a Git LFS pointer, not the file; 20 at most
 *     tip <hex>                                               `resolve`
 *     removed <entries> left <entries>                        `remove`
 *
 * Codes:
 *   E_SOURCE_URL        not https or ssh, user info, control bytes, "..", or what looks like an option
 *   E_GIT_CONNECT       no connection, no such name, TLS or SSH failed
 *   E_GIT_CERTIFICATE   the host's certificate or key is not one that is trusted
 *   E_GIT_AUTH          credentials missing or not accepted
 *   E_GIT_REDIRECT      the host answered with a redirect; redirects are not followed
 *   E_GIT_REF           the ref does not exist there
 *   E_GIT_COMMIT        the commit is not in the ref's history
 *   E_GIT_SINCE         the commit is not a descendant of the one that must be its ancestor
 *   E_GIT_FETCH         the transfer failed or was malformed
 *   E_GIT_OBJECT        an object is missing or does not have the hash it is asked for by
 *   E_GIT_TREE          a name or a link in the tree that could reach outside it, or that no checkout may hold
 *   E_REPO_LIMIT        bytes, objects, entries, path length, depth or refs beyond the limits in limits.h
 *   E_GIT_OWNER         mirror or staging belongs to somebody else
 *   E_STAGING           the staging folder cannot be made or is not empty
 *   E_SPECIAL_FILE      a device, fifo or socket in the tree
 *   E_LINK_ESCAPES      a symbolic link that leads out of the release
 *   E_SHARED_CONFLICT   the repository has files where a shared path belongs
 *   E_DISK              the disk is full or broken
 *   E_TIMEOUT           the host was silent for too long, or --deadline is over
 */
#ifndef KLY_FETCH_RESULT_H
#define KLY_FETCH_RESULT_H

#define FETCH_EXIT_OK     0
#define FETCH_EXIT_FAILED 1
#define FETCH_EXIT_USAGE  2

#endif
