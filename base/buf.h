/* A growable byte buffer with a hard limit, a borrowed view, and scope cleanup. */
#ifndef KLY_BASE_BUF_H
#define KLY_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Borrowed bytes: never freed through this. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

/* Owned bytes. Zero-initialise and set limit, or use BUF(limit). data is always followed by a NUL
 * that size does not count, so text can be read as a C string. */
struct buf {
    uint8_t *data;
    size_t size;
    size_t room;  /* allocated, without the NUL */
    size_t limit; /* bytes it may ever hold; adding more fails with E_TOO_LARGE */
};

#define BUF(max) ((struct buf){.limit = (max)})

int buf_reserve(struct buf *b, size_t more, struct error *err) KLY_MUST_USE;
int buf_add(struct buf *b, const void *data, size_t size, struct error *err) KLY_MUST_USE;
int buf_add_text(struct buf *b, const char *text, struct error *err) KLY_MUST_USE;
int buf_addf(struct buf *b, struct error *err, const char *format, ...) KLY_PRINTF(3, 4) KLY_MUST_USE;
void buf_drop_front(struct buf *b, size_t count); /* count <= size */
void buf_free(struct buf *b);                     /* leaves an empty buffer with the same limit */
void buf_wipe_free(struct buf *b);                /* for secrets: overwritten first */
static inline struct bytes buf_view(const struct buf *b)
{
    return (struct bytes){b->data, b->size};
}
static inline const char *buf_text(const struct buf *b)
{
    return b->data != NULL ? (const char *)b->data : "";
}

/* Overwrites memory so that the compiler cannot leave it out. */
void wipe(void *data, size_t size);
/* Takes time that depends on size alone. */
bool equal_secret(const void *a, const void *b, size_t size);

/* Scope cleanup: AUTO_FREE char *p = NULL; AUTO_CLOSE int fd = -1; AUTO_BUF struct buf b = BUF(4096); */
void cleanup_free(void *pointer_to_pointer);
void cleanup_close(int *fd);
#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
#define AUTO_CLOSE __attribute__((cleanup(cleanup_close)))
#define AUTO_BUF __attribute__((cleanup(buf_free)))
#define AUTO_WIPE __attribute__((cleanup(buf_wipe_free)))

/* Hand over what a cleanup would have released. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
static inline void *take_pointer(void *pointer_to_pointer)
{
    void **where = pointer_to_pointer, *taken = *where;
    *where = NULL;
    return taken;
}

#endif
