/* An Aho-Corasick automaton (Aho and Corasick, 1975) over many patterns, small enough for some hundred thousand
 * states: states are numbered in the order of a depth-first walk over the sorted patterns, so that a state's first
 * child is the next number and a chain of letters is a run of bytes in memory. */
#ifndef KLY_SCRIBE_AUTOMATON_H
#define KLY_SCRIBE_AUTOMATON_H

#include <stdint.h>

#include "base/buf.h"

#define STATE_LETTER 0x00ffu /* the letter that leads here */
#define STATE_LEAF   0x0100u /* no child */
#define STATE_MANY   0x0200u /* more than one child */
#define STATE_WIDE   0x0400u /* so many that they have a table */
#define STATE_FOUND  0x0800u /* a pattern ends here */

struct state {
    uint32_t fail;    /* the longest proper suffix that begins a pattern */
    uint32_t depth;   /* letters from the root */
    uint32_t found;   /* length of the longest pattern that ends here, 0 for none */
    uint32_t sibling; /* next child of the same parent, 0 for none */
    uint32_t wide;    /* number of the table of children */
};

/* State 0 is the root. Owned; freed with automaton_free. */
struct automaton {
    uint16_t *marks; /* by state: letter and flags, apart from the rest to keep the hot loop small */
    struct state *states;
    uint32_t (*tables)[256];
    uint32_t count, table_count;
};

/* `sorted` are the patterns in memcmp order, none empty; duplicates allowed. E_NO_MEMORY, E_TOO_LARGE. */
int automaton_build(const struct bytes *sorted, size_t count, struct automaton *out, struct error *err) KLY_MUST_USE;
void automaton_free(struct automaton *a);
uint32_t automaton_sibling_child(const struct automaton *a, uint32_t state, uint8_t letter);

/* The child by this letter, 0 if there is none. */
static inline uint32_t automaton_child(const struct automaton *a, uint32_t state, uint8_t letter)
{
    uint16_t mark = a->marks[state];
    if (mark & STATE_LEAF)
        return 0;
    if ((a->marks[state + 1] & STATE_LETTER) == letter)
        return state + 1;
    if (!(mark & STATE_MANY))
        return 0;
    if (mark & STATE_WIDE)
        return a->tables[a->states[state].wide][letter];
    return automaton_sibling_child(a, state, letter);
}

/* The state after this letter. Amortised over a text, a constant number of steps. */
static inline uint32_t automaton_step(const struct automaton *a, uint32_t state, uint8_t letter)
{
    for (;;) {
        uint32_t next = automaton_child(a, state, letter);
        if (next != 0 || state == 0)
            return next;
        state = a->states[state].fail;
    }
}

#endif
