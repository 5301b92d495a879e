#include "plane_fixture.h"

#include "plane/retention.h"

static const char server[] = "srv_0123456789abcdef";

static void add(struct fixture *f, struct logstore *ls, const char *id, const char *state, int64_t created)
{
    struct error err;
    struct store_deployment d = {.created = created, .finished = 1};
    struct store_stream v = {.end = 3, .file_end = 3};
    struct log_file file;
    COPY_TEXT(d.id, id);
    COPY_TEXT(d.project, "shop");
    COPY_TEXT(d.server, server);
    COPY_TEXT(d.action, "deploy");
    COPY_TEXT(d.state, state);
    COPY_TEXT(v.server, server);
    snprintf(v.name, sizeof v.name, "log/%s", id);
    assert_int_equal(store_deployment_add(&f->store, &d, &err), 0);
    assert_int_equal(store_stream_save(&f->store, &v, &err), 0);
    assert_int_equal(log_open(ls, id, 0, &file, &err), 0);
    assert_int_equal(log_append(&file, "log", 3, &err), 0);
    log_close(&file);
}

static bool has_log(struct logstore *ls, const char *id)
{
    char name[64];
    snprintf(name, sizeof name, "%s.gz", id);
    return faccessat(ls->dirfd, name, F_OK, 0) == 0;
}

static void logs_and_revoked_keys_go_after_90_days_and_not_before(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct logstore ls;
    struct store_deployment d;
    struct store_key k;
    int64_t removed;
    uint8_t old_key[32] = {1}, good_key[32] = {2};
    char path[128];
    snprintf(path, sizeof path, "%s/logs", f->dir);
    assert_int_equal(logstore_open(&ls, path, &err), 0);
    assert_int_equal(store_project_add(&f->store, "shop", NOW, &err), 0);
    assert_int_equal(store_server_add(&f->store, server, "web1", NOW, &err), 0);
    add(f, &ls, "dep_0000000000000001", "done", NOW);
    add(f, &ls, "dep_0000000000000002", "done", NOW + 1);
    add(f, &ls, "dep_0000000000000003", "building", NOW);
    assert_int_equal(store_key_add(&f->store, "admin", "old", old_key, NOW, &err), 0);
    assert_int_equal(store_key_revoke(&f->store, "old", NOW, &err), 0);
    assert_int_equal(store_key_add(&f->store, "admin", "good", good_key, NOW, &err), 0);

    assert_int_equal(retention_run(&f->store, &ls, NOW + RETENTION_MS, &removed, &err), 0);
    assert_int_equal(removed, 0);
    assert_true(has_log(&ls, "dep_0000000000000001"));

    assert_int_equal(retention_run(&f->store, &ls, NOW + RETENTION_MS + 1, &removed, &err), 0);
    assert_int_equal(removed, 1);
    assert_false(has_log(&ls, "dep_0000000000000001"));
    assert_true(has_log(&ls, "dep_0000000000000002"));
    assert_true(has_log(&ls, "dep_0000000000000003"));
    assert_int_equal(store_deployment(&f->store, "dep_0000000000000001", &d, &err), 0);
    assert_int_equal(store_key_find(&f->store, good_key, NOW, &k, &err), 0);
    /* The name is free again, and the row of the revoked key is gone. */
    assert_int_equal(store_key_add(&f->store, "admin", "old", old_key, NOW, &err), 0);
    logstore_close(&ls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FIXTURE_TEST(logs_and_revoked_keys_go_after_90_days_and_not_before)};
    return cmocka_run_group_tests_name("plane/retention", tests, NULL, NULL);
}
