#include "plane_fixture.h"

static const char server[] = "srv_0123456789abcdef", deployment[] = "dep_0123456789abcdef";

static void add_basics(struct store *s)
{
    struct error err;
    struct store_deployment d = {.created = NOW};
    COPY_TEXT(d.id, deployment);
    COPY_TEXT(d.project, "shop");
    COPY_TEXT(d.server, server);
    COPY_TEXT(d.action, "deploy");
    COPY_TEXT(d.state, "ordered");
    COPY_TEXT(d.commit, "abc");
    assert_int_equal(store_project_add(s, "shop", NOW, &err), 0);
    assert_int_equal(store_server_add(s, server, "web1", NOW, &err), 0);
    assert_int_equal(store_deployment_add(s, &d, &err), 0);
}

static void migrates_an_empty_file_and_opens_it_again(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char value[16];
    assert_int_equal(store_set(&f->store, "id", "one", &err), 0);
    reopen(f);
    assert_int_equal(store_setting(&f->store, "id", value, sizeof value, &err), 0);
    assert_string_equal(value, "one");
    assert_int_equal(store_setting(&f->store, "other", value, sizeof value, &err), 1);
}

static void refuses_a_file_of_a_newer_version(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_int_equal(db_exec(&f->store.db, "PRAGMA user_version = 99", &err), 0);
    store_close(&f->store);
    assert_int_equal(store_open(&f->store, f->db, &err), -1);
    assert_string_equal(err.code, "E_STORE_VERSION");
}

static void rolls_back_all_of_a_transaction_whose_inner_part_failed(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char value[16];
    assert_int_equal(store_begin(&f->store, &err), 0);
    assert_int_equal(store_set(&f->store, "a", "1", &err), 0);
    assert_int_equal(store_begin(&f->store, &err), 0);
    assert_int_equal(store_end(&f->store, false, &err), -1);
    assert_int_equal(store_end(&f->store, true, &err), -1);
    assert_int_equal(store_setting(&f->store, "a", value, sizeof value, &err), 1);
}

/* A crash: the file as it is on the disk at that moment, opened by another process. */
static void keeps_what_was_committed_and_nothing_else_after_a_crash(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_stream v = {.end = 100, .file_end = 100}, got;
    add_basics(&f->store);
    COPY_TEXT(v.server, server);
    COPY_TEXT(v.name, "events");
    assert_int_equal(store_stream_save(&f->store, &v, &err), 0);
    assert_int_equal(store_begin(&f->store, &err), 0);
    v.end = 200;
    assert_int_equal(store_stream_save(&f->store, &v, &err), 0);

    char copy[128], command[600];
    snprintf(copy, sizeof copy, "%s/crash.db", f->dir);
    snprintf(command, sizeof command, "cp %s %s && cp %s-wal %s-wal", f->db, copy, f->db, copy);
    assert_int_equal(system(command), 0);
    struct store other;
    assert_int_equal(store_open(&other, copy, &err), 0);
    assert_int_equal(store_stream(&other, server, "events", &got, &err), 0);
    assert_int_equal(got.end, 100);
    store_close(&other);

    assert_int_equal(store_end(&f->store, true, &err), 0);
    reopen(f);
    assert_int_equal(store_stream(&f->store, server, "events", &got, &err), 0);
    assert_int_equal(got.end, 200);
}

static void finds_a_key_by_its_hash_until_it_is_revoked(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_key k;
    uint8_t hash[32] = {1}, other[32] = {2};
    assert_int_equal(store_key_add(&f->store, "admin", "laptop", hash, NOW, &err), 0);
    assert_int_equal(store_key_add(&f->store, "admin", "laptop", other, NOW, &err), -1);
    assert_string_equal(err.code, "E_EXISTS");
    assert_int_equal(store_key_find(&f->store, other, NOW, &k, &err), 1);
    assert_int_equal(store_key_find(&f->store, hash, NOW, &k, &err), 0);
    assert_string_equal(k.name, "laptop");
    assert_int_equal(store_key_revoke(&f->store, "laptop", NOW, &err), 0);
    assert_int_equal(store_key_revoke(&f->store, "laptop", NOW, &err), 1);
    assert_int_equal(store_key_find(&f->store, hash, NOW, &k, &err), 1);
    assert_int_equal(store_key_add(&f->store, "admin", "laptop", other, NOW, &err), 0);
}

