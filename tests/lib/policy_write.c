/* policy_write FILE ROW…: a compiled policy for tests. ROW is project:first-last:domain,domain[:paused]. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/durable.h"
#include "ipc/policy_table.h"

static void fill(struct policy_row *row, char *text)
{
    char *domains[POLICY_DOMAINS + 1], *save = NULL;
    unsigned first = 0, last = 0, count = 0;
    char *project = strsep(&text, ":"), *ports = strsep(&text, ":"), *names = strsep(&text, ":");
    snprintf(row->project, sizeof row->project, "%s", project);
    if (ports == NULL || sscanf(ports, "%u-%u", &first, &last) != 2)
        exit(2);
    row->port_first = (uint16_t)first;
    row->port_last = (uint16_t)last;
    for (char *at = strtok_r(names, ",", &save); at != NULL && count < POLICY_DOMAINS;
         at = strtok_r(NULL, ",", &save))
        domains[count++] = at;
    for (unsigned i = 0; i < count; i++)
        snprintf(row->domains[i], sizeof row->domains[i], "%s", domains[i]);
    row->paused = text != NULL && strcmp(text, "paused") == 0;
}

int main(int argc, char **argv)
{
    static struct policy_table table;
    struct error err = {0};
    AUTO_BUF struct buf out = BUF(1u << 20);
    if (argc < 2 || argc - 2 > POLICY_ROWS_MAX)
        return 2;
    for (int i = 2; i < argc; i++)
        fill(&table.rows[table.count++], argv[i]);
    char *slash = strrchr(argv[1], '/');
    const char *folder = slash != NULL ? argv[1] : ".", *name = slash != NULL ? slash + 1 : argv[1];
    if (slash != NULL)
        *slash = 0;
    AUTO_CLOSE int dir = durable_dir(folder, 0755, &err);
    if (dir < 0 || policy_table_encode(&table, &out, &err) < 0 ||
        durable_replace(dir, name, out.data, out.size, 0644, &err) < 0) {
        fprintf(stderr, "policy_write: %s: %s\n", err.code, err.text);
        return 1;
    }
    return 0;
}
