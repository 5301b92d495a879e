#include "plane_fixture.h"

#include <sys/stat.h>
#include <zlib.h>

#include "plane/logstore.h"

static const char dep[] = "dep_0123456789abcdef";

struct place {
    char dir[64];
    struct logstore ls;
};

static int up(void **state)
{
    static struct place p;
    struct error err;
    strcpy(p.dir, "/tmp/klystrr-test-XXXXXX");
    *state = &p;
    return mkdtemp(p.dir) == NULL ? -1 : logstore_open(&p.ls, p.dir, &err);
}

static int down(void **state)
{
    struct place *p = *state;
    logstore_close(&p->ls);
    return nftw(p->dir, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static size_t member(const char *text, uint8_t *out, size_t room)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)text,
                  .avail_in = (uInt)strlen(text),
                  .next_out = out,
                  .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static void read_all(struct place *p, uint64_t skip, struct buf *out)
{
    struct error err;
    struct log_reader *r = log_reader_new(&p->ls, dep, skip, &err);
    assert_non_null(r);
    int rc;
    while ((rc = log_reader_text(r, 7, out, &err)) > 0)
        ;
    assert_int_equal(rc, 0);
    log_reader_free(r);
}

static void cuts_off_what_was_not_durable_when_the_plane_died(void **state)
{
    struct place *p = *state;
    struct error err;
    struct log_file f;
    struct stat st;
    assert_int_equal(log_open(&p->ls, dep, 0, &f, &err), 0);
    assert_int_equal(log_append(&f, "durable", 7, &err), 0);
    assert_int_equal(log_sync(&f, &err), 0);
    assert_int_equal(log_append(&f, "not committed", 13, &err), 0);
    log_close(&f);
    assert_int_equal(log_open(&p->ls, dep, 7, &f, &err), 0);
    assert_int_equal(fstat(f.fd, &st), 0);
    assert_int_equal(st.st_size, 7);
    assert_int_equal(f.end, 7);
    log_close(&f);
    assert_int_equal(log_open(&p->ls, dep, 9, &f, &err), 1);
    assert_int_equal(f.end, 7);
    log_close(&f);
}

static void refuses_a_name_that_is_no_deployment(void **state)
{
    struct place *p = *state;
    struct error err;
    struct log_file f;
    assert_int_equal(log_open(&p->ls, "../../etc/x", 0, &f, &err), -1);
    assert_null(log_reader_new(&p->ls, "dep_short", 0, &err));
}

static void reads_members_one_after_the_other_and_goes_on_when_there_is_more(void **state)
{
    struct place *p = *state;
    struct error err;
    struct log_file f;
    uint8_t one[200], two[200];
    size_t a = member("first line\n", one, sizeof one), b = member("second line\n", two, sizeof two);
    AUTO_BUF struct buf out = BUF(4096);
    struct log_reader *r = log_reader_new(&p->ls, dep, 0, &err);
    assert_int_equal(log_reader_text(r, 100, &out, &err), 0);
    assert_int_equal(log_open(&p->ls, dep, 0, &f, &err), 0);
    assert_int_equal(log_append(&f, one, a, &err), 0);
    assert_int_equal(log_append(&f, two, 5, &err), 0);
    while (log_reader_text(r, 100, &out, &err) > 0)
        ;
    assert_string_equal(buf_text(&out), "first line\n");
    assert_int_equal(log_append(&f, two + 5, b - 5, &err), 0);
    while (log_reader_text(r, 100, &out, &err) > 0)
        ;
    assert_string_equal(buf_text(&out), "first line\nsecond line\n");
    assert_int_equal(log_reader_offset(r), 23);
    log_reader_free(r);
    out.size = 0;
    read_all(p, 6, &out);
    assert_string_equal(buf_text(&out), "line\nsecond line\n");
    log_close(&f);
}

static void says_how_much_is_missing_as_a_line_of_the_log(void **state)
{
    struct place *p = *state;
    struct error err;
    struct log_file f;
    AUTO_BUF struct buf gap = BUF(1024), out = BUF(4096);
    assert_int_equal(log_gap_member(4711, NOW, &gap, &err), 0);
    assert_int_equal(log_open(&p->ls, dep, 0, &f, &err), 0);
    assert_int_equal(log_append(&f, gap.data, gap.size, &err), 0);
    log_close(&f);
    read_all(p, 0, &out);
    assert_non_null(strstr(buf_text(&out), "4711 bytes of this log are missing"));
    assert_int_equal(out.data[out.size - 1], '\n');
}

static void stops_at_damage_instead_of_making_text_up(void **state)
{
    struct place *p = *state;
    struct error err;
    struct log_file f;
    AUTO_BUF struct buf out = BUF(4096);
    assert_int_equal(log_open(&p->ls, dep, 0, &f, &err), 0);
    assert_int_equal(log_append(&f, "this is no gzip", 15, &err), 0);
    log_close(&f);
    struct log_reader *r = log_reader_new(&p->ls, dep, 0, &err);
    assert_int_equal(log_reader_text(r, 100, &out, &err), -1);
    assert_string_equal(err.code, "E_LOG");
    log_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cuts_off_what_was_not_durable_when_the_plane_died, up, down),
        cmocka_unit_test_setup_teardown(refuses_a_name_that_is_no_deployment, up, down),
        cmocka_unit_test_setup_teardown(reads_members_one_after_the_other_and_goes_on_when_there_is_more, up,
                                        down),
        cmocka_unit_test_setup_teardown(says_how_much_is_missing_as_a_line_of_the_log, up, down),
        cmocka_unit_test_setup_teardown(stops_at_damage_instead_of_making_text_up, up, down),
    };
    return cmocka_run_group_tests_name("plane/logstore", tests, NULL, NULL);
}