static void uses_a_token_once_and_only_in_its_time_and_for_its_server(void **state)
{
    struct fixture *f = *state;
    struct error err;
    uint8_t hash[32] = {7}, wrong[32] = {8};
    add_basics(&f->store);
    assert_int_equal(store_server_add(&f->store, "srv_ffffffffffffffff", "web2", NOW, &err), 0);
    assert_int_equal(store_token_set(&f->store, server, hash, NOW + 1000, &err), 0);
    assert_int_equal(store_token_use(&f->store, server, wrong, NOW, &err), 1);
    assert_int_equal(store_token_use(&f->store, "srv_ffffffffffffffff", hash, NOW, &err), 1);
    assert_int_equal(store_token_use(&f->store, server, hash, NOW + 1000, &err), 1);
    assert_int_equal(store_token_use(&f->store, server, hash, NOW + 999, &err), 0);
    assert_int_equal(store_token_use(&f->store, server, hash, NOW, &err), 1);
}

static void gives_each_connection_a_higher_number(void **state)
{
    struct fixture *f = *state;
    struct error err;
    int64_t one, two;
    add_basics(&f->store);
    assert_int_equal(store_server_connected(&f->store, server, NOW, &one, &err), 0);
    reopen(f);
    assert_int_equal(store_server_connected(&f->store, server, NOW, &two, &err), 0);
    assert_true(two > one);
    assert_int_equal(store_server_connected(&f->store, "srv_ffffffffffffffff", NOW, &two, &err), -1);
}

static void takes_an_event_once(void **state)
{
    struct fixture *f = *state;
    struct error err;
    bool added;
    add_basics(&f->store);
    assert_int_equal(store_event_add(&f->store, deployment, "state", "{\"a\":1}", &added, &err), 0);
    assert_true(added);
    assert_int_equal(store_event_add(&f->store, deployment, "state", "{\"a\":1}", &added, &err), 0);
    assert_false(added);
    assert_int_equal(store_event_add(&f->store, deployment, "state", "{\"a\":2}", &added, &err), 0);
    assert_true(added);
}

static void never_lowers_a_sequence(void **state)
{
    struct fixture *f = *state;
    struct error err;
    int64_t n;
    add_basics(&f->store);
    assert_int_equal(store_sequence(&f->store, server, "shop", &n, &err), 0);
    assert_int_equal(n, 0);
    assert_int_equal(store_sequence_raise(&f->store, server, "shop", 12, &err), 0);
    assert_int_equal(store_sequence_raise(&f->store, server, "shop", 5, &err), 0);
    assert_int_equal(store_sequence(&f->store, server, "shop", &n, &err), 0);
    assert_int_equal(n, 12);
}

static void live(struct store *s, const char *release, int64_t retain)
{
    struct error err;
    struct store_release r = {.deployed = NOW, .since = NOW};
    COPY_TEXT(r.server, server);
    COPY_TEXT(r.release, release);
    COPY_TEXT(r.commit, "c");
    assert_int_equal(store_release_live(s, "shop", &r, retain, &err), 0);
}

static void keeps_one_live_release_and_as_many_as_the_manifest_says(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_release r;
    add_basics(&f->store);
    live(&f->store, "1-aaaaaaaaaaaa", 3);
    live(&f->store, "2-aaaaaaaaaaaa", 3);
    live(&f->store, "9-aaaaaaaaaaaa", 3);
    live(&f->store, "10-aaaaaaaaaaaa", 3);
    assert_int_equal(store_release(&f->store, "shop", server, "", &r, &err), 0);
    assert_string_equal(r.release, "10-aaaaaaaaaaaa");
    assert_int_equal(store_release_before(&f->store, "shop", server, 10, &r, &err), 0);
    assert_string_equal(r.release, "9-aaaaaaaaaaaa");
    assert_int_equal(store_release(&f->store, "shop", server, "2-aaaaaaaaaaaa", &r, &err), 0);
    assert_int_equal(store_release(&f->store, "shop", server, "1-aaaaaaaaaaaa", &r, &err), 1);
    live(&f->store, "2-aaaaaaaaaaaa", 3);
    assert_int_equal(store_release(&f->store, "shop", server, "", &r, &err), 0);
    assert_string_equal(r.release, "2-aaaaaaaaaaaa");
    assert_int_equal(store_release_before(&f->store, "shop", server, 2, &r, &err), 1);
}

