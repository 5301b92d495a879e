/* The plane sends a deployment's events as Server-Sent Events: `state`, `log`, and one `result` at the end.
 * Happy path: each new state ends the line of the one before with its time. Failures: a stream that breaks is taken up
 * again where it stopped (Last-Event-ID) until the timeout; Ctrl-C leaves the deployment running and says so. */
#include "cli/watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/sse.h"

#define TAIL_LINES 20

struct watch {
    struct cli *cli;
    struct sse sse;
    char id[32], project[64];
    char state[32];
    int64_t started, state_since, deadline;
    char *tail[TAIL_LINES]; /* the newest lines of the log, a ring */
    size_t tail_next;
    struct buf partial;
    cJSON *result;
    bool log_only;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

int outcome_exit(const char *outcome)
{
    static const struct {
        const char *outcome;
        int code;
    } table[] = {{"live", EXIT_OK},           {"failed", EXIT_DEPLOY_FAILED},           {"rolled_back", EXIT_DEPLOY_FAILED},
                 {"interrupted", EXIT_DEPLOY_FAILED}, {"rollback_failed", EXIT_ROLLBACK_FAILED}, {"refused", EXIT_FORBIDDEN}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].outcome, outcome) == 0)
            return table[i].code;
    return EXIT_FAILED; /* cancelled, superseded */
}

static void end_state(struct watch *w, const char *mark, const char *color)
{
    if (w->state[0] == 0 || w->cli->json)
        return;
    double seconds = (double)(clock_mono_ms() - w->state_since) / 1000;
    bool line = isatty(STDOUT_FILENO);
    printf("%s%s%s%s %-12s %6.1f s\n", line ? "\r" : "", paint(w->cli, color), mark, paint(w->cli, "off"), w->state, seconds);
    fflush(stdout);
    w->state[0] = 0;
}

static void begin_state(struct watch *w, const char *state)
{
    end_state(w, "✓", "green");
    snprintf(w->state, sizeof w->state, "%s", state);
    w->state_since = clock_mono_ms();
    if (!w->cli->json && isatty(STDOUT_FILENO)) {
        printf("· %s …", w->state);
        fflush(stdout);
    }
}

static void keep_line(struct watch *w, const char *line)
{
    free(w->tail[w->tail_next % TAIL_LINES]);
    w->tail[w->tail_next % TAIL_LINES] = strdup(line);
    w->tail_next++;
}

static void take_log(struct watch *w, const char *text)
{
    if (w->log_only) {
        fputs(text, stdout);
        fflush(stdout);
        return;
    }
    while (*text != 0) {
        size_t n = strcspn(text, "\n");
        if (buf_add(&w->partial, text, n, NULL) < 0)
            w->partial.size = 0;
        if (text[n] == 0)
            return;
        keep_line(w, buf_text(&w->partial));
        w->partial.size = 0;
        if (w->partial.data != NULL)
            w->partial.data[0] = 0;
        text += n + 1;
    }
}

static bool on_event(void *ctx, const char *event, const char *data)
{
    struct watch *w = ctx;
    cJSON *value = cJSON_Parse(data);
    if (strcmp(event, "state") == 0 && !w->log_only)
        begin_state(w, field_text(value, "state"));
    else if (strcmp(event, "log") == 0)
        take_log(w, field_text(value, "text"));
    if (strcmp(event, "result") == 0) {
        cJSON_Delete(w->result);
        w->result = value;
        return true; /* the rest of the log may still come; the plane ends the stream */
    }
    cJSON_Delete(value);
    return true;
}

static bool on_piece(void *ctx, const uint8_t *data, size_t size)
{
    struct watch *w = ctx;
    return !interrupted && clock_mono_ms() < w->deadline && sse_feed(&w->sse, data, size);
}

static void show_tail(const struct watch *w)
{
    size_t first = w->tail_next > TAIL_LINES ? w->tail_next - TAIL_LINES : 0;
    if (w->tail_next > first)
        printf("%s── the log's last lines ──%s\n", paint(w->cli, "dim"), paint(w->cli, "off"));
    for (size_t i = first; i < w->tail_next; i++) {
        char safe[4096];
        show_safe(w->tail[i % TAIL_LINES] != NULL ? w->tail[i % TAIL_LINES] : "", safe, sizeof safe);
        printf("  %s\n", safe);
    }
}

