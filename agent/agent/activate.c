/* From a complete release to a served one, and back: start beside the old one, prove, switch, ask nginx, stop the old.
 * Everything up to work_vhosts leaves the old release as it is. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent/warden_client.h"
#include "agent/agent/work.h"
#include "base/clock.h"

#define SETTLE_MS     3000 /* a worker must live so long before it counts */
#define CONFIRM_S     15u
#define BACK_TRIES    5
#define SLICE_S       2u

static const char *const colours[] = {"blue", "green"};

int work_start(struct work *w, unsigned app, struct error *err)
{
    const struct journal_app *candidate = &w->apps[app];
    scribe_note(&w->scribe, "starting %s of release %s (%s%s)", candidate->name, w->release, colours[candidate->slot & 1],
                candidate->web != 0 ? "" : ", a worker without a port");
    if (process_start(w, app, w->release, candidate->slot, true, err) < 0)
        return -1;
    return 0;
}

/* Waits, unless cancelled. */
static int pause_ms(const struct work *w, int ms, struct error *err)
{
    struct pollfd wait = {w->cancel, POLLIN, 0};
    return poll(&wait, 1, ms) > 0 ? fail(err, "E_CANCELLED", "cancelled") : 0;
}

/* Has it died since it was started? */
static int check_alive(struct work *w, unsigned app, struct error *err)
{
    struct process_state now;
    const char *name = w->apps[app].name;
    if (process_state(w, &w->apps[app], w->release, &now, err) < 0)
        return -1;
    if (now.running && now.restarts == 0)
        return 0;
    return fail(err, "E_APP_DIED", "app %s ended after it was started (%s, %u restarts): the log shows its last words", name,
                now.status, now.restarts);
}

static int probe_worker(struct work *w, unsigned app, struct error *err)
{
    if (pause_ms(w, SETTLE_MS, err) < 0)
        return -1;
    return check_alive(w, app, err);
}

/* It may have died because somebody else has its port. */
static int explain_death(struct work *w, uint16_t port, struct error *err)
{
    struct error who = {0};
    if (ask_who(w, port, w->is.app_uid, &who) < 0 && strcmp(who.code, "E_PORT_FOREIGN") == 0)
        *err = who;
    return -1;
}

/* Why does it not answer? The most telling reason goes first. */
static int explain(struct work *w, unsigned app, uint16_t port, const struct error *probe, struct error *err)
{
    if (check_alive(w, app, err) < 0)
        return explain_death(w, port, err);
    if (ask_who(w, port, w->is.app_uid, err) < 0 && strcmp(err->code, "E_PORT_NOBODY") != 0)
        return -1;
    const struct manifest_probe *p = &w->manifest->apps[app].probe;
    return fail(err, probe->code, "app %s does not answer on port %u within %d s: %s", w->apps[app].name, port, p->timeout,
                probe->text);
}

static int probe_web(struct work *w, unsigned app, struct error *err)
{
    const struct manifest_app *m = &w->manifest->apps[app];
    uint16_t port = w->is.ports[app][w->apps[app].slot & 1];
    int64_t deadline = clock_mono_ms() + (int64_t)m->probe.timeout * 1000;
    struct ask ask = {.port = port, .host = m->vhost.present ? m->vhost.names[0] : "127.0.0.1", .path = m->probe.path,
                      .status = m->probe.status, .timeout_s = SLICE_S};
    for (;;) {
        struct error why = {0};
        if (ask_until(w, &ask, &why) == 0)
            break;
        if (strcmp(why.code, "E_CANCELLED") == 0 || strncmp(why.code, "E_BOX", 5) == 0)
            return fail(err, why.code, "%s", why.text);
        if (clock_mono_ms() >= deadline)
            return explain(w, app, port, &why, err);
        if (check_alive(w, app, err) < 0)
            return explain_death(w, port, err);
    }
    return ask_who(w, port, w->is.app_uid, err);
}

