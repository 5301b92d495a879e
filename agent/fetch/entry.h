/* What may stand in a Git tree, and how words from a repository are shown. Pure. */
#ifndef KLY_FETCH_ENTRY_H
#define KLY_FETCH_ENTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A name that a checkout may write: not empty, ".", "..", no '/', no NUL, 255 bytes at most, and nothing that any file
 * system could take for ".git" (case, NTFS short names and streams, code points that HFS+ ignores). */
bool entry_name_ok(const char *name, size_t size);
/* Does a link at `depth` folders below the root stay inside by its letters alone (relative, never above the root)? */
bool entry_link_ok(const char *target, unsigned depth);
/* Is this the text of a Git LFS pointer (version 1), standing for a file that is elsewhere? */
bool entry_is_lfs_pointer(const void *data, size_t size);
/* For logs: printable ASCII and UTF-8 letters as they are, control bytes, DEL and backslash as \xNN; always terminated,
 * cut to fit. */
void entry_show(const char *text, size_t size, char *out, size_t room);

#endif
