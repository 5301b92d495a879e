#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base_test.h"

static void grows_to_its_limit_and_not_beyond(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 300; limit += 7) {
        AUTO_BUF struct buf b = BUF(limit);
        struct error err;
        for (size_t i = 0; i < limit; i++) {
            assert_int_equal(buf_add(&b, "x", 1, &err), 0);
            assert_int_equal(b.data[b.size], 0);
            assert_true(b.room <= limit);
        }
        assert_int_equal(buf_add(&b, "x", 1, &err), -1);
        assert_string_equal(err.code, "E_TOO_LARGE");
        assert_int_equal(b.size, limit);
        assert_int_equal(buf_add(&b, "", 0, &err), 0);
    }
}

static void a_size_that_would_wrap_is_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF(100);
    struct error err;
    assert_int_equal(buf_add_text(&b, "abc", &err), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &err), -1);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 2, &err), -1);
    assert_int_equal(buf_reserve(&b, 98, &err), -1);
    assert_int_equal(buf_reserve(&b, 97, &err), 0);
    assert_string_equal(buf_text(&b), "abc");
}

static void adds_text_and_formats(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF(12);
    struct error err;
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(buf_addf(&b, &err, "%s-%d", "ab", 34), 0);
    assert_int_equal(buf_add_text(&b, "cd", &err), 0);
    assert_string_equal(buf_text(&b), "ab-34cd");
    assert_int_equal(buf_addf(&b, &err, "%s", "123456"), -1);
    assert_string_equal(buf_text(&b), "ab-34cd");
    assert_int_equal(buf_addf(&b, &err, "%s", "12345"), 0);
    struct bytes view = buf_view(&b);
    assert_int_equal(view.size, 12);
    assert_memory_equal(view.data, "ab-34cd12345", 12);
}

static void drops_from_the_front(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF(10);
    buf_drop_front(&b, 0);
    assert_int_equal(buf_add_text(&b, "abcdef", NULL), 0);
    buf_drop_front(&b, 2);
    assert_string_equal(buf_text(&b), "cdef");
    buf_drop_front(&b, 4);
    assert_int_equal(b.size, 0);
    assert_string_equal(buf_text(&b), "");
}

static void freeing_leaves_a_usable_buffer(void **state)
{
    (void)state;
    AUTO_WIPE struct buf b = BUF(10);
    assert_int_equal(buf_add_text(&b, "secret", NULL), 0);
    buf_wipe_free(&b);
    assert_null(b.data);
    assert_int_equal(b.limit, 10);
    assert_int_equal(buf_add_text(&b, "again", NULL), 0);
    buf_free(&b);
    buf_free(&b);
    assert_int_equal(b.size, 0);
}

static void wipes_and_compares(void **state)
{
    (void)state;
    char a[8] = "secret!", b[8] = "secret!";
    assert_true(equal_secret(a, b, 8));
    for (size_t i = 0; i < 8; i++) {
        b[i] = (char)(b[i] ^ 0x40);
        assert_false(equal_secret(a, b, 8));
        b[i] = (char)(b[i] ^ 0x40);
    }
    assert_true(equal_secret(a, b, 0));
    wipe(a, 8);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(a[i], 0);
    wipe(NULL, 0);
}

static void taking_hands_over_what_a_cleanup_would_release(void **state)
{
    (void)state;
    int fd = -1;
    char *text = NULL;
    {
        AUTO_CLOSE int mine = open("/dev/null", O_RDONLY | O_CLOEXEC);
        AUTO_FREE char *copy = strdup("kept");
        AUTO_CLOSE int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(mine >= 0 && closed >= 0);
        fd = take_fd(&mine);
        text = take_pointer(&copy);
        assert_int_equal(mine, -1);
        assert_null(copy);
    }
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_string_equal(text, "kept");
    close(fd);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_to_its_limit_and_not_beyond),
        cmocka_unit_test(a_size_that_would_wrap_is_refused),
        cmocka_unit_test(adds_text_and_formats),
        cmocka_unit_test(drops_from_the_front),
        cmocka_unit_test(freeing_leaves_a_usable_buffer),
        cmocka_unit_test(wipes_and_compares),
        cmocka_unit_test(taking_hands_over_what_a_cleanup_would_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
