/* Happy path: a request waits for one of four places → files in a folder of its own (CA, known hosts) → the child, with
 * pipes for output, errors and, if the manifest names one, the credential → it exits → its output is read → the callback.
 * Failures: the child says E_… on standard error; it is killed after 30 s or beyond 64 KiB of output. Close: a request
 * ends when its process handle and three pipes are closed; then its folder is removed. */
#include "plane/resolve.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/names.h"
#include "plane/documents.h"

#define RUNNING_MAX 4
#define WAITING_MAX 64
#define TIME_MS     30000
#define OUTPUT_MAX  65536
#define CREDENTIAL_FD 3

struct request {
    struct request *next;
    struct plane *plane;
    resolved *done;
    void *ctx;
    char url[URL_SOURCE_MAX + 1], ref[256];
    char ca[128], known_hosts[128]; /* paths, or "" */
    struct buf ca_pem, hosts_text, credential; /* credential: wiped */
    uv_process_t process;
    uv_pipe_t out, errors, secret;
    uv_write_t write;
    struct loop_timer *timer;
    struct buf out_text, error_text;
    int open_handles;
    bool spawned, stopping;
    int64_t status;
    int signal;
    const char *why; /* killed because */
};

struct resolver {
    char program[1024];
    struct request *running, *waiting;
    int running_count, waiting_count;
};

static void run_next(struct plane *p);

/* ---- pure parts ---- */

int resolve_parse_output(const char *output, char *out)
{
    for (const char *line = output; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "tip ", 4) != 0)
            continue;
        size_t n = strcspn(line + 4, "\n");
        if (n != 40 && n != 64)
            return -1;
        memcpy(out, line + 4, n);
        out[n] = '\0';
        return name_is_commit(out) ? 0 : -1;
    }
    return -1;
}

void resolve_parse_error(const char *text, struct error *err)
{
    static const char prefix[] = "klystrr-fetch: E_";
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, prefix)) != NULL; at++)
        if (at == text || at[-1] == '\n')
            found = at;
    char code[40] = "", sentence[500] = "";
    if (found == NULL || sscanf(found + sizeof prefix - 3, "%39[A-Z0-9_] %499[^\n]", code, sentence) != 2) {
        fail(err, "E_GIT_FETCH", "the Git host could not be asked: klystrr-fetch ended without saying why");
        return;
    }
    for (char *c = sentence; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    fail(err, code, "%s", sentence);
}

/* ---- ending ---- */

static void request_free(struct request *r)
{
    if (r->ca[0] != '\0')
        unlink(r->ca);
    if (r->known_hosts[0] != '\0')
        unlink(r->known_hosts);
    if (r->timer != NULL)
        loop_timer_free(&r->timer);
    buf_free(&r->ca_pem);
    buf_free(&r->hosts_text);
    buf_wipe_free(&r->credential);
    buf_free(&r->out_text);
    buf_free(&r->error_text);
    free(r);
}

static void unlink_running(struct resolver *all, struct request *r)
{
    for (struct request **at = &all->running; *at != NULL; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            all->running_count--;
            return;
        }
}

static void report(struct request *r)
{
    struct error err = {0};
    char commit[65];
    if (r->stopping)
        fail(&err, "E_STOPPING", "the plane is going down");
    else if (r->why != NULL)
        fail(&err, "E_TIMEOUT", "%s", r->why);
    else if (!r->spawned)
        fail(&err, "E_FETCH_PROGRAM", "klystrr-fetch could not be started; is Klystrr installed whole?");
    else if (r->status != 0 || r->signal != 0)
        resolve_parse_error(buf_text(&r->error_text), &err);
    else if (resolve_parse_output(buf_text(&r->out_text), commit) < 0)
        fail(&err, "E_GIT_FETCH", "klystrr-fetch gave no commit for %s", r->ref);
    r->done(r->ctx, err.code[0] == '\0' ? commit : NULL, err.code[0] == '\0' ? NULL : &err);
}

static void finished(struct request *r)
{
    struct plane *p = r->plane;
    unlink_running(p->resolver, r);
    report(r);
    request_free(r);
    run_next(p);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct request *r = h->data;
    if (--r->open_handles == 0)
        finished(r);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, on_handle_closed);
}