int work_probe(struct work *w, unsigned app, struct error *err)
{
    int rc = w->manifest->apps[app].probe.present ? probe_web(w, app, err) : probe_worker(w, app, err);
    if (rc == 0)
        scribe_note(&w->scribe, "%s answers as it should", w->apps[app].name);
    else
        scribe_note(&w->scribe, "%s", err->text);
    return rc;
}

static void vhost_of(const struct work *w, const struct manifest_app *m, struct warden_vhost *out)
{
    *out = (struct warden_vhost){.listen = (uint16_t)m->vhost.listen, .max_body_mb = (uint16_t)m->vhost.max_body_mb,
                                 .name_count = (uint32_t)m->vhost.name_count};
    snprintf(out->project, sizeof out->project, "%s", w->project);
    snprintf(out->app, sizeof out->app, "%s", m->name);
    for (size_t i = 0; i < m->vhost.name_count; i++)
        snprintf(out->names[i], sizeof out->names[i], "%s", m->vhost.names[i]);
}

static int set_vhost(struct work *w, const struct manifest_app *m, char *generation, struct error *err)
{
    struct warden_vhost ask;
    struct warden_vhost_is is;
    vhost_of(w, m, &ask);
    if (warden_call(WARDEN_VHOST_SET, &ask, sizeof ask, -1, &is, sizeof is, err) < 0)
        return fail_in(err, "nginx for %s", m->vhost.names[0]);
    if (generation != NULL)
        memcpy(generation, is.generation, sizeof is.generation);
    return 0;
}

int work_vhosts(struct work *w, struct error *err)
{
    for (size_t i = 0; i < w->manifest->app_count; i++)
        if (w->manifest->apps[i].vhost.present && set_vhost(w, &w->manifest->apps[i], w->generations[i], err) < 0)
            return -1;
    return 0;
}

static int set_flag(struct work *w, const char *app, uint32_t slot, struct error *err)
{
    struct warden_flag flag = {.green = slot & 1}, is;
    snprintf(flag.project, sizeof flag.project, "%s", w->project);
    snprintf(flag.app, sizeof flag.app, "%s", app);
    return warden_call(WARDEN_FLAG_SET, &flag, sizeof flag, -1, &is, sizeof is, err);
}

int work_switch(struct work *w, unsigned app, struct error *err)
{
    return set_flag(w, w->apps[app].name, w->apps[app].slot, err);
}

/* nginx itself says which slot and which configuration answers. */
static int ask_nginx(struct work *w, const struct manifest_app *m, const char *header, const char *value, struct error *err)
{
    struct ask ask = {.port = (uint16_t)m->vhost.listen, .host = m->vhost.names[0], .path = m->probe.path,
                      .status = m->probe.status, .header = header, .value = value, .timeout_s = CONFIRM_S};
    if (ask_until(w, &ask, err) == 0)
        return 0;
    return fail_in(err, "nginx does not answer for %s with the %s", m->vhost.names[0],
                   strcmp(header, "X-Klystrr-Slot") == 0 ? "release that was switched to" : "configuration that was written");
}

int work_confirm(struct work *w, unsigned app, struct error *err)
{
    const struct manifest_app *m = &w->manifest->apps[app];
    if (w->generations[app][0] != 0 && ask_nginx(w, m, "X-Klystrr-Vhost", w->generations[app], err) < 0)
        return -1;
    return ask_nginx(w, m, "X-Klystrr-Slot", colours[w->apps[app].slot & 1], err);
}

int work_drain(struct work *w, struct error *err)
{
    int longest = 0;
    for (size_t i = 0; w->old_manifest != NULL && i < w->old_manifest->app_count; i++)
        if (w->old_manifest->apps[i].drain > longest)
            longest = w->old_manifest->apps[i].drain;
    (void)err;
    poll(NULL, 0, longest * 1000);
    return 0;
}