static void removing_a_server_ends_its_deployments_and_forgets_it(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_server v;
    struct store_deployment d;
    add_basics(&f->store);
    assert_int_equal(store_server_remove(&f->store, server, NOW, &err), 0);
    assert_int_equal(store_server(&f->store, server, &v, &err), 1);
    assert_int_equal(store_deployment(&f->store, deployment, &d, &err), 0);
    assert_string_equal(d.state, "done");
    assert_string_equal(d.outcome, "cancelled");
    assert_int_equal(store_server_remove(&f->store, server, NOW, &err), 1);
}

static void removing_a_project_takes_everything_of_it(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_deployment d;
    int64_t count;
    static const uint8_t bytes[] = "sealed";
    struct store_env e = {.sealed = {bytes, sizeof bytes}, .updated = NOW};
    COPY_TEXT(e.name, "A");
    add_basics(&f->store);
    assert_int_equal(store_env_set(&f->store, "shop", &e, &err), 0);
    assert_int_equal(
        store_document_add(&f->store, STORE_MANIFEST, "shop", 1, "digest", (struct bytes){bytes, 3}, NOW, &err),
        0);
    assert_int_equal(store_project_remove(&f->store, "shop", &err), 0);
    assert_int_equal(store_deployment(&f->store, deployment, &d, &err), 1);
    assert_int_equal(store_env_count(&f->store, "shop", &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(store_document(&f->store, STORE_MANIFEST, "shop", 0, NULL, NULL, NULL, &err), 1);
}

static void holds_one_document_a_version(void **state)
{
    struct fixture *f = *state;
    struct error err;
    static const uint8_t bytes[] = "{}";
    struct bytes text = {bytes, 2};
    AUTO_BUF struct buf got = BUF(1024);
    int64_t version;
    char digest[65];
    assert_int_equal(store_document_add(&f->store, STORE_TRUST, "", 1, "d1", text, NOW, &err), 0);
    assert_int_equal(store_document_add(&f->store, STORE_TRUST, "", 1, "d1", text, NOW, &err), 0);
    assert_int_equal(store_document_add(&f->store, STORE_TRUST, "", 1, "other", text, NOW, &err), -1);
    assert_string_equal(err.code, "E_EXISTS");
    assert_int_equal(store_document_add(&f->store, STORE_TRUST, "", 2, "d2", text, NOW, &err), 0);
    assert_int_equal(store_document(&f->store, STORE_TRUST, "", 0, &version, digest, &got, &err), 0);
    assert_int_equal(version, 2);
    assert_string_equal(digest, "d2");
    assert_int_equal(store_document_by_digest(&f->store, "d1", &got, &err), 0);
}

static void says_when_the_disk_is_full(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char value[4000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_int_equal(db_exec(&f->store.db, "PRAGMA max_page_count = 45", &err), 0);
    int rc = 0;
    for (int i = 0; i < 200 && rc == 0; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        rc = store_set(&f->store, name, value, &err);
    }
    assert_int_equal(rc, -1);
    assert_string_equal(err.code, "E_STORE_FULL");
    assert_int_equal(db_exec(&f->store.db, "PRAGMA max_page_count = 1000000", &err), 0);
    assert_int_equal(store_set(&f->store, "after", "fine", &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(migrates_an_empty_file_and_opens_it_again),
        FIXTURE_TEST(refuses_a_file_of_a_newer_version),
        FIXTURE_TEST(rolls_back_all_of_a_transaction_whose_inner_part_failed),
        FIXTURE_TEST(keeps_what_was_committed_and_nothing_else_after_a_crash),
        FIXTURE_TEST(finds_a_key_by_its_hash_until_it_is_revoked),
        FIXTURE_TEST(uses_a_token_once_and_only_in_its_time_and_for_its_server),
        FIXTURE_TEST(gives_each_connection_a_higher_number),
        FIXTURE_TEST(takes_an_event_once),
        FIXTURE_TEST(never_lowers_a_sequence),
        FIXTURE_TEST(keeps_one_live_release_and_as_many_as_the_manifest_says),
        FIXTURE_TEST(removing_a_server_ends_its_deployments_and_forgets_it),
        FIXTURE_TEST(removing_a_project_takes_everything_of_it),
        FIXTURE_TEST(holds_one_document_a_version),
        FIXTURE_TEST(says_when_the_disk_is_full),
    };
    return cmocka_run_group_tests_name("plane/store", tests, NULL, NULL);
}
