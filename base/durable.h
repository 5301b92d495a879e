/* Files that survive a power cut: written beside, fsynced, renamed, the folder fsynced. */
#ifndef KLY_BASE_DURABLE_H
#define KLY_BASE_DURABLE_H

#include <sys/types.h>

#include "base/buf.h"

/* Replaces dirfd/name as a whole. A reader sees the old bytes or the new, never a part.
 * A failed fsync is final for that attempt: the temporary file is removed, the old one stays. E_WRITE. */
int durable_replace(int dirfd, const char *name, const void *data, size_t size, mode_t mode,
                    struct error *err) KLY_MUST_USE;
/* Appends the whole file to out (E_TOO_LARGE beyond its limit). Follows no symlink, takes regular files only.
 * Returns 1 if there is no such file, 0 if read, -1 with E_READ. */
int durable_read(int dirfd, const char *name, struct buf *out, struct error *err) KLY_MUST_USE;
/* As durable_read, and refuses (E_PERM) a file not owned by the caller or open to anyone else. */
int durable_read_private(int dirfd, const char *name, struct buf *out, struct error *err) KLY_MUST_USE;
/* Unlinks and fsyncs the folder; a missing file is no error. */
int durable_remove(int dirfd, const char *name, struct error *err) KLY_MUST_USE;
/* Opens a folder (O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC); makes it with mode if missing. Descriptor or -1. */
int durable_dir(const char *path, mode_t mode, struct error *err) KLY_MUST_USE;

/* All of data, whatever write(2) takes at a time; 0 or -1 with errno. */
int write_all(int fd, const void *data, size_t size) KLY_MUST_USE;
/* A file of the kernel's (/proc, /sys), at most size - 1 bytes, as text; "" and -1 with errno where it cannot be
 * read. */
ssize_t read_text(int dirfd, const char *name, char *out, size_t size);

#endif
