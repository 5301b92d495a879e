/* The strict byte-level check that JSON of any kind passes before cJSON sees it: RFC 8259, valid UTF-8, no byte
 * order mark, nothing after the value, no duplicate members (compared after unescaping), no \u0000, integers
 * within ±(2^53-1), and bounds on size, depth and count. cJSON alone is laxer in each of these. */
#ifndef KLY_PROTO_JSON_CHECK_H
#define KLY_PROTO_JSON_CHECK_H

#include "base/buf.h"

#define JSON_INTEGER_MAX ((INT64_C(1) << 53) - 1)

struct json_limits {
    size_t size;    /* bytes of the whole text */
    int depth;      /* arrays and objects inside each other; 1 is one object of scalars */
    size_t values;  /* of all kinds, together */
    size_t members; /* of one object */
    /* Plain RFC 8259 has no opinion on these; documents and messages refuse them. */
    bool allow_duplicates;  /* a member name twice in one object */
    bool allow_nul_escape;  /* \u0000: a C string would end there */
    bool allow_big_numbers; /* integers beyond ±(2^53-1), number texts longer than JSON_NUMBER_MAX */
};

#define JSON_DEPTH_MAX   16
#define JSON_VALUES_MAX  32768
#define JSON_MEMBERS_MAX 1024
#define JSON_NUMBER_MAX  60 /* letters of a number; cJSON 1.7.15 reads 63 */

/* The rules for everything that comes from outside. */
static inline struct json_limits json_strict(size_t size)
{
    return (struct json_limits){
        .size = size, .depth = JSON_DEPTH_MAX, .values = JSON_VALUES_MAX, .members = JSON_MEMBERS_MAX};
}

/* 0 or -1: E_JSON (with the byte's position), E_TOO_LARGE beyond limits->size. Takes time of n log n at worst.
 */
int json_check(struct bytes text, const struct json_limits *limits, struct error *err) KLY_MUST_USE;

/* As json_check, and appends one byte to numbers for every number, in the order of the text: 1 if it is a
 * canonical integer (no fraction, exponent, leading zero or "-0", within ±(2^53-1)), else 0. For json.c. */
int json_check_numbers(struct bytes text, const struct json_limits *limits, struct buf *numbers,
                       struct error *err) KLY_MUST_USE;

#endif
