/* Takes secrets out of a stream of bytes, exactly: the output is the same however the input is cut into writes.
 *
 * What is masked, for a set of patterns P and an input T (all that is written to one stream):
 *  - every occurrence of a pattern in T, and every occurrence in T without its terminal control sequences
 *    (ESC [ … final byte, 64 bytes at most), so that a colour change inside a secret does not hide it. Control
 *    sequences may make an occurrence 4,096 bytes longer, no more;
 *  - occurrences that overlap or touch are one: their union is replaced by "[MASKED]" once;
 *  - "[MASKED]" is a pattern itself if a pattern is a part of it, so that masked text is not masked again;
 *  - at the end of T, the beginning of a pattern that was cut off there, if it has 8 bytes or more. A shorter one is
 *    shown.
 * Bytes are held back only while they may be the beginning of an occurrence: nothing is withheld from an idle
 * stream that could not become a secret, and never more than the longest pattern and 4,096 bytes. The empty set
 * changes nothing. Masking twice is masking once, unless a secret overlaps an edge of the mask's own text.
 *
 * Time is linear in the input, whatever the patterns: an Aho-Corasick automaton (1975), entered only where a filter
 * after Wu and Manber (1994) cannot rule out that an occurrence begins. Each byte is fed to it at most a constant
 * number of times. */
#ifndef KLY_SCRIBE_MASK_H
#define KLY_SCRIBE_MASK_H

#include "agent/scribe/patterns.h"
#include "base/buf.h"

#define MASK_TEXT "[MASKED]"

struct mask_set;    /* patterns, ready to be found; never changes, may serve many streams */
struct mask_stream; /* one stream's place in them */

/* Takes what is masked already. Borrowed bytes, valid for the call only. 0, or -1 with err, which ends the write. */
typedef int (*mask_sink)(void *context, const uint8_t *data, size_t size, struct error *err);

/* Builds a set; copies what it needs. Owned by the caller: mask_set_free. E_NO_MEMORY, E_TOO_LARGE. */
int mask_set_build(const struct patterns *list, struct mask_set **out, struct error *err) KLY_MUST_USE;
void mask_set_free(struct mask_set *set);
size_t mask_set_longest(const struct mask_set *set); /* bytes of the longest pattern, 0 if there is none */

/* Owned by the caller: mask_stream_free. Borrows set, which must live longer. */
int mask_stream_open(const struct mask_set *set, mask_sink sink, void *context, struct mask_stream **out,
                     struct error *err) KLY_MUST_USE;
/* Errors are the sink's, or E_NO_MEMORY; the stream is then good for nothing but being freed. */
int mask_stream_write(struct mask_stream *stream, const void *data, size_t size, struct error *err) KLY_MUST_USE;
/* The input is complete: gives out what was held. The stream is then at the start of another input. */
int mask_stream_finish(struct mask_stream *stream, struct error *err) KLY_MUST_USE;
/* From here on looks for another set, which should contain the old one: what is held back is looked at again. */
int mask_stream_change(struct mask_stream *stream, const struct mask_set *set, struct error *err) KLY_MUST_USE;
uint64_t mask_stream_count(const struct mask_stream *stream); /* how often MASK_TEXT was put */
size_t mask_stream_held(const struct mask_stream *stream);    /* bytes held back */
void mask_stream_free(struct mask_stream *stream);

#endif
