/* klystrr-probe: does the app answer, and who is it that listens?
 *
 * klystrr-probe --port N [--path /P] [--host H] [--status S] [--timeout MS] [--interval MS] [--header NAME]
 *     asks until the answer has status S (0: any) or the time is over; then prints
 *         status <number> after <ms> ms
 *         header <value>                      if --header, "" if it was not there
 *     exit 0; or exit 1 and, on standard error, `klystrr-probe: E_CODE sentence`:
 *     E_PROBE_REFUSED nobody listens · E_PROBE_STATUS another status · E_PROBE_TIMEOUT no answer ·
 *     E_PROBE_PROTOCOL not HTTP. Exit 2: E_USAGE.
 * klystrr-probe --port N --who       prints `listener <uid> <inode> <port> <v4|v6> <loopback|other>` for each socket
 * klystrr-probe --of-uid U --who     the same for all sockets of that user
 *     exit 0, or 1 with E_PROBE_REFUSED if there is none. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/probe/ask.h"
#include "agent/probe/listener.h"
#include "base/buf.h"
#include "base/clock.h"

#define TABLE_MAX   (16u * 1024u * 1024u)
#define ATTEMPT_MS  5000
#define TIMEOUT_MAX 3600000ul

struct options {
    struct ask ask;
    unsigned long status, timeout_ms, interval_ms, uid;
    bool who, by_uid, by_port;
};

static int usage(struct error *err, const char *what)
{
    return fail(err, "E_USAGE", "%s; it takes --port N [--path P] [--host H] [--status S] [--timeout MS] [--interval MS] "
                "[--header NAME], or --who with --port N or --of-uid U", what);
}

static int number(const char *text, unsigned long least, unsigned long most, unsigned long *out, struct error *err)
{
    size_t digits = strspn(text, "0123456789");
    *out = strtoul(text, NULL, 10);
    return digits > 0 && digits <= 10 && text[digits] == '\0' && *out >= least && *out <= most
               ? 0 : usage(err, "a number is out of range");
}

static bool is_visible(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7f)
            return false;
    return size > 0 && size <= 1024;
}

static int take_option(struct options *o, int key, struct error *err)
{
    unsigned long value;
    switch (key) {
    case 'p':
        if (number(optarg, 1, 65535, &value, err) < 0)
            return -1;
        o->ask.port = (uint16_t)value;
        o->by_port = true;
        return 0;
    case 'P':
        o->ask.path = optarg;
        return is_visible(optarg) && optarg[0] == '/' ? 0 : usage(err, "--path is no path");
    case 'h':
        o->ask.host = optarg;
        return is_visible(optarg) ? 0 : usage(err, "--host is no host");
    case 'n':
        o->ask.header = optarg;
        return is_visible(optarg) ? 0 : usage(err, "--header is no name");
    case 's':
        return number(optarg, 0, 599, &o->status, err);
    case 't':
        return number(optarg, 1, TIMEOUT_MAX, &o->timeout_ms, err);
    case 'i':
        return number(optarg, 10, TIMEOUT_MAX, &o->interval_ms, err);
    case 'u':
        o->by_uid = true;
        return number(optarg, 0, 0xfffffffe, &o->uid, err);
    case 'w':
        o->who = true;
        return 0;
    default:
        return usage(err, "an unknown option, or one without its value");
    }
}

static int take_options(struct options *o, int argc, char **argv, struct error *err)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},     {"path", required_argument, NULL, 'P'},
        {"host", required_argument, NULL, 'h'},     {"header", required_argument, NULL, 'n'},
        {"status", required_argument, NULL, 's'},   {"timeout", required_argument, NULL, 't'},
        {"interval", required_argument, NULL, 'i'}, {"of-uid", required_argument, NULL, 'u'},
        {"who", no_argument, NULL, 'w'},            {NULL, 0, NULL, 0},
    };
    int key;
    opterr = 0;
    while ((key = getopt_long(argc, argv, "", known, NULL)) != -1)
        if (take_option(o, key, err) < 0)
            return -1;
    if (optind != argc)
        return usage(err, "too many arguments");
    return o->by_port || (o->who && o->by_uid) ? 0 : usage(err, "--port is missing");
}

/* ---- who listens ---- */

