/* A ticket: key name (16) | nonce (12) | AES-256-GCM of: time of making (8, milliseconds, big-endian) | session | tag (16).
 * The key name is authenticated with it. A ticket that cannot be opened is no error: the handshake becomes a full one. */
#include "net/tls/ticket.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/tls/ticket_callbacks.h"

#define NONCE_SIZE   12
#define TAG_SIZE     16
#define TIME_SIZE    8
#define HEAD_SIZE    (TICKET_NAME_SIZE + NONCE_SIZE)
#define OVERHEAD     (HEAD_SIZE + TIME_SIZE + TAG_SIZE)
#define LIFETIME_MAX 604800
#define CLOCK_SLACK  300000 /* nodes that share keys may differ by so many milliseconds */

struct tls_tickets {
    struct ticket_key keys[TICKET_KEYS_MAX];
    size_t count;
    uint32_t lifetime_s;
};

struct tls_tickets *tls_tickets_new(uint32_t lifetime_s, struct error *err)
{
    if (lifetime_s == 0 || lifetime_s > LIFETIME_MAX) {
        fail(err, "E_TICKET", "a ticket's lifetime is 1 to %d seconds", LIFETIME_MAX);
        return NULL;
    }
    struct tls_tickets *t = calloc(1, sizeof *t);
    if (t == NULL) {
        fail(err, "E_NO_MEMORY", "no memory for session tickets");
        return NULL;
    }
    t->lifetime_s = lifetime_s;
    if (tls_tickets_rotate(t, err) < 0) {
        tls_tickets_free(t);
        return NULL;
    }
    return t;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (t == NULL)
        return;
    wipe(t, sizeof *t);
    free(t);
}

int tls_tickets_set_keys(struct tls_tickets *t, const struct ticket_key *keys, size_t count, struct error *err)
{
    if (count == 0 || count > TICKET_KEYS_MAX)
        return fail(err, "E_TICKET", "there are 1 to %d ticket keys, not %zu", TICKET_KEYS_MAX, count);
    wipe(t->keys, sizeof t->keys);
    memcpy(t->keys, keys, count * sizeof *keys);
    t->count = count;
    return 0;
}

int tls_tickets_rotate(struct tls_tickets *t, struct error *err)
{
    struct ticket_key fresh;
    if (tls_random(NULL, (unsigned char *)&fresh, sizeof fresh) != 0)
        return fail(err, "E_TICKET", "no random bytes for a ticket key");
    size_t kept = t->count < TICKET_KEYS_MAX ? t->count : TICKET_KEYS_MAX - 1;
    memmove(&t->keys[1], &t->keys[0], kept * sizeof t->keys[0]);
    t->keys[0] = fresh;
    t->count = kept + 1;
    wipe(&fresh, sizeof fresh);
    return 0;
}

static void put_time(unsigned char *out, int64_t ms)
{
    for (int i = 0; i < TIME_SIZE; i++)
        out[i] = (unsigned char)((uint64_t)ms >> (56 - 8 * i));
}

static int64_t get_time(const unsigned char *in)
{
    uint64_t ms = 0;
    for (int i = 0; i < TIME_SIZE; i++)
        ms = ms << 8 | in[i];
    return (int64_t)ms;
}

/* Seals size bytes after the head in place, the tag behind them. */
static int seal(const struct ticket_key *key, unsigned char *ticket, size_t size)
{
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    unsigned char *body = ticket + HEAD_SIZE;
    int r = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key->secret, TICKET_SECRET_SIZE * 8);
    if (r == 0)
        r = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, size, ticket + TICKET_NAME_SIZE, NONCE_SIZE, ticket,
                                      TICKET_NAME_SIZE, body, body, TAG_SIZE, body + size);
    mbedtls_gcm_free(&gcm);
    return r;
}

static int unseal(const struct ticket_key *key, const unsigned char *ticket, size_t size, unsigned char *out)
{
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    const unsigned char *body = ticket + HEAD_SIZE;
    int r = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key->secret, TICKET_SECRET_SIZE * 8);
    if (r == 0)
        r = mbedtls_gcm_auth_decrypt(&gcm, size, ticket + TICKET_NAME_SIZE, NONCE_SIZE, ticket, TICKET_NAME_SIZE, body + size,
                                     TAG_SIZE, body, out);
    mbedtls_gcm_free(&gcm);
    return r;
}

int ticket_write(void *p_ticket, const mbedtls_ssl_session *session, unsigned char *start, const unsigned char *end,
                 size_t *size, uint32_t *lifetime)
{
    const struct tls_tickets *t = p_ticket;
    size_t room = (size_t)(end - start), used = 0;
    if (room <= OVERHEAD)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    memcpy(start, t->keys[0].name, TICKET_NAME_SIZE);
    int r = tls_random(NULL, start + TICKET_NAME_SIZE, NONCE_SIZE);
    put_time(start + HEAD_SIZE, clock_wall_ms());
    if (r == 0)
        r = mbedtls_ssl_session_save(session, start + HEAD_SIZE + TIME_SIZE, room - OVERHEAD, &used);
    if (r == 0)
        r = seal(&t->keys[0], start, TIME_SIZE + used);
    if (r != 0) {
        wipe(start, room); /* the session in clear must not lie in a send buffer */
        return r;
    }
    *size = OVERHEAD + used;
    *lifetime = t->lifetime_s;
    return 0;
}

static const struct ticket_key *find_key(const struct tls_tickets *t, const unsigned char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (memcmp(t->keys[i].name, name, TICKET_NAME_SIZE) == 0)
            return &t->keys[i];
    return NULL;
}

static int load(const struct tls_tickets *t, mbedtls_ssl_session *session, const unsigned char *plain, size_t size)
{
    int64_t age = clock_wall_ms() - get_time(plain);
    if (age < -CLOCK_SLACK || age > (int64_t)t->lifetime_s * 1000)
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    return mbedtls_ssl_session_load(session, plain + TIME_SIZE, size - TIME_SIZE);
}

int ticket_parse(void *p_ticket, mbedtls_ssl_session *session, unsigned char *data, size_t size)
{
    const struct tls_tickets *t = p_ticket;
    if (size <= OVERHEAD)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    const struct ticket_key *key = find_key(t, data);
    size_t plain_size = size - HEAD_SIZE - TAG_SIZE;
    unsigned char *plain = key != NULL ? malloc(plain_size) : NULL;
    if (plain == NULL)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    int r = unseal(key, data, plain_size, plain);
    r = r == 0 ? load(t, session, plain, plain_size) : MBEDTLS_ERR_SSL_INVALID_MAC;
    wipe(plain, plain_size);
    free(plain);
    return r;
}
