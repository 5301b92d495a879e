#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent/work.h"
#include "base/clock.h"

#define WHO_TIMEOUT_S 15u
#define PAUSE_US      200000

static int run_probe(struct work *w, const char *const *argv, uint32_t timeout_s, struct box_tap *out, struct error *err)
{
    struct box_request request;
    struct box_ended ended;
    struct box_tap tail;
    char code[40];
    int used = 0;
    run_request(w, &request, BOX_PROBE, timeout_s);
    request.argv = argv;
    if (run_tapped(w, &request, NULL, out, &tail, &ended, err) < 0)
        return -1;
    const char *said = strstr(tail.tail, "klystrr-probe: ");
    if (ended.exited.end == BOX_END_EXIT && ended.exited.status == 1 && said != NULL &&
        sscanf(said, "klystrr-probe: %39[A-Z0-9_] %n", code, &used) == 1 && used > 0)
        return fail(err, code, "%.*s", (int)strcspn(said + used, "\n"), said + used);
    return box_check(&ended, "E_PROBE", "klystrr-probe", timeout_s, err);
}

static int ask_once(struct work *w, const struct ask *ask, uint32_t seconds, struct error *err)
{
    char port[8], status[8], timeout[16], value[64] = "";
    snprintf(port, sizeof port, "%u", (unsigned)ask->port);
    snprintf(status, sizeof status, "%d", ask->status);
    snprintf(timeout, sizeof timeout, "%u", seconds * 1000);
    const char *argv[] = {"klystrr-probe", "--port", port, "--path", ask->path, "--host", ask->host, "--status", status,
                          "--timeout", timeout, ask->header != NULL ? "--header" : NULL, ask->header, NULL};
    struct box_tap out;
    if (run_probe(w, argv, seconds + WHO_TIMEOUT_S, &out, err) < 0)
        return -1;
    if (ask->header == NULL)
        return 0;
    const char *line = strstr(out.tail, "header ");
    if (line != NULL)
        (void)sscanf(line, "header %63s", value);
    if (strcmp(value, ask->value) != 0)
        return fail(err, "E_PROBE_OTHER", "the answer's %s is '%s', not '%s'", ask->header, value, ask->value);
    return 0;
}

int ask_until(struct work *w, const struct ask *ask, struct error *err)
{
    int64_t deadline = clock_mono_ms() + (int64_t)ask->timeout_s * 1000;
    for (;;) {
        int64_t left = deadline - clock_mono_ms();
        uint32_t seconds = left > 5000 ? 5 : left > 1000 ? (uint32_t)(left / 1000) : 1;
        if (ask_once(w, ask, seconds, err) == 0)
            return 0;
        if (strcmp(err->code, "E_CANCELLED") == 0 || clock_mono_ms() >= deadline)
            return -1;
        usleep(PAUSE_US);
    }
}

/* Ports on which uid listens, as text: "3000", "3000, 3001". "" if none. */
static void ports_of(struct work *w, uint32_t uid, uint16_t given, char *text, size_t room)
{
    char number[16];
    size_t used = 0;
    snprintf(number, sizeof number, "%" PRIu32, uid);
    const char *const argv[] = {"klystrr-probe", "--listens", number, NULL};
    struct box_tap out;
    text[0] = 0;
    if (run_probe(w, argv, WHO_TIMEOUT_S, &out, NULL) < 0)
        return;
    for (const char *at = out.tail; (at = strstr(at, "port ")) != NULL; at++) {
        unsigned port;
        if (sscanf(at, "port %u", &port) == 1 && port != given && used < room)
            used += (size_t)snprintf(text + used, room - used, "%s%u", used > 0 ? ", " : "", port);
    }
}

int ask_who(struct work *w, uint16_t port, uint32_t uid, struct error *err)
{
    char number[16], others[96];
    unsigned found = 0;
    struct box_tap out;
    struct error none = {0};
    snprintf(number, sizeof number, "%u", (unsigned)port);
    const char *const argv[] = {"klystrr-probe", "--who", number, NULL};
    if (run_probe(w, argv, WHO_TIMEOUT_S, &out, &none) == 0 && sscanf(out.tail, "uid %u", &found) == 1) {
        if (found == uid)
            return 0;
        return fail(err, "E_PORT_FOREIGN", "port %u is taken by another user's process (uid %u), not by the app", port, found);
    }
    ports_of(w, uid, port, others, sizeof others);
    if (others[0] != 0)
        return fail(err, "E_PORT_ELSEWHERE", "the app listens on %s, was given %u: let it listen on process.env.PORT", others,
                    port);
    return fail(err, "E_PORT_NOBODY", "nobody listens on port %u", port);
}
