/* What the guard accepts must be read without trouble, and mean the same when it comes in pieces. */
#include <stdlib.h>

#include "net/http/http.h"

static void check(const uint8_t *data, size_t size, enum head_kind kind)
{
    int all = head_guard((const char *)data, size, kind, NULL);
    if (all <= 0)
        return;
    if ((size_t)all > size || all > HTTP_HEAD_MAX)
        abort();
    for (size_t part = 0; part < (size_t)all; part += 1 + part / 8)
        if (head_guard((const char *)data, part, kind, NULL) != 0)
            abort(); /* a good head's beginning asks for more, and is neither refused nor complete */
    struct http_head head;
    if (http_head_read(&head, kind, (const char *)data, (size_t)all, NULL) < 0)
        return;
    const char *length = http_header(&head, "Content-Length");
    if (length != NULL && http_header(&head, "Transfer-Encoding") != NULL)
        abort();
    if (head.header_count > HTTP_HEADERS_MAX)
        abort();
    char value[64];
    (void)http_query(head.query, "a", value, sizeof value);
    (void)http_header_has(&head, "Connection", "close");
    http_head_free(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, HEAD_REQUEST);
    check(data, size, HEAD_RESPONSE);
    return 0;
}
