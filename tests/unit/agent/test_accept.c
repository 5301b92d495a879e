#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has one of its own */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent/accept.h"
#include "base/encode.h"
#include "trust/digest.h"
#include "trust/seal.h"
#include "trust/sign.h"

#define SERVER "srv_0123456789abcdef"
#define OTHER  "srv_fedcba9876543210"
#define NOW    INT64_C(1790000000000)
#define DAY    INT64_C(86400000)

static struct p256_key keys[ROLE_COUNT], stranger;
static struct acceptor a;
static struct policy policy;
static struct accept_now now;
static struct accepted accepted;
static struct error err;
static char folder[64];
static int journal_dir, documents_dir;

static void ok(int rc)
{
    assert_string_equal(rc < 0 ? err.text : "", "");
}

static int make_keys(void **unused)
{
    (void)unused;
    for (int i = 0; i < ROLE_COUNT; i++)
        ok(p256_generate(&keys[i], &err));
    ok(p256_generate(&stranger, &err));
    return 0;
}

/* Signs and offers bytes. */
static enum accept_result offer(const struct p256_key *key, enum document_type type, const struct buf *payload)
{
    struct envelope_signature sig = {0};
    err = (struct error){0};
    ok(sign_payload(key, type, buf_view(payload), &sig, &err));
    struct signed_bytes document = {type, buf_view(payload), &sig, 1};
    return accept_document(&a, &document, &now, &accepted, &err);
}

static void trust_json(struct buf *out, uint64_t version, int64_t expires)
{
    struct trust_doc t = {.version = version, .issued = NOW - DAY, .expires = expires, .url_count = 1};
    strcpy(t.plane, "00112233445566778899aabbccddeeff");
    strcpy(t.urls[0], "https://localhost:7443");
    for (int role = 0; role < ROLE_COUNT; role++) {
        memcpy(t.roles[role].point, keys[role].point, 65);
        ok(p256_keyid(keys[role].point, t.roles[role].keyid, &err));
    }
    ok(trust_doc_encode(&t, out, &err));
}

static void manifest_json(struct buf *out, uint64_t version, const char *server, int64_t expires, const char *ref)
{
    AUTO_FREE struct manifest *m = calloc(1, sizeof *m);
    manifest_defaults(m);
    strcpy(m->project, "shop");
    m->version = version;
    m->issued = NOW - DAY;
    m->expires = expires;
    m->server_count = 1;
    strcpy(m->servers[0], server);
    m->source.url = "https://git.example.org/shop.git";
    m->source.ref = ref;
    m->source.root = ".";
    m->env.at[0] = "TOKEN";
    m->env.count = 1;
    m->app_count = 1;
    manifest_app_defaults(&m->apps[0]);
    m->apps[0].name = "worker";
    m->apps[0].run.at[0] = "node";
    m->apps[0].run.at[1] = "w.js";
    m->apps[0].run.count = 2;
    ok(manifest_encode(m, out, &err));
}

static void env_json(struct buf *out, uint64_t version, const char *server, const uint8_t *seal)
{
    AUTO_ENV_DOC struct env_doc e = {.version = version, .issued = NOW, .ct = BUF(ENV_CT_MAX)};
    static const char plain[] = "{\"values\":{\"TOKEN\":\"a-secret-value\"}}";
    strcpy(e.server, server);
    strcpy(e.project, "shop");
    ok(seal_env(seal, server, "shop", version, (struct bytes){(const uint8_t *)plain, sizeof plain - 1}, e.enc, &e.ct, &err));
    ok(env_doc_encode(&e, out, &err));
}

static struct order order(uint64_t sequence)
{
    struct order o = {.sequence = sequence, .issued = NOW, .action = ORDER_DEPLOY, .has_env = true};
    struct journal_project *p = journal_project(journal_state(a.journal), "shop", false);
    strcpy(o.server, SERVER);
    strcpy(o.project, "shop");
    strcpy(o.deployment, "dep_0000000000000001");
    strcpy(o.commit, "0123456789012345678901234567890123456789");
    memcpy(o.challenge, a.challenges[a.challenge_at].bytes, 32);
    if (p != NULL) {
        memcpy(o.manifest, p->manifest, 32);
        memcpy(o.env, p->env, 32);
    }
    return o;
}

static enum accept_result offer_order(const struct order *o, const struct p256_key *key)
{
    AUTO_BUF struct buf json = BUF(PAYLOAD_MAX);
    ok(order_encode(o, &json, &err));
    return offer(key, DOCUMENT_ORDER, &json);
}

