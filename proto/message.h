/* The messages of klystrr.agent.v1 (wire.md): control messages as JSON text, stream bytes as binary. */
#ifndef KLY_PROTO_MESSAGE_H
#define KLY_PROTO_MESSAGE_H

#include <cjson/cJSON.h>

#include "proto/envelope.h"
#include "proto/order.h"

#define MESSAGE_MAX             (512 * 1024)
#define MESSAGE_SUBPROTOCOL     "klystrr.agent.v1"
#define MESSAGE_PATH            "/agent/v1"
#define HELLO_FEATURES_MAX      32
#define HELLO_FEATURE_SIZE      33
#define HELLO_PROJECTS_MAX      64
#define HELLO_STREAMS_MAX       64
#define STREAM_NAME_SIZE        32
#define VERSION_TEXT_SIZE       33
#define MESSAGE_PEM_MAX         (16 * 1024)
#define MESSAGE_HANDLE_MAX      INT32_MAX
#define MESSAGE_ABOUT_SIZE      129
#define MESSAGE_HEARTBEAT_MAX   3600 /* s */
#define MESSAGE_RETRY_AFTER_MAX 3600 /* s */

enum message_type {
    MESSAGE_UNKNOWN, /* well-formed, of a type this version does not know: answer with error and go on */
    MESSAGE_HELLO,
    MESSAGE_WELCOME,
    MESSAGE_OPEN,
    MESSAGE_ACK,
    MESSAGE_WANT,
    MESSAGE_DOCUMENT,
    MESSAGE_CERT,
    MESSAGE_GOAWAY,
    MESSAGE_ERROR,
};

struct hello_held {
    uint64_t version; /* 0: none (null on the wire) */
    uint8_t digest[32];
};
struct hello_project {
    char project[NAME_PROJECT_MAX + 1];
    struct hello_held manifest, env;
    uint64_t sequence; /* 0: none yet */
};
struct hello_stream {
    char name[STREAM_NAME_SIZE]; /* "events" or "log/dep_…" */
    uint64_t base, end;          /* base <= end <= 2^53-1 */
    bool closed;
};
struct message_hello {
    char server[ID_TEXT_SIZE];
    char version[VERSION_TEXT_SIZE];
    char features[HELLO_FEATURES_MAX][HELLO_FEATURE_SIZE]; /* [a-z0-9._-], 1 to 32 letters */
    size_t feature_count;
    int box_level; /* 1 to 3 */
    uint8_t challenge[CHALLENGE_SIZE];
    int64_t wall;   /* ms */
    uint64_t trust; /* version; 0: none yet */
    uint8_t seal[65];
    struct hello_project projects[HELLO_PROJECTS_MAX];
    size_t project_count;
    struct hello_stream streams[HELLO_STREAMS_MAX];
    size_t stream_count;
};
struct welcome_stream {
    char name[STREAM_NAME_SIZE];
    uint64_t from;
};
struct message_welcome {
    char plane[33], epoch[33]; /* 32 hex each */
    int heartbeat;             /* s, 1 to MESSAGE_HEARTBEAT_MAX */
    struct welcome_stream streams[HELLO_STREAMS_MAX];
    size_t stream_count;
};
struct message_open {
    uint32_t handle; /* 1 to MESSAGE_HANDLE_MAX */
    char name[STREAM_NAME_SIZE];
    uint64_t from;
};
struct message_ack {
    char name[STREAM_NAME_SIZE];
    uint64_t offset;
};
enum want_what { WANT_CHALLENGE, WANT_TRUST, WANT_MANIFEST, WANT_ENV };
struct message_want {
    enum want_what what;
    uint64_t version;   /* trust */
    uint8_t digest[32]; /* manifest, env */
};
struct message_cert {
    const char *csr, *certificate; /* PEM; exactly one, the other is NULL */
};
struct message_goaway {
    int retry_after; /* s */
};
struct message_error {
    char code[40];
    char text[600];
    char about[MESSAGE_ABOUT_SIZE]; /* "" if not said */
};

/* About 14 KiB. Free after decoding; texts by pointer belong to the message (decoded) or the caller (encoded).
 */
struct message {
    enum message_type type;
    char type_name[33]; /* as received, cut to 32 letters, unprintable ones as '?' */
    union {
        struct message_hello hello;
        struct message_welcome welcome;
        struct message_open open;
        struct message_ack ack;
        struct message_want want;
        struct envelope document;
        struct message_cert cert;
        struct message_goaway goaway;
        struct message_error error;
    } as;
    cJSON *tree;
};

/* E_JSON, E_TOO_LARGE, E_MEMBER, for document also what envelope_decode says. A message of an unknown type is
 * no error. Direction is the caller's to judge. On failure nothing is owned, and type_name holds the type if it
 * was readable. */
int message_decode(struct bytes text, struct message *out, struct error *err) KLY_MUST_USE;
/* Appends the JSON text. E_MEMBER for what message_decode would refuse, E_TOO_LARGE. */
int message_encode(const struct message *m, struct buf *out, struct error *err) KLY_MUST_USE;
void message_free(struct message *m);
#define AUTO_MESSAGE __attribute__((cleanup(message_free)))
const char *message_type_name(enum message_type type); /* "hello"; "unknown" */

/* "events" or "log/" and a deployment. */
bool name_is_stream(const char *s);

#define DATA_HEADER_SIZE 16
#define DATA_BYTES_MAX   (64 * 1024)
#define DATA_OFFSET_MAX  ((UINT64_C(1) << 53) - 1)

struct data_frame {
    uint32_t handle;    /* 1 to MESSAGE_HANDLE_MAX */
    uint64_t offset;    /* of the first byte */
    bool final;         /* the stream ends with these bytes */
    struct bytes bytes; /* borrowed; may be none */
};
/* out takes DATA_HEADER_SIZE bytes; the caller sends frame->bytes after it. */
void data_encode_header(const struct data_frame *frame, uint8_t *out);
/* E_DATA: wrong kind, flags, handle, offset or size. */
int data_decode(struct bytes message, struct data_frame *out, struct error *err) KLY_MUST_USE;

#endif
