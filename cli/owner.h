/* The owner's keys and documents, on the owner's machine. */
#ifndef KLY_CLI_OWNER_H
#define KLY_CLI_OWNER_H

#include "cli/cli.h"
#include "proto/trust_doc.h"

/* The trust document version 1 that this owner signed, and its digest (32 bytes). */
int owner_trust_first(const struct cli *cli, struct trust_doc *out, uint8_t *digest, struct error *err) KLY_MUST_USE;

#endif
