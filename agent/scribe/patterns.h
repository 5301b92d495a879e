/* What a secret looks like in a log: the value itself and the encodings that programs print it in.
 *
 * Each secret gives: the value; without white space around it, and without the quotes around it; each of its lines of
 * 8 bytes or more; line ends as LF, CRLF, CRCRLF and blank; if it is JSON, each string in it of 6 bytes or more that
 * is no member name; and of these: base64 in three alignments and both alphabets (letters that mix with neighbouring
 * bytes cut), also wrapped at 64 and 76; hex; percent-encoding and form encoding; JSON escapes (also \/, \u00XX and
 * JSON within JSON); shell quoting; XML and HTML escapes. `user:value` of basic authentication is one of the
 * alignments. What is not found: deliberate re-coding (rot13, reversed, a letter a line), compression, encryption,
 * NFC against NFD, a cursor moved back into the middle by \b or \r. */
#ifndef KLY_SCRIBE_PATTERNS_H
#define KLY_SCRIBE_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define PATTERN_MIN       6u                   /* bytes; nothing shorter is ever looked for */
#define PATTERN_LINE_MIN  8u                   /* bytes of a line of a value that has several */
#define SECRET_MAX        65536u               /* bytes of one secret */
#define PATTERN_BYTES_MAX (96u * 1024u * 1024u) /* of all patterns together */

/* Owned; zero-initialise with PATTERNS. Holds secrets: not dumped, wiped when freed. */
struct patterns {
    struct buf bytes;  /* one after another */
    struct buf places; /* struct pattern_place each */
    size_t secrets;    /* added and maskable */
};
struct pattern_place {
    uint32_t offset, size;
};
#define PATTERNS ((struct patterns){.bytes = BUF(PATTERN_BYTES_MAX), .places = BUF(PATTERN_BYTES_MAX)})

/* Would it be looked for at all? Tells a person who saves it, before it is ever printed. */
bool pattern_is_maskable(const void *value, size_t size);
/* Adds a secret with its encodings. Returns 1 if added, 0 if it is too short to be looked for, -1: E_TOO_LARGE
 * (SECRET_MAX, PATTERN_BYTES_MAX), E_NO_MEMORY; the list is then as it was. */
int patterns_add(struct patterns *list, const void *value, size_t size, struct error *err) KLY_MUST_USE;
size_t patterns_count(const struct patterns *list);
struct bytes patterns_at(const struct patterns *list, size_t index); /* borrowed */
void patterns_free(struct patterns *list);

#endif
