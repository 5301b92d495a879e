#include "plane_fixture.h"

#include "plane/events.h"

static const char server[] = "srv_0123456789abcdef", other[] = "srv_ffffffffffffffff",
                  dep[] = "dep_0123456789abcdef";

static void prepare(struct store *s)
{
    struct error err;
    struct store_deployment d = {.created = NOW, .sequence = 4};
    COPY_TEXT(d.id, dep);
    COPY_TEXT(d.project, "shop");
    COPY_TEXT(d.server, server);
    COPY_TEXT(d.action, "deploy");
    COPY_TEXT(d.state, "ordered");
    memset(d.order_digest, 'a', 64);
    assert_int_equal(store_project_add(s, "shop", NOW, &err), 0);
    assert_int_equal(store_server_add(s, server, "web1", NOW, &err), 0);
    assert_int_equal(store_server_add(s, other, "web2", NOW, &err), 0);
    assert_int_equal(store_deployment_add(s, &d, &err), 0);
}

static struct store_deployment after(struct fixture *f, const char *from, const char *line,
                                     struct events_result *r)
{
    struct error err;
    struct store_deployment d;
    assert_int_equal(
        events_apply(&f->store, from, (struct bytes){(const uint8_t *)line, strlen(line)}, NOW, r, &err), 0);
    assert_int_equal(store_deployment(&f->store, dep, &d, &err), 0);
    return d;
}

#define STATE(s)                                                                                               \
    "{\"event\":\"state\",\"at\":\"2026-11-22T00:00:00Z\",\"project\":\"shop\",\"deployment\":\"dep_"          \
    "0123456789abcdef\",\"state\":\"" s "\"}\n"
#define RESULT(outcome)                                                                                        \
    "{\"event\":\"result\",\"at\":\"2026-11-22T00:00:09Z\",\"project\":\"shop\",\"deployment\":\"dep_"         \
    "0123456789abcdef\","                                                                                      \
    "\"outcome\":\"" outcome "\",\"code\":\"\",\"text\":\"t\",\"release\":\"4-aaaaaaaaaaaa\","                 \
    "\"commit\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"serving\":\"4-aaaaaaaaaaaa\",\"elapsed_ms\":"   \
    "9000}\n"

static void states_and_result_change_the_deployment_and_a_live_one_makes_a_release(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct events_result r;
    struct store_release rel;
    prepare(&f->store);
    struct store_deployment d = after(f, server, STATE("accepted"), &r);
    assert_string_equal(d.state, "accepted");
    assert_true(d.started > 0);
    assert_string_equal(r.deployment, dep);
    assert_false(r.over);
    d = after(f, server, RESULT("live"), &r);
    assert_string_equal(d.state, "done");
    assert_string_equal(d.outcome, "live");
    assert_true(r.over);
    assert_int_equal(store_release(&f->store, "shop", server, "", &rel, &err), 0);
    assert_string_equal(rel.release, "4-aaaaaaaaaaaa");
}

static void a_failed_one_makes_no_release_and_nothing_comes_after_the_result(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct events_result r;
    struct store_release rel;
    prepare(&f->store);
    after(f, server, RESULT("rolled_back"), &r);
    assert_int_equal(store_release(&f->store, "shop", server, "", &rel, &err), 1);
    struct store_deployment d = after(f, server, STATE("building"), &r);
    assert_string_equal(d.state, "done");
    d = after(f, server, RESULT("live"), &r);
    assert_string_equal(d.outcome, "rolled_back");
}

static void the_same_line_again_is_nothing_new(void **state)
{
    struct fixture *f = *state;
    struct events_result r;
    prepare(&f->store);
    after(f, server, STATE("accepted"), &r);
    after(f, server, STATE("accepted"), &r);
    assert_string_equal(r.deployment, "");
}

static void another_host_cannot_speak_of_it(void **state)
{
    struct fixture *f = *state;
    struct events_result r;
    prepare(&f->store);
    struct store_deployment d = after(f, other, RESULT("live"), &r);
    assert_string_equal(d.state, "ordered");
    assert_string_equal(r.deployment, "");
}

static void lines_that_are_none_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct events_result r;
    static const char *const lines[] = {
        "", "\n", "{}", "[]", "{\"event\":\"state\"}", "x", "{\"event\":\"later\"}", STATE("flying")};
    prepare(&f->store);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_string_equal(after(f, server, lines[i], &r).state, "ordered");
}

static void an_order_refused_for_its_challenge_waits_again_five_times_at_most(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_deployment d;
    struct events_result r = {0};
    char digest[65];
    memset(digest, 'a', 64);
    digest[64] = '\0';
    prepare(&f->store);
    assert_int_equal(events_refused(&f->store, other, digest, "E_CHALLENGE", "t", NOW, &r, &err), 0);
    assert_string_equal(r.deployment, "");
    assert_int_equal(events_refused(&f->store, server, digest, "E_CHALLENGE", "t", NOW, &r, &err), 0);
    assert_true(r.order_stale);
    assert_int_equal(store_deployment(&f->store, dep, &d, &err), 0);
    assert_string_equal(d.state, "waiting");
    COPY_TEXT(d.state, "ordered");
    d.attempts = 5;
    assert_int_equal(store_deployment_save(&f->store, &d, &err), 0);
    r = (struct events_result){0};
    assert_int_equal(events_refused(&f->store, server, digest, "E_CHALLENGE", "t", NOW, &r, &err), 0);
    assert_int_equal(store_deployment(&f->store, dep, &d, &err), 0);
    assert_string_equal(d.outcome, "refused");
    assert_string_equal(d.code, "E_CHALLENGE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(states_and_result_change_the_deployment_and_a_live_one_makes_a_release),
        FIXTURE_TEST(a_failed_one_makes_no_release_and_nothing_comes_after_the_result),
        FIXTURE_TEST(the_same_line_again_is_nothing_new),
        FIXTURE_TEST(another_host_cannot_speak_of_it),
        FIXTURE_TEST(lines_that_are_none_change_nothing),
        FIXTURE_TEST(an_order_refused_for_its_challenge_waits_again_five_times_at_most),
    };
    return cmocka_run_group_tests_name("plane/events", tests, NULL, NULL);
}
