#include "ipc/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum ipc_result ipc_send(int sock, uint16_t verb, uint32_t serial, const void *body, size_t size, const int *fds,
                         unsigned fd_count, struct error *err)
{
    if (size > IPC_BODY_MAX || fd_count > IPC_FDS_MAX)
        return fail(err, "E_IPC_SEND", "a record of %zu bytes and %u descriptors is too large", size, fd_count);
    struct ipc_header head = {IPC_MAGIC, IPC_VERSION, verb, (uint32_t)size, serial};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)(uintptr_t)body, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = size > 0 ? 2 : 1};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
    } control = {0};
    if (fd_count > 0) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(sock, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return IPC_OK;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return IPC_AGAIN;
    int why = errno;
    fail_errno(err, "E_IPC_SEND", why, "a local record could not be sent");
    return why == EPIPE || why == ECONNRESET || why == ENOTCONN ? IPC_CLOSED : IPC_ERROR;
}

static void collect_fds(struct msghdr *message, struct ipc_record *record)
{
    record->fd_count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (record->fd_count < IPC_FDS_MAX)
                record->fds[record->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

static bool whole(const struct msghdr *message, const struct ipc_record *record, size_t n)
{
    const struct ipc_header *head = &record->head;
    return (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && n >= sizeof *head && head->magic == IPC_MAGIC &&
           head->version == IPC_VERSION && head->size == n - sizeof *head;
}

enum ipc_result ipc_recv(int sock, struct ipc_record *record, struct error *err)
{
    struct iovec parts[2] = {{&record->head, sizeof record->head}, {record->body, sizeof record->body}};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
    } control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = control.room, .msg_controllen = sizeof control.room};
    record->fd_count = 0;
    ssize_t n;
    do
        n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return IPC_CLOSED;
    if (n < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return IPC_AGAIN;
        fail_errno(err, "E_IPC_RECORD", errno, "a local record could not be received");
        return IPC_ERROR;
    }
    collect_fds(&message, record);
    if (whole(&message, record, (size_t)n))
        return IPC_OK;
    ipc_close_fds(record);
    fail(err, "E_IPC_RECORD", "a local record of %zd bytes has a wrong magic, version or size", n);
    return IPC_ERROR;
}

void ipc_close_fds(struct ipc_record *record)
{
    for (unsigned i = 0; i < record->fd_count; i++)
        if (record->fds[i] >= 0)
            close(record->fds[i]);
    record->fd_count = 0;
}

int ipc_take_fd(struct ipc_record *record, unsigned i)
{
    if (i >= record->fd_count)
        return -1;
    int fd = record->fds[i];
    record->fds[i] = -1;
    return fd;
}

const void *ipc_body(const struct ipc_record *record, size_t size)
{
    return record->head.size == size ? record->body : NULL;
}

bool ipc_text_ok(const char *array, size_t size)
{
    size_t length = strnlen(array, size);
    if (length == size)
        return false;
    for (size_t i = length; i < size; i++)
        if (array[i] != 0)
            return false;
    return true;
}

enum ipc_result ipc_send_error(int sock, uint32_t serial, const struct error *what, struct error *err)
{
    struct ipc_error body = {0};
    snprintf(body.code, sizeof body.code, "%s", what->code);
    snprintf(body.text, sizeof body.text, "%s", what->text);
    return ipc_send(sock, IPC_VERB_ERROR, serial, &body, sizeof body, NULL, 0, err);
}

void ipc_tell(int sock, uint16_t verb, uint32_t serial, const void *body, size_t size)
{
    enum ipc_result sent = ipc_send(sock, verb, serial, body, size, NULL, 0, NULL);
    (void)sent;
}

void ipc_tell_error(int sock, uint32_t serial, const struct error *what)
{
    enum ipc_result sent = ipc_send_error(sock, serial, what, NULL);
    (void)sent;
}

int ipc_check_error(const struct ipc_record *record, struct error *err)
{
    if (record->head.verb != IPC_VERB_ERROR)
        return 0;
    const struct ipc_error *body = ipc_body(record, sizeof *body);
    if (body == NULL || !IPC_TEXT_OK(body->code) || !IPC_TEXT_OK(body->text))
        return fail(err, "E_IPC_RECORD", "a malformed refusal came from a local program");
    return fail(err, body->code, "%s", body->text);
}