static int read_table(const char *path, bool v6, struct listener *out, size_t *count, struct error *err)
{
    AUTO_BUF struct buf text = BUF(TABLE_MAX);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char some[16384];
    ssize_t got = 0;
    if (fd < 0)
        return v6 && errno == ENOENT ? 0 : fail_errno(err, "E_PROBE_TABLE", errno, "%s cannot be read", path);
    while ((got = read(fd, some, sizeof some)) > 0)
        if (buf_add(&text, some, (size_t)got, err) < 0)
            return -1;
    if (got < 0)
        return fail_errno(err, "E_PROBE_TABLE", errno, "%s cannot be read", path);
    *count = listener_read(buf_text(&text), v6, out, *count);
    return 0;
}

static int show_listeners(const struct options *o, struct error *err)
{
    static struct listener all[LISTENERS_MAX];
    size_t count = 0, shown = 0;
    if (read_table("/proc/net/tcp", false, all, &count, err) < 0 || read_table("/proc/net/tcp6", true, all, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if ((o->by_port && all[i].port != o->ask.port) || (o->by_uid && all[i].uid != o->uid))
            continue;
        printf("listener %u %llu %u %s %s\n", all[i].uid, (unsigned long long)all[i].inode, all[i].port,
               all[i].v6 ? "v6" : "v4", all[i].loopback ? "loopback" : "other");
        shown++;
    }
    return shown > 0 ? 0 : fail(err, "E_PROBE_REFUSED", "nobody listens there");
}

/* ---- asking ---- */

static int judge(const struct options *o, const struct answer *answer, struct error *err)
{
    if (o->status == 0 || answer->status == o->status)
        return 0;
    return fail(err, "E_PROBE_STATUS", "%s answers %u, not %lu", o->ask.path, answer->status, o->status);
}

/* The last try may have had too little time to say anything: what the one before it found is the better reason. */
static void keep_reason(struct error *reason, const struct error *latest)
{
    if (reason->code[0] == '\0' || strcmp(latest->code, "E_PROBE_TIMEOUT") != 0)
        *reason = *latest;
}

static int ask_until(struct options *o, struct error *err)
{
    struct answer answer;
    struct error latest = {0};
    int64_t began = clock_mono_ms(), end = began + (int64_t)o->timeout_ms, now = began;
    while (now < end) {
        o->ask.until_ms = end - now < ATTEMPT_MS ? end : now + ATTEMPT_MS;
        if (ask_once(&o->ask, &answer, &latest) == 0 && judge(o, &answer, &latest) == 0) {
            printf("status %u after %lld ms\n", answer.status, (long long)(clock_mono_ms() - began));
            if (o->ask.header != NULL)
                printf("header %s\n", answer.header);
            return 0;
        }
        keep_reason(err, &latest);
        int64_t left = end - clock_mono_ms();
        if (left > 0)
            (void)poll(NULL, 0, left < (int64_t)o->interval_ms ? (int)left : (int)o->interval_ms);
        now = clock_mono_ms();
    }
    return fail_in(err, "port %u, after %lu ms", o->ask.port, o->timeout_ms);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct options o = {.ask = {.path = "/", .host = "localhost"}, .status = 200, .timeout_ms = 5000, .interval_ms = 250};
    (void)prctl(PR_SET_DUMPABLE, 0);
    int failed = take_options(&o, argc, argv, &err);
    if (failed == 0)
        failed = o.who ? show_listeners(&o, &err) : ask_until(&o, &err);
    if (failed == 0)
        return 0;
    fprintf(stderr, "klystrr-probe: %s %s\n", err.code, err.text);
    return strcmp(err.code, "E_USAGE") == 0 ? 2 : 1;
}
