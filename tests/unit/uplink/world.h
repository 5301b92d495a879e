/* The world around a real klystrr-uplink on this machine: a plane written from the protocol's text (plane.py), an agent that
 * speaks link.sock, and people who ask agent.sock. Every wait has a deadline; a failed one fails the test. */
#ifndef KLY_TESTS_UPLINK_WORLD_H
#define KLY_TESTS_UPLINK_WORLD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "ipc/link_api.h"
#include "ipc/record.h"

#define WORLD_SERVER "srv_0123456789abcdef"
#define WORLD_TOKEN  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define WORLD_TOKEN_SHA256 "4773d12e2371bb935b9a0f5439b4a1c3ad3f2414b86980f8418d1cfabdfadfef"
#define WORLD_WAIT_MS 20000

struct world {
    char folder[64];
    pid_t plane, uplink;
    int plane_in, plane_out; /* -1: none */
    int port;
    struct buf lines; /* of the plane, not yet looked at */
    char line[65536]; /* the one found last */
    int link_listener, api_listener;
    int link; /* the uplink's connection to our agent; -1: none */
    uint8_t challenge[32];
    struct ipc_record record; /* the one found last */
    struct buf ca_key, ca_pem;
};

/* Why this machine cannot run the world, or NULL. */
const char *world_missing(void);
/* A CA, a plane's certificate, folders, a token known to the plane and laid before the host, and agent.json. */
void world_open(struct world *w);
/* Ends what runs, removes the folder. */
void world_close(struct world *w);

void world_plane_start(struct world *w);
void world_plane_stop(struct world *w);
void world_uplink_start(struct world *w);
void world_uplink_kill(struct world *w, int signal); /* and waits for its end */
bool world_uplink_lives(struct world *w);

void world_tell_plane(struct world *w, const char *command);
/* The next line of the plane that holds all of these texts (b may be NULL); earlier ones are dropped. */
const char *world_expect_plane(struct world *w, const char *a, const char *b);
/* Is there no such line among those that came until now? Asks the plane, so that all came. */
bool world_plane_did_not_say(struct world *w, const char *a);

/* Our agent: takes the connection, and says what it has up to LINK_READY. */
void world_agent_accept(struct world *w);
void world_agent_hello(struct world *w);
void world_agent_begin(struct world *w); /* LINK_HELLO alone */
void world_agent_ready(struct world *w); /* LINK_STATUS and LINK_READY */
void world_agent_send(struct world *w, uint16_t verb, const void *body, size_t size, int fd); /* fd is closed */
void world_agent_drop(struct world *w);
/* The next record of that verb; others are dropped. Descriptors of records not asked for are closed. */
const struct ipc_record *world_agent_expect(struct world *w, uint16_t verb);
/* A LINK_ONLINE that says so. */
const struct link_online *world_expect_online(struct world *w, bool online);

/* An open connection to agent.sock. */
int world_reach(struct world *w);
/* Sends this text to agent.sock and gives the whole answer, owned by the caller. */
char *world_ask(struct world *w, const char *request);
void world_write(struct world *w, const char *name, const char *text, mode_t mode);
void world_read(struct world *w, const char *name, struct buf *out); /* appends */
bool world_has(struct world *w, const char *name);
/* Appends random bytes to a file in the folder. */
void world_grow(struct world *w, const char *name, size_t size);
int world_open_file(struct world *w, const char *name);
bool world_same_files(struct world *w, const char *a, const char *b);
void world_set_agent_json(struct world *w, const char *ca_hex);
void world_remove(struct world *w, const char *name);
/* A DSSE envelope's JSON around these payload bytes, with one made-up signature; owned by the caller. */
char *world_envelope(const char *type, const void *payload, size_t size);

#endif
