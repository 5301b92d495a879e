#include "agent/agent/warden_client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/buf.h"
#include "ipc/record.h"
#include "ipc/sock.h"

#define ANSWER_MS 120000 /* stopping a unit takes its own stop timeout; making users and folders takes seconds */
#define STOP_MS   420000

static int wait_answer(int conn, int timeout_ms, struct error *err)
{
    struct pollfd wait = {conn, POLLIN, 0};
    int n;
    do
        n = poll(&wait, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : fail(err, "E_WARDEN_TIMEOUT", "klystrr-warden did not answer; see its log");
}

int warden_call(enum warden_verb verb, const void *body, size_t size, int fd, void *answer, size_t answer_size,
                struct error *err)
{
    struct ipc_record record;
    AUTO_CLOSE int conn = sock_connect(WARDEN_SOCKET, err);
    if (conn < 0 || ipc_send(conn, (uint16_t)verb, 1, body, size, &fd, fd >= 0 ? 1 : 0, err) != IPC_OK)
        return fail_in(err, "klystrr-warden cannot be asked");
    if (wait_answer(conn, verb == WARDEN_UNIT_STOP || verb == WARDEN_PROJECT_REMOVE ? STOP_MS : ANSWER_MS, err) < 0)
        return -1;
    if (ipc_recv(conn, &record, err) != IPC_OK)
        return fail(err, "E_WARDEN_GONE", "klystrr-warden ended before it answered; see its log");
    ipc_close_fds(&record);
    if (ipc_check_error(&record, err) < 0)
        return -1;
    const void *is = record.head.verb == (uint16_t)verb ? ipc_body(&record, answer_size) : NULL;
    if (is == NULL)
        return fail(err, "E_WARDEN_GONE", "klystrr-warden answered something else: is it of the same version?");
    memcpy(answer, is, answer_size);
    return 0;
}
