#include "plane_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "plane/vault.h"

struct place {
    char dir[64];
    int dirfd;
};

static int up(void **state)
{
    static struct place p;
    strcpy(p.dir, "/tmp/klystrr-test-XXXXXX");
    if (mkdtemp(p.dir) == NULL)
        return -1;
    p.dirfd = open(p.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &p;
    return 0;
}

static int down(void **state)
{
    struct place *p = *state;
    close(p->dirfd);
    return nftw(p->dir, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void makes_its_key_once_and_privately(void **state)
{
    struct place *p = *state;
    struct error err;
    struct stat st;
    struct vault one, two;
    assert_int_equal(vault_make(p->dirfd, &err), 0);
    assert_int_equal(vault_load(&one, p->dirfd, &err), 0);
    assert_int_equal(vault_make(p->dirfd, &err), 1);
    assert_int_equal(vault_load(&two, p->dirfd, &err), 0);
    assert_memory_equal(&one, &two, sizeof one);
    assert_int_equal(fstatat(p->dirfd, VAULT_FILE, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(fchmodat(p->dirfd, VAULT_FILE, 0640, 0), 0);
    assert_int_equal(vault_load(&two, p->dirfd, &err), -1);
    assert_int_equal(unlinkat(p->dirfd, VAULT_FILE, 0), 0);
    assert_int_equal(vault_load(&two, p->dirfd, &err), -1);
    assert_string_equal(err.code, "E_VAULT");
}

static void opens_what_it_sealed_also_nothing(void **state)
{
    (void)state;
    struct error err;
    struct vault v = {.master = {1, 2, 3}};
    for (int i = 0; i < 2; i++) {
        AUTO_BUF struct buf sealed = BUF(1024), plain = BUF(1024);
        const char *value = i == 0 ? "" : "a secret value";
        assert_int_equal(vault_seal(&v, "env/shop/A", text(value), &sealed, &err), 0);
        assert_int_equal(sealed.size, strlen(value) + VAULT_OVERHEAD);
        assert_int_equal(vault_unseal(&v, "env/shop/A", buf_view(&sealed), &plain, &err), 0);
        assert_string_equal(buf_text(&plain), value);
    }
}

static void never_gives_the_same_bytes_twice(void **state)
{
    (void)state;
    struct error err;
    struct vault v = {.master = {9}};
    AUTO_BUF struct buf one = BUF(1024), two = BUF(1024);
    assert_int_equal(vault_seal(&v, "l", text("value"), &one, &err), 0);
    assert_int_equal(vault_seal(&v, "l", text("value"), &two, &err), 0);
    assert_memory_not_equal(one.data, two.data, one.size);
    assert_null(memmem(one.data, one.size, "value", 5));
}

static void refuses_every_flipped_bit_every_prefix_another_label_and_another_key(void **state)
{
    (void)state;
    struct error err;
    struct vault v = {.master = {1}}, other = {.master = {2}};
    AUTO_BUF struct buf sealed = BUF(1024), plain = BUF(1024);
    assert_int_equal(vault_seal(&v, "env/shop/A", text("a secret"), &sealed, &err), 0);
    for (size_t i = 0; i < sealed.size * 8; i++) {
        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(vault_unseal(&v, "env/shop/A", buf_view(&sealed), &plain, &err), -1);
        assert_string_equal(err.code, "E_VAULT");
        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t n = 0; n < sealed.size; n++)
        assert_int_equal(vault_unseal(&v, "env/shop/A", (struct bytes){sealed.data, n}, &plain, &err), -1);
    assert_int_equal(vault_unseal(&v, "env/shop/B", buf_view(&sealed), &plain, &err), -1);
    assert_int_equal(vault_unseal(&other, "env/shop/A", buf_view(&sealed), &plain, &err), -1);
    assert_int_equal(plain.size, 0);
    assert_int_equal(vault_unseal(&v, "env/shop/A", buf_view(&sealed), &plain, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_its_key_once_and_privately, up, down),
        cmocka_unit_test(opens_what_it_sealed_also_nothing),
        cmocka_unit_test(never_gives_the_same_bytes_twice),
        cmocka_unit_test(refuses_every_flipped_bit_every_prefix_another_label_and_another_key),
    };
    return cmocka_run_group_tests_name("plane/vault", tests, NULL, NULL);
}
