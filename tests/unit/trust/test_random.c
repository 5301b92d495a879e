#include "trust_test.h"

#include <errno.h>
#include <sys/random.h>

#include "trust/random.h"

/* The kernel's call, replaced in this program: short answers, interruptions and failure on demand. */
static int interrupts, failing, most;

ssize_t getrandom(void *out, size_t size, unsigned flags)
{
    assert_int_equal(flags, 0);
    if (interrupts > 0) {
        interrupts--;
        errno = EINTR;
        return -1;
    }
    if (failing != 0) {
        errno = failing;
        return -1;
    }
    size_t give = most > 0 && size > (size_t)most ? (size_t)most : size;
    memset(out, 0x5a, give);
    return (ssize_t)give;
}

static void fills_everything_through_short_and_interrupted_reads(void **state)
{
    (void)state;
    uint8_t out[1000] = {0}, expected[1000];
    memset(expected, 0x5a, sizeof expected);
    interrupts = 3;
    most = 7;
    struct error err = {0};
    assert_int_equal(random_bytes(out, sizeof out, &err), 0);
    assert_memory_equal(out, expected, sizeof out);
}

static void fails_closed_when_the_kernel_gives_nothing(void **state)
{
    (void)state;
    uint8_t out[16], zeros[16] = {0};
    memset(out, 0xff, sizeof out);
    failing = ENOSYS;
    struct error err = {0};
    assert_int_equal(random_bytes(out, sizeof out, &err), -1);
    assert_string_equal(err.code, "E_RANDOM");
    assert_memory_equal(out, zeros, sizeof out);
    assert_int_not_equal(random_for_mbedtls(NULL, out, sizeof out), 0);
    failing = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_everything_through_short_and_interrupted_reads),
        cmocka_unit_test(fails_closed_when_the_kernel_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
