#include "agent/warden/vhost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ipc/layout.h"

/* %1$s project, %2$s app, %3$u blue's port, %4$u green's, %5$s generation, %6$s listen lines, %7$s names, %8$u
 * MiB. The flag decides between the ports at each request, so switching needs no reload and drops nothing.
 * Variables carry blue's port in their names, because that is unique. */
static const char template[] = VHOST_HEADER
    "%1$s %2$s %5$s: made by klystrr-warden, changes are overwritten\n"
    "upstream klystrr_%1$s.%2$s_blue { server 127.0.0.1:%3$u; keepalive 32; }\n"
    "upstream klystrr_%1$s.%2$s_green { server 127.0.0.1:%4$u; keepalive 32; }\n"
    "map $http_upgrade $klystrr_%3$u_connection { default upgrade; '' ''; }\n"
    "map $remote_addr $klystrr_%3$u_slot { default ''; 127.0.0.1 $klystrr_colour; ::1 $klystrr_colour; }\n"
    "map $remote_addr $klystrr_%3$u_vhost { default ''; 127.0.0.1 %5$s; ::1 %5$s; }\n"
    "server {\n"
    "%6$s"
    "    server_name%7$s;\n"
    "    client_max_body_size %8$um;\n"
    "    open_file_cache off;\n"
    "    add_header X-Klystrr-Slot $klystrr_%3$u_slot always;\n"
    "    add_header X-Klystrr-Vhost $klystrr_%3$u_vhost always;\n"
    "    set $klystrr_colour blue;\n"
    "    if (-e " KLY_RUN_SW "/%1$s.%2$s.green) { set $klystrr_colour green; }\n"
    "    location / {\n"
    "        proxy_pass http://klystrr_%1$s.%2$s_$klystrr_colour;\n"
    "        proxy_http_version 1.1;\n"
    "        proxy_set_header Host $http_host;\n"
    "        proxy_set_header Upgrade $http_upgrade;\n"
    "        proxy_set_header Connection $klystrr_%3$u_connection;\n"
    "        proxy_set_header X-Real-IP $remote_addr;\n"
    "        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
    "        proxy_set_header X-Forwarded-Proto $scheme;\n"
    "        proxy_set_header X-Forwarded-Host $http_host;\n"
    "        proxy_next_upstream off;\n"
    "        proxy_buffering off;\n"
    "        proxy_read_timeout 1h;\n"
    "        proxy_send_timeout 1h;\n"
    "    }\n"
    "}\n";

static int render(const struct warden_vhost *v, const uint16_t ports[2], bool ipv6, const char *generation,
                  struct buf *out, struct error *err)
{
    AUTO_BUF struct buf names = BUF(WARDEN_DOMAINS_MAX * 256);
    char listen[80];
    snprintf(listen, sizeof listen, ipv6 ? "    listen %1$u;\n    listen [::]:%1$u;\n" : "    listen %1$u;\n",
             v->listen);
    for (uint32_t i = 0; i < v->name_count; i++)
        if (buf_addf(&names, err, " %s", v->names[i]) < 0)
            return -1;
    return buf_addf(out, err, template, v->project, v->app, ports[0], ports[1], generation, listen,
                    buf_text(&names), v->max_body_mb);
}

int vhost_render(const struct warden_vhost *vhost, const uint16_t ports[2], bool ipv6, char generation[24],
                 struct buf *out, struct error *err)
{
    AUTO_BUF struct buf draft = BUF(out->limit);
    uint64_t sum = UINT64_C(14695981039346656037);
    if (render(vhost, ports, ipv6, "", &draft, err) < 0)
        return -1;
    for (size_t i = 0; i < draft.size; i++)
        sum = (sum ^ draft.data[i]) * UINT64_C(1099511628211);
    snprintf(generation, 24, "%016llx", (unsigned long long)sum);
    return render(vhost, ports, ipv6, generation, out, err);
}

/* A scanner of nginx's own output: words, quoted words and the signs { } ;. */
struct scan {
    const char *at;
    char file[256]; /* the section of the dump */
    char word[300];
    bool own_seen;
};

