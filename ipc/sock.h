/* Unix sockets with peers checked by the kernel's word (SO_PEERCRED), and sealed memory to pass. */
#ifndef KLY_IPC_SOCK_H
#define KLY_IPC_SOCK_H

#include <sys/types.h>

#include "base/buf.h"

#define IPC_SEALED_MAX (1024u * 1024u) /* bytes in a sealed memfd */

/* Connects to a SOCK_SEQPACKET socket; CLOEXEC, blocking. Descriptor or -1: E_IPC_CONNECT. */
int sock_connect(const char *path, struct error *err) KLY_MUST_USE;
/* The same without ever waiting, also for a listener whose backlog is full (E_IPC_CONNECT then); non-blocking.
 */
int sock_connect_now(const char *path, struct error *err) KLY_MUST_USE;
/* Makes a listening SOCK_SEQPACKET (stream: SOCK_STREAM) socket with exactly this mode and owner; replaces a
 * stale one that nobody listens on, refuses (E_IPC_IN_USE) one that answers. CLOEXEC, non-blocking. For
 * supervise and tests; on systemd the socket units make them. */
int sock_listen(const char *path, int type, mode_t mode, uid_t uid, gid_t gid, struct error *err) KLY_MUST_USE;
/* Descriptor number `index` that the service manager passed (LISTEN_FDS protocol, first is 3), set CLOEXEC; or
 * -1. Must be a socket. */
int sock_inherited(unsigned index, struct error *err) KLY_MUST_USE;
/* The same by name (LISTEN_FDNAMES): for a program with several, because systemd gives them in no order. */
int sock_inherited_named(const char *name, struct error *err) KLY_MUST_USE;
/* Accepts, CLOEXEC and non-blocking, if the peer's uid is one of `uids` (root always is). Descriptor, -1 error
 * (E_IPC_PEER: wrong peer, connection closed), -2 nothing waits. */
int sock_accept(int listener, const uid_t *uids, unsigned count, uid_t *peer, struct error *err) KLY_MUST_USE;
int sock_peer(int sock, uid_t *uid, pid_t *pid, struct error *err) KLY_MUST_USE;

/* A memfd with these bytes, sealed against any change (F_SEAL_WRITE|SHRINK|GROW|SEAL). */
int memfd_sealed(const char *name, const void *data, size_t size, struct error *err) KLY_MUST_USE;
/* Reads a sealed memfd from its start into out (within out->limit); refuses anything else (E_IPC_MEMFD). */
int memfd_read(int fd, struct buf *out, struct error *err) KLY_MUST_USE;

#endif
