/* Fixed binary records between our own programs, over SOCK_SEQPACKET: one message, one record, with descriptors.
 *
 * A record is a 16-byte header and a body that is one packed struct of the API header in question
 * (`*_api.h`). Text in bodies is NUL-terminated within its array. Anything longer than a body (documents, argv and
 * env, status texts) travels as a sealed memfd. Both ends are the same machine and the same version: host byte order. */
#ifndef KLY_IPC_RECORD_H
#define KLY_IPC_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IPC_MAGIC    0x4b4c5931u /* "KLY1" */
#define IPC_VERSION  1u
#define IPC_BODY_MAX 8192u
#define IPC_FDS_MAX  6u

struct ipc_header {
    uint32_t magic;
    uint16_t version;
    uint16_t verb;   /* of the API spoken on this socket */
    uint32_t size;   /* of the body, bytes */
    uint32_t serial; /* an answer carries the serial of its request */
};

struct ipc_record {
    struct ipc_header head;
    _Alignas(16) uint8_t body[IPC_BODY_MAX];
    int fds[IPC_FDS_MAX]; /* received, CLOEXEC; owned by whoever received the record: ipc_close_fds */
    unsigned fd_count;
};

enum ipc_result { IPC_ERROR = -1, IPC_CLOSED = 0, IPC_OK = 1, IPC_AGAIN = 2 };

/* Sends one record whole or not at all. Borrows body and fds. IPC_AGAIN on a non-blocking socket that is full.
 * E_IPC_SEND; IPC_CLOSED when the peer has gone. Never raises SIGPIPE. */
enum ipc_result ipc_send(int sock, uint16_t verb, uint32_t serial, const void *body, size_t size, const int *fds,
                         unsigned fd_count, struct error *err) KLY_MUST_USE;
/* Receives one record. Refuses (E_IPC_RECORD) a wrong magic, version or size and cut data, and closes what came
 * with it. Fills *record (fd_count 0 unless IPC_OK). */
enum ipc_result ipc_recv(int sock, struct ipc_record *record, struct error *err) KLY_MUST_USE;
void ipc_close_fds(struct ipc_record *record);
/* Takes descriptor i out of the record: the caller owns it now. -1 if there is none. */
int ipc_take_fd(struct ipc_record *record, unsigned i);
/* The body as a struct of exactly `size` bytes, or NULL. */
const void *ipc_body(const struct ipc_record *record, size_t size);
/* Is this array NUL-terminated text (and zero behind its end)? For every char array of a received body. */
bool ipc_text_ok(const char *array, size_t size);

#define IPC_TEXT_OK(member) ipc_text_ok((member), sizeof(member))

/* The answer that every API shares: a refusal. */
#define IPC_VERB_ERROR 0xffffu
struct ipc_error {
    char code[40];
    char text[600];
};
/* Answers with err's words. */
enum ipc_result ipc_send_error(int sock, uint32_t serial, const struct error *what, struct error *err) KLY_MUST_USE;
/* The same two where nothing can be done if the peer has gone: what could not be sent is lost. */
void ipc_tell(int sock, uint16_t verb, uint32_t serial, const void *body, size_t size);
void ipc_tell_error(int sock, uint32_t serial, const struct error *what);
/* If the record is a refusal, puts it into err and returns -1, else 0. */
int ipc_check_error(const struct ipc_record *record, struct error *err) KLY_MUST_USE;

#endif
