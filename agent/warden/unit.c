#include "agent/warden/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/run.h"
#include "ipc/box_api.h"
#include "ipc/layout.h"
#include "ipc/record.h"
#include "ipc/sock.h"

static int write_plan(const struct warden_unit *unit, int command, struct error *err)
{
    char path[128];
    AUTO_WIPE struct buf text = BUF(sizeof(struct unit_plan) + BOX_COMMAND_MAX);
    struct unit_plan head = {.magic = UNIT_PLAN_MAGIC, .size = sizeof head, .unit = *unit};
    AUTO_CLOSE int dir = durable_dir(KLY_RUN_APPS, 0700, err);
    if (dir < 0 || buf_add(&text, &head, sizeof head, err) < 0 || memfd_read(command, &text, err) < 0)
        return -1;
    head.command_size = (uint32_t)(text.size - sizeof head);
    memcpy(text.data, &head, sizeof head);
    unit_plan_path(unit, path);
    return durable_replace(dir, strrchr(path, '/') + 1, text.data, text.size, 0400, err);
}

/* The app's user writes, the agent's group reads. */
static int make_output(const struct warden_unit *unit, uid_t uid, gid_t readers, struct error *err)
{
    char path[128];
    unit_output_path(unit, path);
    AUTO_CLOSE int dir = durable_dir(KLY_RUN_OUT, 0711, err);
    if (dir < 0)
        return -1;
    if ((mkfifo(path, 0) < 0 && errno != EEXIST) || lchown(path, uid, readers) < 0 || chmod(path, 0240) < 0)
        return fail_errno(err, "E_UNIT", errno, "%s could not be made", path);
    return 0;
}

int unit_prepare(const struct warden_unit *unit, int command, uid_t uid, gid_t readers, struct error *err)
{
    return make_output(unit, uid, readers, err) < 0 ? -1 : write_plan(unit, command, err);
}

void unit_forget(const struct warden_unit *unit)
{
    char path[128];
    unit_plan_path(unit, path);
    unlink(path);
    unit_output_path(unit, path);
    unlink(path);
}

static void service(const struct warden_unit *unit, char out[128])
{
    char name[UNIT_NAME_SIZE];
    unit_name(unit, name);
    snprintf(out, 128, "klystrr-app@%s.service", name);
}

static int systemctl(const char *verb, const char *option, const char *name, struct buf *out, struct error *err)
{
    const char *argv[] = {"systemctl", verb, option, name, NULL};
    int rc = run(argv, out, err);
    return rc == 0 ? 0 : rc < 0 ? -1 : fail(err, "E_UNIT", "systemctl %s %s: %s", verb, name, buf_text(out));
}

/* Limits that only this unit has, as a drop-in that goes with the boot. */
static int write_limits(const struct warden_unit *unit, const char *name, struct error *err)
{
    char path[256];
    AUTO_BUF struct buf text = BUF(512), out = BUF(300);
    snprintf(path, sizeof path, "/run/systemd/system/%s.d", name);
    if (buf_addf(&text, err, "[Service]\nTimeoutStopSec=%u\n", unit->stop_s) < 0 ||
        (unit->memory_mb != 0 && buf_addf(&text, err, "MemoryMax=%uM\n", unit->memory_mb) < 0) ||
        (unit->tasks != 0 && buf_addf(&text, err, "TasksMax=%u\n", unit->tasks) < 0))
        return -1;
    AUTO_CLOSE int dir = durable_dir(path, 0755, err);
    if (dir < 0 || durable_replace(dir, "klystrr.conf", text.data, text.size, 0644, err) < 0)
        return -1;
    return systemctl("daemon-reload", "--quiet", "--no-pager", &out, err);
}

static long property(const struct buf *shown, const char *name)
{
    const char *at = strstr(buf_text(shown), name);
    return at != NULL ? strtol(at + strlen(name), NULL, 10) : 0;
}

static int look(const char *name, struct warden_unit_is *is, struct error *err)
{
    AUTO_BUF struct buf out = BUF(600);
    if (systemctl("show", "--property=ActiveState,MainPID,NRestarts,ExecMainStatus,ExecMainCode", name, &out,
                  err) < 0)
        return -1;
    const char *state = strstr(buf_text(&out), "ActiveState=");
    state = state != NULL ? state + 12 : "";
    is->state = strncmp(state, "active", 6) == 0          ? UNIT_RUNNING
                : strncmp(state, "activating", 10) == 0   ? UNIT_STARTING
                : strncmp(state, "deactivating", 12) == 0 ? UNIT_STOPPING
                : strncmp(state, "failed", 6) == 0        ? UNIT_FAILED
                                                          : UNIT_ABSENT;
    is->pid = (int32_t)property(&out, "MainPID=");
    is->restarts = (uint32_t)property(&out, "NRestarts=");
    long code = property(&out, "ExecMainCode="), status = property(&out, "ExecMainStatus=");
    is->last_status = code == 1  ? (int32_t)status << 8
                      : code > 1 ? (int32_t)status
                                 : -1; /* CLD_EXITED, else a signal */
    return 0;
}

static int ask_supervisor(int supervisor, enum warden_verb verb, const struct warden_unit *unit,
                          struct warden_unit_is *is, struct error *err)
{
    static struct ipc_record answer;
    const struct warden_unit_is *told = NULL;
    if (ipc_send(supervisor, (uint16_t)verb, 0, unit, sizeof *unit, NULL, 0, err) == IPC_OK &&
        ipc_recv(supervisor, &answer, err) == IPC_OK) {
        if (ipc_check_error(&answer, err) < 0)
            return -1;
        told = ipc_body(&answer, sizeof *told);
    }
    if (told == NULL)
        return fail(err, "E_UNIT", "klystrr-supervise does not answer");
    *is = *told;
    return 0;
}

int unit_ask(int supervisor, enum warden_verb verb, const struct warden_unit *unit, struct warden_unit_is *is,
             struct error *err)
{
    char name[128];
    AUTO_BUF struct buf out = BUF(300);
    if (supervisor >= 0)
        return ask_supervisor(supervisor, verb, unit, is, err);
    service(unit, name);
    if (verb == WARDEN_UNIT_START &&
        (write_limits(unit, name, err) < 0 || systemctl("start", "--quiet", name, &out, err) < 0))
        return -1;
    if (verb == WARDEN_UNIT_STOP && systemctl("stop", "--no-block", name, &out, err) < 0)
        return -1;
    return look(name, is, err);
}
