/* Root's compiled policy: what `klystrr policy apply` makes of policy.json for the warden and confine, which parse no
 * JSON. A flat file of fixed rows, root-owned, not writable by others; a wrong size, magic or checksum refuses all. */
#ifndef KLY_IPC_POLICY_TABLE_H
#define KLY_IPC_POLICY_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define POLICY_TABLE_PATH "/etc/klystrr/policy.table"
#define POLICY_ROWS_MAX   64
#define POLICY_DOMAINS    32

struct policy_row {
    char project[32];                 /* a name, or "*" */
    char domains[POLICY_DOMAINS][256]; /* "shop.example.org", "*.example.org" (any depth below), "*"; "" ends the list */
    uint16_t port_first, port_last;   /* app ports, within 1024 to 32767 */
    uint32_t memory_mb, tasks;        /* upper bounds for boxes and units; 0: none */
    uint32_t paused;                  /* 1: nothing new is started for it */
};
struct policy_table {
    uint32_t count;
    struct policy_row rows[POLICY_ROWS_MAX];
};

/* Bytes of a whole file → table. E_POLICY_TABLE. */
int policy_table_decode(struct bytes file, struct policy_table *out, struct error *err) KLY_MUST_USE;
int policy_table_encode(const struct policy_table *table, struct buf *out, struct error *err) KLY_MUST_USE;
/* Reads POLICY_TABLE_PATH (or another path in tests): owner root, no write for others. E_POLICY_TABLE says to run `klystrr policy apply`. */
int policy_table_load(const char *path, struct policy_table *out, struct error *err) KLY_MUST_USE;
/* The row for a project: its own before "*"; NULL if there is none. */
const struct policy_row *policy_row_for(const struct policy_table *table, const char *project);
bool policy_row_allows_domain(const struct policy_row *row, const char *domain);

#endif
