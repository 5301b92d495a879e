#include "proto/order.h"
#include "proto_test.h"

static const char sample[] =
    "{\"type\":\"order\",\"server\":\"" SERVER
    "\",\"project\":\"shop\",\"sequence\":12,\"challenge\":\"" BYTES_32
    "\",\"issued\":\"2026-11-22T00:41:54Z\",\"deployment\":\"" DEPLOYMENT
    "\",\"action\":\"deploy\",\"commit\":\"" COMMIT "\",\"manifest\":\"" DIGEST "\",\"env\":\"" DIGEST "\"}";

static int decode_as(enum document_type type, struct bytes text, struct order *o, struct error *err)
{
    struct verified v = {.payload = text, .type = type, .role = ROLE_ORDER};
    return order_decode(&v, o, err);
}

static int try_order(struct bytes text, struct error *err)
{
    struct order o;
    return decode_as(DOCUMENT_ORDER, text, &o, err);
}

static void reads_a_deploy(void **state)
{
    (void)state;
    struct order o;
    struct error err;
    assert_int_equal(decode_as(DOCUMENT_ORDER, text_bytes(sample), &o, &err), 0);
    assert_string_equal(o.server, SERVER);
    assert_string_equal(o.project, "shop");
    assert_int_equal(o.sequence, 12);
    assert_int_equal(o.challenge[31], 31);
    assert_true(o.issued == INT64_C(1795308114000));
    assert_string_equal(o.deployment, DEPLOYMENT);
    assert_int_equal(o.action, ORDER_DEPLOY);
    assert_string_equal(o.commit, COMMIT);
    assert_true(o.has_env);
    assert_int_equal(o.manifest[1], 0x11);
    assert_int_equal(o.env[31], 0xff);
}

static void takes_only_what_was_verified_as_an_order(void **state)
{
    (void)state;
    struct order o;
    struct error err;
    for (enum document_type t = DOCUMENT_TRUST; t <= DOCUMENT_ENV; t++) {
        assert_int_equal(decode_as(t, text_bytes(sample), &o, &err), -1);
        assert_string_equal(err.code, "E_TYPE");
    }
    refuses(try_order, sample, "\"order\"", "\"manifest\"", "E_TYPE", "type");
    refuses(try_order, sample, "\"order\"", "\"Order\"", "E_TYPE", "type");
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    struct order o, again;
    struct error err;
    assert_int_equal(order_check(text_bytes(sample), &o, &err), 0);
    for (enum order_action a = ORDER_DEPLOY; a <= ORDER_CANCEL; a++) {
        AUTO_BUF struct buf out = BUF(4096);
        o.action = a;
        strcpy(o.release, RELEASE);
        strcpy(o.target, DEPLOYMENT);
        assert_int_equal(order_encode(&o, &out, &err), 0);
        assert_int_equal(decode_as(DOCUMENT_ORDER, buf_view(&out), &again, &err), 0);
        assert_int_equal(again.action, a);
        assert_string_equal(again.commit, a == ORDER_DEPLOY ? COMMIT : "");
        assert_string_equal(again.release, a == ORDER_ACTIVATE ? RELEASE : "");
        assert_string_equal(again.target, a == ORDER_CANCEL ? DEPLOYMENT : "");
        assert_int_equal(again.has_env, a != ORDER_CANCEL);
    }
    AUTO_BUF struct buf out = BUF(4096);
    o.sequence = 0;
    assert_int_equal(order_encode(&o, &out, &err), -1);
    assert_int_equal(out.size, 0);
    assert_non_null(strstr(err.text, "sequence"));
}

