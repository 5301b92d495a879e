#include "agent/warden/nginx.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/warden/vhost.h"
#include "base/durable.h"
#include "base/run.h"
#include "ipc/layout.h"

#define CONF_DIR "/etc/nginx/conf.d"
#define FILE_MAX 32768u
#define DUMP_MAX (8u << 20)

struct file {
    int dir;
    char name[64], path[96];
    struct buf text; /* as it is now; empty if there is none */
};

static void file_close(struct file *file)
{
    buf_free(&file->text);
    cleanup_close(&file->dir);
}

/* A file of ours for this very app, or none. */
static int file_open(const char *project, const char *app, struct file *file, struct error *err)
{
    char header[96];
    *file = (struct file){.text = BUF(FILE_MAX)};
    snprintf(file->name, sizeof file->name, "klystrr-%s.%s.conf", project, app);
    snprintf(file->path, sizeof file->path, CONF_DIR "/%s", file->name);
    snprintf(header, sizeof header, VHOST_HEADER "%s %s ", project, app);
    file->dir = open(CONF_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->dir < 0)
        return fail(err, "E_NGINX_MISSING", CONF_DIR " is not there: install nginx");
    int rc = durable_read(file->dir, file->name, &file->text, err);
    if (rc < 0)
        return -1;
    if (rc == 0 && strncmp(buf_text(&file->text), header, strlen(header)) != 0)
        return fail(err, "E_VHOST_FOREIGN", "%s is not Klystrr's: move it away", file->path);
    return 0;
}

/* The line of nginx's that names the file and the reason. */
static int broken(const char *code, const struct buf *output, struct error *err)
{
    const char *at = strstr(buf_text(output), "[emerg]");
    at = at != NULL ? at + 8 : buf_text(output);
    at += strspn(at, "0123456789#: "); /* its process's numbers */
    return fail(err, code, "nginx refuses its configuration: %.*s", (int)strcspn(at, "\n"), at);
}

static int dump(struct buf *out, const char *code, struct error *err)
{
    static const char *const argv[] = {"nginx", "-T", NULL};
    int rc = run(argv, out, err);
    if (rc < 0)
        return fail(err, "E_NGINX_MISSING", "nginx is not installed, or does not start");
    return rc == 0 ? 0 : broken(code, out, err);
}

static bool running(void)
{
    AUTO_BUF struct buf pid = BUF(32);
    char path[48];
    if (durable_read(AT_FDCWD, "/run/nginx.pid", &pid, NULL) != 0)
        return false;
    AUTO_BUF struct buf comm = BUF(64);
    snprintf(path, sizeof path, "/proc/%ld/comm", strtol(buf_text(&pid), NULL, 10));
    return durable_read(AT_FDCWD, path, &comm, NULL) == 0 && strcmp(buf_text(&comm), "nginx\n") == 0;
}

/* Starts it if it does not run. What then answers is checked by the agent, because a reload that fails exits 0.
 */
static int reload(bool systemd, struct error *err)
{
    static const char *const commands[2][2][4] = {
        {{"nginx", NULL}, {"nginx", "-s", "reload", NULL}},
        {{"systemctl", "start", "nginx.service", NULL}, {"systemctl", "reload", "nginx.service", NULL}}};
    AUTO_BUF struct buf out = BUF(500);
    int rc = run(commands[systemd][running()], &out, err);
    return rc == 0 ? 0 : rc < 0 ? -1 : broken("E_NGINX_RELOAD", &out, err);
}

static int restore(const struct file *file, struct error *err)
{
    struct error second = {0};
    int rc = file->text.size > 0
                 ? durable_replace(file->dir, file->name, file->text.data, file->text.size, 0644, &second)
                 : durable_remove(file->dir, file->name, &second);
    return rc < 0 ? fail_in(err, "%s could not be put back (%s)", file->path, second.text) : -1;
}

static int install(const struct warden_vhost *vhost, const struct file *file, const struct buf *text,
                   struct error *err)
{
    AUTO_BUF struct buf before = BUF(DUMP_MAX), after = BUF(DUMP_MAX);
    if (dump(&before, "E_NGINX_CONFIG", err) < 0 ||
        durable_replace(file->dir, file->name, text->data, text->size, 0644, err) < 0)
        return -1;
    if (dump(&after, "E_VHOST_TEST", err) < 0 || vhost_check_dump(vhost, file->path, buf_text(&after), err) < 0)
        return restore(file, err);
    return 0;
}

int nginx_set(const struct warden_vhost *vhost, const uint16_t ports[2], bool systemd,
              struct warden_vhost_is *is, struct error *err)
{
    AUTO_BUF struct buf text = BUF(FILE_MAX);
    __attribute__((cleanup(file_close))) struct file file;
    struct stat st;
    bool ipv6 = stat("/proc/net/if_inet6", &st) == 0;
    if (file_open(vhost->project, vhost->app, &file, err) < 0 ||
        vhost_render(vhost, ports, ipv6, is->generation, &text, err) < 0)
        return -1;
    is->changed = file.text.size != text.size || memcmp(file.text.data, text.data, text.size) != 0;
    if (is->changed == 0)
        return running() ? 0 : reload(systemd, err);
    if (install(vhost, &file, &text, err) < 0)
        return -1;
    if (reload(systemd, err) < 0) {
        struct error second;
        return restore(&file, err) < 0 && reload(systemd, &second) < 0 ? -1 : -1;
    }
    return 0;
}

int nginx_drop(const struct warden_app *app, bool systemd, struct error *err)
{
    __attribute__((cleanup(file_close))) struct file file;
    if (nginx_flag(app, false, err) < 0 || file_open(app->project, app->app, &file, err) < 0)
        return strcmp(err->code, "E_NGINX_MISSING") == 0 ? 0 : -1;
    if (file.text.size == 0)
        return 0;
    if (durable_remove(file.dir, file.name, err) < 0)
        return -1;
    return running() ? reload(systemd, err) : 0;
}

int nginx_flag(const struct warden_app *app, bool green, struct error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s.green", app->project, app->app);
    AUTO_CLOSE int dir = durable_dir(KLY_RUN_SW, 0755, err);
    if (dir < 0)
        return -1;
    return green ? durable_replace(dir, name, "", 0, 0644, err) : durable_remove(dir, name, err);
}
