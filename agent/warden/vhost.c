#include "agent/warden/vhost.h"

#include <stddef.h>
#include <stdio.h>
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

#define SECTION "# configuration file "

/* Has nginx warned that this name is there twice on our port? "conflicting server name "a.b" on
 * 0.0.0.0:80, ignored"; ".a.b" includes "a.b". */
static bool conflicts(const char *dump, const char *name, unsigned port)
{
    static const char sign[] = "conflicting server name \"";
    char ending[16];
    size_t length = strlen(name), digits = (size_t)snprintf(ending, sizeof ending, ":%u", port);
    for (const char *at = strstr(dump, sign); at != NULL; at = strstr(at, sign)) {
        at += sizeof sign - 1;
        const char *warned = at + (*at == '.'), *comma = at + strcspn(at, ",\n");
        if (strncasecmp(warned, name, length) == 0 && warned[length] == '"' && comma - at > (ptrdiff_t)length &&
            strncmp(comma - digits, ending, digits) == 0)
            return true;
    }
    return false;
}

/* Does a server_name in this part of the dump list the name? */
static bool lists(const char *part, size_t size, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = part + 1; (at = strcasestr(at, name)) != NULL && at + length < part + size;
         at += length) {
        const char *word = at - (at[-1] == '.'), *directive = word;
        while (directive > part && strchr(";{}", directive[-1]) == NULL)
            directive--;
        directive += strspn(directive, " \t\r\n");
        if (strchr(" \t\r\n\"'", word[-1]) != NULL && strchr(" \t\r\n\"';", at[length]) != NULL &&
            strncmp(directive, "server_name", 11) == 0)
            return true;
    }
    return false;
}

static int taken(const char *dump, const char *own, const char *name, unsigned port, struct error *err)
{
    int file = 0;
    const char *path = "another file";
    for (const char *at = strstr(dump, SECTION), *next; at != NULL && file == 0; at = next) {
        at += sizeof SECTION - 1;
        next = strstr(at, SECTION);
        int length = (int)strcspn(at, ":\n");
        bool ours = strncmp(at, own, strlen(own)) == 0 && (size_t)length == strlen(own);
        if (!ours &&
            lists(at + length, next != NULL ? (size_t)(next - at - length) : strlen(at + length), name)) {
            file = length;
            path = at;
        }
    }
    return fail(err, "E_VHOST_TAKEN",
                "%.*s already serves %s on port %u: remove the name there, or choose another",
                file != 0 ? file : (int)strlen(path), path, name, port);
}

int vhost_check_dump(const struct warden_vhost *vhost, const char *own, const char *dump, struct error *err)
{
    char section[160];
    snprintf(section, sizeof section, SECTION "%s:\n", own);
    for (uint32_t i = 0; i < vhost->name_count; i++)
        if (conflicts(dump, vhost->names[i], vhost->listen))
            return taken(dump, own, vhost->names[i], vhost->listen, err);
    return strstr(dump, section) != NULL
               ? 0
               : fail(err, "E_VHOST_INCLUDE",
                      "nginx does not read %s: include /etc/nginx/conf.d/*.conf in nginx.conf", own);
}
