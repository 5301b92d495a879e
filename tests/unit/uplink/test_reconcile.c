#include "sink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* last: it defines fail() */

#define LOG "log/dep_0123456789abcdef"

static uint8_t bytes[1000000]; /* what streams are made of */

static int set_up(void **state)
{
    *state = sink_new();
    return 0;
}

static int tear_down(void **state)
{
    sink_free(*state);
    return 0;
}

static void make_ready(struct sink *s)
{
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_ready(s), 0);
}

static void ack(struct sink *s, const char *name, uint64_t offset)
{
    char text[128];
    snprintf(text, sizeof text, "{\"type\":\"ack\",\"name\":\"%s\",\"offset\":%llu}", name, (unsigned long long)offset);
    sink_plane(s, text);
}

static uint64_t sent_bytes(const struct sink *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->frame_count; i++)
        sum += s->frames[i].bytes.size;
    return sum;
}

static void says_hello_once_both_sides_are_there(void **state)
{
    struct sink *s = *state;
    reconcile_open(&s->reconcile);
    assert_int_equal(s->text_count, 0);
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(s->text_count, 0);
    assert_int_equal(sink_ready(s), 0);
    assert_int_equal(s->text_count, 1);
    assert_non_null(sink_said(s, "\"type\":\"hello\""));
    assert_int_equal(s->hellos, 1);
}

static void sends_nothing_on_streams_before_welcome(void **state)
{
    struct sink *s = *state;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, 1000, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    assert_int_equal(s->frame_count, 0);
    sink_welcome(s, "[]");
    assert_int_equal(s->frame_count, 1);
    assert_non_null(sink_said(s, "\"type\":\"open\""));
    assert_memory_equal(s->frames[0].bytes.data, bytes, 1000);
}

static void starts_where_welcome_says(void **state)
{
    struct sink *s = *state;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 500, bytes, 1000, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[{\"name\":\"" LOG "\",\"from\":700},{\"name\":\"log/dep_ffffffffffffffff\",\"from\":1}]");
    assert_int_equal(s->frames[0].offset, 700);
    assert_int_equal(s->frames[0].bytes.size, 800);
    assert_memory_equal(s->frames[0].bytes.data, bytes + 200, 800); /* the file begins at the stream's base */
    assert_int_equal(s->records[0].verb, LINK_ACKED);
    assert_int_equal(s->records[0].grown.end, 700);
}

static void a_place_outside_the_stream_is_told_and_stops_it_alone(void **state)
{
    struct sink *s = *state;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 500, bytes, 1000, false), 0);
    assert_int_equal(sink_stream(s, 2, "events", 0, bytes, 10, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[{\"name\":\"" LOG "\",\"from\":1501}]");
    assert_non_null(sink_said(s, "E_STREAM_LOST"));
    assert_int_equal(s->notes, 1);
    assert_int_equal(s->frame_count, 1);
    assert_int_equal(s->frames[0].bytes.size, 10);
}

static void keeps_the_window_and_goes_on_with_acks(void **state)
{
    struct sink *s = *state;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, sizeof bytes, true), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    assert_int_equal(sent_bytes(s), STREAM_WINDOW_MAX);
    uint64_t acked = 0;
    while (acked < sizeof bytes) {
        acked += 65536;
        ack(s, LOG, acked < sizeof bytes ? acked : sizeof bytes);
        assert_true(sent_bytes(s) <= acked + STREAM_WINDOW_MAX);
    }
    assert_int_equal(sent_bytes(s), sizeof bytes);
    assert_true(s->frames[s->frame_count - 1].final);
    for (size_t i = 0; i < s->frame_count; i++)
        assert_memory_equal(s->frames[i].bytes.data, bytes + s->frames[i].offset, s->frames[i].bytes.size);
    ack(s, LOG, sizeof bytes);
    assert_int_equal(s->records[s->record_count - 1].grown.closed, 1);
}

static void an_ack_is_relayed_once(void **state)
{
    struct sink *s = *state;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, 1000, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    for (int i = 0; i < 100; i++)
        ack(s, LOG, 1000);
    ack(s, LOG, 7);                              /* an older one goes back, and takes nothing back */
    ack(s, "log/dep_ffffffffffffffff", 5);       /* of a stream that is not ours */
    ack(s, LOG, UINT64_C(9007199254740991));     /* beyond the end */
    assert_int_equal(s->record_count, 1);
    assert_int_equal(s->records[0].grown.end, 1000);
}

static void events_go_first(void **state)
{
    struct sink *s = *state;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, sizeof bytes, false), 0);
    assert_int_equal(sink_stream(s, 2, "events", 0, bytes, 100, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    assert_int_equal(s->frames[0].bytes.size, 100);
}

static void waits_while_the_connection_is_full(void **state)
{
    struct sink *s = *state;
    s->full_after = 1;
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, sizeof bytes, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    assert_int_equal(s->frame_count, 1);
    ack(s, LOG, 65536);
    assert_int_equal(s->frame_count, 1);
    reconcile_drained(&s->reconcile);
    assert_int_equal(s->frame_count, 2);
}

static void only_the_welcome_of_the_last_hello_starts_streams(void **state)
{
    struct sink *s = *state;
    struct link_challenge fresh = {{1}};
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, 1000, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    assert_int_equal(sink_record(s, LINK_CHALLENGE, &fresh, sizeof fresh, -1, NULL), 0);
    assert_int_equal(s->hellos, 2);
    sink_welcome(s, "[]");
    assert_int_equal(s->frame_count, 0);
    sink_welcome(s, "[]");
    assert_int_equal(s->frame_count, 1);
    assert_int_equal(s->frames[0].handle, 1);
    sink_welcome(s, "[]"); /* nobody asked */
    assert_int_equal(s->frame_count, 1);
}

static void a_second_hello_starts_the_streams_anew(void **state)
{
    struct sink *s = *state;
    struct link_challenge fresh = {{1}};
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, 100000, false), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    ack(s, LOG, 65536);
    sink_clear(s);
    assert_int_equal(sink_record(s, LINK_CHALLENGE, &fresh, sizeof fresh, -1, NULL), 0);
    ack(s, LOG, 100000); /* on its way while we said hello: the welcome will say it again */
    assert_int_equal(s->frame_count, 0);
    sink_welcome(s, "[{\"name\":\"" LOG "\",\"from\":65536}]");
    assert_int_equal(s->frames[0].handle, 1);
    assert_int_equal(s->frames[0].offset, 65536);
}