static void each_action_needs_its_members(void **state)
{
    (void)state;
    accepts(try_order, sample, ",\"env\":\"" DIGEST "\"", "");
    accepts(try_order, sample, "\"env\":\"" DIGEST "\"", "\"env\":null");
    refuses(try_order, sample, "\"commit\"", "\"commit_\"", "E_MEMBER", "commit: is missing");
    refuses(try_order, sample, "\"manifest\"", "\"manifest_\"", "E_MEMBER", "manifest: is missing");
    refuses(try_order, sample, "\"deploy\"", "\"activate\"", "E_MEMBER", "release: is missing");
    refuses(try_order, sample, "\"deploy\"", "\"cancel\"", "E_MEMBER", "target: is missing");
    refuses(try_order, sample, "\"deploy\"", "\"destroy\"", "E_MEMBER",
            "action: must be one of: deploy, activate, cancel");
    accepts(try_order, sample, "\"deploy\"", "\"activate\",\"release\":\"" RELEASE "\"");
    accepts(try_order, sample, "\"deploy\"", "\"cancel\",\"target\":\"" DEPLOYMENT "\"");
    refuses(try_order, sample, "\"deploy\"", "\"activate\",\"release\":\"../../etc\"", "E_MEMBER", "release");
    refuses(try_order, sample, "\"deploy\"", "\"cancel\",\"target\":\"" SERVER "\"", "E_MEMBER", "target");
}

/* TUF-12 */
static void a_sequence_is_a_canonical_integer(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "-1", "1.0", "1e3", "1e400", "\"7\"", "-0", "null", "true", "[1]"};
    static const char *const unreadable[] = {"01", "9007199254740992", "9007199254740993",
                                             "18446744073709551616"};
    static const char *const good[] = {"1", "2147483648", "9007199254740991"};
    char member[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(member, sizeof member, "\"sequence\":%s,", bad[i]);
        refuses(try_order, sample, "\"sequence\":12,", member, "E_MEMBER", "sequence");
    }
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
        snprintf(member, sizeof member, "\"sequence\":%s,", unreadable[i]);
        refuses(try_order, sample, "\"sequence\":12,", member, "E_JSON", "order");
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(member, sizeof member, "\"sequence\":%s,", good[i]);
        accepts(try_order, sample, "\"sequence\":12,", member);
    }
}

/* TUF-13, TUF-27 */
static void names_are_whole_and_lower_case(void **state)
{
    (void)state;
    static const char *const servers[] = {"*",
                                          "",
                                          "srv_0123456789ABCDEF",
                                          "srv_0123456789abcde",
                                          "srv_0123456789abcdef0",
                                          "SRV_0123456789abcdef"};
    static const char *const commits[] = {"main",
                                          "0123456",
                                          "0123456789ABCDEF0123456789ABCDEF01234567",
                                          "0123456789abcdef0123456789abcdef0123456",
                                          "0123456789abcdef0123456789abcdef012345678",
                                          ""};
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
        refuses(try_order, sample, SERVER, servers[i], "E_MEMBER", "server");
    refuses(try_order, sample, SERVER, SERVER "\\u0000x", "E_JSON", "\\u0000");
    for (size_t i = 0; i < sizeof commits / sizeof *commits; i++)
        refuses(try_order, sample, COMMIT, commits[i], "E_MEMBER", "commit");
    accepts(try_order, sample, COMMIT, DIGEST); /* SHA-256 repositories */
    refuses(try_order, sample, "shop", "Shop", "E_MEMBER", "project");
    refuses(try_order, sample, BYTES_32, "AAEC", "E_MEMBER", "challenge");
    refuses(try_order, sample, "2026-11-22T00:41:54Z", "2026-11-22", "E_MEMBER", "issued");
}

/* TUF-25 */
static void unknown_members_matter_only_when_critical(void **state)
{
    (void)state;
    accepts(try_order, sample, "{", "{\"later\":{\"x\":[1.5]},");
    accepts(try_order, sample, "{", "{\"critical\":[\"commit\",\"type\"],");
    refuses(try_order, sample, "{", "{\"later\":1,\"critical\":[\"later\"],", "E_CRITICAL", "critical[0]");
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    refuses_every_prefix(try_order, sample);
    assert_in_range(survives_every_flipped_bit(try_order, sample), 1, sizeof sample * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_deploy),
        cmocka_unit_test(takes_only_what_was_verified_as_an_order),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(each_action_needs_its_members),
        cmocka_unit_test(a_sequence_is_a_canonical_integer),
        cmocka_unit_test(names_are_whole_and_lower_case),
        cmocka_unit_test(unknown_members_matter_only_when_critical),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
