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

/* One "listener <uid> <inode> <port> …" line; *at moves behind it. */
static bool next_listener(const char **at, unsigned *uid, unsigned *port)
{
    unsigned long long inode;
    while ((*at = strstr(*at, "listener ")) != NULL) {
        const char *line = *at;
        *at += strlen("listener ");
        if (sscanf(line, "listener %u %llu %u", uid, &inode, port) == 3)
            return true;
    }
    return false;
}

/* One of the project's own ports: the old release or another of its apps may well listen there. */
static bool is_given(const struct work *w, unsigned port)
{
    for (size_t i = 0; i < w->manifest->app_count; i++)
        if (w->is.ports[i][0] == port || w->is.ports[i][1] == port)
            return true;
    return false;
}

/* Other ports on which uid listens, as text: "3000", "3000, 3001". "" if none. */
static void ports_of(struct work *w, uint32_t uid, char *text, size_t room)
{
    char number[16];
    size_t used = 0;
    unsigned found, port, last = 0;
    snprintf(number, sizeof number, "%" PRIu32, uid);
    const char *const argv[] = {"klystrr-probe", "--who", "--of-uid", number, NULL};
    struct box_tap out;
    text[0] = 0;
    if (run_probe(w, argv, WHO_TIMEOUT_S, &out, NULL) < 0)
        return;
    for (const char *at = out.tail; next_listener(&at, &found, &port) && used < room;) {
        if (is_given(w, port) || port == last)
            continue;
        used += (size_t)snprintf(text + used, room - used, "%s%u", used > 0 ? ", " : "", port);
        last = port;
    }
}

int ask_who(struct work *w, uint16_t port, uint32_t uid, struct error *err)
{
    char number[16], elsewhere[96];
    unsigned found = 0, there = 0;
    bool any = false;
    struct box_tap out;
    struct error none = {0};
    snprintf(number, sizeof number, "%u", (unsigned)port);
    const char *const argv[] = {"klystrr-probe", "--who", "--port", number, NULL};
    if (run_probe(w, argv, WHO_TIMEOUT_S, &out, &none) < 0) {
        if (strcmp(none.code, "E_PROBE_REFUSED") != 0)
            return fail(err, none.code, "who listens on port %u is not known: %s", port, none.text);
        out.tail[0] = 0;
    }
    for (const char *at = out.tail; next_listener(&at, &found, &there); any = true)
        if (found != uid)
            return fail(err, "E_PORT_FOREIGN", "port %u, which the app was given, is taken by another user's process (uid %u): end that one", port,
                        found);
    if (any)
        return 0;
    ports_of(w, uid, elsewhere, sizeof elsewhere);
    if (elsewhere[0] != 0)
        return fail(err, "E_PORT_ELSEWHERE", "the app listens on %s, was given %u: let it listen on process.env.PORT", elsewhere,
                    port);
    return fail(err, "E_PORT_NOBODY", "nobody listens on port %u", port);
}
