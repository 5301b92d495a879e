/* Deliveries of webhooks. Whether a project exists, and what its secret is, cannot be learnt here. */
#include <string.h>

#include "base/clock.h"
#include "base/names.h"
#include "plane/api/api.h"
#include "plane/poll.h"
#include "plane/webhook.h"

static int load_secret(struct plane *p, const char *project, struct buf *secret, struct error *err)
{
    char label[WEBHOOK_LABEL_SIZE];
    AUTO_BUF struct buf sealed = BUF(1024);
    int rc = name_is_project(project) ? store_webhook(&p->store, project, &sealed, err) : 1;
    if (rc != 0)
        return rc;
    webhook_label(project, label);
    return vault_unseal(&p->home.vault, label, buf_view(&sealed), secret, err);
}

static bool is_genuine(struct call *c, struct bytes secret)
{
    const struct http_head *h = http_request(c->x);
    const char *github = http_header(h, "X-Hub-Signature-256"), *gitlab = http_header(h, "X-Gitlab-Token");
    /* Both at once is nobody we know. */
    if ((github != NULL) == (gitlab != NULL))
        return false;
    return github != NULL ? webhook_github_ok(github, secret, http_body(c->x))
                          : webhook_gitlab_ok(gitlab, secret);
}

void api_hook(struct call *c)
{
    struct error err = {0};
    char peer[CONN_PEER_SIZE];
    AUTO_WIPE struct buf secret = BUF(1024);
    conn_peer(http_conn(c->x), peer);
    int rc = load_secret(c->plane, c->param[0], &secret, &err);
    if (rc < 0) {
        api_error(c, &err);
        return;
    }
    if (rc > 0 || !is_genuine(c, buf_view(&secret))) {
        bool reached = limit_reached(&c->plane->wrong_keys, peer, clock_boot_ms());
        limit_count(&c->plane->wrong_keys, peer, clock_boot_ms());
        if (reached)
            api_fail(c, 429, "E_RATE", "too many wrong deliveries from this address; wait a minute");
        else
            api_fail(c, 403, "E_WEBHOOK", "the signature or token is not this webhook's");
        return;
    }
    if (poll_now(c->plane, c->param[0], &err) < 0) {
        api_error(c, &err);
        return;
    }
    AUTO_BUF struct buf out = BUF(64);
    if (buf_add_text(&out, "{\"status\":\"accepted\"}", &err) == 0)
        api_json(c, 202, &out);
}
