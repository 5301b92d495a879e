#include "agent/scribe/automaton.h"

#include <stdlib.h>
#include <string.h>

#define STATES_MAX    (128u * 1024u * 1024u)
#define CHILDREN_WIDE 8 /* more than this many get a table */

static size_t common_prefix(struct bytes a, struct bytes b)
{
    size_t most = a.size < b.size ? a.size : b.size, i = 0;
    while (i < most && a.data[i] == b.data[i])
        i++;
    return i;
}

/* What is shared with the pattern before is there already; the rest are new states. */
static size_t count_states(const struct bytes *sorted, size_t count, size_t *longest)
{
    size_t states = 1;
    *longest = 0;
    for (size_t i = 0; i < count; i++) {
        states += sorted[i].size - (i == 0 ? 0 : common_prefix(sorted[i - 1], sorted[i]));
        if (sorted[i].size > *longest)
            *longest = sorted[i].size;
    }
    return states;
}

/* Walks the sorted patterns; path[d] is the state at depth d of the current one, last[d] its youngest child. */
static void plant(struct automaton *a, const struct bytes *sorted, size_t count, uint32_t *path, uint32_t *last,
                  uint32_t *parents)
{
    uint32_t next = 1;
    a->marks[0] = STATE_LEAF;
    path[0] = last[0] = 0;
    for (size_t i = 0; i < count; i++) {
        size_t d = i == 0 ? 0 : common_prefix(sorted[i - 1], sorted[i]);
        for (; d < sorted[i].size; d++) {
            uint32_t parent = path[d], self = next++;
            a->marks[self] = (uint16_t)(sorted[i].data[d] | STATE_LEAF);
            a->states[self].depth = (uint32_t)d + 1;
            parents[self] = parent;
            if (a->marks[parent] & STATE_LEAF) {
                a->marks[parent] &= (uint16_t)~STATE_LEAF;
            } else {
                a->states[last[d]].sibling = self;
                a->marks[parent] |= STATE_MANY;
            }
            last[d] = self;
            path[d + 1] = self;
        }
        uint32_t end = path[sorted[i].size];
        a->states[end].found = (uint32_t)sorted[i].size;
        a->marks[end] |= STATE_FOUND;
    }
}

static unsigned count_children(const struct automaton *a, uint32_t state)
{
    unsigned n = 0;
    if (a->marks[state] & STATE_LEAF)
        return 0;
    for (uint32_t c = state + 1; c != 0; c = a->states[c].sibling)
        n++;
    return n;
}

static int make_tables(struct automaton *a, struct error *err)
{
    uint32_t wanted = 0;
    for (uint32_t s = 0; s < a->count; s++)
        if ((a->marks[s] & STATE_MANY) && count_children(a, s) > CHILDREN_WIDE)
            wanted++;
    if (wanted == 0)
        return 0;
    a->tables = calloc(wanted, sizeof *a->tables);
    if (a->tables == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for %u tables of the masker", wanted);
    for (uint32_t s = 0; s < a->count; s++) {
        if (!(a->marks[s] & STATE_MANY) || count_children(a, s) <= CHILDREN_WIDE)
            continue;
        for (uint32_t c = s + 1; c != 0; c = a->states[c].sibling)
            a->tables[a->table_count][a->marks[c] & STATE_LETTER] = c;
        a->states[s].wide = a->table_count++;
        a->marks[s] |= STATE_WIDE;
    }
    return 0;
}

/* States by rising depth (counting sort): a state's fail link is shallower, so it is known before it is needed. */
static void order_by_depth(const struct automaton *a, uint32_t *starts, size_t longest, uint32_t *order)
{
    for (uint32_t s = 0; s < a->count; s++)
        starts[a->states[s].depth + 1]++;
    for (size_t d = 1; d <= longest + 1; d++)
        starts[d] += starts[d - 1];
    for (uint32_t s = 0; s < a->count; s++)
        order[starts[a->states[s].depth]++] = s;
}

static void link_fails(struct automaton *a, const uint32_t *order, const uint32_t *parents)
{
    for (uint32_t i = 1; i < a->count; i++) {
        uint32_t s = order[i];
        struct state *state = &a->states[s];
        if (state->depth > 1)
            state->fail = automaton_step(a, a->states[parents[s]].fail, (uint8_t)(a->marks[s] & STATE_LETTER));
        if (state->found == 0 && a->states[state->fail].found != 0) {
            state->found = a->states[state->fail].found;
            a->marks[s] |= STATE_FOUND;
        }
    }
}

static int grow(struct automaton *a, const struct bytes *sorted, size_t count, size_t longest, struct error *err)
{
    AUTO_FREE uint32_t *path = calloc(longest + 1, sizeof *path);
    AUTO_FREE uint32_t *last = calloc(longest + 1, sizeof *last);
    AUTO_FREE uint32_t *starts = calloc(longest + 2, sizeof *starts);
    AUTO_FREE uint32_t *parents = calloc(a->count, sizeof *parents);
    AUTO_FREE uint32_t *order = calloc(a->count, sizeof *order);
    if (path == NULL || last == NULL || starts == NULL || parents == NULL || order == NULL)
        return fail(err, "E_NO_MEMORY", "no memory to build a masker of %u states", a->count);
    plant(a, sorted, count, path, last, parents);
    if (make_tables(a, err) < 0)
        return -1;
    order_by_depth(a, starts, longest, order);
    link_fails(a, order, parents);
    return 0;
}

int automaton_build(const struct bytes *sorted, size_t count, struct automaton *out, struct error *err)
{
    *out = (struct automaton){0};
    size_t longest, states = count_states(sorted, count, &longest);
    if (states > STATES_MAX)
        return fail(err, "E_TOO_LARGE", "the secrets need %zu states, more than %u", states, STATES_MAX);
    out->count = (uint32_t)states;
    out->marks = calloc(states, sizeof *out->marks);
    out->states = calloc(states, sizeof *out->states);
    if (out->marks == NULL || out->states == NULL)
        fail(err, "E_NO_MEMORY", "no memory for a masker of %zu states", states);
    else if (grow(out, sorted, count, longest, err) == 0)
        return 0;
    automaton_free(out);
    return -1;
}

void automaton_free(struct automaton *a)
{
    if (a->marks != NULL)
        wipe(a->marks, a->count * sizeof *a->marks); /* the letters spell the secrets */
    free(a->marks);
    free(a->states);
    free(a->tables);
    *a = (struct automaton){0};
}

uint32_t automaton_sibling_child(const struct automaton *a, uint32_t state, uint8_t letter)
{
    for (uint32_t c = a->states[state + 1].sibling; c != 0; c = a->states[c].sibling)
        if ((a->marks[c] & STATE_LETTER) == letter)
            return c;
    return 0;
}
