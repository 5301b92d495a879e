#include "agent/uplink/status.h"

#include <stdio.h>
#include <string.h>

#include "ipc/sock.h"
#include "proto/json_check.h"
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

/* The agent's words go on byte for byte: printed anew by a JSON library, large numbers would change. The text was checked,
 * so that walking it needs no more than strings and brackets told apart. */
struct member {
    struct bytes name, value; /* as written; the name with its quotes */
    const uint8_t *next;      /* where the next member begins */
};

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r' || *at == ','))
        at++;
    return at;
}

static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : end;
}

static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        if (depth == 0 && (*at == ',' || *at == '}' || *at == ']' || *at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
            break;
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    }
    return at;
}

/* False at the object's end. */
static bool next_member(struct bytes json, struct member *m)
{
    const uint8_t *end = json.data + json.size, *at = skip_space(m->next, end);
    if (at == end || *at != '"')
        return false;
    m->name.data = at;
    at = skip_string(at, end);
    m->name.size = (size_t)(at - m->name.data);
    at = skip_space(at, end);
    at = skip_space(at < end ? at + 1 : end, end); /* the colon */
    m->value.data = at;
    m->next = skip_value(at, end);
    m->value.size = (size_t)(m->next - at);
    return true;
}

static bool is_named(const struct member *m, const char *quoted)
{
    return m->name.size == strlen(quoted) && memcmp(m->name.data, quoted, m->name.size) == 0;
}

/* 1: there is an object, and *m stands before its first member; 0: the agent has said nothing. */
static int open_agent(struct bytes agent, struct member *m, struct error *err)
{
    struct json_limits limits = json_strict(IPC_SEALED_MAX);
    if (agent.size == 0)
        return 0;
    if (json_check(agent, &limits, err) < 0)
        return -1;
    const uint8_t *top = skip_space(agent.data, agent.data + agent.size);
    if (*top != '{')
        return fail(err, "E_JSON", "the agent's status is no object");
    m->next = top + 1;
    return 1;
}

int status_write(const struct status_link *link, struct bytes agent, struct buf *out, struct error *err)
{
    AUTO_BUF struct buf own = BUF(8192);
    struct member m = {0};
    int rc = open_agent(agent, &m, err);
    if (rc < 0 || write_link(link, &own, err) < 0)
        return -1;
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    if (rc == 0)
        put_said(&w, "server", link->server);
    while (rc > 0 && next_member(agent, &m)) {
        char name[64];
        if (is_named(&m, "\"link\"") || m.name.size - 2 >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(m.name.size - 2), (const char *)m.name.data + 1);
        json_put_raw(&w, name, m.value);
    }
    json_put_raw(&w, "link", buf_view(&own));
    json_close(&w, '}');
    return json_done(&w);
}

int status_write_projects(struct bytes agent, struct buf *out, struct error *err)
{
    struct bytes projects = {(const uint8_t *)"[]", 2};
    struct member m = {0};
    int rc = open_agent(agent, &m, err);
    if (rc < 0)
        return -1;
    while (rc > 0 && next_member(agent, &m))
        if (is_named(&m, "\"projects\""))
            projects = m.value;
    struct json_writer w = json_writer(out, err);
    json_open(&w, NULL, '{');
    json_put_raw(&w, "projects", projects);
    json_close(&w, '}');
    return json_done(&w);
}