static void kill_it(struct request *r, const char *why)
{
    if (r->why == NULL)
        r->why = why;
    if (r->spawned && uv_is_active((uv_handle_t *)&r->process))
        uv_process_kill(&r->process, SIGKILL);
}

/* ---- running ---- */

static void on_child_exit(uv_process_t *process, int64_t status, int signal)
{
    struct request *r = process->data;
    r->status = status;
    r->signal = signal;
    loop_timer_stop(r->timer);
    close_handle((uv_handle_t *)process);
    close_handle((uv_handle_t *)&r->secret);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    struct request *r = h->data;
    (void)suggested;
    *out = uv_buf_init((char *)r->plane->net.read, 4096);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *data)
{
    struct request *r = stream->data;
    struct error ignored;
    struct buf *into = stream == (uv_stream_t *)&r->out ? &r->out_text : &r->error_text;
    if (n < 0)
        close_handle((uv_handle_t *)stream);
    else if (n > 0 && buf_add(into, data->base, (size_t)n, &ignored) < 0)
        kill_it(r, "klystrr-fetch said too much");
}

static void on_time(void *ctx)
{
    struct request *r = ctx;
    kill_it(r, "the Git host did not answer within 30 seconds");
    /* A grandchild may hold the pipes: do not wait for it. */
    close_handle((uv_handle_t *)&r->out);
    close_handle((uv_handle_t *)&r->errors);
}

static void on_written(uv_write_t *write, int status)
{
    struct request *r = write->data;
    (void)status;
    close_handle((uv_handle_t *)&r->secret);
}

static int write_temp(struct request *r, const struct buf *data, char *path, size_t room)
{
    if (data->size == 0)
        return 0;
    snprintf(path, room, "/tmp/klystrr-plane-XXXXXX");
    AUTO_CLOSE int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        path[0] = '\0';
        return -1;
    }
    (void)r;
    return write_all(fd, data->data, data->size);
}

static void open_pipes(struct request *r)
{
    uv_loop_t *uv = &r->plane->uv;
    uv_pipe_init(uv, &r->out, 0);
    uv_pipe_init(uv, &r->errors, 0);
    uv_pipe_init(uv, &r->secret, 0);
    r->out.data = r->errors.data = r->secret.data = r->process.data = r->write.data = r;
    r->open_handles = 4;
}

static void feed(struct request *r)
{
    uv_buf_t data = uv_buf_init((char *)r->credential.data, (unsigned)r->credential.size);
    uv_read_start((uv_stream_t *)&r->out, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&r->errors, on_alloc, on_read);
    if (r->credential.size == 0 || uv_write(&r->write, (uv_stream_t *)&r->secret, &data, 1, on_written) < 0)
        close_handle((uv_handle_t *)&r->secret);
}

static void spawn(struct request *r)
{
    char *argv[16], *env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"LC_ALL=C.UTF-8", NULL};
    int n = 0;
    argv[n++] = r->plane->resolver->program;
    argv[n++] = (char *)"resolve";
    argv[n++] = (char *)"--url", argv[n++] = r->url;
    argv[n++] = (char *)"--ref", argv[n++] = r->ref;
    if (r->ca[0] != '\0')
        argv[n++] = (char *)"--ca", argv[n++] = r->ca;
    if (r->known_hosts[0] != '\0')
        argv[n++] = (char *)"--known-hosts", argv[n++] = r->known_hosts;
    if (r->credential.size > 0)
        argv[n++] = (char *)"--credential-fd", argv[n++] = (char *)"3";
    argv[n] = NULL;
    uv_stdio_container_t stdio[4] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->errors},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&r->secret},
    };
    uv_process_options_t options = {.file = argv[0], .args = argv, .env = env, .cwd = "/", .exit_cb = on_child_exit, .stdio = stdio,
                                    .stdio_count = r->credential.size > 0 ? CREDENTIAL_FD + 1 : CREDENTIAL_FD};
    open_pipes(r);
    r->spawned = uv_spawn(&r->plane->uv, &r->process, &options) == 0;
    if (r->spawned) {
        feed(r);
        loop_timer_start(r->timer, TIME_MS, 0);
        return;
    }
    close_handle((uv_handle_t *)&r->process);
    close_handle((uv_handle_t *)&r->out);
    close_handle((uv_handle_t *)&r->errors);
    close_handle((uv_handle_t *)&r->secret);
}

