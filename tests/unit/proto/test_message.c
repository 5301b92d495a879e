#include "proto/message.h"
#include "proto_test.h"

#define ENVELOPE                                                                                               \
    "{\"payloadType\":\"application/"                                                                          \
    "vnd.klystrr.order.v1+json\",\"payload\":\"e30=\",\"signatures\":[{\"keyid\":\"" DIGEST                    \
    "\",\"sig\":\"" BYTES_64 "\"}]}"

static const char hello[] =
    "{\"type\":\"hello\",\"server\":\"" SERVER
    "\",\"version\":\"0.1.0\",\"features\":[\"want\",\"seal-v1\"],\"box_level\":2,"
    "\"challenge\":\"" BYTES_32 "\",\"wall\":\"2026-11-22T00:41:54.123Z\",\"trust\":1,\"seal\":\"" POINT(
        "A") "\","
             "\"projects\":[{\"project\":\"shop\",\"manifest\":{\"version\":3,\"digest\":\"" DIGEST
             "\"},\"env\":null,\"sequence\":12},"
             "{\"project\":\"blog\",\"manifest\":null,\"env\":{\"version\":7,\"digest\":\"" DIGEST
             "\"},\"sequence\":0}],"
             "\"streams\":[{\"name\":\"events\",\"base\":0,\"end\":10,\"closed\":false},{\"name\":"
             "\"log/" DEPLOYMENT "\",\"base\":5,\"end\":5,\"closed\":true}]}";
static const char welcome[] = "{\"type\":\"welcome\",\"plane\":\"000102030405060708090a0b0c0d0e0f\",\"epoch\":"
                              "\"0f0e0d0c0b0a09080706050403020100\","
                              "\"heartbeat\":20,\"streams\":[{\"name\":\"events\",\"from\":10}]}";

static const char *const samples[] = {
    hello,
    welcome,
    "{\"type\":\"open\",\"handle\":7,\"name\":\"log/" DEPLOYMENT "\",\"from\":4096}",
    "{\"type\":\"ack\",\"name\":\"events\",\"offset\":9007199254740991}",
    "{\"type\":\"want\",\"what\":\"challenge\"}",
    "{\"type\":\"want\",\"what\":\"trust\",\"version\":2}",
    "{\"type\":\"want\",\"what\":\"manifest\",\"digest\":\"" DIGEST "\"}",
    "{\"type\":\"want\",\"what\":\"env\",\"digest\":\"" DIGEST "\"}",
    "{\"type\":\"document\",\"envelope\":" ENVELOPE "}",
    "{\"type\":\"cert\",\"csr\":\"-----BEGIN CERTIFICATE REQUEST-----\\nAAAA\\n\"}",
    "{\"type\":\"cert\",\"certificate\":\"-----BEGIN CERTIFICATE-----\\nAAAA\\n\"}",
    "{\"type\":\"goaway\",\"retry_after\":3600}",
    "{\"type\":\"error\",\"code\":\"E_REPLAY\",\"text\":\"sequence 12 was used\",\"about\":\"order\"}",
    "{\"type\":\"error\",\"code\":\"E_REPLAY\",\"text\":\"\"}",
};
#define SAMPLES (sizeof samples / sizeof *samples)

static int try_message(struct bytes text, struct error *err)
{
    struct message m;
    int rc = message_decode(text, &m, err);
    if (rc == 0)
        message_free(&m);
    else
        assert_null(m.tree);
    return rc;
}

static void writes_every_message_as_it_was_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        AUTO_MESSAGE struct message m;
        AUTO_BUF struct buf out = BUF(MESSAGE_MAX);
        struct error err;
        if (message_decode(text_bytes(samples[i]), &m, &err) < 0)
            fail_msg("%s: %s", samples[i], err.text);
        if (message_encode(&m, &out, &err) < 0)
            fail_msg("%s: %s", samples[i], err.text);
        assert_string_equal(buf_text(&out), samples[i]);
    }
}

