/* An uplink and an owner in one, for trying the agent by hand and from scripts: signs documents with keys of its own and
 * relays them over link.sock as the uplink would.
 *
 *   link_driver init FOLDER SERVER             keys and trust version 1; prints agent.json
 *   link_driver manifest FOLDER FILE           signs and sends a manifest
 *   link_driver env FOLDER PROJECT VERSION FILE   seals {"values":…} to the host and sends it
 *   link_driver deploy FOLDER PROJECT SEQUENCE DEPLOYMENT COMMIT
 *   link_driver activate FOLDER PROJECT SEQUENCE DEPLOYMENT RELEASE
 *   link_driver cancel FOLDER PROJECT SEQUENCE DEPLOYMENT TARGET
 *        sends the order and prints events until that deployment's result; exit 0 if it is `live`
 *   link_driver log FOLDER DEPLOYMENT          prints the log stream's bytes (gzip) to standard output */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "base/encode.h"
#include "ipc/link_api.h"
#include "ipc/record.h"
#include "ipc/sock.h"
#include "proto/env_doc.h"
#include "proto/event.h"
#include "proto/manifest.h"
#include "proto/trust_doc.h"
#include "trust/digest.h"
#include "trust/seal.h"
#include "trust/sign.h"

static struct error err;
static int folder;
static struct link_hello hello;
static struct link_project projects[16];
static unsigned project_count;
static int events_fd = -1, log_fd = -1;
static uint64_t log_end, events_end;
static bool log_closed;
static const char *log_wanted = "";

static void die(const char *what)
{
    fprintf(stderr, "link_driver: %s: %s %s\n", what, err.code, err.text);
    exit(3);
}

static void need(int rc, const char *what)
{
    if (rc < 0)
        die(what);
}

static const char *const key_files[] = {"root.pem", "manifest.pem", "order.pem"};

static void key(int role, struct p256_key *out)
{
    struct buf pem = BUF(P256_PEM_MAX);
    int rc = durable_read(folder, key_files[role], &pem, &err);
    if (rc == 1) {
        need(p256_generate(out, &err), "generate");
        need(p256_write_pem(out, &pem, &err), "pem");
        need(durable_replace(folder, key_files[role], pem.data, pem.size, 0600, &err), "write key");
    } else {
        need(rc, "read key");
        need(p256_read_pem(buf_view(&pem), out, &err), "parse key");
    }
    buf_free(&pem);
}

static void make_trust(const char *server)
{
    struct trust_doc t = {.version = 1, .issued = clock_wall_ms() / 1000 * 1000, .url_count = 1};
    struct buf json = BUF(PAYLOAD_MAX);
    uint8_t digest[32];
    char hex[65];
    t.expires = t.issued + 365ll * 86400 * 1000;
    strcpy(t.plane, "00112233445566778899aabbccddeeff");
    strcpy(t.urls[0], "https://localhost:7443");
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct p256_key k;
        key(role, &k);
        memcpy(t.roles[role].point, k.point, sizeof k.point);
        need(p256_keyid(k.point, t.roles[role].keyid, &err), "keyid");
    }
    need(trust_doc_encode(&t, &json, &err), "trust");
    need(durable_replace(folder, "trust.json", json.data, json.size, 0600, &err), "write trust");
    need(digest_of(json.data, json.size, digest, &err), "digest");
    hex_encode(digest, 32, hex);
    printf("{\"server\":\"%s\",\"plane\":\"https://localhost:7443\",\"ca\":\"%064d\",\"trust\":\"%s\",\"mode\":\"direct\"}\n",
           server, 0, hex);
}

