#include "cli/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char seen[1024];

static bool note(void *ctx, const char *event, const char *data)
{
    (void)ctx;
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof seen - used, "[%s|%s]", event, data);
    return strcmp(data, "stop") != 0;
}

static const char stream[] = ": a comment\n\nevent: state\ndata: {\"a\":1}\n\nid: 7\r\ndata:one\r\ndata: two\r\n\r\nevent: result\n\ndata: last\n\n";

static void reads_the_same_events_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof stream; cut++) {
        struct sse s;
        seen[0] = 0;
        sse_init(&s, note, NULL);
        assert_true(sse_feed(&s, (const uint8_t *)stream, cut));
        assert_true(sse_feed(&s, (const uint8_t *)stream + cut, sizeof stream - 1 - cut));
        assert_string_equal(seen, "[state|{\"a\":1}][message|one\ntwo][message|last]");
        assert_string_equal(s.id, "7");
        sse_free(&s);
    }
}

static void stops_when_told(void **state)
{
    (void)state;
    struct sse s;
    seen[0] = 0;
    sse_init(&s, note, NULL);
    static const char text[] = "data: stop\n\ndata: more\n\n";
    assert_false(sse_feed(&s, (const uint8_t *)text, sizeof text - 1));
    assert_string_equal(seen, "[message|stop]");
    sse_free(&s);
}

static void refuses_a_line_without_end(void **state)
{
    (void)state;
    struct sse s;
    static uint8_t chunk[65536];
    memset(chunk, 'a', sizeof chunk);
    sse_init(&s, note, NULL);
    bool fine = true;
    for (int i = 0; i < 100 && fine; i++)
        fine = sse_feed(&s, chunk, sizeof chunk);
    assert_false(fine);
    sse_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_same_events_however_they_are_cut),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(refuses_a_line_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
