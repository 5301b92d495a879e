/* What the plane's tests share: a folder of their own, a store in it, and documents signed by keys made now. */
#ifndef KLY_TESTS_PLANE_FIXTURE_H
#define KLY_TESTS_PLANE_FIXTURE_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plane/store/store.h"

/* After base/error.h: both have a fail(). */
#include <cmocka.h>
#undef fail

#define NOW INT64_C(1790000000000)

struct fixture {
    char dir[64], db[96];
    struct store store;
};

static inline int fixture_remove(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

static inline int fixture_up(void **state)
{
    struct error err;
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/klystrr-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    snprintf(f->db, sizeof f->db, "%s/plane.db", f->dir);
    *state = f;
    return store_open(&f->store, f->db, &err);
}

static inline int fixture_down(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    nftw(f->dir, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static inline void reopen(struct fixture *f)
{
    struct error err;
    store_close(&f->store);
    assert_int_equal(store_open(&f->store, f->db, &err), 0);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_up, fixture_down)

#endif
