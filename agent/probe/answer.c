#include "agent/probe/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static void append(char *to, size_t room, const char *data, size_t size)
{
    size_t used = strlen(to), n = size < room - 1 - used ? size : room - 1 - used;
    memcpy(to + used, data, n);
    to[used + n] = 0;
}

static int on_field(llhttp_t *parser, const char *data, size_t size)
{
    struct answer *a = parser->data;
    if (a->in_value)
        a->name[0] = 0;
    a->in_value = false;
    append(a->name, sizeof a->name, data, size);
    return 0;
}

static int on_value(llhttp_t *parser, const char *data, size_t size)
{
    struct answer *a = parser->data;
    a->in_value = true;
    if (a->wanted != NULL && strcasecmp(a->name, a->wanted) == 0)
        append(a->value, sizeof a->value, data, size);
    return 0;
}

static int on_head(llhttp_t *parser)
{
    struct answer *a = parser->data;
    a->head_done = true;
    return 0;
}

static int on_body(llhttp_t *parser, const char *data, size_t size)
{
    struct answer *a = parser->data;
    (void)data;
    a->body_bytes += size;
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct answer *a = parser->data;
    a->complete = true;
    return HPE_PAUSED; /* nothing after it is of interest */
}

void answer_init(struct answer *a, const char *wanted_header)
{
    *a = (struct answer){.wanted = wanted_header};
    llhttp_settings_init(&a->settings);
    a->settings.on_header_field = on_field;
    a->settings.on_header_value = on_value;
    a->settings.on_headers_complete = on_head;
    a->settings.on_body = on_body;
    a->settings.on_message_complete = on_complete;
    llhttp_init(&a->parser, HTTP_RESPONSE, &a->settings);
    a->parser.data = a;
}

int answer_feed(struct answer *a, const char *data, size_t size, struct error *err)
{
    if (!a->head_done && (a->head_bytes += size) > ANSWER_HEAD_MAX)
        return fail(err, "E_PROBE_PROTOCOL", "its head is larger than %u bytes", ANSWER_HEAD_MAX);
    llhttp_errno_t rc = llhttp_execute(&a->parser, data, size);
    if (rc == HPE_OK || (rc == HPE_PAUSED && a->complete) || (rc == HPE_PAUSED_UPGRADE && a->head_done))
        return 0;
    return fail(err, "E_PROBE_PROTOCOL", "what it says is not HTTP (%s)", llhttp_errno_name(rc));
}

int answer_status(const struct answer *a)
{
    return a->parser.status_code;
}