static void take(struct ipc_record *r)
{
    const struct link_hello *h = ipc_body(r, sizeof *h);
    const struct link_project *p = ipc_body(r, sizeof *p);
    const struct link_stream *s = ipc_body(r, sizeof *s);
    const struct link_challenge *c = ipc_body(r, sizeof *c);
    const struct link_refused *refused = ipc_body(r, sizeof *refused);
    static uint32_t log_id, events_id;
    if (r->head.verb == LINK_HELLO && h != NULL)
        hello = *h;
    if (r->head.verb == LINK_CHALLENGE && c != NULL)
        memcpy(hello.challenge, c->challenge, sizeof hello.challenge);
    if (r->head.verb == LINK_PROJECT && p != NULL) {
        unsigned i = 0;
        while (i < project_count && strcmp(projects[i].project, p->project) != 0)
            i++;
        if (i < 16)
            projects[i] = *p;
        project_count = i == project_count ? i + 1 : project_count;
    }
    if (r->head.verb == LINK_STREAM && s != NULL && strcmp(s->name, "events") == 0) {
        events_fd = ipc_take_fd(r, 0);
        events_end = s->end - s->base;
        events_id = s->id;
        lseek(events_fd, (off_t)events_end, SEEK_SET);
    }
    if (r->head.verb == LINK_STREAM && s != NULL && strcmp(s->name, log_wanted) == 0) {
        log_fd = ipc_take_fd(r, 0);
        log_end = s->end;
        log_closed = s->closed != 0;
        log_id = s->id;
    }
    const struct link_grown *g = ipc_body(r, sizeof *g);
    if (r->head.verb == LINK_GROWN && g != NULL && g->id == log_id && log_id != 0) {
        log_end = g->end;
        log_closed = g->closed != 0;
    }
    (void)events_id;
    if (r->head.verb == LINK_REFUSED && refused != NULL)
        printf("refused %s %s\n", refused->code, refused->text);
    ipc_close_fds(r);
}

static int connect_agent(void)
{
    int sock = sock_connect(LINK_SOCKET, &err);
    need(sock, "connect");
    for (;;) {
        struct ipc_record r;
        if (ipc_recv(sock, &r, &err) != IPC_OK)
            die("the agent says nothing");
        bool ready = r.head.verb == LINK_READY;
        take(&r);
        if (ready)
            return sock;
    }
}

static void send_document(int sock, int role, enum document_type type, const struct buf *payload)
{
    struct p256_key k;
    struct envelope_signature sig = {0};
    struct link_document d = {.kind = (uint32_t)type, .signature_count = 1};
    key(role, &k);
    need(sign_payload(&k, type, buf_view(payload), &sig, &err), "sign");
    memcpy(d.signatures[0].sig, sig.sig, 64);
    int fd = memfd_sealed("document", payload->data, payload->size, &err);
    need(fd, "memfd");
    if (ipc_send(sock, LINK_DOCUMENT, 0, &d, sizeof d, &fd, 1, &err) != IPC_OK)
        die("send");
    close(fd);
}

static void read_file(const char *path, struct buf *out)
{
    int rc = durable_read(AT_FDCWD, path, out, &err);
    if (rc != 0)
        die(path);
}

static void send_trust(int sock)
{
    struct buf json = BUF(PAYLOAD_MAX);
    if (durable_read(folder, "trust.json", &json, &err) != 0)
        die("trust.json");
    send_document(sock, ROLE_ROOT, DOCUMENT_TRUST, &json);
    buf_free(&json);
}

/* Waits for what the agent says about a document: half a second of silence is the end. */
static void settle(int sock)
{
    struct pollfd wait = {sock, POLLIN, 0};
    while (poll(&wait, 1, 700) > 0) {
        struct ipc_record r;
        if (ipc_recv(sock, &r, &err) != IPC_OK)
            die("gone");
        take(&r);
    }
}

static void send_env(int sock, const char *project, uint64_t version, const char *path)
{
    struct env_doc e = {.version = version, .issued = clock_wall_ms() / 1000 * 1000, .ct = BUF(ENV_CT_MAX)};
    struct buf plain = BUF(ENV_PLAIN_MAX), json = BUF(PAYLOAD_MAX);
    read_file(path, &plain);
    snprintf(e.server, sizeof e.server, "%.20s", hello.server);
    snprintf(e.project, sizeof e.project, "%s", project);
    need(seal_env(hello.seal, hello.server, project, version, buf_view(&plain), e.enc, &e.ct, &err), "seal");
    need(env_doc_encode(&e, &json, &err), "env");
    send_document(sock, ROLE_ORDER, DOCUMENT_ENV, &json);
    buf_free(&e.ct);
    buf_free(&plain);
    buf_free(&json);
}

