#include "cli/doctor.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/names.h"
#include "cli/box.h"
#include "cli/control.h"
#include "ipc/policy_table.h"

enum verdict { GOOD, WARN, BAD };

struct doctor {
    struct cli *cli;
    cJSON *checks;
    int bad;
};

static void told(struct doctor *d, enum verdict verdict, const char *what, const char *format, ...) KLY_PRINTF(4, 5);
static void told(struct doctor *d, enum verdict verdict, const char *what, const char *format, ...)
{
    static const char *const words[] = {"ok", "warning", "failed"}, *const marks[] = {"✓", "!", "✗"},
                             *const colors[] = {"green", "yellow", "red"};
    char text[700], safe[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    show_safe(text, safe, sizeof safe);
    d->bad += verdict == BAD;
    cJSON *check = cJSON_CreateObject();
    cJSON_AddStringToObject(check, "check", what);
    cJSON_AddStringToObject(check, "result", words[verdict]);
    cJSON_AddStringToObject(check, "text", safe);
    cJSON_AddItemToArray(d->checks, check);
    if (!d->cli->json)
        printf("%s%s%s %-18s %s\n", paint(d->cli, colors[verdict]), marks[verdict], paint(d->cli, "off"), what, safe);
}

static void check_space(struct doctor *d, const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) < 0) {
        told(d, BAD, "disk", "%s is not there: install Klystrr first", path);
        return;
    }
    unsigned long long free_mb = (unsigned long long)fs.f_bavail * fs.f_frsize / 1048576;
    if (free_mb < 1024)
        told(d, free_mb < 256 ? BAD : WARN, "disk", "%llu MiB free at %s; a build wants 1 GiB: remove what is not needed, or lower retain", free_mb, path);
    else
        told(d, GOOD, "disk", "%llu MiB free at %s", free_mb, path);
    if (fs.f_files > 0 && fs.f_favail < 50000)
        told(d, WARN, "inodes", "%llu free at %s; one npm install takes tens of thousands", (unsigned long long)fs.f_favail, path);
}

static void check_memory(struct doctor *d)
{
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return;
    unsigned long long mb = ((unsigned long long)info.totalram + info.totalswap) * info.mem_unit / 1048576;
    told(d, mb < 900 ? WARN : GOOD, "memory", mb < 900 ? "%llu MiB with swap: builds may run out; add swap" : "%llu MiB with swap", mb);
}

static void check_users(struct doctor *d)
{
    static const char *const users[] = {"klystrr", "klystrr-net", "klystrr-log", "klystrr-probe", "klystrr-node"};
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        if (getpwnam(users[i]) == NULL) {
            told(d, BAD, "users", "the user %s is missing: run systemd-sysusers, or the installer again", users[i]);
            return;
        }
    told(d, GOOD, "users", "all five are there");
}

static void check_policy(struct doctor *d)
{
    struct error err = {0};
    struct policy_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return;
    if (policy_table_load(POLICY_TABLE_PATH, table, &err) < 0)
        told(d, BAD, "policy", "%s", err.text);
    else
        told(d, GOOD, "policy", "%u project rule%s in force", table->count, table->count == 1 ? "" : "s");
    free(table);
}

static void check_program(struct doctor *d, const char *what, const char *const *argv, const char *remedy, bool needed)
{
    AUTO_BUF struct buf out = BUF(65536);
    struct error err = {0};
    int rc = program_output(argv, &out, &err);
    if (rc != 0)
        told(d, needed ? BAD : WARN, what, "'%s %s' fails: %s", argv[0], argv[1], remedy);
    else
        told(d, GOOD, what, "%.*s", out.size > 0 ? (int)strcspn(buf_text(&out), "\n") : 2, out.size > 0 ? buf_text(&out) : "ok");
}

