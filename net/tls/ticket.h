/* Session tickets (RFC 5077) under our own keys, so that several nodes can share them and rotate them: AES-256-GCM
 * over mbedTLS's serialised session, which holds the client's certificate, so that a resumed connection can be checked
 * like a full one. One thread at a time. */
#ifndef KLY_NET_TLS_TICKET_H
#define KLY_NET_TLS_TICKET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TICKET_NAME_SIZE   16
#define TICKET_SECRET_SIZE 32
#define TICKET_KEYS_MAX    3

struct ticket_key {
    uint8_t name[TICKET_NAME_SIZE]; /* goes in clear in front of each ticket */
    uint8_t secret[TICKET_SECRET_SIZE];
};

struct tls_tickets;

/* With one fresh key of its own. lifetime_s: how long a ticket is good, 1 to 604800. Owned or NULL. */
struct tls_tickets *tls_tickets_new(uint32_t lifetime_s, struct error *err) KLY_MUST_USE;
void tls_tickets_free(struct tls_tickets *t); /* NULL is fine; wipes */
/* Replaces all keys: new tickets are made with the first, tickets under any of them are taken. count 1 to 3. E_TICKET. */
int tls_tickets_set_keys(struct tls_tickets *t, const struct ticket_key *keys, size_t count, struct error *err) KLY_MUST_USE;
/* A fresh key in front; the ones before stay for their tickets, at most TICKET_KEYS_MAX in all. */
int tls_tickets_rotate(struct tls_tickets *t, struct error *err) KLY_MUST_USE;

#endif
