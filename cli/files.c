#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/names.h"
#include "cli/cli.h"

extern char **environ;

static int read_all(int fd, const char *name, struct buf *out, struct error *err)
{
    uint8_t chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "E_READ", errno, "'%s' could not be read", name);
        int rc = buf_add(out, chunk, (size_t)n, err);
        wipe(chunk, (size_t)n);
        if (rc < 0)
            return fail_in(err, "'%s'", name);
    }
    return 0;
}

int file_read(const char *path, size_t limit, struct buf *out, struct error *err)
{
    out->limit = limit;
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", out, err);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno == ENOENT ? "E_NOT_FOUND" : "E_READ", errno, "'%s' could not be opened", path);
    return read_all(fd, path, out, err);
}

int file_write_private(const char *path, const char *text, struct error *err)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1, slash != NULL ? path : ".");
    AUTO_CLOSE int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_WIPE struct buf line = BUF(65536);
    if (dir < 0)
        return fail_errno(err, "E_WRITE", errno, "folder '%s' could not be opened", folder);
    if (buf_addf(&line, err, "%s\n", text) < 0)
        return -1;
    return durable_replace(dir, slash != NULL ? slash + 1 : path, line.data, line.size, 0600, err);
}

static int make_folders(const char *path, struct error *err)
{
    char part[600];
    for (size_t i = 1; path[i] != 0 && i < sizeof part; i++)
        if (path[i] == '/') {
            snprintf(part, sizeof part, "%.*s", (int)i, path);
            if (mkdir(part, 0755) < 0 && errno != EEXIST)
                return fail_errno(err, "E_WRITE", errno, "folder '%s' could not be made", part);
        }
    return 0;
}

/* name may hold one folder: "keys/root.pem". */
int settings_write(const struct cli *cli, const char *name, struct bytes data, struct error *err)
{
    char folder[700];
    const char *slash = strchr(name, '/');
    snprintf(folder, sizeof folder, "%s", cli->folder);
    if (make_folders(folder, err) < 0)
        return -1;
    AUTO_CLOSE int top = durable_dir(folder, 0700, err);
    if (top < 0)
        return -1;
    if (slash == NULL)
        return durable_replace(top, name, data.data, data.size, 0600, err);
    snprintf(folder, sizeof folder, "%s/%.*s", cli->folder, (int)(slash - name), name);
    AUTO_CLOSE int below = durable_dir(folder, 0700, err);
    return below < 0 ? -1 : durable_replace(below, slash + 1, data.data, data.size, 0600, err);
}

int settings_read(const struct cli *cli, const char *name, struct buf *out, struct error *err)
{
    AUTO_CLOSE int top = open(cli->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return errno == ENOENT ? 1 : fail_errno(err, "E_READ", errno, "'%s' could not be opened", cli->folder);
    return durable_read_private(top, name, out, err);
}

const char *project_or_here(const char *option, char *room, size_t size)
{
    if (option != NULL) {
        snprintf(room, size, "%s", option);
    } else {
        AUTO_BUF struct buf text = BUF(0);
        struct error err = {0};
        if (file_read("klystrr.json", 256 * 1024, &text, &err) < 0) {
            say_usage("which project? Give --project NAME, or run this where klystrr.json lies");
            return NULL;
        }
        cJSON *here = cJSON_Parse(buf_text(&text));
        snprintf(room, size, "%s", field_text(here, "project"));
        cJSON_Delete(here);
    }
    if (name_is_project(room))
        return room;
    say_usage("a project's name is [a-z][a-z0-9-]*, %d letters at most, no '--'", NAME_PROJECT_MAX);
    return NULL;
}

int program_output(const char *const *argv, struct buf *out, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno(err, "E_PROGRAM", errno, "no pipe");
    AUTO_CLOSE int read_end = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    int why = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (why != 0)
        return fail_errno(err, "E_PROGRAM", why, "'%s' could not be started", argv[0]);
    int rc = read_all(read_end, argv[0], out, err), status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return rc < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
