#include "agent/agent/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/record.h"
#include "ipc/sock.h"

struct control_client {
    struct control *control;
    uv_poll_t *poll; /* NULL: unused */
    int fd;
    uint64_t id;
    uint32_t serial; /* of the request that is being answered */
    char following[24];
};

struct control {
    uv_poll_t listen_poll;
    int listener;
    uint64_t next_id;
    const struct control_events *events;
    void *ctx;
    struct control_client clients[CONTROL_CLIENTS];
};

static void freed(uv_handle_t *handle)
{
    free(handle);
}

static void hang_up(struct control_client *c)
{
    if (c->poll == NULL)
        return;
    uv_poll_stop(c->poll);
    uv_close((uv_handle_t *)c->poll, freed);
    close(c->fd);
    *c = (struct control_client){.control = c->control, .fd = -1};
}

void control_say(struct control_client *c, enum control_verb verb, const void *body, size_t size, int fd)
{
    AUTO_CLOSE int taken = fd;
    if (c->poll != NULL &&
        ipc_send(c->fd, (uint16_t)verb, c->serial, body, size, &taken, taken >= 0 ? 1 : 0, NULL) != IPC_OK)
        hang_up(c);
}

void control_text(struct control_client *c, enum control_verb verb, struct bytes json)
{
    struct error err;
    int fd = memfd_sealed("answer", json.data, json.size, &err);
    if (fd < 0)
        control_refuse(c, &err);
    else
        control_say(c, verb, NULL, 0, fd);
}

void control_refuse(struct control_client *c, const struct error *why)
{
    if (c->poll != NULL && ipc_send_error(c->fd, c->serial, why, NULL) != IPC_OK)
        hang_up(c);
}

void control_follow(struct control_client *c, const char *deployment)
{
    snprintf(c->following, sizeof c->following, "%s", deployment);
}

void control_event(struct control *control, const char *deployment, struct bytes line, bool over)
{
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *c = &control->clients[i];
        if (c->poll == NULL || strcmp(c->following, deployment) != 0)
            continue;
        control_text(c, CONTROL_EVENT, line);
        if (over && c->poll != NULL) {
            c->following[0] = 0;
            control_say(c, CONTROL_DONE, NULL, 0, -1);
        }
    }
}

uint64_t control_id(const struct control_client *c)
{
    return c->id;
}

struct control_client *control_by_id(struct control *control, uint64_t id)
{
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (control->clients[i].poll != NULL && control->clients[i].id == id)
            return &control->clients[i];
    return NULL;
}

static int take_request(struct control_client *c, const struct ipc_record *r)
{
    const struct control_target *target = NULL;
    const struct control_watch *watch = NULL;
    switch (r->head.verb) {
    case CONTROL_ACTIVATE:
    case CONTROL_ROLLBACK:
    case CONTROL_RESTART:
    case CONTROL_STOP:
    case CONTROL_START:
    case CONTROL_CANCEL:
    case CONTROL_RELEASES:
        target = ipc_body(r, sizeof *target);
        if (target == NULL || !IPC_TEXT_OK(target->project) || !IPC_TEXT_OK(target->release))
            return -1;
        break;
    case CONTROL_WATCH:
    case CONTROL_LOG:
        watch = ipc_body(r, sizeof *watch);
        if (watch == NULL || !IPC_TEXT_OK(watch->deployment))
            return -1;
        break;
    case CONTROL_STATUS:
    case CONTROL_RELOAD:
    case CONTROL_TRUST_RESET:
        break;
    default:
        return -1;
    }
    c->serial = r->head.serial;
    c->control->events->on_request(c->control->ctx, c, (enum control_verb)r->head.verb, target, watch);
    return 0;
}

static void on_client(uv_poll_t *poll, int status, int what)
{
    struct control_client *c = poll->data;
    struct ipc_record record;
    struct error err = {0};
    (void)what;
    enum ipc_result got = status < 0 ? IPC_ERROR : ipc_recv(c->fd, &record, &err);
    if (got == IPC_AGAIN)
        return;
    if (got != IPC_OK) {
        hang_up(c);
        return;
    }
    ipc_close_fds(&record);
    if (take_request(c, &record) == 0)
        return;
    fail(&err, "E_CONTROL", "the request is malformed or unknown: are klystrr and klystrr-agent of the same version?");
    c->serial = record.head.serial;
    control_refuse(c, &err);
}

static struct control_client *free_place(struct control *control)
{
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (control->clients[i].poll == NULL)
            return &control->clients[i];
    return NULL;
}

static void on_listen(uv_poll_t *poll, int status, int what)
{
    struct control *control = poll->data;
    struct error err;
    (void)what;
    AUTO_CLOSE int fd = status < 0 ? -1 : sock_accept(control->listener, NULL, 0, NULL, &err);
    struct control_client *c = fd >= 0 ? free_place(control) : NULL;
    uv_poll_t *made = c != NULL ? calloc(1, sizeof *made) : NULL;
    if (made == NULL || uv_poll_init(poll->loop, made, fd) < 0) {
        free(made);
        return;
    }
    *c = (struct control_client){.control = control, .poll = made, .fd = take_fd(&fd), .id = ++control->next_id};
    made->data = c;
    uv_poll_start(made, UV_READABLE, on_client);
}

int control_open(uv_loop_t *loop, int listener, const struct control_events *events, void *ctx, struct control **out,
                 struct error *err)
{
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    *control = (struct control){.listener = listener, .events = events, .ctx = ctx};
    control->listen_poll.data = control;
    if (uv_poll_init(loop, &control->listen_poll, listener) < 0 ||
        uv_poll_start(&control->listen_poll, UV_READABLE, on_listen) < 0) {
        free(control);
        return fail(err, "E_IPC_LISTEN", "control.sock cannot be watched");
    }
    *out = control;
    return 0;
}
