#include "proto/trust_doc.h"
#include "proto_test.h"

#define ID(x)   "0000000000000000000000000000000000000000000000000000000000000" x "00"
#define ROLE(x) "{\"keyids\":[\"" ID(x) "\"],\"threshold\":1}"

static const char sample[] =
    "{\"type\":\"trust\",\"version\":1,\"issued\":\"2026-11-22T00:00:00Z\",\"expires\":\"2027-11-22T00:00:"
    "00Z\","
    "\"plane\":{\"id\":\"000102030405060708090a0b0c0d0e0f\",\"urls\":[\"https://"
    "plane.example.org:7443\"],\"mode\":\"direct\",\"ca\":\"" DIGEST "\"},"
    "\"keys\":{\"" ID("a") "\":\"" POINT("A") "\",\"" ID("b") "\":\"" POINT("B") "\",\"" ID("c") "\":\"" POINT(
        "C") "\"},"
             "\"roles\":{\"root\":" ROLE("a") ",\"manifest\":" ROLE("b") ",\"order\":" ROLE(
                 "c") "},"
                      "\"hosts\":[{\"server\":\"" SERVER "\",\"seal\":\"" POINT("D") "\"}]}";

static int decode_as(enum document_type type, struct bytes text, struct trust_doc *t, struct error *err)
{
    struct verified v = {.payload = text, .type = type, .role = ROLE_ROOT};
    return trust_doc_decode(&v, t, err);
}

static int try_trust(struct bytes text, struct error *err)
{
    struct trust_doc t;
    int rc = decode_as(DOCUMENT_TRUST, text, &t, err);
    if (rc == 0)
        trust_doc_free(&t);
    else
        assert_null(t.hosts);
    return rc;
}

static void reads_keys_plane_and_hosts(void **state)
{
    (void)state;
    AUTO_TRUST_DOC struct trust_doc t;
    struct error err;
    assert_int_equal(decode_as(DOCUMENT_TRUST, text_bytes(sample), &t, &err), 0);
    assert_int_equal(t.version, 1);
    assert_true(t.expires - t.issued == INT64_C(365) * 86400 * 1000);
    assert_string_equal(t.plane, "000102030405060708090a0b0c0d0e0f");
    assert_int_equal(t.url_count, 1);
    assert_string_equal(t.urls[0], "https://plane.example.org:7443");
    assert_int_equal(t.ca[1], 0x11);
    for (int r = 0; r < ROLE_COUNT; r++) {
        assert_int_equal(t.roles[r].keyid[30], 0xa + r);
        assert_int_equal(t.roles[r].point[0], 4);
        assert_int_equal(t.roles[r].point[1], r << 4);
    }
    assert_int_equal(t.host_count, 1);
    assert_string_equal(t.hosts[0].server, SERVER);
    assert_int_equal(t.hosts[0].seal[1], 3 << 4);
}

static void takes_only_what_was_verified_as_trust(void **state)
{
    (void)state;
    struct trust_doc t;
    struct error err;
    for (enum document_type type = DOCUMENT_MANIFEST; type <= DOCUMENT_ORDER; type++) {
        assert_int_equal(decode_as(type, text_bytes(sample), &t, &err), -1);
        assert_string_equal(err.code, "E_TYPE");
    }
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    AUTO_TRUST_DOC struct trust_doc t, again;
    AUTO_BUF struct buf out = BUF(1 << 18), twice = BUF(1 << 18);
    struct error err;
    assert_int_equal(trust_doc_check(text_bytes(sample), &t, &err), 0);
    assert_int_equal(trust_doc_encode(&t, &out, &err), 0);
    assert_int_equal(decode_as(DOCUMENT_TRUST, buf_view(&out), &again, &err), 0);
    assert_int_equal(trust_doc_encode(&again, &twice, &err), 0);
    assert_string_equal(buf_text(&out), buf_text(&twice));
    assert_memory_equal(t.roles, again.roles, sizeof t.roles);
    assert_memory_equal(t.hosts, again.hosts, sizeof *t.hosts);
    t.roles[1] = t.roles[0];
    size_t before = out.size;
    assert_int_equal(trust_doc_encode(&t, &out, &err), -1);
    assert_int_equal(out.size, before);
    t.url_count = TRUST_URLS_MAX + 1;
    assert_int_equal(trust_doc_encode(&t, &out, &err), -1);
}

/* TUF-23 and the limits of this version. */
static void a_role_has_one_key_and_threshold_one(void **state)
{
    (void)state;
    const char *root = "\"root\":" ROLE("a");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[\"" ID("a") "\",\"" ID("b") "\"],\"threshold\":1}",
            "E_UNSUPPORTED", "roles.root.keyids");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[\"" ID("a") "\",\"" ID("b") "\"],\"threshold\":2}",
            "E_UNSUPPORTED", "roles.root.keyids");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[\"" ID("a") "\",\"" ID("b") "\"],\"threshold\":3}",
            "E_MEMBER", "roles.root.threshold");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[\"" ID("a") "\"],\"threshold\":2}", "E_MEMBER",
            "roles.root.threshold");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[\"" ID("a") "\"],\"threshold\":0}", "E_MEMBER",
            "roles.root.threshold");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[\"" ID("a") "\"],\"threshold\":-1}", "E_MEMBER",
            "roles.root.threshold");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[],\"threshold\":1}", "E_MEMBER",
            "roles.root.keyids");
    refuses(try_trust, sample, root, "\"root\":{\"keyids\":[\"" ID("d") "\"],\"threshold\":1}", "E_MEMBER",
            "is not among keys");
    refuses(try_trust, sample, root, "\"Root\":" ROLE("a"), "E_MEMBER", "roles.root: is missing");
}

