#include "net/http/http_message.h"

#include <string.h>

static struct http_message *of(llhttp_t *parser)
{
    return parser->data;
}

static int on_body(llhttp_t *parser, const char *data, size_t size)
{
    struct http_message *m = of(parser);
    if (m->on_body == NULL)
        return 0;
    return m->on_body(m->ctx, (const uint8_t *)data, size, m->err) < 0 ? HPE_USER : 0;
}

/* llhttp waits for a body after a 304 with Content-Length, which has none (RFC 9112 section 6.3). */
static int on_headers_complete(llhttp_t *parser)
{
    const struct http_message *m = of(parser);
    int status = m->head.status;
    return m->no_body || (m->kind == HEAD_RESPONSE && (status < 200 || status == 204 || status == 304));
}

static int on_message_complete(llhttp_t *parser)
{
    of(parser)->complete = true;
    return HPE_PAUSED; /* what follows is not ours */
}

/* Trailers and chunk extensions: nobody here wants them, and nobody may send them without end. */
static int on_extra(llhttp_t *parser, const char *data, size_t size)
{
    struct http_message *m = of(parser);
    (void)data;
    if (!m->head_read)
        return 0;
    m->extra += size;
    if (m->extra <= HTTP_EXTRA_MAX)
        return 0;
    fail(m->err, "E_HTTP_BODY", "more than %d bytes of trailers and chunk extensions", HTTP_EXTRA_MAX);
    return HPE_USER;
}

static const llhttp_settings_t *settings(void)
{
    static llhttp_settings_t s;
    if (s.on_body == NULL) {
        llhttp_settings_init(&s);
        s.on_header_field = on_extra;
        s.on_header_value = on_extra;
#if LLHTTP_VERSION_MAJOR >= 8
        s.on_chunk_extension_name = on_extra;
        s.on_chunk_extension_value = on_extra;
#endif
        s.on_headers_complete = on_headers_complete;
        s.on_message_complete = on_message_complete;
        s.on_body = on_body;
    }
    return &s;
}

void http_message_init(struct http_message *m, enum head_kind kind)
{
    *m = (struct http_message){.kind = kind, .raw = BUF(HTTP_HEAD_MAX)};
    llhttp_init(&m->parser, kind == HEAD_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, settings());
    m->parser.data = m;
}

void http_message_free(struct http_message *m)
{
    http_head_free(&m->head);
    buf_free(&m->raw);
}

/* llhttp over some bytes; how many it took. */
static int run(struct http_message *m, const char *data, size_t size, size_t *used, struct error *err)
{
    if (err != NULL)
        err->code[0] = 0;
    m->err = err;
    enum llhttp_errno e = llhttp_execute(&m->parser, data, size);
    m->err = NULL;
    *used = size;
    if (e == HPE_OK)
        return 0;
    if (m->complete && (e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE)) {
        *used = (size_t)(llhttp_get_error_pos(&m->parser) - data);
        return 0;
    }
    if (err != NULL && err->code[0] != 0)
        return -1; /* a callback said why */
    return fail(err, m->head_read ? "E_HTTP_BODY" : "E_HTTP_HEAD", "%s", llhttp_errno_name(e));
}

static int read_head(struct http_message *m, size_t head_size, struct error *err)
{
    size_t used = 0;
    if (http_head_read(&m->head, m->kind, (const char *)m->raw.data, head_size, err) < 0)
        return -1;
    if (run(m, (const char *)m->raw.data, head_size, &used, err) < 0)
        return -1;
    m->head_read = true;
    buf_free(&m->raw);
    return HTTP_HEAD_READ;
}

/* Line ends and control bytes are all that the guard acts on before a line is complete. Not looking again at other bytes
 * keeps a head that comes byte by byte from being read over and over. */
static bool worth_looking(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((data[i] < 0x20 && data[i] != '\t') || data[i] == 0x7f)
            return true;
    return false;
}

static int feed_head(struct http_message *m, const uint8_t *data, size_t size, size_t *used, struct error *err)
{
    size_t before = m->raw.size, room = HTTP_HEAD_MAX - before;
    size_t taken = size < room ? size : room;
    if (buf_add(&m->raw, data, taken, err) < 0)
        return -1;
    *used = taken;
    bool after_cr = before > 0 && m->raw.data[before - 1] == '\r';
    if (!after_cr && !worth_looking(data, taken) && m->raw.size < HTTP_HEAD_MAX)
        return HTTP_MORE;
    int head_size = head_guard((const char *)m->raw.data, m->raw.size, m->kind, err);
    if (head_size <= 0)
        return head_size;
    *used = (size_t)head_size - before;
    return read_head(m, (size_t)head_size, err);
}

int http_message_feed(struct http_message *m, const uint8_t *data, size_t size, size_t *used, struct error *err)
{
    *used = 0;
    if (m->complete)
        return HTTP_COMPLETE;
    if (!m->head_read)
        return size > 0 ? feed_head(m, data, size, used, err) : HTTP_MORE;
    if (size > 0 && run(m, (const char *)data, size, used, err) < 0)
        return -1;
    return m->complete ? HTTP_COMPLETE : HTTP_MORE;
}

int http_message_end(struct http_message *m, struct error *err)
{
    if (m->complete)
        return 0;
    m->err = err;
    if (m->head_read && llhttp_finish(&m->parser) == HPE_OK)
        m->complete = m->kind == HEAD_RESPONSE;
    m->err = NULL;
    return m->complete ? 0 : fail(err, "E_HTTP_CUT", "the message was cut off");
}
