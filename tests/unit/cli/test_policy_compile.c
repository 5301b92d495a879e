#include "cli/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct policy_table table;
static struct error err;

static int compile(const char *text)
{
    char path[] = "/tmp/klystrr-policy-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    err = (struct error){0};
    int rc = policy_compile(path, &table, &err);
    unlink(path);
    return rc;
}

static void compiles_what_root_wrote(void **state)
{
    (void)state;
    assert_int_equal(compile("{\"projects\":{\"shop\":{\"repositories\":[\"https://x\"],\"domains\":[\"shop.example.org\",\"*.s.example.org\"],"
                             "\"ports\":[21000,21009],\"memory_mb\":512,\"tasks\":64,\"pause\":true},\"*\":{\"domains\":[]}}}"), 0);
    assert_int_equal(table.count, 2);
    const struct policy_row *row = policy_row_for(&table, "shop");
    assert_non_null(row);
    assert_int_equal(row->port_first, 21000);
    assert_int_equal(row->paused, 1);
    assert_true(policy_row_allows_domain(row, "shop.example.org"));
    assert_true(policy_row_allows_domain(row, "a.b.s.example.org"));
    assert_false(policy_row_allows_domain(row, "s.example.org"));
    assert_false(policy_row_allows_domain(row, "xs.example.org"));
    assert_false(policy_row_allows_domain(policy_row_for(&table, "other"), "shop.example.org"));
}

static void what_was_compiled_survives_its_file(void **state)
{
    (void)state;
    static struct policy_table again;
    struct buf file = BUF(sizeof table + 64);
    assert_int_equal(compile("{\"projects\":{\"shop\":{\"domains\":[\"*\"]}}}"), 0);
    assert_int_equal(policy_table_encode(&table, &file, &err), 0);
    assert_int_equal(policy_table_decode(buf_view(&file), &again, &err), 0);
    assert_memory_equal(&table, &again, sizeof table);
    for (size_t i = 0; i < file.size; i += 97) {
        file.data[i] ^= 1;
        assert_int_equal(policy_table_decode(buf_view(&file), &again, &err), -1);
        file.data[i] ^= 1;
    }
    assert_int_equal(policy_table_decode((struct bytes){file.data, file.size - 1}, &again, &err), -1);
    buf_free(&file);
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}", "[]", "{\"projects\":[]}", "{\"projects\":{\"Shop\":{}}}", "{\"projects\":{\"shop\":{\"domains\":[\"a b\"]}}}",
        "{\"projects\":{\"shop\":{\"domains\":[\"*.*.x\"]}}}", "{\"projects\":{\"shop\":{\"ports\":[80,90]}}}",
        "{\"projects\":{\"shop\":{\"ports\":[20000]}}}", "{\"projects\":{\"shop\":{\"pause\":1}}}", "{\"projects\":{\"shop\":{}},}",
        "{\"projects\":{\"shop\":{},\"shop\":{}}}", "{\"projects\":{\"shop\":{\"memory_mb\":-1}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(compile(bad[i]), -1);
        assert_true(err.code[0] == 'E' && err.text[0] != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiles_what_root_wrote),
        cmocka_unit_test(what_was_compiled_survives_its_file),
        cmocka_unit_test(names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