static enum accept_result offer_manifest(uint64_t version, const char *server, int64_t expires, const char *ref)
{
    AUTO_BUF struct buf json = BUF(PAYLOAD_MAX);
    manifest_json(&json, version, server, expires, ref);
    return offer(&keys[ROLE_MANIFEST], DOCUMENT_MANIFEST, &json);
}

static enum accept_result offer_env(uint64_t version, const char *server, const uint8_t *seal)
{
    AUTO_BUF struct buf json = BUF(PAYLOAD_MAX);
    env_json(&json, version, server, seal);
    return offer(&keys[ROLE_ORDER], DOCUMENT_ENV, &json);
}

static enum accept_result offer_trust(uint64_t version, int64_t expires)
{
    AUTO_BUF struct buf json = BUF(PAYLOAD_MAX);
    trust_json(&json, version, expires);
    return offer(&keys[ROLE_ROOT], DOCUMENT_TRUST, &json);
}

static int setup(void **unused)
{
    static const char rules[] = "{\"projects\":{\"shop\":{\"repositories\":[\"*\"],\"refs\":[\"refs/heads/main\"]}}}";
    (void)unused;
    strcpy(folder, "/tmp/kly-accept-XXXXXX");
    assert_non_null(mkdtemp(folder));
    int top = open(folder, O_RDONLY | O_DIRECTORY);
    mkdirat(top, "j", 0700);
    mkdirat(top, "d", 0700);
    journal_dir = openat(top, "j", O_RDONLY | O_DIRECTORY);
    documents_dir = openat(top, "d", O_RDONLY | O_DIRECTORY);
    close(top);
    now = (struct accept_now){NOW, 1000};
    a = (struct acceptor){.dirfd = documents_dir, .policy = &policy};
    strcpy(a.server, SERVER);
    ok(p256_generate(&a.seal, &err));
    ok(policy_parse((struct bytes){(const uint8_t *)rules, sizeof rules - 1}, &policy, &err));
    ok(journal_open(journal_dir, true, &a.journal, &err));
    ok(accept_load(&a, &err));
    ok(accept_challenge(&a, 1000, &err));
    AUTO_BUF struct buf json = BUF(PAYLOAD_MAX);
    trust_json(&json, 1, NOW + DAY);
    ok(digest_of(json.data, json.size, a.pin, &err));
    return 0;
}

static void empty(int dirfd)
{
    DIR *dir = fdopendir(dirfd);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            unlinkat(dirfd, e->d_name, 0);
    closedir(dir);
}

static int teardown(void **unused)
{
    (void)unused;
    journal_close(a.journal);
    policy_free(&policy);
    empty(journal_dir);
    empty(documents_dir);
    char path[80];
    snprintf(path, sizeof path, "%s/j", folder);
    rmdir(path);
    snprintf(path, sizeof path, "%s/d", folder);
    rmdir(path);
    return rmdir(folder);
}

static void enrol(void)
{
    assert_int_equal(offer_trust(1, NOW + DAY), ACCEPT_STORED);
    assert_int_equal(offer_manifest(1, SERVER, NOW + DAY, "refs/heads/main"), ACCEPT_STORED);
    assert_int_equal(offer_env(1, SERVER, a.seal.point), ACCEPT_STORED);
}

#define REFUSED(what, wanted)                                                                                          \
    do {                                                                                                               \
        struct journal_state *before_ = malloc(sizeof *before_);                                                       \
        memcpy(before_, journal_state(a.journal), sizeof *before_);                                                    \
        assert_int_equal(what, ACCEPT_REFUSED);                                                                        \
        assert_string_equal(err.code, wanted);                                                                         \
        assert_memory_equal(before_, journal_state(a.journal), sizeof *before_);                                       \
        free(before_);                                                                                                 \
    } while (0)

static void accepts_a_whole_chain_and_then_nothing_twice(void **unused)
{
    (void)unused;
    enrol();
    assert_int_equal(offer_manifest(1, SERVER, NOW + DAY, "refs/heads/main"), ACCEPT_KNOWN);
    struct order o = order(1);
    assert_int_equal(offer_order(&o, &keys[ROLE_ORDER]), ACCEPT_ORDER);
    assert_string_equal(accepted.order.commit, o.commit);
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_REPLAY");
}

