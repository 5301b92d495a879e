#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_code(struct error *err, const char *code)
{
    snprintf(err->code, sizeof err->code, "%s", code);
}

int fail(struct error *err, const char *code, const char *format, ...)
{
    if (err == NULL)
        return -1;
    set_code(err, code);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int fail_errno(struct error *err, const char *code, int errnum, const char *format, ...)
{
    if (err == NULL)
        return -1;
    set_code(err, code);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    char message[128];
    const char *why = strerror_r(errnum, message, sizeof message);
    snprintf(err->text + used, sizeof err->text - used, ": %s", why);
    return -1;
}

int fail_in(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return -1;
    char before[sizeof err->text];
    memcpy(before, err->text, sizeof before);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", before);
    return -1;
}
