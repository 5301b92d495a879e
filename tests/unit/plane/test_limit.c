#include "plane_fixture.h"

#include "plane/limit.h"

static struct limit l;

static int up(void **state)
{
    (void)state;
    memset(&l, 0, sizeof l);
    l.max = 10;
    return 0;
}

static void ten_a_minute_from_one_address(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_false(limit_reached(&l, "192.0.2.1", 1000));
        limit_count(&l, "192.0.2.1", 1000);
    }
    assert_true(limit_reached(&l, "192.0.2.1", 1000));
    assert_true(limit_reached(&l, "::ffff:192.0.2.1", 60999));
    assert_false(limit_reached(&l, "192.0.2.2", 1000));
    assert_false(limit_reached(&l, "192.0.2.1", 61000));
    limit_count(&l, "192.0.2.1", 61000);
    assert_false(limit_reached(&l, "192.0.2.1", 61001));
}

static void an_ipv6_customer_is_one_address(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        char peer[64];
        snprintf(peer, sizeof peer, "2001:db8:1:2::%x", i + 1);
        limit_count(&l, peer, 5);
    }
    assert_true(limit_reached(&l, "2001:db8:1:2:ffff::1", 5));
    assert_false(limit_reached(&l, "2001:db8:1:3::1", 5));
}

static void a_full_table_forgets_the_oldest(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        limit_count(&l, "198.51.100.1", 1);
    for (int i = 0; i < LIMIT_SLOTS - 1; i++) {
        char peer[64];
        snprintf(peer, sizeof peer, "10.0.%d.%d", i / 256, i % 256);
        limit_count(&l, peer, 2);
    }
    assert_true(limit_reached(&l, "198.51.100.1", 3));
    limit_count(&l, "203.0.113.9", 3);
    assert_false(limit_reached(&l, "198.51.100.1", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ten_a_minute_from_one_address, up),
        cmocka_unit_test_setup(an_ipv6_customer_is_one_address, up),
        cmocka_unit_test_setup(a_full_table_forgets_the_oldest, up),
    };
    return cmocka_run_group_tests_name("plane/limit", tests, NULL, NULL);
}
