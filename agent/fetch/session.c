#include "agent/fetch/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fetch/entry.h"
#include "agent/fetch/limits.h"
#include "agent/fetch/result.h"
#include "base/clock.h"
#include "base/durable.h"

#define SYSTEM_ROOTS "/etc/ssl/certs/ca-certificates.crt"

/* ---- the watchdog ----
 *
 * libgit2 reads from sockets without a time limit of its own. The alarm is put off by progress, up to the deadline. */

static int64_t deadline_ms;
static unsigned stall_s;

static void on_alarm(int number)
{
    static const char line[] = "klystrr-fetch: E_TIMEOUT the Git host was silent for too long, or all of it took too long\n";
    (void)number;
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
    _exit(FETCH_EXIT_FAILED);
}

static void put_off_alarm(void)
{
    int64_t left = (deadline_ms - clock_mono_ms() + 999) / 1000;
    alarm(left <= 1 ? 1u : left < (int64_t)stall_s ? (unsigned)left : stall_s);
}

static void start_alarm(const struct session_options *options)
{
    struct sigaction action = {.sa_handler = on_alarm};
    (void)sigaction(SIGALRM, &action, NULL);
    deadline_ms = clock_mono_ms() + (int64_t)options->deadline_s * 1000;
    stall_s = options->stall_s;
    put_off_alarm();
}

/* ---- opening ---- */

static int read_all(int fd, struct buf *out, const char *what, struct error *err)
{
    char some[4096];
    ssize_t got;
    while ((got = read(fd, some, sizeof some)) > 0)
        if (buf_add(out, some, (size_t)got, err) < 0)
            return fail_in(err, "%s", what);
    wipe(some, sizeof some);
    return got == 0 ? 0 : fail_errno(err, "E_GIT_AUTH", errno, "the descriptor with the %s cannot be read", what);
}

static void without_line_end(struct buf *b)
{
    while (b->size > 0 && (b->data[b->size - 1] == '\n' || b->data[b->size - 1] == '\r'))
        b->data[--b->size] = 0;
}

/* A box has a home of its own, but not always a /tmp. */
static int make_home(struct session *s)
{
    const char *const places[] = {"/tmp", getenv("HOME")};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(s->home, sizeof s->home, "%s/klystrr-fetch-XXXXXX", places[i] != NULL ? places[i] : ".");
        if (mkdtemp(s->home) != NULL)
            return 0;
    }
    s->home[0] = '\0';
    return -1;
}

/* With a known_hosts file, libgit2 asks the host for a kind of key that is pinned; without, for the kind it likes. */
static int write_known_hosts(struct session *s, struct error *err)
{
    AUTO_BUF struct buf text = BUF(65536);
    char path[sizeof s->home + 8];
    if (source_known_hosts(buf_text(&s->known_hosts), &s->url, &text, err) < 0)
        return -1;
    if (make_home(s) < 0)
        return fail_errno(err, "E_DISK", errno, "the pinned host keys cannot be written down");
    snprintf(path, sizeof path, "%s/.ssh", s->home);
    AUTO_CLOSE int dir = durable_dir(path, 0700, err);
    if (dir < 0 || durable_replace(dir, "known_hosts", text.data, text.size, 0600, err) < 0)
        return fail_in(err, "the pinned host keys cannot be written down");
    return setenv("HOME", s->home, 1);
}

static void drop_known_hosts(const struct session *s)
{
    char path[sizeof s->home + 24];
    if (s->home[0] == '\0')
        return;
    snprintf(path, sizeof path, "%s/.ssh/known_hosts", s->home);
    (void)unlink(path);
    snprintf(path, sizeof path, "%s/.ssh", s->home);
    (void)rmdir(path);
    (void)rmdir(s->home);
}

static int set_options(const struct session_options *options, struct error *err)
{
    for (int level = GIT_CONFIG_LEVEL_PROGRAMDATA; level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
        (void)git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
    (void)git_libgit2_opts(GIT_OPT_SET_TEMPLATE_PATH, "");
    (void)git_libgit2_opts(GIT_OPT_SET_USER_AGENT, "klystrr");
    (void)git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
    (void)git_libgit2_opts(GIT_OPT_ENABLE_STRICT_OBJECT_CREATION, 1);
    (void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 1);
    (void)git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t)LIMIT_OBJECTS);
    (void)git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECT_SIZE, (size_t)LIMIT_OBJECT_MB << 20);
    (void)git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)(32 << 20));
    const char *roots = options->ca != NULL ? options->ca : SYSTEM_ROOTS;
    if (git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, roots, NULL) < 0 && options->ca != NULL)
        return fail(err, "E_GIT_CERTIFICATE", "source.ca holds no certificate that can be read");
    return 0;
}

