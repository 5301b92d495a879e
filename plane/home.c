#include "plane/home.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/encode.h"
#include "net/tls/x509.h"
#include "trust/digest.h"
#include "trust/random.h"

#define DAY_MS      (INT64_C(24) * 3600 * 1000)
#define CA_DAYS     3652
#define SERVER_DAYS 730
#define RENEW_DAYS  180
#define BACK_MS     (INT64_C(3600) * 1000) /* certificates start an hour ago: clocks differ */
#define PEM_LIMIT   X509_PEM_MAX

/* ---- files ---- */

/* 1: there; 0: it is not. */
static int exists(int dirfd, const char *name)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int read_file(int dirfd, const char *name, bool secret, struct buf *out, struct error *err)
{
    int rc = secret ? durable_read_private(dirfd, name, out, err) : durable_read(dirfd, name, out, err);
    if (rc > 0)
        return fail(err, "E_HOME",
                    "%s is missing from the plane's folder; restore it from a backup, or make a new plane",
                    name);
    return rc;
}

static int write_file(int dirfd, const char *name, const struct buf *data, mode_t mode, struct error *err)
{
    return durable_replace(dirfd, name, data->data, data->size, mode, err);
}

/* ---- making ---- */

static int make_key_file(int dirfd, const char *name, struct error *err)
{
    AUTO_WIPE struct buf pem = BUF(PEM_LIMIT);
    if (x509_make_key(&pem, err) < 0)
        return -1;
    return write_file(dirfd, name, &pem, 0600, err);
}

static int make_ca(int dirfd, int64_t now, struct error *err)
{
    AUTO_WIPE struct buf key = BUF(PEM_LIMIT);
    AUTO_BUF struct buf cert = BUF(PEM_LIMIT);
    if (read_file(dirfd, "ca.key", true, &key, err) < 0 ||
        x509_make_ca(buf_text(&key), "Klystrr plane CA", now - BACK_MS, now + CA_DAYS * DAY_MS, &cert, err) < 0)
        return -1;
    return write_file(dirfd, "ca.pem", &cert, 0644, err);
}

static bool same_name(const struct x509_issue *issue, const char *name)
{
    for (int i = 0; i < X509_NAMES_MAX && issue->names[i] != NULL; i++)
        if (strcmp(issue->names[i], name) == 0)
            return true;
    return false;
}

static int make_server(int dirfd, const char *api_host, const char *agent_host, int64_t now, struct error *err)
{
    AUTO_WIPE struct buf ca_key = BUF(PEM_LIMIT), key = BUF(PEM_LIMIT);
    AUTO_BUF struct buf ca = BUF(PEM_LIMIT), csr = BUF(PEM_LIMIT), cert = BUF(PEM_LIMIT);
    if (read_file(dirfd, "ca.key", true, &ca_key, err) < 0 || read_file(dirfd, "ca.pem", false, &ca, err) < 0 ||
        read_file(dirfd, "server.key", true, &key, err) < 0 ||
        x509_make_csr(buf_text(&key), "klystrr-plane", &csr, err) < 0)
        return -1;
    struct x509_issue issue = {.ca_cert_pem = buf_text(&ca),
                               .ca_key_pem = buf_text(&ca_key),
                               .csr_pem = buf_text(&csr),
                               .common_name = "klystrr-plane",
                               .use = X509_SERVER,
                               .not_before_ms = now - BACK_MS,
                               .not_after_ms = now + SERVER_DAYS * DAY_MS};
    const char *wanted[] = {api_host, agent_host, "localhost", "127.0.0.1", "::1"};
    for (size_t i = 0, n = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!same_name(&issue, wanted[i]))
            issue.names[n++] = wanted[i];
    if (x509_issue(&issue, &cert, err) < 0)
        return fail_in(err, "the TLS certificate for %s and %s", api_host, agent_host);
    return write_file(dirfd, "server.pem", &cert, 0644, err);
}

static int make_order_key(int dirfd, struct error *err)
{
    AUTO_P256 struct p256_key key = {0};
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
    if (p256_generate(&key, err) < 0 || p256_write_pem(&key, &pem, err) < 0)
        return -1;
    return write_file(dirfd, "order.key", &pem, 0600, err);
}

