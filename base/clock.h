/* The three clocks, and RFC 3339 times. Pure modules take times as arguments and never call these. */
#ifndef KLY_BASE_CLOCK_H
#define KLY_BASE_CLOCK_H

#include <stdint.h>

#include "base/error.h"

int64_t clock_wall_ms(void);     /* CLOCK_REALTIME, milliseconds since 1970 */
int64_t clock_boot_ms(void);     /* CLOCK_BOOTTIME: runs on in suspend, never jumps */
int64_t clock_mono_ms(void);     /* CLOCK_MONOTONIC */

#define CLOCK_TEXT_SIZE 25
/* "2026-11-22T00:41:54.123Z"; out takes CLOCK_TEXT_SIZE bytes. */
void clock_format(int64_t wall_ms, char *out);
/* Takes "YYYY-MM-DDTHH:MM:SSZ", with .mmm or without, years 1970 to 9999, real days only. E_TIME. */
int clock_parse(const char *text, int64_t *wall_ms, struct error *err) KLY_MUST_USE;

#endif
