#include "agent/agent/fetch_args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/layout.h"

static void put(struct fetch_args *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct fetch_args *a, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = a->count < BOX_ARGS_MAX ? vasprintf(&text, format, args) : -1;
    va_end(args);
    if (n < 0) {
        a->failed = true;
        return;
    }
    a->at[a->count++] = text;
}

static void begin(struct fetch_args *a, const char *verb, const char *what)
{
    *a = (struct fetch_args){.what = what};
    put(a, "klystrr-fetch");
    put(a, "%s", verb);
}

static void option(struct fetch_args *a, const char *name, const char *value)
{
    put(a, "%s", name);
    put(a, "%s", value);
}

void fetch_args_fetch(struct fetch_args *a, const struct manifest *m, const char *commit, const char *release)
{
    const struct manifest_source *s = &m->source;
    begin(a, "fetch", "fetching the commit");
    option(a, "--url", s->url);
    option(a, "--ref", s->ref);
    option(a, "--commit", commit);
    if (s->since != NULL)
        option(a, "--since", s->since);
    option(a, "--mirror", "mirror.git");
    put(a, "--staging");
    put(a, "staging/%s", release);
    put(a, "--max-mb");
    put(a, "%d", m->disk_mb);
}

void fetch_args_credential(struct fetch_args *a, int fd)
{
    put(a, "--credential-fd");
    put(a, "%d", fd);
}

void fetch_args_known_hosts(struct fetch_args *a, int fd)
{
    put(a, "--known-hosts-fd");
    put(a, "%d", fd);
}

void fetch_args_ca(struct fetch_args *a, int fd)
{
    put(a, "--ca-fd");
    put(a, "%d", fd);
}

void fetch_args_finish(struct fetch_args *a, const struct manifest *m, const char *release, uint32_t group)
{
    begin(a, "finish", "completing the release");
    put(a, "--staging");
    put(a, "staging/%s", release);
    put(a, "--known-as");
    put(a, KLY_SRV "/%s/releases/%s", m->project, release);
    put(a, "--group");
    put(a, "%u", group);
    put(a, "--max-mb");
    put(a, "%d", m->disk_mb);
    for (size_t i = 0; i < m->shared_count; i++) {
        put(a, "--shared");
        put(a, "%s=" KLY_SRV "/%s/shared/%s", m->shared[i], m->project, m->shared[i]);
    }
    for (size_t i = 0; i < m->writable_count; i++)
        option(a, "--writable", m->writable[i]);
}

void fetch_args_remove(struct fetch_args *a, const char *name, bool best_effort)
{
    begin(a, "remove", "removing a folder");
    put(a, "--dir");
    put(a, "staging/%s", name);
    if (best_effort)
        put(a, "--best-effort");
}

void fetch_args_free(struct fetch_args *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->at[i]);
    *a = (struct fetch_args){0};
}
