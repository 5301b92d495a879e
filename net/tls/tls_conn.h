/* TLS on top of a connection, with the same interface. The connection given is taken (closed on failure, and by the TLS
 * connection's own close). on_open comes when the handshake is done and the peer was checked; a failure before that
 * arrives in on_close with a code of net/tls/tls.h. */
#ifndef KLY_NET_TLS_TLS_CONN_H
#define KLY_NET_TLS_TLS_CONN_H

#include "net/loop/conn.h"
#include "net/tls/tls.h"

/* handshake_ms 0: 10000. session may be NULL. context and session are borrowed; context must outlive the connection.
 * struct conn *c = conn_connect_tcp(net, host, port, NULL, err);
 * if (c != NULL) c = tls_conn_client(c, context, host, NULL, 0, err); */
struct conn *tls_conn_client(struct conn *below, struct tls_context *context, const char *host,
                             const struct tls_session *session, uint32_t handshake_ms, struct error *err) KLY_MUST_USE;
struct conn *tls_conn_server(struct conn *below, struct tls_context *context, uint32_t handshake_ms,
                             struct error *err) KLY_MUST_USE;

/* The engine under a connection made here (for tls_peer, tls_session_save …), or NULL for any other connection.
 * Borrowed; gone after on_close. */
const struct tls *tls_conn_engine(const struct conn *c);

#endif
