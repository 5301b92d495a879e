#include "plane_fixture.h"

#include "plane/intents.h"

static struct store_deployment row(const char *project, const char *action, const char *state)
{
    struct store_deployment d = {0};
    COPY_TEXT(d.project, project);
    COPY_TEXT(d.action, action);
    COPY_TEXT(d.state, state);
    return d;
}

static void one_project_goes_one_after_the_other(void **state)
{
    (void)state;
    struct store_deployment rows[] = {row("shop", "deploy", "building"), row("shop", "deploy", "waiting"),
                                      row("blog", "deploy", "waiting")};
    struct intent_open o = {.at = rows, .count = 3};
    assert_int_equal(intents_next(&o, 0), 2);
    assert_int_equal(intents_next(&o, 3), -1);
    snprintf(rows[0].project, sizeof rows[0].project, "other");
    assert_int_equal(intents_next(&o, 0), 1);
}

static void a_cancel_does_not_wait(void **state)
{
    (void)state;
    struct store_deployment rows[] = {row("shop", "deploy", "building"), row("shop", "cancel", "waiting"),
                                      row("shop", "deploy", "waiting")};
    struct intent_open o = {.at = rows, .count = 3};
    assert_int_equal(intents_next(&o, 0), 1);
    assert_int_equal(intents_next(&o, 2), -1);
}

static void what_is_ordered_is_not_ordered_again(void **state)
{
    (void)state;
    struct store_deployment rows[] = {row("shop", "deploy", "ordered")};
    struct intent_open o = {.at = rows, .count = 1};
    assert_int_equal(intents_next(&o, 0), -1);
}

static void add(struct store *s, const char *id, const char *state)
{
    struct error err;
    struct store_deployment d = row("shop", "deploy", state);
    COPY_TEXT(d.id, id);
    COPY_TEXT(d.server, "srv_0123456789abcdef");
    assert_int_equal(store_deployment_add(s, &d, &err), 0);
}

static void cancelling_what_waits_ends_it_and_what_runs_asks_its_host_once(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_deployment d;
    struct intent_open o;
    assert_int_equal(store_project_add(&f->store, "shop", NOW, &err), 0);
    add(&f->store, "dep_0000000000000001", "waiting");
    add(&f->store, "dep_0000000000000002", "building");
    assert_int_equal(store_deployment(&f->store, "dep_0000000000000001", &d, &err), 0);
    assert_int_equal(intents_cancel(&f->store, &d, NOW, &err), 0);
    assert_string_equal(d.outcome, "cancelled");
    assert_int_equal(intents_cancel(&f->store, &d, NOW, &err), -1);
    assert_string_equal(err.code, "E_DONE");
    assert_int_equal(store_deployment(&f->store, "dep_0000000000000002", &d, &err), 0);
    assert_int_equal(intents_cancel(&f->store, &d, NOW, &err), 0);
    assert_int_equal(intents_cancel(&f->store, &d, NOW, &err), 0);
    assert_int_equal(intents_open(&f->store, "srv_0123456789abcdef", &o, &err), 0);
    assert_int_equal(o.count, 2);
    assert_string_equal(o.at[1].action, "cancel");
    assert_string_equal(o.at[1].target, "dep_0000000000000002");
    intents_open_free(&o);
}

static void asking_without_a_manifest_is_refused_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct intents made;
    struct intent_ask ask = {.project = "shop", .trigger = "cli", .now = NOW};
    assert_int_equal(store_project_add(&f->store, "shop", NOW, &err), 0);
    assert_int_equal(intents_deploy(&f->store, &ask, "aaaa", &made, &err), -1);
    assert_string_equal(err.code, "E_NO_MANIFEST");
    assert_int_equal(f->store.db.depth, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_project_goes_one_after_the_other),
        cmocka_unit_test(a_cancel_does_not_wait),
        cmocka_unit_test(what_is_ordered_is_not_ordered_again),
        FIXTURE_TEST(cancelling_what_waits_ends_it_and_what_runs_asks_its_host_once),
        FIXTURE_TEST(asking_without_a_manifest_is_refused_and_leaves_nothing),
    };
    return cmocka_run_group_tests_name("plane/intents", tests, NULL, NULL);
}
