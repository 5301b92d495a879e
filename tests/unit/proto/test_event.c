#include "proto/event.h"
#include "proto_test.h"

#define HEAD "\"at\":\"2026-11-22T00:41:54Z\",\"project\":\"shop\",\"deployment\":\"" DEPLOYMENT "\""

static const char *const samples[] = {
    "{\"event\":\"state\"," HEAD ",\"state\":\"fetching\"}\n",
    "{\"event\":\"result\"," HEAD ",\"outcome\":\"live\",\"serving\":\"" RELEASE
    "\",\"elapsed_ms\":1234,\"release\":\"" RELEASE "\",\"commit\":\"" COMMIT "\"}\n",
    "{\"event\":\"result\"," HEAD ",\"outcome\":\"failed\",\"serving\":null,\"elapsed_ms\":0,\"code\":\"E_"
                                  "PHASE\",\"text\":\"build: exit 1\"}\n",
    "{\"event\":\"refused\",\"at\":\"2026-11-22T00:41:54Z\",\"project\":\"shop\",\"code\":\"E_REPLAY\","
    "\"text\":\"used\",\"about\":\"" DIGEST "\"}\n",
    "{\"event\":\"app\",\"at\":\"2026-11-22T00:41:54Z\",\"project\":\"shop\",\"state\":\"failed\",\"app\":"
    "\"web\",\"text\":\"exit 1\",\"release\":\"" RELEASE "\"}\n",
    ("{\"event\":\"host\",\"at\":\"2026-11-22T00:41:54.500Z\",\"code\":\"E_CLOCK_SKEW\",\"text\":\"the clock is "
     "3 days behind\"}\n"),
};
#define SAMPLES (sizeof samples / sizeof *samples)

static int try_event(struct bytes line, struct error *err)
{
    struct event e;
    int rc = event_decode(line, &e, err);
    if (rc == 0)
        event_free(&e);
    else
        assert_null(e.tree);
    return rc < 0 ? -1 : 0;
}

static void writes_every_event_as_it_was_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        AUTO_EVENT struct event e;
        AUTO_BUF struct buf out = BUF(EVENT_MAX);
        struct error err;
        if (event_decode(text_bytes(samples[i]), &e, &err) != 0 || event_encode(&e, &out, &err) < 0)
            fail_msg("%s: %s", samples[i], err.text);
        assert_string_equal(buf_text(&out), samples[i]);
    }
}

static void every_state_and_outcome_has_its_name(void **state)
{
    (void)state;
    for (enum deploy_state s = DEPLOY_ACCEPTED; s <= DEPLOY_DRAINING; s++) {
        AUTO_BUF struct buf out = BUF(EVENT_MAX);
        AUTO_EVENT struct event again;
        const struct event e = {
            .kind = EVENT_STATE, .project = "shop", .deployment = DEPLOYMENT, .state.deploy = s};
        assert_int_equal(event_encode(&e, &out, NULL), 0);
        assert_int_equal(event_decode(buf_view(&out), &again, NULL), 0);
        assert_int_equal(again.state.deploy, s);
    }
    for (enum deploy_outcome o = OUTCOME_LIVE; o <= OUTCOME_INTERRUPTED; o++) {
        AUTO_BUF struct buf out = BUF(EVENT_MAX);
        AUTO_EVENT struct event again;
        const struct event e = {
            .kind = EVENT_RESULT, .project = "shop", .deployment = DEPLOYMENT, .outcome = o};
        assert_int_equal(event_encode(&e, &out, NULL), 0);
        assert_int_equal(event_decode(buf_view(&out), &again, NULL), 0);
        assert_int_equal(again.outcome, o);
    }
    assert_string_equal(deploy_state_name(DEPLOY_DRAINING), "draining");
    assert_string_equal(deploy_outcome_name(OUTCOME_INTERRUPTED), "interrupted");
    assert_string_equal(app_state_name(APP_FAILED), "failed");
}

static void a_line_always_fits(void **state)
{
    (void)state;
    static const char fillers[] = {'x', '\x01', '"', '\xff', '\n'};
    for (size_t i = 0; i < sizeof fillers; i++) {
        char *text = letters(10000, fillers[i]);
        AUTO_BUF struct buf out = BUF(EVENT_MAX);
        const struct event e = {.kind = EVENT_HOST, .code = "E_X", .text = text};
        struct error err;
        if (event_encode(&e, &out, &err) < 0)
            fail_msg("%s", err.text);
        assert_null(memchr(out.data, '\n', out.size - 1));
        assert_int_equal(out.data[out.size - 1], '\n');
        free(text);
    }
}

static void an_unknown_event_is_passed_over(void **state)
{
    (void)state;
    struct event e;
    assert_int_equal(event_decode(text_bytes("{\"event\":\"later\",\"x\":1}"), &e, NULL), 1);
    assert_null(e.tree);
}

static void refuses_wrong_events(void **state)
{
    (void)state;
    static const struct {
        size_t sample;
        const char *from, *to, *code, *where;
    } bad[] = {
        {0, "fetching", "sleeping", "E_MEMBER", "state"},
        {0, "\"shop\"", "\"Shop\"", "E_MEMBER", "project"},
        {0, "\"deployment\"", "\"deploymen\"", "E_MEMBER", "deployment: is missing"},
        {0, "54Z", "54", "E_MEMBER", "at"},
        {0, "}\n", "}{}\n", "E_JSON", "follows"},
        {1, "\"live\"", "\"Live\"", "E_MEMBER", "outcome"},
        {1, "_ms\":1234", "_ms\":-1", "E_MEMBER", "elapsed_ms"},
        {1, COMMIT, "main", "E_MEMBER", "commit"},
        {2, "E_PHASE", "E PHASE", "E_MEMBER", "code"},
        {3, "\"text\"", "\"test\"", "E_MEMBER", "text: is missing"},
        {4, "\"web\"", "\"../web\"", "E_MEMBER", "app"},
        {4, RELEASE, "current", "E_MEMBER", "release"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(try_event, samples[bad[i].sample], bad[i].from, bad[i].to, bad[i].code, bad[i].where);
    char *text = letters(EVENT_MAX, 'x');
    refuses(try_event, samples[5], "the clock is 3 days behind", text, "E_TOO_LARGE", "event");
    free(text);
}

static void refuses_to_write_what_it_would_refuse(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(EVENT_MAX), small = BUF(60);
    struct event e = {.kind = EVENT_STATE, .project = "shop"};
    struct error err;
    assert_int_equal(event_encode(&e, &out, &err), -1);
    assert_string_equal(err.code, "E_MEMBER");
    e.kind = (enum event_kind)77;
    assert_int_equal(event_encode(&e, &out, &err), -1);
    e = (struct event){.kind = EVENT_HOST, .code = "E_X", .text = "x"};
    assert_int_equal(event_encode(&e, &small, &err), -1);
    assert_string_equal(err.code, "E_TOO_LARGE");
    assert_int_equal(out.size + small.size, 0);
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        char *line = strndup(samples[i], strlen(samples[i]) - 1);
        refuses_every_prefix(try_event, line);
        assert_in_range(survives_every_flipped_bit(try_event, line), 1, strlen(line) * 8);
        free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_event_as_it_was_read),
        cmocka_unit_test(every_state_and_outcome_has_its_name),
        cmocka_unit_test(a_line_always_fits),
        cmocka_unit_test(an_unknown_event_is_passed_over),
        cmocka_unit_test(refuses_wrong_events),
        cmocka_unit_test(refuses_to_write_what_it_would_refuse),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