static void send_order(int sock, enum order_action action, char **words)
{
    struct order o = {.action = action, .sequence = strtoull(words[1], NULL, 10), .issued = clock_wall_ms() / 1000 * 1000};
    struct buf json = BUF(16384);
    static const uint8_t none[32];
    snprintf(o.server, sizeof o.server, "%.20s", hello.server);
    snprintf(o.project, sizeof o.project, "%s", words[0]);
    snprintf(o.deployment, sizeof o.deployment, "%s", words[2]);
    memcpy(o.challenge, hello.challenge, sizeof o.challenge);
    if (action == ORDER_DEPLOY)
        snprintf(o.commit, sizeof o.commit, "%s", words[3]);
    else if (action == ORDER_ACTIVATE)
        snprintf(o.release, sizeof o.release, "%s", words[3]);
    else
        snprintf(o.target, sizeof o.target, "%s", words[3]);
    for (unsigned i = 0; i < project_count; i++)
        if (strcmp(projects[i].project, words[0]) == 0) {
            memcpy(o.manifest, projects[i].manifest_digest, 32);
            memcpy(o.env, projects[i].env_digest, 32);
            o.has_env = memcmp(o.env, none, 32) != 0;
        }
    need(order_encode(&o, &json, &err), "order");
    send_document(sock, ROLE_ORDER, DOCUMENT_ORDER, &json);
    buf_free(&json);
}

/* Prints what is new in the events; 1 if it was the deployment's result, 2 if that was `live`. */
static int print_events(const char *deployment)
{
    static char text[1 << 20];
    static size_t used;
    int result = 0;
    ssize_t n = read(events_fd, text + used, sizeof text - used - 1);
    used += n > 0 ? (size_t)n : 0;
    text[used] = 0;
    char *at = text, *end;
    while ((end = strchr(at, '\n')) != NULL) {
        *end = 0;
        puts(at);
        if (strstr(at, deployment) != NULL && strstr(at, "\"result\"") != NULL)
            result = strstr(at, "\"outcome\":\"live\"") != NULL ? 2 : 1;
        if (strstr(at, "\"event\":\"refused\"") != NULL)
            result = 1;
        at = end + 1;
    }
    used = (size_t)(text + used - at);
    memmove(text, at, used);
    fflush(stdout);
    return result;
}

static int follow(int sock, const char *deployment)
{
    for (;;) {
        struct pollfd wait = {sock, POLLIN, 0};
        struct ipc_record r;
        if (poll(&wait, 1, 200) > 0) {
            if (ipc_recv(sock, &r, &err) != IPC_OK)
                die("the agent has gone");
            take(&r);
        }
        int result = print_events(deployment);
        if (result != 0)
            return result == 2 ? 0 : 1;
    }
}

static int copy_log(int sock)
{
    uint64_t done = 0;
    char block[65536];
    for (;;) {
        while (log_fd >= 0 && done < log_end) {
            size_t size = log_end - done < sizeof block ? (size_t)(log_end - done) : sizeof block;
            ssize_t n = pread(log_fd, block, size, (off_t)done);
            if (n <= 0 || write_all(1, block, (size_t)n) < 0)
                return 1;
            done += (size_t)n;
        }
        if (log_closed || log_fd < 0)
            return log_fd < 0;
        struct ipc_record r;
        if (ipc_recv(sock, &r, &err) != IPC_OK)
            return 1;
        take(&r);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    folder = durable_dir(argv[2], 0700, &err);
    need(folder, argv[2]);
    if (strcmp(argv[1], "init") == 0) {
        make_trust(argv[3]);
        return 0;
    }
    char name[64];
    snprintf(name, sizeof name, "log/%s", argv[3]);
    log_wanted = name;
    int sock = connect_agent();
    if (strcmp(argv[1], "log") == 0)
        return copy_log(sock);
    if (hello.trust_version == 0) {
        send_trust(sock);
        settle(sock);
    }
    if (strcmp(argv[1], "manifest") == 0) {
        struct buf json = BUF(PAYLOAD_MAX);
        read_file(argv[3], &json);
        send_document(sock, ROLE_MANIFEST, DOCUMENT_MANIFEST, &json);
        settle(sock);
        return 0;
    }
    if (argc == 6 && strcmp(argv[1], "env") == 0) {
        send_env(sock, argv[3], strtoull(argv[4], NULL, 10), argv[5]);
        settle(sock);
        return 0;
    }
    if (argc != 7)
        return 2;
    enum order_action action = strcmp(argv[1], "deploy") == 0     ? ORDER_DEPLOY
                               : strcmp(argv[1], "activate") == 0 ? ORDER_ACTIVATE
                                                                  : ORDER_CANCEL;
    send_order(sock, action, argv + 3);
    return follow(sock, action == ORDER_CANCEL ? argv[6] : argv[5]);
}