int session_open(struct session *s, const struct session_options *options, struct error *err)
{
    *s = (struct session){.options = options, .credential = BUF(LIMIT_CREDENTIAL), .known_hosts = BUF(32768)};
    if (source_parse(options->url, &s->url, err) < 0)
        return -1;
    if (options->credential_fd >= 0 && read_all(options->credential_fd, &s->credential, "credential", err) < 0)
        return -1;
    if (options->known_hosts_fd >= 0 && read_all(options->known_hosts_fd, &s->known_hosts, "host keys", err) < 0)
        return -1;
    if (s->url.ssh && write_known_hosts(s, err) < 0)
        return -1;
    if (!s->url.ssh)
        without_line_end(&s->credential);
    start_alarm(options);
    s->started = git_libgit2_init() > 0;
    if (!s->started)
        return fail(err, "E_GIT_FETCH", "libgit2 cannot be started");
    return set_options(options, err);
}

void session_disconnect(struct session *s)
{
    git_remote_free(s->remote);
    s->remote = NULL;
}

void session_close(struct session *s)
{
    session_disconnect(s);
    drop_known_hosts(s);
    buf_wipe_free(&s->credential);
    buf_free(&s->known_hosts);
    if (s->started)
        git_libgit2_shutdown();
}

/* ---- errors ---- */

static const char *code_of(int result, const git_error *last, const char *otherwise)
{
    const char *said = last != NULL && last->message != NULL ? last->message : "";
    if (result == GIT_EAUTH || strstr(said, "authenticat") != NULL || strstr(said, "status code: 401") != NULL ||
        strstr(said, "status code: 403") != NULL)
        return "E_GIT_AUTH";
    if (result == GIT_ECERTIFICATE || strstr(said, "certificate") != NULL || strstr(said, "host key") != NULL ||
        strstr(said, "hostkey") != NULL)
        return "E_GIT_CERTIFICATE";
    if (strstr(said, "redirect") != NULL || strstr(said, "status code: 30") != NULL)
        return "E_GIT_REDIRECT";
    if (strstr(said, "maximum number of objects") != NULL || strstr(said, "exceeds") != NULL ||
        strstr(said, "too large") != NULL)
        return "E_REPO_LIMIT";
    if (strstr(said, "No space left") != NULL || strstr(said, "quota") != NULL)
        return "E_DISK";
    return otherwise;
}

int session_fail(struct session *s, int result, const char *code, const char *what, struct error *err)
{
    const git_error *last = git_error_last();
    char shown[300] = "no reason given";
    if (s != NULL && s->why.code[0] != '\0') {
        *err = s->why;
        return -1;
    }
    if (last != NULL && last->message != NULL)
        entry_show(last->message, strlen(last->message), shown, sizeof shown);
    if (strstr(shown, "status code: 404") != NULL)
        return fail(err, code, "the Git host has no such repository (404): check the repository's address in the manifest, and that it still exists");
    return fail(err, code_of(result, last, code), "%s: %s", what, shown);
}

/* ---- what libgit2 asks ---- */

static int give_credential(git_credential **out, const char *url, const char *user, unsigned allowed, void *payload)
{
    struct session *s = payload;
    (void)user;
    if (strcmp(url, s->options->url) != 0 && s->url.ssh == false)
        return fail(&s->why, "E_GIT_REDIRECT", "credentials were asked for by another address than the repository's");
    if (s->url.ssh && (allowed & GIT_CREDENTIAL_USERNAME))
        return git_credential_username_new(out, s->url.user);
    if (s->credential.size == 0)
        return fail(&s->why, "E_GIT_AUTH", "the Git host wants credentials, and none are given: name them as source.credential");
    if (s->asked)
        return fail(&s->why, "E_GIT_AUTH", s->url.ssh
                    ? "the Git host does not accept the ssh key of source.credential (an RSA key works only with libssh2 1.11 "
                      "or newer: use an ed25519 key)"
                    : "the Git host does not accept the credentials of source.credential");
    s->asked = true;
    if (!s->url.ssh && (allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT))
        return git_credential_userpass_plaintext_new(out, s->options->https_user, buf_text(&s->credential));
    if (s->url.ssh && (allowed & (GIT_CREDENTIAL_SSH_MEMORY | GIT_CREDENTIAL_SSH_KEY)))
        return git_credential_ssh_key_memory_new(out, s->url.user, NULL, buf_text(&s->credential), NULL);
    return fail(&s->why, "E_GIT_AUTH", "the Git host takes neither a token nor an ssh key");
}

static int check_host_key(struct session *s, const git_cert_hostkey *key)
{
    if ((key->type & GIT_CERT_SSH_RAW) && source_knows_key(buf_text(&s->known_hosts), key->hostkey, key->hostkey_len))
        return 0;
    fail(&s->why, "E_GIT_CERTIFICATE", "the host %s shows an ssh key that is not one of source.known_hosts; if it was "
         "changed on purpose, pin the new one", s->url.host);
    return GIT_ECERTIFICATE;
}

