#include "cli/control.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/watch.h"
#include "ipc/record.h"
#include "ipc/sock.h"

static int ask_agent(int sock, uint16_t verb, const struct control_target *target, struct ipc_record *answer, struct error *err)
{
    if (ipc_send(sock, verb, 1, target, target != NULL ? sizeof *target : 0, NULL, 0, err) != IPC_OK ||
        ipc_recv(sock, answer, err) != IPC_OK)
        return err->code[0] != 0 ? -1 : fail(err, "E_IPC_CONNECT", "the agent ended the conversation");
    return ipc_check_error(answer, err);
}

/* The sealed JSON text that came with an answer. */
static int answer_json(struct ipc_record *answer, cJSON **out, struct error *err)
{
    AUTO_BUF struct buf text = BUF(IPC_SEALED_MAX);
    AUTO_CLOSE int fd = ipc_take_fd(answer, 0);
    ipc_close_fds(answer);
    if (fd < 0 || memfd_read(fd, &text, err) < 0)
        return fail(err, "E_IPC_RECORD", "the agent's answer holds no text");
    *out = cJSON_ParseWithLength(buf_text(&text), text.size);
    return *out != NULL ? 0 : fail(err, "E_JSON", "the agent's answer is not JSON");
}

int control_text(uint16_t verb, const struct control_target *target, cJSON **out, struct error *err)
{
    struct ipc_record answer;
    AUTO_CLOSE int sock = sock_connect(CONTROL_SOCKET, err);
    if (sock < 0 || ask_agent(sock, verb, target, &answer, err) < 0)
        return -1;
    return answer_json(&answer, out, err);
}

int control_reload(struct error *err)
{
    struct ipc_record answer;
    AUTO_CLOSE int sock = sock_connect(CONTROL_SOCKET, err);
    if (sock < 0 || ask_agent(sock, CONTROL_RELOAD, NULL, &answer, err) < 0)
        return -1;
    ipc_close_fds(&answer);
    return 0;
}

static int show_local(struct cli *cli, const cJSON *event)
{
    const char *outcome = field_text(event, "outcome");
    char text[1400];
    show_safe(field_text(event, "text"), text, sizeof text);
    if (cli->json)
        say_json(event);
    else
        printf("%s%s%s%s\n", outcome, *text != 0 ? ": " : "", text, "");
    return outcome_exit(outcome);
}

/* Follows a local deployment on a connection of its own until its result. */
static int watch_local(struct cli *cli, const struct control_watch *watch, struct error *err)
{
    struct ipc_record record;
    AUTO_CLOSE int sock = sock_connect(CONTROL_SOCKET, err);
    if (sock < 0 || ipc_send(sock, CONTROL_WATCH, 2, watch, sizeof *watch, NULL, 0, err) != IPC_OK)
        return say_error(cli, err);
    int code = EXIT_FAILED;
    while (ipc_recv(sock, &record, err) == IPC_OK && record.head.verb == CONTROL_EVENT) {
        cJSON *event = NULL;
        if (answer_json(&record, &event, err) < 0)
            return say_error(cli, err);
        if (strcmp(field_text(event, "event"), "state") == 0 && !cli->json)
            printf("· %s\n", field_text(event, "state"));
        if (strcmp(field_text(event, "event"), "result") == 0)
            code = show_local(cli, event);
        cJSON_Delete(event);
    }
    if (record.head.verb == IPC_VERB_ERROR && ipc_check_error(&record, err) < 0)
        return say_error(cli, err);
    return code;
}

int control_act(struct cli *cli, uint16_t verb, const struct control_target *target, const char *done)
{
    struct error err = {0};
    struct ipc_record answer;
    AUTO_CLOSE int sock = sock_connect(CONTROL_SOCKET, &err);
    if (sock < 0 || ask_agent(sock, verb, target, &answer, &err) < 0)
        return say_error(cli, &err);
    if (answer.head.verb == CONTROL_ACCEPTED) {
        const struct control_watch *body = ipc_body(&answer, sizeof *body);
        struct control_watch watch = body != NULL ? *body : (struct control_watch){0};
        ipc_close_fds(&answer);
        return watch_local(cli, &watch, &err);
    }
    ipc_close_fds(&answer);
    if (cli->json)
        puts("{\"ok\":true}");
    else if (target != NULL)
        printf("%s: %s.\n", target->project, done);
    else
        printf("Done: %s.\n", done);
    return EXIT_OK;
}
