#include "ipc/sock.h"

#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(const char *path, struct sockaddr_un *out, struct error *err)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof out->sun_path)
        return fail(err, "E_IPC_CONNECT", "the socket path '%s' is too long", path);
    memcpy(out->sun_path, path, strlen(path) + 1);
    return 0;
}

static int try_connect(const char *path, int type, struct error *err)
{
    struct sockaddr_un to;
    if (address(path, &to, err) < 0)
        return -1;
    AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno(err, "E_IPC_CONNECT", errno, "no socket");
    int rc;
    do
        rc = connect(fd, (struct sockaddr *)&to, sizeof to);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return fail_errno(err, "E_IPC_CONNECT", errno, "nobody answers at %s", path);
    return take_fd(&fd);
}

int sock_connect(const char *path, struct error *err)
{
    return try_connect(path, SOCK_SEQPACKET, err);
}

int sock_connect_now(const char *path, struct error *err)
{
    return try_connect(path, SOCK_SEQPACKET | SOCK_NONBLOCK, err);
}

static int clear_stale(const char *path, int type, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : fail_errno(err, "E_IPC_LISTEN", errno, "%s", path);
    if (!S_ISSOCK(st.st_mode))
        return fail(err, "E_IPC_LISTEN", "%s is there and is no socket", path);
    int probe = try_connect(path, type, NULL);
    if (probe >= 0) {
        close(probe);
        return fail(err, "E_IPC_IN_USE", "somebody already listens at %s", path);
    }
    return unlink(path) == 0 ? 0 : fail_errno(err, "E_IPC_LISTEN", errno, "%s could not be removed", path);
}

int sock_listen(const char *path, int type, mode_t mode, uid_t uid, gid_t gid, struct error *err)
{
    struct sockaddr_un at;
    if (address(path, &at, err) < 0 || clear_stale(path, type, err) < 0)
        return -1;
    AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno(err, "E_IPC_LISTEN", errno, "no socket");
    mode_t old = umask(0777); /* nobody gets in before owner and mode are right */
    int rc = bind(fd, (struct sockaddr *)&at, sizeof at);
    int why = errno;
    umask(old);
    if (rc < 0)
        return fail_errno(err, "E_IPC_LISTEN", why, "%s could not be bound", path);
    if (lchown(path, uid, gid) < 0 || chmod(path, mode) < 0 || listen(fd, 64) < 0)
        return fail_errno(err, "E_IPC_LISTEN", errno, "%s could not be opened for its peers", path);
    return take_fd(&fd);
}

int sock_inherited(unsigned index, struct error *err)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    char self[24];
    snprintf(self, sizeof self, "%ld", (long)getpid());
    if (pid == NULL || count == NULL || strcmp(pid, self) != 0 || index >= (unsigned)atoi(count))
        return fail(err, "E_IPC_LISTEN", "socket %u was not passed: start this program by its units", index);
    int fd = 3 + (int)index;
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return fail(err, "E_IPC_LISTEN", "descriptor %d is no socket", fd);
    return fd;
}

int sock_inherited_named(const char *name, struct error *err)
{
    const char *at = getenv("LISTEN_FDNAMES");
    for (unsigned index = 0; at != NULL; index++) {
        size_t length = strcspn(at, ":");
        if (length == strlen(name) && strncmp(at, name, length) == 0)
            return sock_inherited(index, err);
        at = at[length] == ':' ? at + length + 1 : NULL;
    }
    return fail(err, "E_IPC_LISTEN", "no socket '%s' was passed: start this program by its units", name);
}

int sock_peer(int sock, uid_t *uid, pid_t *pid, struct error *err)
{
    struct ucred who;
    socklen_t size = sizeof who;
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || size != sizeof who)
        return fail_errno(err, "E_IPC_PEER", errno, "the peer is not known");
    *uid = who.uid;
    *pid = who.pid;
    return 0;
}

int sock_accept(int listener, const uid_t *uids, unsigned count, uid_t *peer, struct error *err)
{
    AUTO_CLOSE int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED)
            return -2;
        return fail_errno(err, "E_IPC_ACCEPT", errno, "a local connection could not be taken");
    }
    uid_t uid;
    pid_t pid;
    if (sock_peer(fd, &uid, &pid, err) < 0)
        return -1;
    bool welcome = uid == 0;
    for (unsigned i = 0; i < count; i++)
        welcome = welcome || uids[i] == uid;
    if (!welcome)
        return fail(err, "E_IPC_PEER", "user %u (process %d) may not connect here", (unsigned)uid, (int)pid);
    if (peer != NULL)
        *peer = uid;
    return take_fd(&fd);
}

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int memfd_sealed(const char *name, const void *data, size_t size, struct error *err)
{
    if (size > IPC_SEALED_MAX)
        return fail(err, "E_TOO_LARGE", "%zu bytes are too many to pass", size);
    AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write_all(fd, data, size) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0 ||
        lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno(err, "E_IPC_MEMFD", errno, "memory to pass could not be made");
    return take_fd(&fd);
}

int memfd_read(int fd, struct buf *out, struct error *err)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
        return fail(err, "E_IPC_MEMFD", "a passed descriptor is no sealed memory");
    if (st.st_size < 0 || (size_t)st.st_size > IPC_SEALED_MAX)
        return fail(err, "E_TOO_LARGE", "passed memory is larger than %u bytes", IPC_SEALED_MAX);
    size_t size = (size_t)st.st_size;
    if (buf_reserve(out, size, err) < 0)
        return -1;
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, out->data + out->size, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(err, "E_IPC_MEMFD", "passed memory could not be read");
        done += (size_t)n;
        out->size += (size_t)n;
    }
    out->data[out->size] = 0;
    return 0;
}
