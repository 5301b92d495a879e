/* Inside net/tls: what mbedTLS calls; p_ticket is a struct tls_tickets. */
#ifndef KLY_NET_TLS_TICKET_CALLBACKS_H
#define KLY_NET_TLS_TICKET_CALLBACKS_H

#include "net/tls/compat.h"

int ticket_write(void *p_ticket, const mbedtls_ssl_session *session, unsigned char *start, const unsigned char *end,
                 size_t *size, uint32_t *lifetime);
int ticket_parse(void *p_ticket, mbedtls_ssl_session *session, unsigned char *data, size_t size);

#endif
