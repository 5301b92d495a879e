#ifndef KLY_TESTS_STREAM_TEST_H
#define KLY_TESTS_STREAM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include "stream/stream.h"

#define LOG_A "log/dep_00000000000000aa"
#define LOG_B "log/dep_00000000000000bb"

#endif
