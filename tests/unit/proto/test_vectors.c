/* proto/vectors, made by make.mjs with another language's crypto and JSON, against our decoders. */
#include "base/encode.h"
#include "proto/enrol.h"
#include "proto/env_doc.h"
#include "proto/event.h"
#include "proto/manifest.h"
#include "proto/token.h"
#include "proto/trust_doc.h"
#include "vector_file.h"

static int decode_document(const char *kind, struct bytes text, struct error *err)
{
    AUTO_MANIFEST struct manifest m = {0};
    AUTO_TRUST_DOC struct trust_doc t = {0};
    AUTO_ENV_DOC struct env_doc e = {0};
    AUTO_ENV_VALUES struct env_values v = {0};
    struct order o;
    if (strcmp(kind, "manifest") == 0)
        return manifest_check(text, &m, err);
    if (strcmp(kind, "trust") == 0)
        return trust_doc_check(text, &t, err);
    if (strcmp(kind, "env") == 0)
        return env_doc_check(text, &e, err);
    if (strcmp(kind, "order") == 0)
        return order_check(text, &o, err);
    if (strcmp(kind, "env-values") == 0)
        return env_values_decode(text, &v, err);
    fail_msg("unknown kind %s", kind);
    return -1;
}

static int decode(const char *kind, struct bytes text, struct error *err)
{
    AUTO_MESSAGE struct message m = {0};
    AUTO_ENVELOPE struct envelope e = {0};
    AUTO_EVENT struct event v = {0};
    AUTO_ENROL_REQUEST struct enrol_request q = {0};
    AUTO_ENROL_RESPONSE struct enrol_response r = {0};
    if (strcmp(kind, "envelope") == 0)
        return envelope_decode(text, &e, err);
    if (strcmp(kind, "event") == 0)
        return event_decode(text, &v, err);
    if (strcmp(kind, "enrol-request") == 0)
        return enrol_request_decode(text, &q, err);
    if (strcmp(kind, "enrol-response") == 0)
        return enrol_response_decode(text, &r, err);
    for (enum message_type t = MESSAGE_HELLO; t <= MESSAGE_ERROR; t++) {
        if (strcmp(kind, message_type_name(t)) == 0) {
            int rc = message_decode(text, &m, err);
            if (rc == 0)
                assert_int_equal(m.type, t);
            return rc;
        }
    }
    return decode_document(kind, text, err);
}

static void try_all(const char *file, bool accepted, int least)
{
    AUTO_JSON cJSON *list = read_json(file);
    const cJSON *item;
    int count = 0;
    cJSON_ArrayForEach(item, list)
    {
        struct error err = {0};
        int rc = decode(text_of(item, "kind"), text_bytes(text_of(item, "text")), &err);
        if (accepted && rc != 0)
            fail_msg("%s, %s: %s", file, text_of(item, "name"), err.text);
        if (!accepted && (rc != -1 || strcmp(err.code, text_of(item, "code")) != 0))
            fail_msg("%s, %s: %d %s %s", file, text_of(item, "name"), rc, err.code, err.text);
        count++;
    }
    assert_true(count >= least);
}

static void accepts_what_others_wrote(void **state)
{
    (void)state;
    try_all("documents-accepted.json", true, 11);
    try_all("messages-accepted.json", true, 15);
    try_all("events-accepted.json", true, 6);
}

static void refuses_with_the_code_that_is_written(void **state)
{
    (void)state;
    try_all("documents-refused.json", false, 33);
    try_all("envelopes-refused.json", false, 8);
    try_all("messages-refused.json", false, 20);
    try_all("events-refused.json", false, 3);
}

static void envelopes_hold_the_payloads(void **state)
{
    (void)state;
    for (enum document_type t = DOCUMENT_TRUST; t <= DOCUMENT_ORDER; t++) {
        char name[64];
        AUTO_BUF struct buf text = BUF(ENVELOPE_MAX), payload = BUF(PAYLOAD_MAX);
        AUTO_ENVELOPE struct envelope e;
        struct error err;
        snprintf(name, sizeof name, "envelope/%s.json", document_type_name(t));
        read_file(name, &text);
        snprintf(name, sizeof name, "payload/%s.json", document_type_name(t));
        read_file(name, &payload);
        if (envelope_decode(buf_view(&text), &e, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(e.type, t);
        assert_string_equal(buf_text(&e.payload), buf_text(&payload));
        assert_int_equal(e.signature_count, 1);
        assert_false(e.signatures[0].malformed);
        assert_true(e.signatures[0].has_keyid);
        assert_int_equal(decode_document(document_type_name(t), buf_view(&payload), &err), 0);
    }
}

static void unhex(const char *hex, struct buf *out)
{
    size_t n = strlen(hex) / 2;
    assert_int_equal(buf_reserve(out, n, NULL), 0);
    assert_int_equal(hex_decode(hex, n * 2, out->data, n), 0);
    out->size = n;
}

static void data_frames_mean_what_is_written(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = read_json("data.json");
    const cJSON *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(tree, "accepted"))
    {
        AUTO_BUF struct buf message = BUF(1024), bytes = BUF(1024);
        struct data_frame frame;
        uint8_t head[DATA_HEADER_SIZE];
        unhex(text_of(item, "hex"), &message);
        unhex(text_of(item, "bytes"), &bytes);
        assert_int_equal(data_decode(buf_view(&message), &frame, NULL), 0);
        assert_true((double)frame.handle == cJSON_GetObjectItemCaseSensitive(item, "handle")->valuedouble);
        assert_true((double)frame.offset == cJSON_GetObjectItemCaseSensitive(item, "offset")->valuedouble);
        assert_int_equal(frame.final, cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "final")));
        assert_int_equal(frame.bytes.size, bytes.size);
        assert_memory_equal(frame.bytes.data, bytes.data, bytes.size);
        data_encode_header(&frame, head);
        assert_memory_equal(head, message.data, sizeof head);
        count++;
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(tree, "refused"))
    {
        AUTO_BUF struct buf message = BUF(1024);
        struct data_frame frame;
        unhex(item->valuestring, &message);
        assert_int_equal(data_decode(buf_view(&message), &frame, NULL), -1);
        count++;
    }
    assert_int_equal(count, 11);
}

static void the_token_is_the_same_both_ways(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = read_json("token.json");
    AUTO_TOKEN struct token t;
    char hex[65], text[TOKEN_TEXT_SIZE];
    assert_int_equal(token_decode(text_of(tree, "token"), &t, NULL), 0);
    assert_string_equal(t.server, text_of(tree, "server"));
    assert_string_equal(t.url, text_of(tree, "url"));
    hex_encode(t.secret, 32, hex);
    assert_string_equal(hex, text_of(tree, "secret"));
    hex_encode(t.ca, 32, hex);
    assert_string_equal(hex, text_of(tree, "ca"));
    hex_encode(t.trust, 32, hex);
    assert_string_equal(hex, text_of(tree, "trust"));
    assert_int_equal(token_encode(&t, text, NULL), 0);
    assert_string_equal(text, text_of(tree, "token"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_others_wrote),
        cmocka_unit_test(refuses_with_the_code_that_is_written),
        cmocka_unit_test(envelopes_hold_the_payloads),
        cmocka_unit_test(data_frames_mean_what_is_written),
        cmocka_unit_test(the_token_is_the_same_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
