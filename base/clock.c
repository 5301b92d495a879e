#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_boot_ms(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t clock_mono_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void clock_format(int64_t wall_ms, char *out)
{
    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > INT64_C(253402300799999))
        wall_ms = INT64_C(253402300799999);
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, CLOCK_TEXT_SIZE - n, ".%03uZ", (unsigned)(wall_ms % 1000) % 1000u);
}

/* Exactly `digits` decimal digits at s; -1 if not. */
static int number(const char *s, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

int clock_parse(const char *text, int64_t *wall_ms, struct error *err)
{
    size_t length = strlen(text);
    bool with_ms = length == 24;
    if ((length != 20 && !with_ms) || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':' || text[length - 1] != 'Z' || (with_ms && text[19] != '.'))
        return fail(err, "E_TIME", "a time must look like 2026-11-22T00:41:54Z");
    int year = number(text, 4), month = number(text + 5, 2), day = number(text + 8, 2);
    int hour = number(text + 11, 2), minute = number(text + 14, 2), second = number(text + 17, 2);
    int ms = with_ms ? number(text + 20, 3) : 0;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59 || ms < 0)
        return fail(err, "E_TIME", "a time has a part out of range");
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_sec = second};
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != day)
        return fail(err, "E_TIME", "a time names a day that does not exist");
    *wall_ms = (int64_t)seconds * 1000 + ms;
    return 0;
}