static void keeps_what_it_accepted_over_a_restart(void **unused)
{
    (void)unused;
    enrol();
    struct order o = order(7);
    assert_int_equal(offer_order(&o, &keys[ROLE_ORDER]), ACCEPT_ORDER);
    journal_close(a.journal);
    ok(journal_open(journal_dir, false, &a.journal, &err));
    ok(accept_load(&a, &err));
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_REPLAY");
    o.sequence = 8;
    assert_int_equal(offer_order(&o, &keys[ROLE_ORDER]), ACCEPT_ORDER);
    assert_string_equal(journal_project(journal_state(a.journal), "shop", false)->pending, o.deployment);
}

static void takes_nothing_before_the_pinned_trust_document(void **unused)
{
    (void)unused;
    REFUSED(offer_manifest(1, SERVER, NOW + DAY, "refs/heads/main"), "E_TYPE");
    REFUSED(offer_trust(1, NOW + 2 * DAY), "E_TRUST_PIN");
    struct order o = order(1);
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_TYPE");
}

static void reports_the_first_check_that_fails_in_the_written_order(void **unused)
{
    (void)unused;
    enrol();
    struct order good = order(1), o = good;
    o.sequence = 1; /* from here on everything is wrong; one after the other is mended */
    strcpy(o.server, OTHER);
    memset(o.challenge, 1, sizeof o.challenge);
    journal_project(journal_state(a.journal), "shop", false)->sequence = 1;
    memset(o.manifest, 2, sizeof o.manifest);
    REFUSED(offer_order(&o, &stranger), "E_SIG_THRESHOLD");
    REFUSED(offer_order(&o, &keys[ROLE_MANIFEST]), "E_SIG_THRESHOLD");
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_TARGET");
    strcpy(o.server, SERVER);
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_CHALLENGE");
    memcpy(o.challenge, good.challenge, sizeof o.challenge);
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_REPLAY");
    o.sequence = 2;
    assert_int_equal(offer_order(&o, &keys[ROLE_ORDER]), ACCEPT_WANT);
    assert_memory_equal(accepted.want, o.manifest, 32);
    memcpy(o.manifest, good.manifest, sizeof o.manifest);
    assert_int_equal(offer_manifest(2, SERVER, NOW + DAY, "refs/heads/other"), ACCEPT_STORED);
    memcpy(o.manifest, journal_project(journal_state(a.journal), "shop", false)->manifest, 32);
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_POLICY");
}

static void a_challenge_ages_and_its_successors_do_not_replace_it_at_once(void **unused)
{
    (void)unused;
    enrol();
    struct order o = order(1);
    ok(accept_challenge(&a, 2000, &err));
    now.boot_ms = 1000 + CHALLENGE_AGE_MS - 1;
    assert_int_equal(offer_order(&o, &keys[ROLE_ORDER]), ACCEPT_ORDER);
    o.sequence = 2;
    now.boot_ms++;
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_CHALLENGE");
    for (int i = 0; i < CHALLENGES_MAX; i++)
        ok(accept_challenge(&a, now.boot_ms, &err));
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_CHALLENGE");
    memset(o.challenge, 0, sizeof o.challenge);
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_CHALLENGE");
}

static void versions_only_rise_and_never_jump(void **unused)
{
    (void)unused;
    enrol();
    assert_int_equal(offer_manifest(5, SERVER, NOW + DAY, "refs/heads/main"), ACCEPT_STORED);
    REFUSED(offer_manifest(4, SERVER, NOW + DAY, "refs/heads/main"), "E_ROLLBACK");
    REFUSED(offer_manifest(5, SERVER, NOW + DAY, "refs/heads/other"), "E_EQUIVOCATION");
    REFUSED(offer_manifest(5 + VERSION_JUMP_MAX + 1, SERVER, NOW + DAY, "refs/heads/main"), "E_VERSION_JUMP");
    assert_int_equal(offer_env(3, SERVER, a.seal.point), ACCEPT_STORED);
    REFUSED(offer_env(2, SERVER, a.seal.point), "E_ROLLBACK");
    REFUSED(offer_env(3, SERVER, a.seal.point), "E_EQUIVOCATION"); /* sealing again gives other bytes */
    struct order o = order(VERSION_JUMP_MAX + 1);
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_VERSION_JUMP");
}