static void an_agent_that_restarts_says_hello_on_the_same_connection(void **state)
{
    struct sink *s = *state;
    make_ready(s);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    reconcile_agent_gone(&s->reconcile);
    assert_non_null(sink_said(s, "E_AGENT_AWAY"));
    sink_plane(s, "{\"type\":\"want\",\"what\":\"challenge\"}");
    assert_int_equal(s->record_count, 0);
    make_ready(s);
    assert_int_equal(s->hellos, 2);
}

static void a_challenge_is_asked_for_once_until_it_came(void **state)
{
    struct sink *s = *state;
    struct link_challenge fresh = {{1}};
    make_ready(s);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    for (int i = 0; i < 50; i++)
        sink_plane(s, "{\"type\":\"want\",\"what\":\"challenge\"}");
    assert_int_equal(s->record_count, 1);
    assert_int_equal(s->records[0].verb, LINK_NEED_CHALLENGE);
    assert_int_equal(sink_record(s, LINK_CHALLENGE, &fresh, sizeof fresh, -1, NULL), 0);
    sink_plane(s, "{\"type\":\"want\",\"what\":\"challenge\"}");
    assert_int_equal(s->record_count, 2);
}

#define DOCUMENT                                                                                                                 \
    "{\"type\":\"document\",\"envelope\":{\"payloadType\":\"application/vnd.klystrr.env.v1+json\",\"payload\":\"eyJhIjoxfQ==\"," \
    "\"signatures\":[{\"keyid\":\"nonsense\",\"sig\":\"short\"},{\"sig\":\""                                                      \
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==\"}]}}"

static void a_document_reaches_the_agent_as_it_was_signed(void **state)
{
    struct sink *s = *state;
    make_ready(s);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    sink_plane(s, DOCUMENT);
    assert_int_equal(s->record_count, 1);
    assert_int_equal(s->records[0].verb, LINK_DOCUMENT);
    assert_int_equal(s->records[0].document.kind, LINK_ENV);
    assert_string_equal(s->records[0].payload, "{\"a\":1}");
    assert_int_equal(s->records[0].document.signature_count, 1); /* the other one can never count */
    assert_int_equal(s->records[0].document.signatures[0].has_keyid, 0);
    assert_int_equal(s->records[0].document.signatures[0].sig[63], 1);
}

static void documents_without_a_taker_are_refused(void **state)
{
    struct sink *s = *state;
    make_ready(s);
    reconcile_open(&s->reconcile);
    s->busy = true;
    sink_plane(s, DOCUMENT);
    assert_non_null(sink_said(s, "E_BUSY"));
    s->busy = false;
    reconcile_agent_gone(&s->reconcile);
    sink_clear(s);
    sink_plane(s, DOCUMENT);
    assert_non_null(sink_said(s, "E_AGENT_AWAY"));
    assert_int_equal(s->record_count, 0);
}