static int make_keys(int dirfd, const struct plane_url *api, const struct plane_url *agents, int64_t now,
                     struct error *err)
{
    if (!exists(dirfd, "ca.key") && make_key_file(dirfd, "ca.key", err) < 0)
        return -1;
    if (!exists(dirfd, "ca.pem") && make_ca(dirfd, now, err) < 0)
        return -1;
    if (!exists(dirfd, "server.key") && make_key_file(dirfd, "server.key", err) < 0)
        return -1;
    if (!exists(dirfd, "server.pem") && make_server(dirfd, api->host, agents->host, now, err) < 0)
        return -1;
    if (!exists(dirfd, "order.key") && make_order_key(dirfd, err) < 0)
        return -1;
    return vault_make(dirfd, err) < 0 ? -1 : 0;
}

static int set_random(struct store *s, const char *name, struct error *err)
{
    uint8_t random[16];
    char text[33];
    if (random_bytes(random, sizeof random, err) < 0)
        return -1;
    hex_encode(random, sizeof random, text);
    return store_set(s, name, text, err);
}

int home_make_key(char *text, uint8_t *hash, struct error *err)
{
    uint8_t random[32];
    if (random_bytes(random, sizeof random, err) < 0)
        return -1;
    memcpy(text, "kly_", 4);
    base64url_encode(random, sizeof random, text + 4);
    wipe(random, sizeof random);
    return digest_of(text, strlen(text), hash, err);
}

static int make_admin(struct store *s, int dirfd, const struct home_init *what, struct error *err)
{
    char key[BASE64_SIZE(32) + 4], line[sizeof key + 1];
    uint8_t hash[DIGEST_SIZE];
    if (home_make_key(key, hash, err) < 0)
        return -1;
    int size = snprintf(line, sizeof line, "%s\n", key);
    int rc = durable_replace(dirfd, "admin.key", line, (size_t)size, 0600, err);
    if (rc == 0)
        rc = store_key_add(s, what->admin, "admin", hash, what->now, err);
    wipe(key, sizeof key);
    wipe(line, sizeof line);
    return rc;
}

/* Everything in one transaction; "ready" is what tells a finished init from one that was cut off. */
static int fill_store(struct store *s, int dirfd, const struct home_init *what, struct error *err)
{
    if (store_set(s, "api_url", what->api_url, err) < 0 ||
        store_set(s, "agent_url", what->agent_url, err) < 0 || set_random(s, "id", err) < 0 ||
        set_random(s, "epoch", err) < 0 || store_set(s, "admin", what->admin, err) < 0)
        return -1;
    if (make_admin(s, dirfd, what, err) < 0)
        return -1;
    return store_set(s, "ready", "1", err);
}

int home_open_store(const char *dir, struct store *s, struct error *err)
{
    char path[HOME_PATH_MAX + 16];
    if ((size_t)snprintf(path, sizeof path, "%s/plane.db", dir) >= sizeof path)
        return fail(err, "E_HOME", "the folder's name is too long");
    if (access(path, F_OK) < 0)
        return fail(err, "E_HOME",
                    "%s holds no plane; run: klystrr-plane init --data %s --api URL --agents URL", dir, dir);
    return store_open(s, path, err);
}