static void check_agent(struct doctor *d)
{
    struct error err = {0};
    cJSON *status = NULL;
    if (control_text(CONTROL_STATUS, NULL, &status, &err) < 0) {
        told(d, BAD, "agent", "%s: systemctl status klystrr-agent, or start klystrr-warden --supervise", err.text);
        return;
    }
    const cJSON *link = cJSON_GetObjectItemCaseSensitive(status, "link");
    bool online = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(link, "online"));
    told(d, GOOD, "agent", "version %s, server %s", field_text(status, "version"), field_text(status, "server"));
    told(d, online ? GOOD : WARN, "plane", "%s%s", online ? "connected " : "not connected: ", field_text(link, "text"));
    cJSON_Delete(status);
}

/* A project whose users exist, to make a box for. */
static bool any_project(char *out, size_t room)
{
    DIR *folder = opendir("/srv/klystrr");
    bool found = false;
    for (struct dirent *e; folder != NULL && !found && (e = readdir(folder)) != NULL;)
        if (name_is_project(e->d_name)) {
            snprintf(out, room, "%.31s", e->d_name); /* no name is longer */
            found = true;
        }
    if (folder != NULL)
        closedir(folder);
    return found;
}

/* Tries the ways out that a hostile postinstall script would try; prints the name of each that works. */
static const char breakout[] =
    "for f in /etc/shadow /var/lib/klystrr /etc/klystrr /root /run/klystrr /srv/klystrr/*/shared /srv/klystrr/*/run; do"
    "  [ -e \"$f\" ] && [ -r \"$f\" ] && { ls \"$f\" >/dev/null 2>&1 && echo \"read:$f\"; }; done;"
    "for d in /etc /usr /usr/local /opt /run; do touch \"$d/klystrr-doctor\" 2>/dev/null && echo \"write:$d\"; done;"
    "unshare -r true 2>/dev/null && echo namespace;"
    "mount -t tmpfs none /tmp 2>/dev/null && echo mount;"
    "[ \"$(id -u)\" = 0 ] && echo root;"
    "[ \"$(ls /proc | grep -c '^[0-9]')\" -gt 12 ] && echo processes;"
    "exit 0";

static void check_box(struct doctor *d)
{
    char project[64];
    struct error err = {0};
    struct box_exited ended = {0};
    int ends[2];
    if (!any_project(project, sizeof project)) {
        told(d, WARN, "box", "not tried: no project is on this host yet");
        return;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return;
    AUTO_CLOSE int from = ends[0], to = ends[1];
    int rc = box_scratch_run(project, (const char *const[]){"sh", "-c", breakout, NULL}, to, &ended, &err);
    char found[1024];
    ssize_t n = read(from, found, sizeof found - 1);
    found[n > 0 ? n : 0] = 0;
    for (char *c = found; *c != 0; c++)
        *c = *c == '\n' ? ' ' : *c;
    if (rc < 0)
        told(d, BAD, "box", "could not be built: %s", err.text);
    else if (n > 0)
        told(d, BAD, "box", "lets these out: %s", found);
    else if (ended.end != BOX_END_EXIT || ended.status != 0)
        told(d, BAD, "box", "the attempt to break out ended oddly (%u, %d)", ended.end, ended.status);
    else
        told(d, GOOD, "box", "held against 14 ways out");
}

int doctor_command(struct cli *cli, int argc, char **argv)
{
    const char *words[1];
    if (options_parse(cli, argc, argv, NULL, 0, words, 0) < 0)
        return EXIT_USAGE;
    if (geteuid() != 0)
        return say_usage("doctor is for root: try it with sudo");
    struct doctor d = {.cli = cli, .checks = cJSON_CreateArray()};
    check_space(&d, "/srv/klystrr");
    check_memory(&d);
    check_users(&d);
    check_policy(&d);
    check_program(&d, "nginx", (const char *const[]){"nginx", "-t", NULL}, "run it by hand and mend what it names", false);
    check_program(&d, "node", (const char *const[]){"node", "--version", NULL}, "apt-get install nodejs", true);
    check_program(&d, "npm", (const char *const[]){"npm", "--version", NULL}, "apt-get install npm", true);
    check_agent(&d);
    check_box(&d);
    if (cli->json)
        say_json(d.checks);
    else
        printf("%s\n", d.bad == 0 ? "All is well." : "Something needs you: see above.");
    cJSON_Delete(d.checks);
    return d.bad == 0 ? EXIT_OK : EXIT_FAILED;
}