static void reads_hello(void **state)
{
    (void)state;
    AUTO_MESSAGE struct message m;
    assert_int_equal(message_decode(text_bytes(hello), &m, NULL), 0);
    const struct message_hello *h = &m.as.hello;
    assert_int_equal(m.type, MESSAGE_HELLO);
    assert_string_equal(h->server, SERVER);
    assert_string_equal(h->version, "0.1.0");
    assert_int_equal(h->feature_count, 2);
    assert_string_equal(h->features[1], "seal-v1");
    assert_int_equal(h->box_level, 2);
    assert_int_equal(h->challenge[31], 31);
    assert_true(h->wall == INT64_C(1795308114123));
    assert_int_equal(h->trust, 1);
    assert_int_equal(h->seal[0], 4);
    assert_int_equal(h->project_count, 2);
    assert_int_equal(h->projects[0].manifest.version, 3);
    assert_int_equal(h->projects[0].env.version, 0);
    assert_int_equal(h->projects[0].sequence, 12);
    assert_int_equal(h->projects[1].env.digest[1], 0x11);
    assert_int_equal(h->stream_count, 2);
    assert_int_equal(h->streams[0].end, 10);
    assert_true(h->streams[1].closed);
}

/* PRO-18 */
static void an_unknown_type_is_said_and_is_no_error(void **state)
{
    (void)state;
    AUTO_MESSAGE struct message m;
    struct error err;
    assert_int_equal(message_decode(text_bytes("{\"type\":\"tele\\nport\\u00e9\",\"x\":1}"), &m, &err), 0);
    assert_int_equal(m.type, MESSAGE_UNKNOWN);
    assert_string_equal(m.type_name, "tele?port??");
    message_free(&m);
    assert_int_equal(message_decode(text_bytes("{\"type\":\"unknown\"}"), &m, &err), 0);
    assert_int_equal(m.type, MESSAGE_UNKNOWN);
    message_free(&m);
    char *name = letters(200, 'x'), text[300];
    snprintf(text, sizeof text, "{\"type\":\"%s\"}", name);
    free(name);
    assert_int_equal(message_decode(text_bytes(text), &m, &err), 0);
    assert_int_equal(strlen(m.type_name), 32);
    assert_int_equal(message_encode(&m, &(struct buf){.limit = 100}, &err), -1);
}

static void a_failure_still_tells_the_type(void **state)
{
    (void)state;
    struct message m;
    struct error err;
    assert_int_equal(
        message_decode(text_bytes("{\"type\":\"ack\",\"name\":\"events\",\"offset\":-1}"), &m, &err), -1);
    assert_string_equal(m.type_name, "ack");
    assert_string_equal(err.code, "E_MEMBER");
    assert_string_equal(err.text, "message ack: offset: is -1, must be 0 to 9007199254740991");
    assert_int_equal(message_decode(text_bytes("[]"), &m, &err), -1);
    assert_string_equal(m.type_name, "");
    assert_int_equal(message_decode(text_bytes("{\"Type\":\"ack\"}"), &m, &err), -1);
    assert_int_equal(message_decode(text_bytes("{\"type\":7}"), &m, &err), -1);
}

static void unknown_members_are_ignored(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++)
        accepts(try_message, samples[i], "{", "{\"later\":[{\"x\":1.5}],");
}

