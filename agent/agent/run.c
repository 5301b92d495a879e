#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent/work.h"

#define STOP_S 10

void work_init(struct work *w)
{
    *w = (struct work){.scribe = NO_SCRIBE, .cancel = -1};
    for (int i = 0; i < JOURNAL_APPS_MAX; i++)
        w->watches[i] = w->stays[i] = -1;
}

void work_close_watches(struct work *w)
{
    for (int i = 0; i < JOURNAL_APPS_MAX; i++) {
        if (w->watches[i] >= 0)
            close(w->watches[i]);
        if (w->stays[i] >= 0)
            close(w->stays[i]);
        w->watches[i] = w->stays[i] = -1;
    }
}

void run_request(const struct work *w, struct box_request *r, enum box_profile profile, uint32_t timeout_s)
{
    const struct manifest *m = w->manifest;
    *r = (struct box_request){.in = -1, .out = -1, .err = -1, .extra = {-1, -1}};
    r->start.profile = profile;
    r->start.timeout_s = timeout_s;
    r->start.stop_s = STOP_S;
    if (profile == BOX_PROBE || profile == BOX_NODE)
        return;
    snprintf(r->start.project, sizeof r->start.project, "%s", w->project);
    r->start.memory_mb = (uint32_t)m->memory_mb;
    r->start.tasks = (uint32_t)m->tasks;
    if ((profile == BOX_BUILD || profile == BOX_RELEASE || profile == BOX_ACTIVATE) && m->runtime.node != NULL)
        snprintf(r->start.node, sizeof r->start.node, "%s", m->runtime.node);
}

static int make_pipe(int ends[2], struct error *err)
{
    return pipe2(ends, O_CLOEXEC) == 0 ? 0 : fail_errno(err, "E_NO_MEMORY", errno, "no pipe");
}

/* A pipe whose read end the scribe has. Returns the write end. */
static int log_pipe(struct work *w, enum scribe_kind kind, const char *phase, struct error *err)
{
    int ends[2];
    if (make_pipe(ends, err) < 0)
        return -1;
    if (scribe_pipe(&w->scribe, ends[0], kind, phase, err) < 0) {
        close(ends[1]);
        return -1;
    }
    return ends[1];
}

static void note_denied(struct work *w, const struct box_ended *ended, const char *phase)
{
    if (ended->denied[0] != 0)
        scribe_note(&w->scribe, "%s: the box refused the system call %.31s", phase, ended->denied);
}

int run_to_log(struct work *w, struct box_request *r, const char *phase, struct box_ended *ended, struct error *err)
{
    r->out = log_pipe(w, SCRIBE_OUT, phase, err);
    if (r->out < 0)
        return -1;
    r->err = log_pipe(w, SCRIBE_ERR, phase, err);
    if (r->err < 0) {
        close(r->out);
        return -1;
    }
    r->give = true;
    int rc = box_run(r, w->cancel, ended, err);
    if (rc == 0 && ended->level > w->box_level)
        w->box_level = ended->level;
    note_denied(w, ended, phase);
    return rc;
}

int run_tapped(struct work *w, struct box_request *r, const char *phase, struct box_tap *out, struct box_tap *tail,
               struct box_ended *ended, struct error *err)
{
    int ends[2][2];
    if (make_pipe(ends[0], err) < 0)
        return -1;
    if (make_pipe(ends[1], err) < 0) {
        close(ends[0][0]);
        close(ends[0][1]);
        return -1;
    }
    AUTO_CLOSE int out_log = phase != NULL ? log_pipe(w, SCRIBE_OUT, phase, NULL) : -1;
    AUTO_CLOSE int err_log = phase != NULL ? log_pipe(w, SCRIBE_ERR, phase, NULL) : -1;
    *out = (struct box_tap){.from = ends[0][0], .to = out_log};
    *tail = (struct box_tap){.from = ends[1][0], .to = err_log};
    r->taps[0] = out;
    r->taps[1] = tail;
    r->out = ends[0][1];
    r->err = ends[1][1];
    r->give = true;
    int rc = box_run(r, w->cancel, ended, err);
    if (rc == 0 && phase != NULL)
        note_denied(w, ended, phase);
    return rc;
}