static void run_next(struct plane *p)
{
    struct resolver *all = p->resolver;
    while (all->waiting != NULL && all->running_count < RUNNING_MAX) {
        struct request *r = all->waiting;
        all->waiting = r->next;
        all->waiting_count--;
        r->next = all->running;
        all->running = r;
        all->running_count++;
        if (write_temp(r, &r->ca_pem, r->ca, sizeof r->ca) < 0 ||
            write_temp(r, &r->hosts_text, r->known_hosts, sizeof r->known_hosts) < 0)
            r->why = "a temporary file could not be written";
        r->stopping = p->stopping;
        spawn(r);
        if (r->stopping || r->why != NULL)
            kill_it(r, r->why);
    }
}

/* ---- asking ---- */

static int fill(struct plane *p, struct request *r, const struct manifest *m, const char *ref, struct error *err)
{
    const struct manifest_source *s = &m->source;
    snprintf(r->url, sizeof r->url, "%s", s->url);
    snprintf(r->ref, sizeof r->ref, "%s", ref != NULL ? ref : s->ref);
    if (s->ca != NULL && buf_add_text(&r->ca_pem, s->ca, err) < 0)
        return -1;
    for (size_t i = 0; i < s->known_host_count; i++)
        if (buf_addf(&r->hosts_text, err, "%s\n", s->known_hosts[i]) < 0)
            return -1;
    if (s->credential == NULL)
        return 0;
    int rc = documents_value(&p->store, &p->home.vault, m->project, s->credential, &r->credential, err);
    return rc > 0 ? fail(err, "E_GIT_AUTH", "the repository needs %s, which has no value: klystrr env set %s", s->credential,
                         s->credential)
                  : rc;
}

static struct request *new_request(struct plane *p, struct error *err)
{
    struct request *r = calloc(1, sizeof *r);
    if (r != NULL)
        r->timer = loop_timer_new(&p->net, on_time, r);
    if (r == NULL || r->timer == NULL) {
        free(r);
        fail(err, "E_NO_MEMORY", "no memory");
        return NULL;
    }
    r->plane = p;
    r->ca_pem = BUF(MANIFEST_CA_MAX);
    r->hosts_text = BUF(65536);
    r->credential = BUF(ENV_VALUE_MAX);
    r->out_text = BUF(OUTPUT_MAX);
    r->error_text = BUF(OUTPUT_MAX);
    return r;
}

int resolve_project(struct plane *p, const char *project, const char *ref, resolved *done, void *ctx, struct error *err)
{
    AUTO_MANIFEST struct manifest m = {0};
    struct resolver *all = p->resolver;
    int rc = documents_manifest(&p->store, project, &m, NULL, NULL, err);
    if (rc != 0)
        return rc < 0 ? -1 : fail(err, "E_NO_MANIFEST", "%s has no manifest yet; upload one first", project);
    if (p->stopping || all->waiting_count >= WAITING_MAX)
        return fail(err, "E_BUSY", "too many repositories are being asked; try again");
    struct request *r = new_request(p, err);
    if (r == NULL)
        return -1;
    if (fill(p, r, &m, ref, err) < 0) {
        request_free(r);
        return -1;
    }
    r->done = done;
    r->ctx = ctx;
    struct request **at = &all->waiting;
    while (*at != NULL)
        at = &(*at)->next;
    *at = r;
    all->waiting_count++;
    run_next(p);
    return 0;
}

int resolve_start(struct plane *p, const char *program, struct error *err)
{
    p->resolver = calloc(1, sizeof *p->resolver);
    if (p->resolver == NULL)
        return fail(err, "E_NO_MEMORY", "no memory");
    snprintf(p->resolver->program, sizeof p->resolver->program, "%s", program);
    return 0;
}

void resolve_stop(struct plane *p)
{
    if (p->resolver == NULL)
        return;
    while (p->resolver->waiting != NULL) {
        struct request *r = p->resolver->waiting;
        p->resolver->waiting = r->next;
        p->resolver->waiting_count--;
        r->stopping = true;
        report(r);
        request_free(r);
    }
    for (struct request *r = p->resolver->running; r != NULL; r = r->next) {
        r->stopping = true;
        kill_it(r, NULL);
    }
}

void resolve_free(struct plane *p)
{
    free(p->resolver);
    p->resolver = NULL;
}
