#include "agent/uplink/hub.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define NOTES_BURST    20 /* lines a plane can make us write at once, then one a NOTES_EVERY_MS */
#define NOTES_EVERY_MS 10000

void hub_say(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    fprintf(stderr, "klystrr-uplink: %s\n", line);
}

void hub_note(void *ctx, const struct error *what)
{
    struct uplink *u = ctx;
    int64_t now = clock_boot_ms(), earned = (now - u->notes_ms) / NOTES_EVERY_MS;
    if (earned > 0) {
        u->notes = earned > u->notes ? 0 : u->notes - (int)earned;
        u->notes_ms = now;
    }
    if (u->notes >= NOTES_BURST)
        return;
    u->notes++;
    hub_say("%s: %s", what->code, what->text);
}

void hub_tell_agent(struct uplink *u)
{
    struct link_online body = {.online = u->state == UPLINK_ONLINE, .resumed = u->channel.resumed, .since_ms = u->since_ms};
    if (u->link == NULL || !reconcile_ready(&u->reconcile))
        return;
    snprintf(body.plane, sizeof body.plane, "%s", u->plane);
    if (!body.online)
        snprintf(body.text, sizeof body.text, "%.255s", u->why.text);
    link_send(u->link, LINK_ONLINE, &body, sizeof body, -1);
}

void hub_set_state(struct uplink *u, enum uplink_state state, const struct error *why)
{
    enum uplink_state before = u->state;
    u->state = state;
    switch (state) {
    case UPLINK_ONLINE:
        if (before == UPLINK_ONLINE)
            return;
        u->since_ms = clock_wall_ms();
        u->why = (struct error){0};
        hub_say("online at %s%s", u->config.url, u->channel.resumed ? " (resumed)" : "");
        break;
    case UPLINK_WAITING:
        if (why == NULL)
            return;
        if (before == UPLINK_ONLINE || u->since_ms == 0)
            u->since_ms = clock_wall_ms();
        else if (strcmp(u->why.text, why->text) == 0)
            return; /* said already */
        u->why = *why;
        hub_say("offline: %s: %s", why->code, why->text);
        break;
    case UPLINK_ENROLLING:
    case UPLINK_CONNECTING:
    case UPLINK_CLOSING:
        return;
    }
    hub_tell_agent(u);
}