static const struct manifest_app *app_of(const struct manifest *m, const char *name)
{
    for (size_t i = 0; m != NULL && i < m->app_count; i++)
        if (strcmp(m->apps[i].name, name) == 0)
            return &m->apps[i];
    return NULL;
}

static void drop_vhost(struct work *w, const char *app)
{
    struct warden_app name = {0}, is;
    struct error err = {0};
    snprintf(name.project, sizeof name.project, "%s", w->project);
    snprintf(name.app, sizeof name.app, "%s", app);
    if (warden_call(WARDEN_VHOST_DROP, &name, sizeof name, -1, &is, sizeof is, &err) < 0)
        scribe_note(&w->scribe, "the nginx configuration of %s could not be removed: %s", app, err.text);
}

int work_stop_old(struct work *w, struct error *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < w->old.app_count; i++) {
        const struct journal_app *old = &w->old.apps[i];
        const struct manifest_app *was = app_of(w->old_manifest, old->name), *is = app_of(w->manifest, old->name);
        if (process_stop(w, old, w->old.release, was != NULL ? (uint32_t)was->stop_timeout : 30, err) < 0)
            rc = fail_in(err, "the old %s could not be stopped", old->name);
        if (old->web != 0 && (is == NULL || !is->vhost.present))
            drop_vhost(w, old->name);
    }
    return rc;
}

int work_current(struct work *w, struct error *err)
{
    struct warden_name name = {0}, is;
    snprintf(name.project, sizeof name.project, "%s", w->project);
    snprintf(name.release, sizeof name.release, "%s", w->release);
    return warden_call(WARDEN_CURRENT_SET, &name, sizeof name, -1, &is, sizeof is, err);
}

/* Flags first: they decide who is served. Then the vhosts as the old manifest has them, or none. */
static int flip_back_once(struct work *w, struct error *err)
{
    for (uint32_t i = 0; i < w->old.app_count; i++)
        if (w->old.apps[i].web != 0 && set_flag(w, w->old.apps[i].name, w->old.apps[i].slot, err) < 0)
            return -1;
    for (size_t i = 0; i < w->manifest->app_count; i++) {
        const char *name = w->manifest->apps[i].name;
        const struct manifest_app *was = app_of(w->old_manifest, name);
        bool had = was != NULL && was->vhost.present && journal_live_app(&w->old, name) != NULL;
        if (had && set_vhost(w, was, NULL, err) < 0)
            return -1;
        if (!had && w->manifest->apps[i].vhost.present)
            drop_vhost(w, name);
    }
    return 0;
}

int work_flip_back(struct work *w, struct error *err)
{
    scribe_note(&w->scribe, w->old.release[0] != 0 ? "going back to release %s" : "taking the new release back%s", w->old.release);
    for (int i = 0;; i++) {
        if (flip_back_once(w, err) == 0)
            return 0;
        if (i == BACK_TRIES)
            return fail_in(err, "the old release could not be switched back to");
        poll(NULL, 0, 2000);
    }
}

int work_confirm_back(struct work *w, struct error *err)
{
    for (uint32_t i = 0; i < w->old.app_count; i++) {
        const struct journal_app *old = &w->old.apps[i];
        const struct manifest_app *m = app_of(w->old_manifest, old->name);
        if (old->web != 0 && m != NULL && ask_nginx(w, m, "X-Klystrr-Slot", colours[old->slot & 1], err) < 0)
            return -1;
    }
    return 0;
}

int work_stop_new(struct work *w, struct error *err)
{
    int rc = 0;
    work_close_watches(w);
    for (size_t i = 0; i < w->manifest->app_count; i++)
        if (process_stop(w, &w->apps[i], w->release, (uint32_t)w->manifest->apps[i].stop_timeout, err) < 0)
            rc = fail_in(err, "the new %s could not be stopped", w->apps[i].name);
    return rc;
}
