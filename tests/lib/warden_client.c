/* warden_client [--socket PATH] VERB ARGUMENT…: one request from the command line; prints the answer as
 * name=value words. project PROJECT APP…            remove PROJECT               commit PROJECT STAGING RELEASE
 *   trash|current PROJECT RELEASE   vhost PROJECT APP PORT MIB NAME…   vhost-drop PROJECT APP
 *   flag PROJECT APP blue|green     start PROJECT APP|- SLOT NODE|- STOP_S -- CWD NAME=VALUE… -- COMMAND…
 *   stop|state PROJECT APP|- SLOT STOP_S    node|publish VERSION    raw VERB BYTES FDS
 * Exit: 0; 1 refused, with the refusal on standard error. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/box_api.h"
#include "ipc/record.h"
#include "ipc/sock.h"
#include "ipc/warden_api.h"

static const char *socket_path = WARDEN_SOCKET;

static _Noreturn void stop(const struct error *err)
{
    fprintf(stderr, "%s: %s\n", err->code, err->text);
    exit(1);
}

static void ask(uint16_t verb, const void *body, size_t size, const int *fds, unsigned count,
                struct ipc_record *answer)
{
    struct error err = {0};
    int conn = sock_connect(socket_path, &err);
    if (conn < 0 || ipc_send(conn, verb, 1, body, size, fds, count, &err) != IPC_OK)
        stop(&err);
    if (ipc_recv(conn, answer, &err) != IPC_OK) {
        fprintf(stderr, "E_CLOSED: no answer\n");
        exit(1);
    }
    if (ipc_check_error(answer, &err) < 0)
        stop(&err);
}

#define PUT(to, from) snprintf((to), sizeof(to), "%s", (from) != NULL ? (from) : "")

static char **words;
static const char *word(int i)
{
    for (int n = 0; n <= i; n++)
        if (words[n] == NULL)
            return NULL;
    return words[i];
}
static unsigned number(int i)
{
    return word(i) != NULL ? (unsigned)strtoul(word(i), NULL, 10) : 0;
}

static void project(struct ipc_record *answer)
{
    struct warden_project body = {0};
    PUT(body.project, word(1));
    while (word(2 + (int)body.app_count) != NULL && body.app_count < WARDEN_APPS_MAX) {
        PUT(body.apps[body.app_count], word(2 + (int)body.app_count));
        body.app_count++;
    }
    ask(WARDEN_PROJECT_ENSURE, &body, sizeof body, NULL, 0, answer);
    struct warden_project_is is;
    memcpy(&is, answer->body, sizeof is);
    printf("build=%u:%u app=%u:%u group=%u", is.build_uid, is.build_gid, is.app_uid, is.app_gid, is.group_gid);
    for (unsigned i = 0; i < body.app_count; i++)
        printf(" %s=%u,%u", body.apps[i], is.ports[i][0], is.ports[i][1]);
    printf("\n");
}

static void named(uint16_t verb, struct ipc_record *answer)
{
    struct warden_name body = {0};
    PUT(body.project, word(1));
    PUT(body.release, word(2));
    ask(verb, &body, sizeof body, NULL, 0, answer);
}

static void vhost(struct ipc_record *answer)
{
    struct warden_vhost body = {.listen = (uint16_t)number(3), .max_body_mb = (uint16_t)number(4)};
    PUT(body.project, word(1));
    PUT(body.app, word(2));
    while (word(5 + (int)body.name_count) != NULL && body.name_count < WARDEN_DOMAINS_MAX) {
        PUT(body.names[body.name_count], word(5 + (int)body.name_count));
        body.name_count++;
    }
    ask(WARDEN_VHOST_SET, &body, sizeof body, NULL, 0, answer);
    struct warden_vhost_is is;
    memcpy(&is, answer->body, sizeof is);
    printf("changed=%u generation=%s\n", is.changed, is.generation);
}

static int command(int from)
{
    struct error err = {0};
    struct buf text = BUF(BOX_COMMAND_MAX);
    const char *none[] = {NULL}, *const *envp = none;
    char *cwd = words[from], **env = words + from + 1, **end = env;
    while (*end != NULL && strcmp(*end, "--") != 0)
        end++;
    if (*end == NULL)
        exit(2);
    *end = NULL;
    envp = (const char *const *)env;
    if (box_command_pack(cwd, (const char *const *)(end + 1), envp, &text, &err) < 0)
        stop(&err);
    int fd = memfd_sealed("command", text.data, text.size, &err);
    if (fd < 0)
        stop(&err);
    return fd;
}

static void unit(uint16_t verb, struct ipc_record *answer)
{
    static const char *const states[] = {"absent", "starting", "running", "stopping", "failed"};
    struct warden_unit body = {.slot = number(3)};
    struct warden_unit_is is;
    bool start = verb == WARDEN_UNIT_START;
    int fd = -1;
    PUT(body.project, word(1));
    PUT(body.app, word(2) != NULL && strcmp(word(2), "-") != 0 ? word(2) : "");
    if (start)
        PUT(body.node, word(4) != NULL && strcmp(word(4), "-") != 0 ? word(4) : "");
    body.stop_s = number(start ? 5 : 4);
    if (start)
        fd = command(7);
    ask(verb, &body, sizeof body, &fd, start ? 1 : 0, answer);
    memcpy(&is, answer->body, sizeof is);
    printf("state=%s pid=%d restarts=%u last=%d\n", states[is.state <= UNIT_FAILED ? is.state : 0], is.pid,
           is.restarts, is.last_status);
}

static void node(uint16_t verb, struct ipc_record *answer)
{
    struct warden_node body = {0};
    PUT(body.version, word(1));
    ask(verb, &body, sizeof body, NULL, 0, answer);
    memcpy(&body, answer->body, sizeof body);
    printf("present=%u\n", body.present);
}

static void raw(struct ipc_record *answer)
{
    static uint8_t body[IPC_BODY_MAX];
    int fds[IPC_FDS_MAX] = {0, 0, 0, 0, 0, 0};
    memset(body, 'x', sizeof body);
    ask((uint16_t)number(1), body, number(2), fds, number(3), answer);
}

int main(int argc, char **argv)
{
    static struct ipc_record answer;
    words = argv + 1;
    if (argc > 3 && strcmp(argv[1], "--socket") == 0) {
        socket_path = argv[2];
        words = argv + 3;
    }
    const char *verb = word(0);
    if (verb == NULL)
        return 2;
    if (strcmp(verb, "project") == 0)
        project(&answer);
    else if (strcmp(verb, "remove") == 0)
        named(WARDEN_PROJECT_REMOVE, &answer);
    else if (strcmp(verb, "trash") == 0)
        named(WARDEN_RELEASE_TRASH, &answer);
    else if (strcmp(verb, "current") == 0)
        named(WARDEN_CURRENT_SET, &answer);
    else if (strcmp(verb, "commit") == 0) {
        struct warden_commit body = {0};
        PUT(body.project, word(1));
        PUT(body.staging, word(2));
        PUT(body.release, word(3));
        ask(WARDEN_RELEASE_COMMIT, &body, sizeof body, NULL, 0, &answer);
    } else if (strcmp(verb, "vhost") == 0)
        vhost(&answer);
    else if (strcmp(verb, "vhost-drop") == 0) {
        struct warden_app body = {0};
        PUT(body.project, word(1));
        PUT(body.app, word(2));
        ask(WARDEN_VHOST_DROP, &body, sizeof body, NULL, 0, &answer);
    } else if (strcmp(verb, "flag") == 0) {
        struct warden_flag body = {.green = word(3) != NULL && strcmp(word(3), "green") == 0};
        PUT(body.project, word(1));
        PUT(body.app, word(2));
        ask(WARDEN_FLAG_SET, &body, sizeof body, NULL, 0, &answer);
    } else if (strcmp(verb, "start") == 0)
        unit(WARDEN_UNIT_START, &answer);
    else if (strcmp(verb, "stop") == 0)
        unit(WARDEN_UNIT_STOP, &answer);
    else if (strcmp(verb, "state") == 0)
        unit(WARDEN_UNIT_STATE, &answer);
    else if (strcmp(verb, "node") == 0)
        node(WARDEN_NODE_ENSURE, &answer);
    else if (strcmp(verb, "publish") == 0)
        node(WARDEN_NODE_PUBLISH, &answer);
    else if (strcmp(verb, "raw") == 0)
        raw(&answer);
    else
        return 2;
    return 0;
}