static void skip_comment(struct scan *s, const char *own)
{
    static const char section[] = "# configuration file ";
    const char *end = s->at + strcspn(s->at, "\n");
    if (strncmp(s->at, section, sizeof section - 1) == 0 && end[-1] == ':') {
        const char *name = s->at + sizeof section - 1;
        snprintf(s->file, sizeof s->file, "%.*s", (int)(end - 1 - name), name);
        s->own_seen = s->own_seen || strcmp(s->file, own) == 0;
    }
    s->at = end;
}

/* The next word; false at the end. */
static bool next(struct scan *s, const char *own)
{
    size_t n = 0;
    for (;; s->at++) {
        s->at += strspn(s->at, " \t\r\n");
        if (*s->at != '#')
            break;
        skip_comment(s, own);
        if (*s->at == 0)
            break;
    }
    char quote = *s->at == '"' || *s->at == '\'' ? *s->at : 0;
    if (quote != 0) {
        for (s->at++; *s->at != 0 && *s->at != quote; s->at++) {
            s->at += *s->at == '\\' && s->at[1] != 0;
            n += n < sizeof s->word - 1 ? (s->word[n] = *s->at, 1u) : 0u;
        }
        s->at += *s->at == quote;
    } else if (*s->at != 0 && strchr("{};", *s->at) != NULL)
        s->word[n++] = *s->at++;
    else
        for (; *s->at != 0 && strchr(" \t\r\n;{}", *s->at) == NULL; s->at++)
            n += n < sizeof s->word - 1 ? (s->word[n] = *s->at, 1u) : 0u;
    s->word[n] = 0;
    return n > 0 || quote != 0;
}

struct server {
    bool listens, ours, named; /* any listen at all; our port; one of our names */
    char name[256];
};

static unsigned listen_port(const char *address)
{
    const char *colon = strrchr(address, ':'), *bracket = strrchr(address, ']');
    if (strncmp(address, "unix:", 5) == 0)
        return 0;
    if (colon != NULL && (bracket == NULL || colon > bracket))
        return (unsigned)strtoul(colon + 1, NULL, 10);
    return strspn(address, "0123456789") == strlen(address) ? (unsigned)strtoul(address, NULL, 10) : 80;
}

static void server_name(const struct warden_vhost *vhost, const char *word, struct server *server)
{
    for (uint32_t i = 0; i < vhost->name_count; i++)
        if (strcasecmp(word + (word[0] == '.'), vhost->names[i]) == 0) {
            server->named = true;
            snprintf(server->name, sizeof server->name, "%s", vhost->names[i]);
        }
}

/* One server block, from behind its opening brace to its end. */
static void scan_server(struct scan *s, const char *own, const struct warden_vhost *vhost,
                        struct server *server)
{
    bool start = true;
    char directive[300] = "";
    *server = (struct server){0};
    for (int depth = 1; depth > 0 && next(s, own);) {
        bool ends = strcmp(s->word, ";") == 0;
        depth += (strcmp(s->word, "{") == 0) - (strcmp(s->word, "}") == 0);
        if (start)
            snprintf(directive, sizeof directive, "%s", depth == 1 ? s->word : "");
        else if (strcmp(directive, "server_name") == 0)
            server_name(vhost, s->word, server);
        else if (strcmp(directive, "listen") == 0) {
            server->listens = true;
            server->ours = server->ours || listen_port(s->word) == vhost->listen;
            directive[0] = 0; /* only its first word is an address */
        }
        start = ends || s->word[0] == '{' || s->word[0] == '}';
    }
}

int vhost_check_dump(const struct warden_vhost *vhost, const char *own, bool own_expected, const char *dump,
                     struct error *err)
{
    struct scan s = {.at = dump};
    bool server = false;
    while (next(&s, own)) {
        struct server found;
        if (server && strcmp(s.word, "{") == 0) {
            scan_server(&s, own, vhost, &found);
            if (found.named && (found.ours || (!found.listens && vhost->listen == 80)) &&
                strcmp(s.file, own) != 0)
                return fail(err, "E_VHOST_TAKEN",
                            "%s already serves %s on port %u: remove the name there, or choose another", s.file,
                            found.name, vhost->listen);
        }
        server = strcmp(s.word, "server") == 0;
    }
    return own_expected && !s.own_seen
               ? fail(err, "E_VHOST_INCLUDE",
                      "nginx does not read %s: include /etc/nginx/conf.d/*.conf in nginx.conf", own)
               : 0;
}