static int init_store(const struct home_init *what, int dirfd, struct error *err)
{
    struct store s;
    char path[HOME_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/plane.db", what->dir);
    if (store_open(&s, path, err) < 0)
        return -1;
    int rc = store_begin(&s, err);
    if (rc == 0)
        rc = store_end(&s, fill_store(&s, dirfd, what, err) == 0, err);
    store_close(&s);
    return rc;
}

static int is_ready(const char *dir, struct error *err)
{
    struct store s;
    char ready[8] = "", path[HOME_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/plane.db", dir);
    if (access(path, F_OK) < 0)
        return 0;
    if (store_open(&s, path, err) < 0)
        return -1;
    int rc = store_setting(&s, "ready", ready, sizeof ready, err);
    store_close(&s);
    return rc < 0 ? -1 : rc == 0;
}

static int check_urls(const struct home_init *what, struct plane_url *api, struct plane_url *agents,
                      struct error *err)
{
    if (url_plane(what->api_url, api, err) < 0 || url_plane(what->agent_url, agents, err) < 0)
        return -1;
    if (api->port == agents->port)
        return fail(err, "E_USAGE", "--api and --agents need different ports: they are two listeners");
    if (strlen(what->dir) >= HOME_PATH_MAX || strlen(what->admin) >= STORE_NAME_MAX || what->admin[0] == '\0')
        return fail(err, "E_USAGE", "--data or --name is empty or too long");
    return 0;
}

int home_init(const struct home_init *what, struct error *err)
{
    struct plane_url api, agents;
    if (check_urls(what, &api, &agents, err) < 0)
        return -1;
    AUTO_CLOSE int dirfd = durable_dir(what->dir, 0700, err);
    if (dirfd < 0)
        return -1;
    if (fchmod(dirfd, 0700) < 0)
        return fail(err, "E_HOME", "%s belongs to somebody else", what->dir);
    int ready = is_ready(what->dir, err);
    if (ready != 0)
        return ready;
    if (make_keys(dirfd, &api, &agents, what->now, err) < 0)
        return -1;
    return init_store(what, dirfd, err);
}

/* ---- opening ---- */

static int renew_server(struct home *h, int64_t now, struct error *err)
{
    struct x509_info info;
    struct plane_url api, agents;
    if (x509_read(buf_text(&h->server_pem), &info, err) < 0)
        return fail_in(err, "server.pem");
    if (info.not_after_ms - now > RENEW_DAYS * DAY_MS)
        return 0;
    if (url_plane(h->api_url, &api, err) < 0 || url_plane(h->agent_url, &agents, err) < 0 ||
        make_server(h->dirfd, api.host, agents.host, now, err) < 0)
        return -1;
    buf_free(&h->server_pem);
    return read_file(h->dirfd, "server.pem", false, &h->server_pem, err);
}

static int read_keys(struct home *h, struct error *err)
{
    AUTO_WIPE struct buf order = BUF(P256_PEM_MAX);
    struct x509_info ca;
    if (read_file(h->dirfd, "ca.pem", false, &h->ca_pem, err) < 0 ||
        read_file(h->dirfd, "ca.key", true, &h->ca_key, err) < 0 ||
        read_file(h->dirfd, "server.pem", false, &h->server_pem, err) < 0 ||
        read_file(h->dirfd, "server.key", true, &h->server_key, err) < 0 ||
        read_file(h->dirfd, "order.key", true, &order, err) < 0 || vault_load(&h->vault, h->dirfd, err) < 0)
        return -1;
    if (p256_read_pem(buf_view(&order), &h->order_key, err) < 0)
        return fail_in(err, "order.key");
    if (x509_read(buf_text(&h->ca_pem), &ca, err) < 0)
        return fail_in(err, "ca.pem");
    memcpy(h->ca_sha256, ca.sha256, sizeof h->ca_sha256);
    return 0;
}

static int read_setting(struct store *s, const char *name, char *out, size_t room, struct error *err)
{
    int rc = store_setting(s, name, out, room, err);
    return rc > 0 ? fail(err, "E_HOME", "the plane's setting '%s' is missing; run init again", name) : rc;
}

static int read_settings(struct home *h, struct store *s, struct error *err)
{
    char ready[8];
    if (read_setting(s, "ready", ready, sizeof ready, err) < 0 ||
        read_setting(s, "id", h->id, sizeof h->id, err) < 0 ||
        read_setting(s, "epoch", h->epoch, sizeof h->epoch, err) < 0 ||
        read_setting(s, "api_url", h->api_url, sizeof h->api_url, err) < 0)
        return -1;
    return read_setting(s, "agent_url", h->agent_url, sizeof h->agent_url, err);
}

int home_open(struct home *h, struct store *s, const char *dir, int64_t now, struct error *err)
{
    *h = (struct home){.dirfd = -1,
                       .ca_pem = BUF(PEM_LIMIT),
                       .ca_key = BUF(PEM_LIMIT),
                       .server_pem = BUF(PEM_LIMIT),
                       .server_key = BUF(PEM_LIMIT)};
    if (strlen(dir) >= sizeof h->dir)
        return fail(err, "E_HOME", "the folder's name is too long");
    strcpy(h->dir, dir);
    if (home_open_store(dir, s, err) < 0)
        return -1;
    h->dirfd = durable_dir(dir, 0700, err);
    if (h->dirfd >= 0 && read_settings(h, s, err) == 0 && read_keys(h, err) == 0 &&
        renew_server(h, now, err) == 0)
        return 0;
    store_close(s);
    home_close(h);
    return -1;
}

void home_close(struct home *h)
{
    buf_free(&h->ca_pem);
    buf_free(&h->server_pem);
    buf_wipe_free(&h->ca_key);
    buf_wipe_free(&h->server_key);
    p256_wipe(&h->order_key);
    vault_wipe(&h->vault);
    if (h->dirfd >= 0)
        close(h->dirfd);
    h->dirfd = -1;
}