static int check_certificate(git_cert *cert, int valid, const char *host, void *payload)
{
    struct session *s = payload;
    (void)host;
    if (cert->cert_type == GIT_CERT_HOSTKEY_LIBSSH2)
        return check_host_key(s, (const git_cert_hostkey *)(const void *)cert);
    if (valid)
        return 0;
    fail(&s->why, "E_GIT_CERTIFICATE", "the certificate of %s is not trusted: %s", s->url.host,
         s->options->ca != NULL ? "it is not signed by source.ca, or is for another name or time"
                                : "no public authority signed it, or it is for another name or time; name its CA as source.ca");
    return GIT_ECERTIFICATE;
}

static int on_progress(const git_indexer_progress *p, void *payload)
{
    struct session *s = payload;
    put_off_alarm();
    if (p->received_bytes > s->options->bytes_max)
        return fail(&s->why, "E_REPO_LIMIT", "the repository sends more than %llu MB",
                    (unsigned long long)(s->options->bytes_max >> 20));
    if (p->total_objects > LIMIT_OBJECTS)
        return fail(&s->why, "E_REPO_LIMIT", "the repository sends %u objects, more than %u", p->total_objects, LIMIT_OBJECTS);
    int64_t now = clock_mono_ms();
    if (now - s->shown_ms < 1000)
        return 0;
    s->shown_ms = now;
    printf("received %u of %u objects, %.1f MB\n", p->received_objects, p->total_objects,
           (double)p->received_bytes / 1048576);
    return fflush(stdout) == EOF ? -1 : 0;
}

static int on_message(const char *text, int size, void *payload)
{
    (void)text, (void)size, (void)payload; /* the host's chatter is not for the log; that it speaks is enough */
    put_off_alarm();
    return 0;
}

static void set_callbacks(git_remote_callbacks *c, struct session *s)
{
    c->credentials = give_credential;
    c->certificate_check = check_certificate;
    c->transfer_progress = on_progress;
    c->sideband_progress = on_message;
    c->payload = s;
}

/* ---- talking ---- */

/* A tag's own entry is followed by one for what it points to, "refs/tags/v1^{}". */
static bool find_ref(const git_remote_head **heads, size_t count, const char *ref, git_oid *tip)
{
    size_t size = strlen(ref);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        const char *name = heads[i]->name;
        if (strncmp(name, ref, size) == 0 && (name[size] == '\0' || strcmp(name + size, "^{}") == 0)) {
            *tip = heads[i]->oid;
            found = true;
        }
    }
    return found;
}

static int look_for(struct session *s, const char *ref, git_oid *tip, struct error *err)
{
    const git_remote_head **heads;
    size_t count;
    int result = git_remote_ls(&heads, &count, s->remote);
    if (result < 0)
        return session_fail(s, result, "E_GIT_FETCH", "the Git host's list of refs cannot be read", err);
    if (count > LIMIT_REFS)
        return fail(err, "E_REPO_LIMIT", "the repository has %zu refs, more than %u", count, LIMIT_REFS);
    if (!find_ref(heads, count, ref, tip))
        return fail(err, "E_GIT_REF", "the repository has no %s", ref);
    return 0;
}

int session_connect(struct session *s, git_repository *repo, const char *ref, git_oid *tip, struct error *err)
{
    git_remote_connect_options how;
    (void)git_remote_connect_options_init(&how, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
    set_callbacks(&how.callbacks, s);
    how.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
    how.proxy_opts.type = GIT_PROXY_NONE;
    session_disconnect(s);
    s->asked = false;
    int result = repo != NULL ? git_remote_create_anonymous(&s->remote, repo, s->options->url)
                              : git_remote_create_detached(&s->remote, s->options->url);
    if (result == 0)
        result = git_remote_connect_ext(s->remote, GIT_DIRECTION_FETCH, &how);
    if (result < 0)
        return session_fail(s, result, "E_GIT_CONNECT", "no connection to the Git host", err);
    put_off_alarm();
    return look_for(s, ref, tip, err);
}

int session_download(struct session *s, const char *ref, struct error *err)
{
    char spec[600];
    char *specs[] = {spec};
    git_strarray list = {specs, 1};
    git_fetch_options how;
    (void)git_fetch_options_init(&how, GIT_FETCH_OPTIONS_VERSION);
    snprintf(spec, sizeof spec, "+%s:refs/klystrr/fetched", ref);
    set_callbacks(&how.callbacks, s);
    how.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
    how.proxy_opts.type = GIT_PROXY_NONE;
    how.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    how.update_fetchhead = 0;
    int result = git_remote_fetch(s->remote, &list, &how, "klystrr");
    if (result < 0)
        return session_fail(s, result, "E_GIT_FETCH", "the transfer from the Git host failed", err);
    put_off_alarm();
    return 0;
}