static void refuses_wrong_members(void **state)
{
    (void)state;
    static const struct {
        size_t sample;
        const char *from, *to, *where;
    } bad[] = {
        {0, SERVER, "srv_", "server"},
        {0, "\"0.1.0\"", "\"\"", "version"},
        {0, "\"0.1.0\"", "\"0123456789012345678901234567890123\"", "version"},
        {0, "\"want\"", "\"Want\"", "features[0]"},
        {0, "\"want\"", "\"\"", "features[0]"},
        {0, "\"box_level\":2", "\"box_level\":0", "box_level"},
        {0, "\"box_level\":2", "\"box_level\":4", "box_level"},
        {0, BYTES_32, BYTES_64, "challenge"},
        {0, ".123Z", "", "wall"},
        {0, "\"trust\":1", "\"trust\":1.0", "trust"},
        {0, POINT("A"), BYTES_64, "seal"},
        {0, "\"blog\"", "\"shop\"", "projects[1].project: is there twice"},
        {0, "\"sequence\":12", "\"sequence\":-1", "projects[0].sequence"},
        {0, "\"version\":3", "\"version\":0", "projects[0].manifest.version"},
        {0, "\"digest\":\"00", "\"digest\":\"0", "projects[0].manifest.digest"},
        {0, "\"events\"", "\"log/x\"", "streams[0].name"},
        {0, "\"events\"", "\"log/" DEPLOYMENT "\"", "streams[1].name: is there twice"},
        {0, "\"end\":10", "\"end\":\"10\"", "streams[0].end"},
        {0, "\"base\":5", "\"base\":6", "streams[1].end: is before base"},
        {0, "\"closed\":true", "\"closed\":1", "streams[1].closed"},
        {1, "000102", "00010", "plane"},
        {1, "\"heartbeat\":20", "\"heartbeat\":0", "heartbeat"},
        {1, "\"heartbeat\":20", "\"heartbeat\":3601", "heartbeat"},
        {1, "\"from\":10", "\"from\":-10", "streams[0].from"},
        {1, "[{", "[{\"name\":\"events\",\"from\":3},{", "streams[1].name: is there twice"},
        {2, "\"handle\":7", "\"handle\":0", "handle"},
        {2, "\"handle\":7", "\"handle\":2147483648", "handle"},
        {2, "log/dep", "LOG/dep", "name"},
        {5, "\"version\":2", "\"version\":0", "version"},
        {6, "\"manifest\"", "\"order\"", "what"},
        {7, DIGEST, "00", "digest"},
        {8, "\"envelope\":{", "\"envelope\":7,\"x\":{", "envelope"},
        {9, "\"csr\"", "\"CSR\"", "csr or certificate"},
        {9, "{", "{\"certificate\":\"x\",", "csr or certificate"},
        {11, "3600", "3601", "retry_after"},
        {11, "3600", "-1", "retry_after"},
        {12, "E_REPLAY", "e_replay", "code"},
        {12, "\"sequence 12 was used\"", "null", "text"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(try_message, samples[bad[i].sample], bad[i].from, bad[i].to, "E_MEMBER", bad[i].where);
    refuses(try_message, samples[8], "\"payload\":\"e30=\"", "\"payload\":\"e30\"", "E_ENVELOPE",
            "envelope.payload");
    refuses(try_message, samples[8], "order.v1", "order.v2", "E_TYPE", "payload type");
    refuses(try_message, samples[3], "\"offset\"", "\"name\":\"events\",\"offset\"", "E_JSON", "twice");
    accepts(try_message, samples[2], "\"handle\":7", "\"handle\":2147483647");
}

static void bounds_lists(void **state)
{
    (void)state;
    for (size_t n = HELLO_STREAMS_MAX - 1; n <= HELLO_STREAMS_MAX + 1; n++) {
        char *items = repeated(n - 2, "{\"name\":\"log/dep_%016zx\",\"base\":0,\"end\":0,\"closed\":false}"),
             list[8192];
        snprintf(list, sizeof list, "\"streams\":[%s,", items);
        if (n <= HELLO_STREAMS_MAX)
            accepts(try_message, hello, "\"streams\":[", list);
        else
            refuses(try_message, hello, "\"streams\":[", list, "E_MEMBER", "streams");
        free(items);
        items = repeated(n - 2, "{\"project\":\"p%zu\",\"sequence\":0}");
        snprintf(list, sizeof list, "\"projects\":[%s,", items);
        if (n <= HELLO_PROJECTS_MAX)
            accepts(try_message, hello, "\"projects\":[", list);
        else
            refuses(try_message, hello, "\"projects\":[", list, "E_MEMBER", "projects");
        free(items);
        items = repeated(n - 1, "{\"name\":\"log/dep_%016zx\",\"from\":0}");
        snprintf(list, sizeof list, "\"streams\":[%s,", items);
        if (n <= HELLO_STREAMS_MAX)
            accepts(try_message, welcome, "\"streams\":[", list);
        else
            refuses(try_message, welcome, "\"streams\":[", list, "E_MEMBER", "streams");
        free(items);
    }
    for (size_t n = HELLO_FEATURES_MAX - 1; n <= HELLO_FEATURES_MAX + 1; n++) {
        char *items = repeated(n - 2, "\"f%zu\""), list[1024];
        snprintf(list, sizeof list, "\"features\":[%s,", items);
        if (n <= HELLO_FEATURES_MAX)
            accepts(try_message, hello, "\"features\":[", list);
        else
            refuses(try_message, hello, "\"features\":[", list, "E_MEMBER", "features");
        free(items);
    }
}

static void bounds_the_message(void **state)
{
    (void)state;
    for (size_t n = MESSAGE_MAX - 1; n <= MESSAGE_MAX + 1; n++) {
        char *text = letters(n, ' ');
        struct error err;
        memcpy(text, samples[4], strlen(samples[4]));
        assert_int_equal(try_copy(try_message, (const uint8_t *)text, n, &err), n <= MESSAGE_MAX ? 0 : -1);
        free(text);
    }
    for (size_t n = MESSAGE_PEM_MAX - 1; n <= MESSAGE_PEM_MAX + 1; n++) {
        char *pem = letters(n, 'A');
        struct message m = {.type = MESSAGE_CERT, .as.cert.csr = pem};
        AUTO_BUF struct buf out = BUF(MESSAGE_MAX);
        assert_int_equal(message_encode(&m, &out, NULL), n <= MESSAGE_PEM_MAX ? 0 : -1);
        free(pem);
    }
}

static void a_long_error_text_is_cut_at_a_character(void **state)
{
    (void)state;
    for (size_t n = 590; n < 604; n++) {
        char *filler = letters(n, 'x'), text[2048];
        AUTO_MESSAGE struct message m;
        snprintf(text, sizeof text,
                 "{\"type\":\"error\",\"code\":\"E_X\",\"text\":\"%s\xF0\x9D\x84\x9E\xE2\x82\xAC\"}", filler);
        free(filler);
        assert_int_equal(message_decode(text_bytes(text), &m, NULL), 0);
        size_t kept = strlen(m.as.error.text);
        assert_int_equal(kept, n > 599 ? 599 : n + 4 > 599 ? n : n + 7 > 599 ? n + 4 : n + 7);
    }
}

static void refuses_to_write_what_it_would_refuse(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF(MESSAGE_MAX);
    struct message m = {.type = MESSAGE_OPEN, .as.open = {.handle = 1, .name = "nothing"}};
    struct error err;
    assert_int_equal(message_encode(&m, &out, &err), -1);
    assert_int_equal(out.size, 0);
    m = (struct message){.type = MESSAGE_HELLO};
    m.as.hello.stream_count = HELLO_STREAMS_MAX + 1;
    assert_int_equal(message_encode(&m, &out, &err), -1);
    m = (struct message){.type = MESSAGE_DOCUMENT};
    assert_int_equal(message_encode(&m, &out, &err), -1);
    assert_string_equal(err.code, "E_ENVELOPE");
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        refuses_every_prefix(try_message, samples[i]);
        assert_in_range(survives_every_flipped_bit(try_message, samples[i]), 1, strlen(samples[i]) * 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_message_as_it_was_read),
        cmocka_unit_test(reads_hello),
        cmocka_unit_test(an_unknown_type_is_said_and_is_no_error),
        cmocka_unit_test(a_failure_still_tells_the_type),
        cmocka_unit_test(unknown_members_are_ignored),
        cmocka_unit_test(refuses_wrong_members),
        cmocka_unit_test(bounds_lists),
        cmocka_unit_test(bounds_the_message),
        cmocka_unit_test(a_long_error_text_is_cut_at_a_character),
        cmocka_unit_test(refuses_to_write_what_it_would_refuse),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
