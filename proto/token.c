#include "proto/token.h"

#include <string.h>

#include "base/encode.h"

static const char prefix[] = "klt1_";
#define PREFIX_SIZE (sizeof prefix - 1)
#define VERSION     1
#define SERVER_SIZE 8
#define FIXED_SIZE  (1 + TOKEN_SECRET_SIZE + SERVER_SIZE + 32 + 32)

static int add_parts(const struct token *t, struct buf *b, struct error *err)
{
    uint8_t version = VERSION, server[SERVER_SIZE];
    if (!name_is_server(t->server) || hex_decode(t->server + 4, 16, server, sizeof server) < 0)
        return fail(err, "E_TOKEN", "a token needs a server's id");
    if (!url_is_plane(t->url))
        return fail(err, "E_TOKEN", "a token needs the plane's address, https://host:port");
    if (buf_add(b, &version, 1, err) < 0 || buf_add(b, t->secret, sizeof t->secret, err) < 0 ||
        buf_add(b, server, sizeof server, err) < 0 || buf_add(b, t->ca, sizeof t->ca, err) < 0 ||
        buf_add(b, t->trust, sizeof t->trust, err) < 0)
        return -1;
    return buf_add_text(b, t->url, err);
}

int token_encode(const struct token *t, char *out, struct error *err)
{
    AUTO_WIPE struct buf b = BUF(TOKEN_BYTES_MAX);
    if (add_parts(t, &b, err) < 0)
        return -1;
    memcpy(out, prefix, PREFIX_SIZE);
    base64url_encode(b.data, b.size, out + PREFIX_SIZE);
    return 0;
}

static const uint8_t *take(const uint8_t *from, void *to, size_t size)
{
    memcpy(to, from, size);
    return from + size;
}

static int bad(struct error *err)
{
    return fail(err, "E_TOKEN", "the token is not whole: copy the line again, from klt1_ to its end");
}

static int split(const struct buf *b, struct token *t, struct error *err)
{
    if (b->size < FIXED_SIZE + URL_PLANE_MIN || b->size > FIXED_SIZE + URL_PLANE_MAX)
        return bad(err);
    if (b->data[0] != VERSION)
        return fail(err, "E_TOKEN", "the token is of version %u, which this version of Klystrr does not know",
                    b->data[0]);
    uint8_t server[SERVER_SIZE];
    const uint8_t *at = take(b->data + 1, t->secret, sizeof t->secret);
    at = take(at, server, sizeof server);
    at = take(at, t->ca, sizeof t->ca);
    at = take(at, t->trust, sizeof t->trust);
    memcpy(t->server, "srv_", 4);
    hex_encode(server, sizeof server, t->server + 4);
    size_t n = b->size - FIXED_SIZE;
    memcpy(t->url, at, n);
    t->url[n] = 0;
    return strlen(t->url) == n && url_is_plane(t->url) ? 0 : bad(err);
}

int token_decode(const char *text, struct token *out, struct error *err)
{
    AUTO_WIPE struct buf b = BUF(TOKEN_BYTES_MAX + 3);
    size_t n = strnlen(text, TOKEN_TEXT_SIZE);
    memset(out, 0, sizeof *out);
    if (n >= TOKEN_TEXT_SIZE || n < PREFIX_SIZE || memcmp(text, prefix, PREFIX_SIZE) != 0)
        return fail(err, "E_TOKEN", "a token begins with %s and has at most %d letters", prefix,
                    TOKEN_TEXT_SIZE - 1);
    /* One text per token: the URL-safe alphabet without padding, and nothing else. */
    if (strpbrk(text, "+/=") != NULL || base64_decode(text + PREFIX_SIZE, n - PREFIX_SIZE, &b, NULL) < 0)
        return bad(err);
    if (split(&b, out, err) == 0)
        return 0;
    token_wipe(out);
    return -1;
}

void token_wipe(struct token *t)
{
    wipe(t, sizeof *t);
}
