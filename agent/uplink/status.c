#include "agent/uplink/status.h"

#include <stdlib.h>
#include <string.h>

#include "ipc/sock.h"
#include "proto/json.h"
#include "proto/json_write.h"

static void put_said(struct json_writer *w, const char *name, const char *text)
{
    json_put_text(w, name, text != NULL && text[0] != '\0' ? text : NULL);
}

static void put_when(struct json_writer *w, const char *name, int64_t ms)
{
    if (ms > 0)
        json_put_time(w, name, ms);
    else
        json_put_null(w, name);
}

static int write_link(const struct status_link *l, struct buf *out, struct error *err)
{
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_bool(&w, "online", l->online);
    json_put_text(&w, "text", l->online ? "" : l->why.text);
    put_when(&w, "since", l->since_ms);
    put_said(&w, "code", l->online ? "" : l->why.code);
    put_said(&w, "url", l->url);
    put_said(&w, "plane", l->plane);
    json_put_bool(&w, "resumed", l->resumed);
    put_when(&w, "last_ack", l->last_ack_ms);
    put_said(&w, "warning", l->warning);
    put_when(&w, "relayed", l->relayed_ms);
    json_close(&w, '}');
    return json_done(&w);
}

/* Every member of the agent's object but its own idea of the link. */
static void put_agent(struct json_writer *w, const cJSON *agent)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, agent)
    {
        if (strcmp(member->string, "link") == 0)
            continue;
        AUTO_FREE char *text = cJSON_PrintUnformatted(member);
        if (text != NULL)
            json_put_raw(w, member->string, (struct bytes){(const uint8_t *)text, strlen(text)});
    }
}

static int parse_agent(struct bytes agent, cJSON **tree, struct error *err)
{
    struct json_limits limits = json_strict(IPC_SEALED_MAX);
    if (agent.size == 0)
        return 0;
    if (json_parse(agent, &limits, tree, err) < 0)
        return -1;
    return cJSON_IsObject(*tree) ? 0 : fail(err, "E_JSON", "the agent's status is no object");
}

int status_write(const struct status_link *link, struct bytes agent, struct buf *out, struct error *err)
{
    AUTO_JSON cJSON *tree = NULL;
    AUTO_BUF struct buf own = BUF(8192);
    if (parse_agent(agent, &tree, err) < 0 || write_link(link, &own, err) < 0)
        return -1;
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    if (tree != NULL)
        put_agent(&w, tree);
    else
        put_said(&w, "server", link->server);
    json_put_raw(&w, "link", buf_view(&own));
    json_close(&w, '}');
    return json_done(&w);
}

int status_write_projects(struct bytes agent, struct buf *out, struct error *err)
{
    AUTO_JSON cJSON *tree = NULL;
    AUTO_FREE char *text = NULL;
    if (parse_agent(agent, &tree, err) < 0)
        return -1;
    const cJSON *projects = tree != NULL ? cJSON_GetObjectItemCaseSensitive(tree, "projects") : NULL;
    if (projects != NULL)
        text = cJSON_PrintUnformatted(projects);
    struct bytes json = {(const uint8_t *)(text != NULL ? text : "[]"), text != NULL ? strlen(text) : 2};
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_raw(&w, "projects", json);
    json_close(&w, '}');
    return json_done(&w);
}
