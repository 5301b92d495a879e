/* Checked parsing to cJSON, and getters that say what is wrong and where ("apps[1].vhost.names[0]: …").
 *
 * A getter is asked for a member of an object by name, or, with name NULL, for the value it stands on. It
 * returns 1 if there is a value, 0 if it is absent or null and need is JSON_OPTIONAL (then *out is left as it
 * was, so defaults are set before), and -1 with E_MEMBER otherwise. Texts are borrowed from the tree. Only
 * names that match exactly are found. */
#ifndef KLY_PROTO_JSON_H
#define KLY_PROTO_JSON_H

#include <cjson/cJSON.h>

#include "proto/json_check.h"

/* Checks, then parses. Owned by the caller: json_free, or AUTO_JSON. E_JSON, E_TOO_LARGE, E_NO_MEMORY.
 * Numbers that are no canonical integers become NaN in the tree: nothing here reads fractions. */
int json_parse(struct bytes text, const struct json_limits *limits, cJSON **out,
               struct error *err) KLY_MUST_USE;
void json_free(cJSON *tree);
/* As json_free, overwriting every text first. */
void json_wipe_free(cJSON *tree);
void cleanup_json(cJSON **tree);
#define AUTO_JSON __attribute__((cleanup(cleanup_json)))

/* A value and the way to it. Lives on the stack; `up` must outlive it. */
struct json_at {
    const cJSON *value;
    const struct json_at *up;
    const char *name; /* member of up, or NULL: item `index` of up */
    size_t index;
};

enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

/* The top of a tree; E_MEMBER unless it is an object. */
int json_top(const cJSON *tree, struct json_at *out, struct error *err) KLY_MUST_USE;
/* True if there is a member of this name, null or not. */
bool json_has(const struct json_at *at, const char *name);

int json_object(const struct json_at *at, const char *name, enum json_need need, struct json_at *out,
                struct error *err) KLY_MUST_USE;
/* *count is set (0 if absent). E_MEMBER unless min <= count <= max when present. */
int json_array(const struct json_at *at, const char *name, enum json_need need, size_t min, size_t max,
               struct json_at *out, size_t *count, struct error *err) KLY_MUST_USE;
/* Walks an array or an object: for (bool more = json_first(&list, &item); more; more = json_next(&item)). For
 * an object's members item.name is the member's name. */
bool json_first(const struct json_at *list, struct json_at *item);
bool json_next(struct json_at *item);

/* 0 to max bytes. */
int json_text(const struct json_at *at, const char *name, enum json_need need, size_t max, const char **out,
              struct error *err) KLY_MUST_USE;
/* The same, and ok(text) must hold; what: "a project's name". */
int json_named(const struct json_at *at, const char *name, enum json_need need, bool (*ok)(const char *),
               const char *what, const char **out, struct error *err) KLY_MUST_USE;
/* The same, copied to out[room]. */
int json_named_copy(const struct json_at *at, const char *name, enum json_need need, bool (*ok)(const char *),
                    const char *what, char *out, size_t room, struct error *err) KLY_MUST_USE;
/* Exactly size bytes, in lower-case hex or in base64. */
int json_hex(const struct json_at *at, const char *name, enum json_need need, uint8_t *out, size_t size,
             struct error *err) KLY_MUST_USE;
int json_base64(const struct json_at *at, const char *name, enum json_need need, uint8_t *out, size_t size,
                struct error *err) KLY_MUST_USE;
/* A P-256 point: base64 of 65 bytes, the first 0x04. Whether it lies on the curve is for trust/ to say. */
int json_point(const struct json_at *at, const char *name, enum json_need need, uint8_t *out,
               struct error *err) KLY_MUST_USE;
/* A canonical integer, min to max (both within ±(2^53-1)): 7, not 7.0, 7e0, 07, -0 or "7". */
int json_integer(const struct json_at *at, const char *name, enum json_need need, int64_t min, int64_t max,
                 int64_t *out, struct error *err) KLY_MUST_USE;
/* A version, sequence or offset: as json_integer. */
int json_number(const struct json_at *at, const char *name, enum json_need need, uint64_t min, uint64_t max,
                uint64_t *out, struct error *err) KLY_MUST_USE;
int json_bool(const struct json_at *at, const char *name, enum json_need need, bool *out,
              struct error *err) KLY_MUST_USE;
/* RFC 3339 as base/clock.h takes it; milliseconds since 1970. */
int json_time(const struct json_at *at, const char *name, enum json_need need, int64_t *wall_ms,
              struct error *err) KLY_MUST_USE;
/* One of words[] (ends with NULL): its index. */
int json_word(const struct json_at *at, const char *name, enum json_need need, const char *const *words,
              int *out, struct error *err) KLY_MUST_USE;

/* The rule for unknown members: fine, unless `critical` lists a name that is not in known[] (ends with NULL):
 * E_CRITICAL. */
int json_critical(const struct json_at *top, const char *const *known, struct error *err) KLY_MUST_USE;

/* Fails with code and "<path to the member>: <text>". name may be NULL. Returns -1. */
int json_fail(const struct json_at *at, const char *name, struct error *err, const char *code,
              const char *format, ...) KLY_PRINTF(5, 6);

#endif