static void show_result(struct watch *w)
{
    char text[2048], serving[128];
    const char *outcome = field_text(w->result, "outcome");
    bool live = strcmp(outcome, "live") == 0;
    end_state(w, live ? "✓" : "✗", live ? "green" : "red");
    if (!live)
        show_tail(w);
    show_safe(field_text(w->result, "text"), text, sizeof text);
    show_safe(field_text(w->result, "serving"), serving, sizeof serving);
    printf("%s%s%s: %s%s%s after %.1f s%s%s\n", paint(w->cli, "bold"), w->project, paint(w->cli, "off"),
           paint(w->cli, live ? "green" : "red"), outcome, paint(w->cli, "off"),
           (double)field_number(w->result, "elapsed_ms", 0) / 1000, *text != 0 ? ": " : "", text);
    if (!live)
        printf(*serving != 0 ? "Release %s serves on.\n" : "No release serves.%s\n", serving);
    else if (*serving != 0)
        printf("Serving: %s\n", serving);
    if (!live)
        printf("The whole log: klystrr logs %s\n", w->id);
}

/* The answer when no event came (an older deployment, a plane that restarted): ask once. */
static void ask_result(struct watch *w, const struct plane_access *plane)
{
    char target[128];
    AUTO_ANSWER struct answer a = {0};
    snprintf(target, sizeof target, "/api/v1/deployments/%s", w->id);
    if (w->result == NULL && api_call(plane, "GET", target, NULL, &a, NULL) == 0 && strcmp(field_text(a.json, "state"), "done") == 0)
        w->result = cJSON_Duplicate(a.json, true);
}

static int follow(struct watch *w, const struct plane_access *plane, struct error *err)
{
    char target[128];
    snprintf(target, sizeof target, "/api/v1/deployments/%s/events", w->id);
    for (int broken = 0; w->result == NULL && !interrupted && clock_mono_ms() < w->deadline;) {
        int rc = api_stream(plane, target, w->sse.id[0] != 0 ? w->sse.id : NULL, on_piece, w, err);
        ask_result(w, plane);
        if (rc < 0 && w->result == NULL && ++broken > 10)
            return -1;
        if (w->result == NULL && !interrupted)
            usleep(300000);
    }
    return 0;
}

static int finish(struct watch *w, const struct error *err, int rc)
{
    if (interrupted) {
        fprintf(stderr, "\nNo longer watching; the deployment goes on. 'klystrr cancel %s' ends it.\n", w->id);
        return EXIT_INTERRUPTED;
    }
    if (w->result == NULL && rc < 0)
        return say_error(w->cli, err);
    if (w->result == NULL) {
        end_state(w, "…", "yellow");
        fprintf(stderr, "klystrr: deployment %s has not ended in time; it goes on ('klystrr logs -f %s')\n", w->id, w->id);
        return EXIT_TIMED_OUT;
    }
    if (w->cli->json)
        say_json(w->result);
    else if (!w->log_only)
        show_result(w);
    return w->log_only ? EXIT_OK : outcome_exit(field_text(w->result, "outcome"));
}

static int watch_one(struct cli *cli, const char *id, const char *project, int64_t timeout_s, bool log_only)
{
    struct error err = {0};
    AUTO_ACCESS struct plane_access plane = {0};
    if (plane_access_load(cli, &plane, &err) < 0)
        return say_error(cli, &err);
    struct watch w = {.cli = cli, .started = clock_mono_ms(), .partial = BUF(65536), .log_only = log_only};
    w.deadline = w.started + timeout_s * 1000;
    snprintf(w.id, sizeof w.id, "%s", id);
    snprintf(w.project, sizeof w.project, "%s", project);
    sse_init(&w.sse, on_event, &w);
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    int code = finish(&w, &err, follow(&w, &plane, &err));
    sse_free(&w.sse);
    buf_free(&w.partial);
    for (size_t i = 0; i < TAIL_LINES; i++)
        free(w.tail[i]);
    cJSON_Delete(w.result);
    return code;
}

int watch_deployments(struct cli *cli, const cJSON *list, int64_t timeout_s)
{
    int worst = EXIT_OK;
    const cJSON *d;
    cJSON_ArrayForEach(d, list)
    {
        if (!cli->json)
            printf("%s%s%s on %s, deployment %s\n", paint(cli, "bold"), field_text(d, "project"), paint(cli, "off"),
                   field_text(d, "server"), field_text(d, "id"));
        int code = watch_one(cli, field_text(d, "id"), field_text(d, "project"), timeout_s, false);
        worst = code > worst ? code : worst;
    }
    return worst;
}

int watch_log(struct cli *cli, const char *deployment)
{
    return watch_one(cli, deployment, "", 86400, true);
}
