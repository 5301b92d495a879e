/* The plane's folder: made once by `init`, read by `run`.
 *
 *   plane.db  logs/  vault.key  ca.key  ca.pem  server.key  server.pem  order.key  admin.key */
#ifndef KLY_PLANE_HOME_H
#define KLY_PLANE_HOME_H

#include "base/buf.h"
#include "plane/store/store.h"
#include "plane/vault.h"
#include "proto/url.h"
#include "trust/p256.h"

#define HOME_KEY_SIZE 48 /* "kly_", 43 letters, NUL */
#define HOME_PATH_MAX 1024

struct home {
    char dir[HOME_PATH_MAX];
    int dirfd;
    char id[33], epoch[33];
    char api_url[URL_PLANE_MAX + 1], agent_url[URL_PLANE_MAX + 1];
    struct buf ca_pem, ca_key, server_pem, server_key; /* keys are wiped by home_close */
    uint8_t ca_sha256[32];
    struct p256_key order_key;
    struct vault vault;
};

struct home_init {
    const char *dir, *api_url, *agent_url, *admin;
    int64_t now;
};
/* Makes what is missing. 0: made; 1: all of it was there, nothing changed. E_USAGE, E_URL, E_HOME and the
 * store's. */
int home_init(const struct home_init *what, struct error *err) KLY_MUST_USE;

/* Reads it all, and renews the TLS server certificate if it ends within 180 days. E_HOME: run init first. */
int home_open(struct home *h, struct store *s, const char *dir, int64_t now, struct error *err) KLY_MUST_USE;
void home_close(struct home *h);

/* A fresh API key: the text for its owner, and the hash that is kept. */
int home_make_key(char *text, uint8_t *hash, struct error *err) KLY_MUST_USE;
/* The store alone, for the key commands. */
int home_open_store(const char *dir, struct store *s, struct error *err) KLY_MUST_USE;

#endif
