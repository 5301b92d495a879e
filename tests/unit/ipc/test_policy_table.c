#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "ipc/policy_table.h"

#include <cmocka.h>
#undef fail /* base/error.h has one, too */

static struct policy_table table, back;

static void two_rows(void)
{
    memset(&table, 0, sizeof table);
    table.count = 2;
    table.rows[0] = (struct policy_row){
        .project = "*", .domains = {"*.example.org"}, .port_first = 20000, .port_last = 20100};
    table.rows[1] = (struct policy_row){.project = "shop",
                                        .domains = {"shop.test", "*.shop.test"},
                                        .port_first = 2000,
                                        .port_last = 2001,
                                        .paused = 1};
}

static void rows_come_back_and_every_flipped_bit_is_found(void **state)
{
    (void)state;
    AUTO_BUF struct buf file = BUF(1u << 20);
    two_rows();
    assert_int_equal(policy_table_encode(&table, &file, NULL), 0);
    assert_int_equal(policy_table_decode(buf_view(&file), &back, NULL), 0);
    assert_memory_equal(&back, &table, sizeof table);
    for (size_t cut = 0; cut < file.size; cut += cut < 40 ? 1 : 97)
        assert_int_equal(policy_table_decode((struct bytes){file.data, cut}, &back, NULL), -1);
    for (size_t bit = 0; bit < file.size * 8; bit += bit < 1000 ? 1 : 1013) {
        struct error err = {0};
        file.data[bit / 8] = (uint8_t)(file.data[bit / 8] ^ (1u << bit % 8));
        assert_int_equal(policy_table_decode(buf_view(&file), &back, &err), -1);
        assert_string_equal(err.code, "E_POLICY_TABLE");
        file.data[bit / 8] = (uint8_t)(file.data[bit / 8] ^ (1u << bit % 8));
    }
}

static void a_row_that_is_not_valid_is_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf file = BUF(1u << 20);
    static const struct {
        const char *project, *domain;
        uint16_t first, last;
    } bad[] = {{"../x", "a.test", 2000, 2001}, {"shop", "a;b", 2000, 2001},    {"shop", "*.*.test", 2000, 2001},
               {"shop", "a.test", 80, 2001},   {"shop", "a.test", 2000, 2000}, {"shop", "a.test", 2000, 40000},
               {"", "a.test", 2000, 2001}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(&table, 0, sizeof table);
        table.count = 1;
        snprintf(table.rows[0].project, sizeof table.rows[0].project, "%s", bad[i].project);
        snprintf(table.rows[0].domains[0], sizeof table.rows[0].domains[0], "%s", bad[i].domain);
        table.rows[0].port_first = bad[i].first;
        table.rows[0].port_last = bad[i].last;
        assert_int_equal(policy_table_encode(&table, &file, NULL), -1);
    }
    table.count = POLICY_ROWS_MAX + 1;
    assert_int_equal(policy_table_encode(&table, &file, NULL), -1);
}

static void the_own_row_comes_before_the_star(void **state)
{
    (void)state;
    two_rows();
    assert_ptr_equal(policy_row_for(&table, "shop"), &table.rows[1]);
    assert_ptr_equal(policy_row_for(&table, "blog"), &table.rows[0]);
    table.count = 0;
    assert_null(policy_row_for(&table, "blog"));
}

static void domains_match_whole_labels_only(void **state)
{
    (void)state;
    two_rows();
    const struct policy_row *shop = &table.rows[1];
    assert_true(policy_row_allows_domain(shop, "shop.test"));
    assert_true(policy_row_allows_domain(shop, "a.b.shop.test"));
    assert_false(policy_row_allows_domain(shop, "workshop.test"));
    assert_false(policy_row_allows_domain(shop, ".shop.test"));
    assert_false(policy_row_allows_domain(shop, "shop.test.evil"));
    assert_false(policy_row_allows_domain(&table.rows[0], "example.org"));
    assert_true(policy_row_allows_domain(&table.rows[0], "a.example.org"));
}

static void a_missing_or_open_file_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(policy_table_load("/nonexistent/policy.table", &back, &err), -1);
    assert_string_equal(err.code, "E_POLICY_TABLE");
    assert_int_equal(policy_table_load("/tmp", &back, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_and_every_flipped_bit_is_found),
        cmocka_unit_test(a_row_that_is_not_valid_is_refused),
        cmocka_unit_test(the_own_row_comes_before_the_star),
        cmocka_unit_test(domains_match_whole_labels_only),
        cmocka_unit_test(a_missing_or_open_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
