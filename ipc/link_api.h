/* What is said on link.sock between the agent (which listens) and the uplink (which connects and reconnects for ever).
 *
 * On connect the agent sends LINK_HELLO, a LINK_PROJECT for each project, a LINK_STREAM for each stream, LINK_STATUS and
 * LINK_READY; then changes as they happen. The uplink relays documents and what the plane acknowledged. It never sees
 * a secret: documents are sealed, streams are masked, status texts are masked. */
#ifndef KLY_IPC_LINK_API_H
#define KLY_IPC_LINK_API_H

#include <stdint.h>

#define LINK_SOCKET "/run/klystrr/link.sock"
#define LINK_SIGNATURES_MAX 8
#define LINK_STREAMS_MAX    64

enum link_verb {
    /* agent → uplink */
    LINK_HELLO = 1,  /* link_hello */
    LINK_PROJECT,    /* link_project: new or changed */
    LINK_STREAM,     /* link_stream + descriptor of the spool file, read-only; file offset 0 is stream offset `base` */
    LINK_GROWN,      /* link_grown: durable bytes now end at `end` */
    LINK_STREAM_GONE,/* link_id: forget it (acknowledged whole, or replaced by a newer base) */
    LINK_STATUS,     /* no body + sealed memfd: status JSON for the read-only socket, as relayed */
    LINK_READY,      /* the state is complete: connect to the plane, or say hello again */
    LINK_CHALLENGE,  /* link_challenge: a new one; say hello again */
    LINK_WANT,       /* link_want */
    LINK_REFUSED,    /* link_refused: to be told to the plane as `error` */
    /* uplink → agent */
    LINK_DOCUMENT,       /* link_document + sealed memfd: the payload bytes */
    LINK_ACKED,          /* link_grown with `end` = the offset before which all is durable at the plane; `closed`: it also
                            knows that the stream ends there, so the spool file is needed no more */
    LINK_NEED_CHALLENGE, /* no body: the plane asked for a fresh one */
    LINK_ONLINE,         /* link_online */
    LINK_VERBS
};

struct link_hello {
    char server[24];
    char version[24];
    uint32_t box_level;
    uint64_t trust_version; /* 0: none yet, the pin decides */
    uint8_t challenge[32];
    uint8_t seal[65]; /* public point */
    uint8_t pad[7];
};
struct link_project {
    char project[32];
    uint64_t manifest_version, env_version, sequence; /* 0: none */
    uint8_t manifest_digest[32], env_digest[32];
    uint32_t removed;
    uint32_t pad;
};
struct link_stream {
    uint32_t id; /* the agent's number for it on this connection */
    uint32_t closed;
    char name[64]; /* "events", "log/dep_…" */
    uint64_t base, end;
};
struct link_grown {
    uint32_t id;
    uint32_t closed;
    uint64_t end;
};
struct link_id {
    uint32_t id;
};
struct link_challenge {
    uint8_t challenge[32];
};
enum link_document_kind { LINK_TRUST = 1, LINK_MANIFEST, LINK_ENV, LINK_ORDER };
struct link_want {
    uint32_t kind; /* link_document_kind */
    uint32_t pad;
    uint64_t version;   /* trust */
    uint8_t digest[32]; /* manifest, env */
};
struct link_refused {
    char code[40];
    char text[600];
    char about[72]; /* digest in hex, or a deployment */
};
struct link_signature {
    uint32_t has_keyid;
    uint8_t keyid[32];
    uint8_t sig[64];
};
struct link_document {
    uint32_t kind;
    uint32_t signature_count;
    struct link_signature signatures[LINK_SIGNATURES_MAX];
};
struct link_online {
    uint32_t online;
    uint32_t resumed; /* TLS session was resumed */
    int64_t since_ms; /* wall clock */
    char plane[40];
    char text[256]; /* offline: why, in a sentence */
};

#endif
