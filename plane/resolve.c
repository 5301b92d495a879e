/* Happy path: a request waits for one of four places → the child, with pipes for output and errors, and CA,
 * known hosts and credential in memory files that only it holds → it exits → its output is read → the callback.
 * Failures: the child says E_… on standard error; it is killed after 30 s or beyond 64 KiB of output. Close: a
 * request ends when its process handle and two pipes are closed. */
#include "plane/resolve.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/names.h"
#include "plane/documents.h"

#define RUNNING_MAX 4
#define WAITING_MAX 64
#define TIME_MS     30000
#define OUTPUT_MAX  65536
#define FILES_MAX   3

struct request {
    struct request *next;
    struct plane *plane;
    resolved *done;
    void *ctx;
    char url[URL_SOURCE_MAX + 1], ref[256];
    struct buf ca_pem, hosts_text, credential; /* credential: wiped */
    uv_process_t process;
    uv_pipe_t out, errors;
    int files[FILES_MAX]; /* memory files: CA, known hosts, credential; -1: none */
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
    for (int i = 0; i < FILES_MAX; i++)
        if (r->files[i] >= 0)
            close(r->files[i]);
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

static int memory_file(const struct buf *data, int *fd)
{
    if (data->size == 0)
        return 0;
    *fd = memfd_create("klystrr", MFD_CLOEXEC);
    if (*fd < 0 || write_all(*fd, data->data, data->size) < 0 || lseek(*fd, 0, SEEK_SET) < 0)
        return -1;
    return 0;
}

static int make_files(struct request *r)
{
    if (memory_file(&r->ca_pem, &r->files[0]) < 0 || memory_file(&r->hosts_text, &r->files[1]) < 0)
        return -1;
    return memory_file(&r->credential, &r->files[2]);
}

static void open_pipes(struct request *r)
{
    uv_loop_t *uv = &r->plane->uv;
    uv_pipe_init(uv, &r->out, 0);
    uv_pipe_init(uv, &r->errors, 0);
    r->out.data = r->errors.data = r->process.data = r;
    r->open_handles = 3;
}

struct command {
    char *argv[16];
    char numbers[FILES_MAX][4];
    uv_stdio_container_t stdio[3 + FILES_MAX];
    int argc, stdio_count;
};

static void build(struct request *r, struct command *c)
{
    static const char *const flags[FILES_MAX] = {"--ca-fd", "--known-hosts-fd", "--credential-fd"};
    const char *fixed[] = {
        r->plane->resolver->program, "resolve", "--deadline", "25", "--url", r->url, "--ref", r->ref};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        c->argv[c->argc++] = (char *)(uintptr_t)fixed[i];
    c->stdio[0].flags = UV_IGNORE;
    c->stdio[1].flags = c->stdio[2].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    c->stdio[1].data.stream = (uv_stream_t *)&r->out;
    c->stdio[2].data.stream = (uv_stream_t *)&r->errors;
    c->stdio_count = 3;
    for (int i = 0; i < FILES_MAX; i++) {
        if (r->files[i] < 0)
            continue;
        snprintf(c->numbers[i], sizeof c->numbers[i], "%d", c->stdio_count);
        c->argv[c->argc++] = (char *)(uintptr_t)flags[i];
        c->argv[c->argc++] = c->numbers[i];
        c->stdio[c->stdio_count].flags = UV_INHERIT_FD;
        c->stdio[c->stdio_count++].data.fd = r->files[i];
    }
}

static void spawn(struct request *r)
{
    static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C.UTF-8";
    char *env[] = {path, locale, NULL};
    struct command c = {.argc = 0};
    build(r, &c);
    uv_process_options_t options = {.file = c.argv[0],
                                    .args = c.argv,
                                    .env = env,
                                    .cwd = "/",
                                    .exit_cb = on_child_exit,
                                    .stdio = c.stdio,
                                    .stdio_count = c.stdio_count};
    open_pipes(r);
    r->spawned = uv_spawn(&r->plane->uv, &r->process, &options) == 0;
    if (r->spawned) {
        uv_read_start((uv_stream_t *)&r->out, on_alloc, on_read);
        uv_read_start((uv_stream_t *)&r->errors, on_alloc, on_read);
        loop_timer_start(r->timer, TIME_MS, 0);
        return;
    }
    close_handle((uv_handle_t *)&r->process);
    close_handle((uv_handle_t *)&r->out);
    close_handle((uv_handle_t *)&r->errors);
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
        if (make_files(r) < 0)
            r->why = "a memory file could not be made";
        r->stopping = p->stopping;
        spawn(r);
        if (r->stopping || r->why != NULL)
            kill_it(r, r->why);
    }
}

/* ---- asking ---- */

static int fill(struct plane *p, struct request *r, const struct manifest *m, const char *ref,
                struct error *err)
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
    return rc > 0 ? fail(err, "E_GIT_AUTH", "the repository needs %s, which has no value: klystrr env set %s",
                         s->credential, s->credential)
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
    r->files[0] = r->files[1] = r->files[2] = -1;
    r->ca_pem = BUF(MANIFEST_CA_MAX);
    r->hosts_text = BUF(65536);
    r->credential = BUF(ENV_VALUE_MAX);
    r->out_text = BUF(OUTPUT_MAX);
    r->error_text = BUF(OUTPUT_MAX);
    return r;
}

int resolve_project(struct plane *p, const char *project, const char *ref, resolved *done, void *ctx,
                    struct error *err)
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
