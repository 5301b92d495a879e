/* Errors are values: a stable code for machines and one sentence for people (what, where, what to do).
 *
 * A function that can fail returns 0 (or something positive) or a negative number, and takes a
 * `struct error *` last, which it fills when it fails. The pointer may be NULL. Only hubs and mains print. */
#ifndef KLY_BASE_ERROR_H
#define KLY_BASE_ERROR_H

#define KLY_MUST_USE __attribute__((warn_unused_result))
#define KLY_PRINTF(f, a) __attribute__((format(printf, f, a)))

struct error {
    char code[40];  /* stable, for machines: "E_SIG_THRESHOLD"; "" means no error */
    char text[600]; /* a sentence for people, never with a secret in it; cut, never overrun */
};

/* Fill err and return -1, so that failing is one line: return fail(err, "E_NAME", "project '%s' ...", name). */
int fail(struct error *err, const char *code, const char *format, ...) KLY_PRINTF(3, 4);

/* As fail, with ": strerror(errnum)" at the end. */
int fail_errno(struct error *err, const char *code, int errnum, const char *format, ...) KLY_PRINTF(4, 5);

/* Put "context: " in front of what err already says, on the way up. Keeps the code. Returns -1. */
int fail_in(struct error *err, const char *format, ...) KLY_PRINTF(2, 3);

#endif