static void every_cut_or_flipped_message_is_harmless(void **state)
{
    struct sink *s = *state;
    char copy[sizeof DOCUMENT];
    make_ready(s);
    reconcile_open(&s->reconcile);
    for (size_t n = 0; n < strlen(DOCUMENT); n++) {
        reconcile_text(&s->reconcile, (struct bytes){(const uint8_t *)DOCUMENT, n});
        assert_non_null(sink_said(s, "\"type\":\"error\""));
        assert_int_equal(s->record_count, 0);
        sink_clear(s);
    }
    for (size_t n = 0; n < strlen(DOCUMENT); n++) {
        memcpy(copy, DOCUMENT, sizeof copy);
        copy[n] = (char)(copy[n] ^ 0x20);
        sink_plane(s, copy);
        assert_true(s->text_count + s->record_count >= 1);
        sink_clear(s);
    }
}

static void unreadable_bytes_stop_one_stream_and_are_told(void **state)
{
    struct sink *s = *state;
    struct link_grown grown = {.id = 1, .end = 5000}; /* more than the file holds */
    assert_int_equal(sink_hello(s), 0);
    assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, 1000, false), 0);
    assert_int_equal(sink_stream(s, 2, "events", 0, bytes, 10, false), 0);
    assert_int_equal(sink_record(s, LINK_GROWN, &grown, sizeof grown, -1, NULL), 0);
    assert_int_equal(sink_ready(s), 0);
    reconcile_open(&s->reconcile);
    sink_welcome(s, "[]");
    assert_non_null(sink_said(s, "E_SPOOL"));
    assert_int_equal(s->frame_count, 1);
    assert_int_equal(s->frames[0].bytes.size, 10);
}

static void certificates_and_goaway_go_to_the_hub(void **state)
{
    struct sink *s = *state;
    make_ready(s);
    reconcile_open(&s->reconcile);
    sink_plane(s, "{\"type\":\"cert\",\"certificate\":\"PEM\"}");
    sink_plane(s, "{\"type\":\"goaway\",\"retry_after\":5}");
    sink_plane(s, "{\"type\":\"error\",\"code\":\"E_X\",\"text\":\"words\"}");
    assert_int_equal(s->certificates, 1);
    assert_int_equal(s->goaways, 1);
    assert_int_equal(s->notes, 1);
    assert_null(sink_said(s, "\"type\":\"error\""));
}

/* A plane that does anything at any time, and connections that end at any time: in the end an honest one has it all. */
static void whatever_happens_the_bytes_arrive(void **state)
{
    struct sink *s = *state;
    uint64_t have = 0;
    srand(7);
    for (int round = 0; round < 300; round++) {
        assert_int_equal(sink_hello(s), 0);
        assert_int_equal(sink_stream(s, 1, LOG, 0, bytes, sizeof bytes, true), 0);
        assert_int_equal(sink_ready(s), 0);
        reconcile_open(&s->reconcile);
        char from[128];
        snprintf(from, sizeof from, "[{\"name\":\"" LOG "\",\"from\":%llu}]", (unsigned long long)have);
        sink_welcome(s, from);
        for (int step = rand() % 6; step > 0; step--) {
            for (size_t i = 0; i < s->frame_count; i++) {
                const struct data_frame *f = &s->frames[i];
                assert_memory_equal(f->bytes.data, bytes + f->offset, f->bytes.size);
                if (f->offset <= have && f->offset + f->bytes.size > have && rand() % 4 != 0)
                    have = f->offset + f->bytes.size; /* lost with the connection, now and then */
            }
            sink_clear(s);
            ack(s, LOG, rand() % 5 == 0 ? have / 2 : have);
            assert_true(stream_unacked(&s->reconcile.held.sender) <= STREAM_WINDOW_MAX);
        }
        reconcile_shut(&s->reconcile);
        if (rand() % 2 == 0)
            reconcile_agent_gone(&s->reconcile);
        sink_clear(s);
    }
    assert_int_equal(have, sizeof bytes);
}

int main(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
#define WITH_SINK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SINK(says_hello_once_both_sides_are_there),
        WITH_SINK(sends_nothing_on_streams_before_welcome),
        WITH_SINK(starts_where_welcome_says),
        WITH_SINK(a_place_outside_the_stream_is_told_and_stops_it_alone),
        WITH_SINK(keeps_the_window_and_goes_on_with_acks),
        WITH_SINK(an_ack_is_relayed_once),
        WITH_SINK(events_go_first),
        WITH_SINK(waits_while_the_connection_is_full),
        WITH_SINK(only_the_welcome_of_the_last_hello_starts_streams),
        WITH_SINK(a_second_hello_starts_the_streams_anew),
        WITH_SINK(an_agent_that_restarts_says_hello_on_the_same_connection),
        WITH_SINK(a_challenge_is_asked_for_once_until_it_came),
        WITH_SINK(a_document_reaches_the_agent_as_it_was_signed),
        WITH_SINK(documents_without_a_taker_are_refused),
        WITH_SINK(every_cut_or_flipped_message_is_harmless),
        WITH_SINK(unreadable_bytes_stop_one_stream_and_are_told),
        WITH_SINK(certificates_and_goaway_go_to_the_hub),
        WITH_SINK(whatever_happens_the_bytes_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
