/* Every core as a command, to try a thing by hand: the mask, the box, the doctor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/scribe/mask.h"
#include "cli/cli.h"
#include "cli/box.h"
#include "cli/doctor.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SECRETS_MAX (16u * 1024u * 1024u)

static int to_stdout(void *context, const uint8_t *data, size_t size, struct error *err)
{
    (void)context;
    return fwrite(data, 1, size, stdout) == size ? 0 : fail_errno(err, "E_WRITE", errno, "standard output");
}

/* One secret a line. */
static int load_secrets(const char *path, struct patterns *list, struct error *err)
{
    AUTO_WIPE struct buf text = BUF(SECRETS_MAX);
    if (file_read(path, SECRETS_MAX, &text, err) < 0)
        return -1;
    size_t number = 0;
    for (const uint8_t *at = text.data, *end = text.data + text.size; at != NULL && at < end;) {
        const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((line != NULL ? line : end) - at);
        number++;
        int rc = n > 0 ? patterns_add(list, at, n, err) : 1;
        if (rc < 0)
            return fail_in(err, "line %zu", number);
        if (rc == 0)
            fprintf(stderr, "klystrr: line %zu is too short to be masked (less than %u bytes)\n", number, PATTERN_MIN);
        at += n + 1;
    }
    return 0;
}

static int filter(struct mask_stream *stream, struct error *err)
{
    static uint8_t chunk[65536];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "E_READ", errno, "standard input");
        if (n == 0)
            return mask_stream_finish(stream, err);
        if (mask_stream_write(stream, chunk, (size_t)n, err) < 0)
            return -1;
    }
}

static int mask(struct cli *cli, int argc, char **argv)
{
    const char *secrets = NULL, *words[1];
    const struct option_spec specs[] = {{.name = "secrets", .value = &secrets}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0)
        return EXIT_USAGE;
    if (secrets == NULL)
        return say_usage("mask needs --secrets FILE: one secret a line");
    struct error err = {0};
    struct patterns list = PATTERNS;
    struct mask_set *set = NULL;
    struct mask_stream *stream = NULL;
    int rc = load_secrets(secrets, &list, &err);
    if (rc == 0)
        rc = mask_set_build(&list, &set, &err);
    if (rc == 0)
        rc = mask_stream_open(set, to_stdout, NULL, &stream, &err);
    if (rc == 0)
        rc = filter(stream, &err);
    mask_stream_free(stream);
    mask_set_free(set);
    patterns_free(&list);
    if (rc == 0 && fflush(stdout) != 0)
        rc = fail_errno(&err, "E_WRITE", errno, "standard output");
    return rc < 0 ? say_error(cli, &err) : EXIT_OK;
}

const struct command tool_commands[] = {
    {"mask", "--secrets FILE < IN > OUT", "Take secrets out of a stream, as the logs' scribe does", "FILE holds one secret a line; each is found in all its usual encodings.", mask},
    {"box", "--project NAME [--profile build] [--release NAME] -- CMD…", "Run a command in a box as deployments do (root)",
     "Profiles: build (as the project's build user), release (as its app user).\nThe exit status is the command's, or 128 + the signal.", box_command},
    {"doctor", "", "Check this host, and try to break out of a box", "Each line is a check with its result and, where it fails, what to do. Exit 1 if one failed.", doctor_command},
    {0},
};
