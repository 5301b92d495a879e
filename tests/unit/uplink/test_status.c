#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uplink/status.h"

#include <cmocka.h> /* last: it defines fail() */

static struct bytes of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void puts_its_own_link_into_the_agents_words(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(65536);
    const struct status_link link = {.server = "srv_1", .url = "https://p.example:1", .plane = "cd", .online = true, .resumed = true,
                                     .since_ms = 1000, .why = {.code = "E_OLD", .text = "old"}, .warning = ""};
    assert_int_equal(status_write(&link, of("{\"version\":\"1\",\"link\":{\"online\":false},\"projects\":[{\"port\":20017}],\"trust\":4}"),
                                  &out, NULL),
                     0);
    assert_string_equal(buf_text(&out),
                        "{\"version\":\"1\",\"projects\":[{\"port\":20017}],\"trust\":4,\"link\":{\"online\":true,\"text\":\"\","
                        "\"since\":\"1970-01-01T00:00:01Z\",\"code\":null,\"url\":\"https://p.example:1\",\"plane\":\"cd\","
                        "\"resumed\":true,\"last_ack\":null,\"warning\":null,\"relayed\":null}}");
}

static void answers_without_an_agent_too(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(65536);
    const struct status_link link = {.server = "srv_1", .why = {.code = "E_X", .text = "the reason, with \"quotes\""}, .since_ms = 1};
    assert_int_equal(status_write(&link, (struct bytes){0}, &out, NULL), 0);
    assert_non_null(strstr(buf_text(&out), "{\"server\":\"srv_1\",\"link\":{\"online\":false,\"text\":\"the reason, with \\\"quotes\\\"\""));
    assert_non_null(strstr(buf_text(&out), "\"code\":\"E_X\""));
    out.size = 0;
    assert_int_equal(status_write_projects((struct bytes){0}, &out, NULL), 0);
    assert_string_equal(buf_text(&out), "{\"projects\":[]}");
}

static void projects_are_handed_on_as_they_are(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(65536);
    assert_int_equal(status_write_projects(of("{\"Projects\":1,\"projects\":[{\"project\":\"caf\xc3\xa9\",\"n\":9007199254740991}]}"), &out, NULL), 0);
    assert_string_equal(buf_text(&out), "{\"projects\":[{\"project\":\"caf\xc3\xa9\",\"n\":9007199254740991}]}");
}

static void strings_and_spaces_do_not_confuse_it(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(65536);
    const struct status_link link = {.server = "srv_1"};
    assert_int_equal(status_write(&link, of(" {\n \"a\" : \"},{\\\"]\" , \"link\" :{\"x\":[{}]}, \"projects\": [ {\"b\":\"[\\\\\"} ] , \"c\":null } "),
                                  &out, NULL),
                     0);
    assert_non_null(strstr(buf_text(&out), "{\"a\":\"},{\\\"]\",\"projects\":[ {\"b\":\"[\\\\\"} ],\"c\":null,\"link\":{\"online\":false"));
    out.size = 0;
    assert_int_equal(status_write(&link, of("{}"), &out, NULL), 0);
    assert_non_null(strstr(buf_text(&out), "{\"link\":{"));
}

static void refuses_what_is_no_object(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(65536);
    const struct status_link link = {.server = "srv_1"};
    struct error err = {0};
    assert_int_equal(status_write(&link, of("[1]"), &out, &err), -1);
    assert_string_equal(err.code, "E_JSON");
    assert_int_equal(status_write_projects(of("{\"a\":"), &out, &err), -1);
    assert_int_equal(out.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_its_own_link_into_the_agents_words),
        cmocka_unit_test(answers_without_an_agent_too),
        cmocka_unit_test(projects_are_handed_on_as_they_are),
        cmocka_unit_test(strings_and_spaces_do_not_confuse_it),
        cmocka_unit_test(refuses_what_is_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
