#include "ipc/policy_table.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/names.h"
#include "ipc/record.h"

#define MAGIC 0x504c4b31u /* "1KLP" on disk */

struct file_head {
    uint32_t magic, row_size, count, checksum;
};

/* FNV-1a: it finds accidents; against malice the file has its owner and mode. */
static uint32_t checksum(const uint8_t *data, size_t size)
{
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ data[i]) * 16777619u;
    return sum;
}

static bool row_ok(const struct policy_row *row)
{
    if (!IPC_TEXT_OK(row->project) || (strcmp(row->project, "*") != 0 && !name_is_project(row->project)))
        return false;
    for (int i = 0; i < POLICY_DOMAINS; i++) {
        const char *d = row->domains[i];
        if (!ipc_text_ok(d, sizeof row->domains[i]))
            return false;
        const char *plain = strncmp(d, "*.", 2) == 0 ? d + 2 : d;
        if (*d != 0 && strcmp(d, "*") != 0 && !name_is_domain(plain))
            return false;
    }
    return row->port_first >= 1024 && row->port_last <= 32767 && row->port_first < row->port_last;
}

int policy_table_decode(struct bytes file, struct policy_table *out, struct error *err)
{
    struct file_head head;
    if (file.size < sizeof head)
        return fail(err, "E_POLICY_TABLE", "the compiled policy is cut off: run `klystrr policy apply`");
    memcpy(&head, file.data, sizeof head);
    size_t rows = file.size - sizeof head;
    if (head.magic != MAGIC || head.row_size != sizeof(struct policy_row) || head.count > POLICY_ROWS_MAX ||
        rows != (size_t)head.count * sizeof(struct policy_row) || head.checksum != checksum(file.data + sizeof head, rows))
        return fail(err, "E_POLICY_TABLE", "the compiled policy is damaged or of another version: run `klystrr policy apply`");
    memset(out, 0, sizeof *out);
    memcpy(out->rows, file.data + sizeof head, rows);
    for (uint32_t i = 0; i < head.count; i++)
        if (!row_ok(&out->rows[i]))
            return fail(err, "E_POLICY_TABLE", "row %u of the compiled policy is not valid: run `klystrr policy apply`", i + 1);
    out->count = head.count;
    return 0;
}

int policy_table_encode(const struct policy_table *table, struct buf *out, struct error *err)
{
    if (table->count > POLICY_ROWS_MAX)
        return fail(err, "E_POLICY_TABLE", "more than %d projects", POLICY_ROWS_MAX);
    for (uint32_t i = 0; i < table->count; i++)
        if (!row_ok(&table->rows[i]))
            return fail(err, "E_POLICY_TABLE", "project '%.32s': a name, domain or port range is not valid (ports: 1024 to 32767)",
                        table->rows[i].project);
    size_t size = (size_t)table->count * sizeof(struct policy_row);
    struct file_head head = {MAGIC, sizeof(struct policy_row), table->count, checksum((const uint8_t *)table->rows, size)};
    return buf_add(out, &head, sizeof head, err) < 0 || buf_add(out, table->rows, size, err) < 0 ? -1 : 0;
}

int policy_table_load(const char *path, struct policy_table *out, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0)
        return fail(err, "E_POLICY_TABLE", "%s is missing, or not root's alone to write: run `klystrr policy apply`", path);
    AUTO_BUF struct buf file = BUF(sizeof(struct file_head) + POLICY_ROWS_MAX * sizeof(struct policy_row));
    if (durable_read(AT_FDCWD, path, &file, err) != 0)
        return fail_in(err, "the compiled policy");
    return policy_table_decode(buf_view(&file), out, err);
}

const struct policy_row *policy_row_for(const struct policy_table *table, const char *project)
{
    const struct policy_row *any = NULL;
    for (uint32_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].project, project) == 0)
            return &table->rows[i];
        if (strcmp(table->rows[i].project, "*") == 0)
            any = &table->rows[i];
    }
    return any;
}

static bool domain_matches(const char *pattern, const char *domain)
{
    if (strcmp(pattern, "*") == 0)
        return true;
    if (strncmp(pattern, "*.", 2) != 0)
        return strcmp(pattern, domain) == 0;
    size_t tail = strlen(pattern + 1), length = strlen(domain);
    return length > tail && strcmp(domain + length - tail, pattern + 1) == 0;
}

bool policy_row_allows_domain(const struct policy_row *row, const char *domain)
{
    for (int i = 0; i < POLICY_DOMAINS && row->domains[i][0] != 0; i++)
        if (domain_matches(row->domains[i], domain))
            return true;
    return false;
}
