/* The spellings that programs give a text when they print it. Each appends the spelling of `in` to out. */
#ifndef KLY_SCRIBE_ENCODINGS_H
#define KLY_SCRIBE_ENCODINGS_H

#include "base/buf.h"

enum percent_flags {
    PERCENT_LOWER = 1,     /* %c3 instead of %C3 */
    PERCENT_FORM = 2,      /* blank as '+' (application/x-www-form-urlencoded) */
    PERCENT_COMPONENT = 4, /* as encodeURIComponent: ! ' ( ) * stay; else only RFC 3986's unreserved */
    PERCENT_WHOLE = 8,     /* as encodeURI: what has a meaning in a URL stays too */
};
int encode_percent(struct bytes in, unsigned flags, struct buf *out, struct error *err) KLY_MUST_USE;

enum json_flags {
    JSON_SLASH = 1,   /* \/ */
    JSON_ASCII = 2,   /* \u00e9 for what is not ASCII (pairs beyond U+FFFF) */
    JSON_UPPER = 4,   /* \u00E9 */
    JSON_HTML = 8,    /* \u003c \u003e \u0026 */
    JSON_NUMBERS = 16, /* \u0022 and \u000a instead of \" and \n */
    JSON_SINGLE = 32, /* the quote that is escaped is ' : JavaScript, Python, $'…' */
};
int encode_json(struct bytes in, unsigned flags, struct buf *out, struct error *err) KLY_MUST_USE;

enum shell_style {
    SHELL_SINGLE,     /* it'\''s */
    SHELL_PYTHON,     /* it'"'"'s */
    SHELL_BACKSLASH,  /* it\'s */
    SHELL_DOUBLE      /* inside "…" */
};
int encode_shell(struct bytes in, unsigned style, struct buf *out, struct error *err) KLY_MUST_USE;

enum xml_style { XML_TEXT, XML_QUOT, XML_QUOT_39, XML_QUOT_APOS, XML_34_39, XML_QUOT_X27 };
int encode_xml(struct bytes in, unsigned style, struct buf *out, struct error *err) KLY_MUST_USE;

enum hex_flags { HEX_LOWER, HEX_UPPER };
int encode_hex(struct bytes in, unsigned flags, struct buf *out, struct error *err) KLY_MUST_USE;

/* What of `in` can be seen in base64 of a longer text that has it after `before` (0 to 2, counted modulo 3) bytes: the
 * letters that depend on it alone. `last`: nothing follows, so the letter that holds its last bits is certain too. */
struct base64_form {
    unsigned before;
    bool url_safe, last;
};
int encode_base64_part(struct bytes in, struct base64_form form, struct buf *out, struct error *err) KLY_MUST_USE;

#endif