static void the_three_keys_differ(void **state)
{
    (void)state;
    refuses(try_trust, sample, "\"manifest\":" ROLE("b"), "\"manifest\":" ROLE("a"), "E_TRUST_ROLES",
            "roles.manifest");
    refuses(try_trust, sample, "\"order\":" ROLE("c"), "\"order\":" ROLE("b"), "E_TRUST_ROLES", "roles.order");
    /* One key under two names is one key. */
    refuses(try_trust, sample, POINT("C"), POINT("A"), "E_TRUST_ROLES", "roles.order");
}

static void keys_are_uncompressed_points(void **state)
{
    (void)state;
    refuses(try_trust, sample, POINT("A"), "AA" ZEROS_63 "=", "E_MEMBER", "uncompressed");
    refuses(try_trust, sample, POINT("A"), BYTES_64, "E_MEMBER", "base64 of 65 bytes");
    refuses(try_trust, sample, POINT("D"), BYTES_32, "E_MEMBER", "hosts[0].seal");
    refuses(try_trust, sample, "\"" ID("a") "\":", "\"abc\":", "E_MEMBER", "64 lower-case hex digits");
}

static void the_plane_is_reached_directly_by_https(void **state)
{
    (void)state;
    const char *urls = "[\"https://plane.example.org:7443\"]";
    refuses(try_trust, sample, "direct", "proxied", "E_UNSUPPORTED", "plane.mode");
    refuses(try_trust, sample, urls, "[]", "E_MEMBER", "plane.urls");
    refuses(try_trust, sample, urls, "[\"http://plane.example.org:7443\"]", "E_MEMBER", "plane.urls[0]");
    accepts(try_trust, sample, urls, "[\"https://a:1\",\"https://b:1\",\"https://c:1\",\"https://d:1\"]");
    refuses(try_trust, sample, urls,
            "[\"https://a:1\",\"https://b:1\",\"https://c:1\",\"https://d:1\",\"https://e:1\"]", "E_MEMBER",
            "plane.urls");
    refuses(try_trust, sample, "000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e", "E_MEMBER",
            "plane.id");
    refuses(try_trust, sample, "\"ca\":\"" DIGEST "\"", "\"ca\":\"\"", "E_MEMBER", "plane.ca");
}

static void expires_after_it_was_issued(void **state)
{
    (void)state;
    refuses(try_trust, sample, "2027-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "E_MEMBER", "expires");
    refuses(try_trust, sample, "2027-11-22T00:00:00Z", "2026-11-21T23:59:59Z", "E_MEMBER", "expires");
    accepts(try_trust, sample, "2027-11-22T00:00:00Z", "2026-11-22T00:00:00.001Z");
    refuses(try_trust, sample, "2027-11-22T00:00:00Z", "2027-02-29T00:00:00Z", "E_MEMBER", "expires");
}

static void bounds_hosts_and_keys(void **state)
{
    (void)state;
    for (size_t n = TRUST_HOSTS_MAX - 1; n <= TRUST_HOSTS_MAX + 1; n++) {
        char *items = repeated(n, "{\"server\":\"srv_%016zx\",\"seal\":\"" POINT("D") "\"}");
        if (n <= TRUST_HOSTS_MAX)
            accepts(try_trust, sample, "{\"server\":\"" SERVER "\",\"seal\":\"" POINT("D") "\"}", items);
        else
            refuses(try_trust, sample, "{\"server\":\"" SERVER "\",\"seal\":\"" POINT("D") "\"}", items,
                    "E_MEMBER", "hosts");
        free(items);
    }
    accepts(try_trust, sample, "{\"server\":\"" SERVER "\",\"seal\":\"" POINT("D") "\"}", "");
    refuses(try_trust, sample, "[{\"server\"",
            "[{\"server\":\"" SERVER "\",\"seal\":\"" POINT("E") "\"},{\"server\"", "E_MEMBER",
            "hosts[1].server: is there twice");
    for (size_t n = TRUST_KEYS_MAX - 4; n <= TRUST_KEYS_MAX - 2; n++) {
        char *items = repeated(n, "\"%064zx\":\"" POINT("F") "\""), all[8192];
        snprintf(all, sizeof all, "\"keys\":{%s,", items);
        if (n + 3 <= TRUST_KEYS_MAX)
            accepts(try_trust, sample, "\"keys\":{", all);
        else
            refuses(try_trust, sample, "\"keys\":{", all, "E_MEMBER", "keys");
        free(items);
    }
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    refuses_every_prefix(try_trust, sample);
    assert_in_range(survives_every_flipped_bit(try_trust, sample), 1, sizeof sample * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys_plane_and_hosts),
        cmocka_unit_test(takes_only_what_was_verified_as_trust),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(a_role_has_one_key_and_threshold_one),
        cmocka_unit_test(the_three_keys_differ),
        cmocka_unit_test(keys_are_uncompressed_points),
        cmocka_unit_test(the_plane_is_reached_directly_by_https),
        cmocka_unit_test(expires_after_it_was_issued),
        cmocka_unit_test(bounds_hosts_and_keys),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