static void refuses_what_is_for_another_host_or_cannot_be_opened(void **unused)
{
    (void)unused;
    struct p256_key other;
    ok(p256_generate(&other, &err));
    enrol();
    REFUSED(offer_manifest(2, OTHER, NOW + DAY, "refs/heads/main"), "E_TARGET");
    REFUSED(offer_env(2, OTHER, a.seal.point), "E_TARGET");
    REFUSED(offer_env(2, SERVER, other.point), "E_SEAL");
}

static void expiry_is_compared_with_the_later_of_clock_and_floor(void **unused)
{
    (void)unused;
    enrol();
    REFUSED(offer_manifest(2, SERVER, NOW, "refs/heads/main"), "E_EXPIRED");
    assert_int_equal(offer_manifest(2, SERVER, NOW + 1, "refs/heads/main"), ACCEPT_STORED);
    now.wall_ms = 0; /* a clock that lost its battery: the floor still holds */
    assert_int_equal(journal_state(a.journal)->floor_ms, NOW - DAY);
    AUTO_BUF struct buf json = BUF(PAYLOAD_MAX);
    trust_json(&json, 2, NOW - DAY / 2);
    assert_int_equal(offer(&keys[ROLE_ROOT], DOCUMENT_TRUST, &json), ACCEPT_STORED);
    assert_int_equal(journal_state(a.journal)->trust_version, 2);
    struct order o = order(1);
    now.wall_ms = NOW + 2;
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_EXPIRED");
}

static void refuses_values_that_do_not_fit_the_manifest(void **unused)
{
    (void)unused;
    assert_int_equal(offer_trust(1, NOW + DAY), ACCEPT_STORED);
    assert_int_equal(offer_manifest(1, SERVER, NOW + DAY, "refs/heads/main"), ACCEPT_STORED);
    struct order o = order(1);
    o.has_env = false;
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_ENV_MISSING");
    assert_null(strstr(err.text, "a-secret-value"));
}

static void refuses_a_release_that_is_not_kept(void **unused)
{
    (void)unused;
    enrol();
    struct order o = order(1);
    o.action = ORDER_ACTIVATE;
    strcpy(o.release, "1-012345678901");
    REFUSED(offer_order(&o, &keys[ROLE_ORDER]), "E_RELEASE");
    struct journal_release kept = {.name = "1-012345678901"};
    assert_true(journal_add_release(journal_project(journal_state(a.journal), "shop", false), &kept));
    ok(journal_commit(a.journal, &err));
    assert_int_equal(offer_order(&o, &keys[ROLE_ORDER]), ACCEPT_ORDER);
}

static void does_not_believe_a_document_that_was_changed_on_disk(void **unused)
{
    (void)unused;
    enrol();
    struct journal_project *p = journal_project(journal_state(a.journal), "shop", false);
    char hex[65], name[96];
    hex_encode(p->manifest, 32, hex);
    snprintf(name, sizeof name, "manifest-%s", hex);
    struct manifest *m = calloc(1, sizeof *m);
    ok(accept_manifest(&a, p->manifest, m, &err));
    manifest_free(m);
    int fd = openat(documents_dir, name, O_RDWR);
    char block[8192];
    ssize_t size = read(fd, block, sizeof block);
    for (ssize_t at = 0; at < size; at += 7) {
        char flipped = (char)(block[at] ^ 1);
        assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
        struct error why = {0};
        int rc = accept_manifest(&a, p->manifest, m, &why);
        if (rc == 0) { /* only the envelope's outside may change without harm, such as a key's hint */
            assert_string_equal(m->project, "shop");
            manifest_free(m);
        }
        assert_int_equal(pwrite(fd, &block[at], 1, at), 1);
    }
    assert_int_equal(pwrite(fd, "{", 1, size / 2), 1);
    assert_int_equal(accept_manifest(&a, p->manifest, m, &err), -1);
    close(fd);
    free(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accepts_a_whole_chain_and_then_nothing_twice),
        TEST(keeps_what_it_accepted_over_a_restart),
        TEST(takes_nothing_before_the_pinned_trust_document),
        TEST(reports_the_first_check_that_fails_in_the_written_order),
        TEST(a_challenge_ages_and_its_successors_do_not_replace_it_at_once),
        TEST(versions_only_rise_and_never_jump),
        TEST(refuses_what_is_for_another_host_or_cannot_be_opened),
        TEST(expiry_is_compared_with_the_later_of_clock_and_floor),
        TEST(refuses_values_that_do_not_fit_the_manifest),
        TEST(refuses_a_release_that_is_not_kept),
        TEST(does_not_believe_a_document_that_was_changed_on_disk),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
