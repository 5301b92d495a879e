#include "trust/seal.h"

#include <string.h>

#include "base/names.h"

#define INFO_MAX 128

/* "klystrr env v1" NUL server NUL project NUL version: a value sealed for one host, project and version opens
 * there only. Both names are checked, so no byte of one can pass for the beginning of the next. */
static int env_info(const char *server, const char *project, uint64_t version, struct buf *out,
                    struct error *err)
{
    if (!name_is_server(server))
        return fail(err, "E_NAME", "'%.40s' is no server's name", server);
    if (!name_is_project(project))
        return fail(err, "E_NAME", "'%.40s' is no project's name", project);
    static const char head[] = "klystrr env v1";
    if (buf_add(out, head, sizeof head, err) < 0 || buf_add(out, server, strlen(server) + 1, err) < 0 ||
        buf_add(out, project, strlen(project) + 1, err) < 0)
        return -1;
    return buf_addf(out, err, "%llu", (unsigned long long)version);
}

static const struct bytes no_aad = {(const uint8_t *)"", 0};

int seal_env(const uint8_t *recipient, const char *server, const char *project, uint64_t version,
             struct bytes plain, uint8_t *enc, struct buf *ct, struct error *err)
{
    AUTO_BUF struct buf info = BUF(INFO_MAX);
    if (plain.size > SEAL_PLAIN_MAX)
        return fail(err, "E_TOO_LARGE", "all values together may have %d bytes, not %zu", SEAL_PLAIN_MAX,
                    plain.size);
    if (env_info(server, project, version, &info, err) < 0)
        return -1;
    return hpke_seal(recipient, buf_view(&info), no_aad, plain, enc, ct, err);
}

int unseal_env(const struct p256_key *key, const char *server, const char *project, uint64_t version,
               const uint8_t *enc, struct bytes ct, struct buf *plain, struct error *err)
{
    AUTO_BUF struct buf info = BUF(INFO_MAX);
    if (ct.size > SEAL_CT_MAX)
        return fail(err, "E_TOO_LARGE", "sealed values have at most %d bytes, not %zu", SEAL_CT_MAX, ct.size);
    if (env_info(server, project, version, &info, err) < 0)
        return -1;
    return hpke_open(key, enc, buf_view(&info), no_aad, ct, plain, err);
}
