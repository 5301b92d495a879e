/* What the tests of base/ share. */
#ifndef KLY_TESTS_BASE_TEST_H
#define KLY_TESTS_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
