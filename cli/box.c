#include "cli/box.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/names.h"
#include "ipc/record.h"
#include "ipc/sock.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SCRATCH  "9007199254740991-000000000000" /* a release name that no deployment will ever get */

/* An empty build folder for this project, owned by its build user. */
static int make_scratch(const char *project, char *path, size_t room, struct error *err)
{
    char user[40];
    snprintf(user, sizeof user, "kb-%s", project);
    const struct passwd *builder = getpwnam(user);
    if (builder == NULL)
        return fail(err, "E_NOT_FOUND", "project '%s' is not on this host yet (no user %s)", project, user);
    snprintf(path, room, "/srv/klystrr/%s/staging/" SCRATCH, project);
    if (mkdir(path, 0755) < 0)
        return errno == EEXIST ? fail(err, "E_BUSY", "another 'klystrr box' runs for %s (else remove %s)", project, path)
                               : fail_errno(err, "E_WRITE", errno, "%s", path);
    if (lchown(path, builder->pw_uid, builder->pw_gid) < 0)
        return fail_errno(err, "E_WRITE", errno, "%s", path);
    return 0;
}

/* What the command left is deleted by its own user, in a box. */
static void remove_scratch(const char *project)
{
    char path[256];
    snprintf(path, sizeof path, "/srv/klystrr/%s/staging/" SCRATCH, project);
    const char *const argv[] = {"klystrr-fetch", "remove", "--dir", path, NULL};
    AUTO_CLOSE int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC); /* its count of what it removed */
    struct box_run run = {.profile = BOX_TIDY, .project = project, .argv = argv, .out = nowhere, .err = STDERR_FILENO, .timeout_s = 120};
    struct box_exited ended;
    struct error err = {0};
    if (box_run(&run, &ended, NULL, &err) < 0)
        fprintf(stderr, "klystrr: %s was not removed: %s\n", path, err.text);
    rmdir(path);
}

static int send_start(int sock, const struct box_run *run, struct error *err)
{
    static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", NULL};
    AUTO_BUF struct buf command = BUF(BOX_COMMAND_MAX);
    struct box_start start = {.profile = run->profile, .timeout_s = run->timeout_s, .stop_s = 5};
    snprintf(start.project, sizeof start.project, "%s", run->project);
    if (run->profile == BOX_BUILD || run->profile == BOX_RELEASE)
        snprintf(start.subject, sizeof start.subject, "%s", run->release != NULL ? run->release : SCRATCH);
    if (box_command_pack(".", run->argv, environment, &command, err) < 0)
        return -1;
    AUTO_CLOSE int memory = memfd_sealed("command", command.data, command.size, err);
    AUTO_CLOSE int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (memory < 0 || in < 0)
        return -1;
    int fds[4] = {memory, in, run->out, run->err};
    return ipc_send(sock, BOX_START, 1, &start, sizeof start, fds, 4, err) == IPC_OK ? 0 : -1;
}

static int take_answer(struct ipc_record *record, struct box_exited *ended, struct buf *denied, struct error *err)
{
    const struct box_denied *refusal = ipc_body(record, sizeof *refusal);
    const struct box_exited *end = ipc_body(record, sizeof *end);
    if (ipc_check_error(record, err) < 0)
        return -1;
    if (record->head.verb == BOX_DENIED && refusal != NULL && denied != NULL && IPC_TEXT_OK(refusal->syscall) &&
        buf_addf(denied, err, "%s ", refusal->syscall) < 0)
        return -1;
    if (record->head.verb != BOX_EXITED || end == NULL)
        return 1;
    *ended = *end;
    return 0;
}

int box_run(const struct box_run *run, struct box_exited *ended, struct buf *denied, struct error *err)
{
    AUTO_CLOSE int sock = sock_connect(BOX_SOCKET, err);
    if (sock < 0)
        return fail_in(err, "boxes are made by Klystrr's warden, which must run, and for root alone");
    if (send_start(sock, run, err) < 0)
        return -1;
    for (int more = 1; more == 1;) {
        struct ipc_record record;
        if (ipc_recv(sock, &record, err) != IPC_OK)
            return err->code[0] != 0 ? -1 : fail(err, "E_BOX", "the box ended without a word");
        more = take_answer(&record, ended, denied, err);
        ipc_close_fds(&record);
        if (more < 0)
            return -1;
    }
    return 0;
}

int box_scratch_run(const char *project, const char *const *argv, int out, struct box_exited *ended, struct error *err)
{
    char path[256];
    if (make_scratch(project, path, sizeof path, err) < 0)
        return -1;
    struct box_run run = {.profile = BOX_BUILD, .project = project, .argv = argv, .out = out, .err = STDERR_FILENO, .timeout_s = 60};
    int rc = box_run(&run, ended, NULL, err);
    remove_scratch(project);
    return rc;
}

static int profile_of(const char *name, enum box_profile *out)
{
    if (strcmp(name, "build") == 0)
        *out = BOX_BUILD;
    else if (strcmp(name, "release") == 0)
        *out = BOX_RELEASE;
    else
        return say_usage("a profile is build or release");
    return EXIT_OK;
}

static int exit_of(const struct box_exited *ended)
{
    switch ((enum box_end)ended->end) {
    case BOX_END_EXIT:
        return ended->status;
    case BOX_END_SIGNAL:
        return 128 + ended->status;
    case BOX_END_TIMEOUT:
        fputs("klystrr: the time for this box was over\n", stderr);
        return EXIT_TIMED_OUT;
    case BOX_END_OOM:
        fputs("klystrr: the box ran out of the memory it may use\n", stderr);
        return EXIT_FAILED;
    case BOX_END_KILLED:
        break;
    }
    return EXIT_FAILED;
}

int box_command(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *profile = "build", *timeout = "3600", *words[BOX_ARGS_MAX + 1];
    const char *release = NULL;
    char name[64], path[256];
    int64_t seconds;
    struct box_run run = {.out = STDOUT_FILENO, .err = STDERR_FILENO};
    const struct option_spec specs[] = {{.name = "project", .value = &project}, {.name = "profile", .value = &profile},
                                        {.name = "release", .value = &release}, {.name = "timeout", .value = &timeout}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, BOX_ARGS_MAX) < 0 || project_or_here(project, name, sizeof name) == NULL ||
        profile_of(profile, &run.profile) != EXIT_OK || option_number("timeout", timeout, 1, 7200, &seconds) < 0)
        return EXIT_USAGE;
    if (words[0] == NULL)
        return say_usage("box needs a command after --");
    if (geteuid() != 0)
        return say_usage("box is for root: try it with sudo");
    if (run.profile == BOX_RELEASE && (release == NULL || name_release_sequence(release) == 0))
        return say_usage("the profile release needs --release NAME ('ls /srv/klystrr/%s/releases')", name);
    struct error err = {0};
    struct box_exited ended = {0};
    AUTO_BUF struct buf denied = BUF(8192);
    bool scratch = run.profile == BOX_BUILD;
    if (scratch && make_scratch(name, path, sizeof path, &err) < 0)
        return say_error(cli, &err);
    run.project = name;
    run.release = scratch ? NULL : release;
    run.argv = words;
    run.timeout_s = (uint32_t)seconds;
    int rc = box_run(&run, &ended, &denied, &err);
    if (scratch)
        remove_scratch(name);
    if (denied.size > 0)
        fprintf(stderr, "klystrr: the box refused: %s\n", buf_text(&denied));
    return rc < 0 ? say_error(cli, &err) : exit_of(&ended);
}
