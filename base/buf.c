#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int buf_reserve(struct buf *b, size_t more, struct error *err)
{
    if (more > b->limit || b->size > b->limit - more)
        return fail(err, "E_TOO_LARGE", "more than %zu bytes", b->limit);
    size_t need = b->size + more;
    if (need <= b->room && b->data != NULL)
        return 0;
    size_t room = b->room < 64 ? 64 : b->room;
    while (room < need)
        room = room > b->limit / 2 ? b->limit : room * 2;
    if (room > b->limit)
        room = b->limit;
    uint8_t *data = malloc(room + 1);
    if (data == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for %zu bytes", room);
    if (b->size > 0)
        memcpy(data, b->data, b->size);
    data[b->size] = 0;
    if (b->data != NULL)
        wipe(b->data, b->size); /* a buffer that grew may have held a secret */
    free(b->data);
    b->data = data;
    b->room = room;
    return 0;
}

int buf_add(struct buf *b, const void *data, size_t size, struct error *err)
{
    if (buf_reserve(b, size, err) < 0)
        return -1;
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
    return 0;
}

int buf_add_text(struct buf *b, const char *text, struct error *err)
{
    return buf_add(b, text, strlen(text), err);
}

int buf_addf(struct buf *b, struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0)
        return fail(err, "E_FORMAT", "a text could not be formatted");
    if (buf_reserve(b, (size_t)size, err) < 0)
        return -1;
    va_start(args, format);
    vsnprintf((char *)b->data + b->size, (size_t)size + 1, format, args);
    va_end(args);
    b->size += (size_t)size;
    return 0;
}

void buf_drop_front(struct buf *b, size_t count)
{
    if (count == 0)
        return;
    memmove(b->data, b->data + count, b->size - count);
    b->size -= count;
    b->data[b->size] = 0;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = BUF(b->limit);
}

void buf_wipe_free(struct buf *b)
{
    if (b->data != NULL)
        wipe(b->data, b->room);
    buf_free(b);
}

void wipe(void *data, size_t size)
{
    if (data != NULL && size > 0)
        explicit_bzero(data, size);
}

bool equal_secret(const void *a, const void *b, size_t size)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t differ = 0;
    for (size_t i = 0; i < size; i++)
        differ = (uint8_t)(differ | (x[i] ^ y[i]));
    return differ == 0;
}

void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
