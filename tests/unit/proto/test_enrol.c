#include "proto/enrol.h"
#include "proto_test.h"

static const char request[] = "{\"token\":\"" DIGEST "\",\"server\":\"" SERVER
                              "\",\"csr\":\"-----BEGIN CERTIFICATE REQUEST-----\\n\",\"seal\":\"" POINT(
                                  "A") "\","
                                       "\"hostname\":\"vps.example.org\",\"version\":\"0.1.0\"}";
static const char response[] =
    "{\"server\":\"" SERVER
    "\",\"certificate\":\"-----BEGIN CERTIFICATE-----\\n\",\"plane\":\"000102030405060708090a0b0c0d0e0f\","
    "\"trust\":{\"payloadType\":\"application/"
    "vnd.klystrr.trust.v1+json\",\"payload\":\"e30=\",\"signatures\":[{\"sig\":\"" BYTES_64 "\"}]}}";

static int try_request(struct bytes text, struct error *err)
{
    struct enrol_request r;
    int rc = enrol_request_decode(text, &r, err);
    if (rc == 0)
        enrol_request_free(&r);
    return rc;
}

static int try_response(struct bytes text, struct error *err)
{
    struct enrol_response r;
    int rc = enrol_response_decode(text, &r, err);
    if (rc == 0)
        enrol_response_free(&r);
    return rc;
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    AUTO_ENROL_REQUEST struct enrol_request q;
    AUTO_ENROL_RESPONSE struct enrol_response r;
    AUTO_WIPE struct buf out = BUF(ENROL_RESPONSE_MAX);
    struct error err;
    assert_int_equal(enrol_request_decode(text_bytes(request), &q, &err), 0);
    assert_int_equal(q.token[1], 0x11);
    assert_string_equal(q.hostname, "vps.example.org");
    assert_int_equal(enrol_request_encode(&q, &out, &err), 0);
    assert_string_equal(buf_text(&out), request);
    buf_free(&out);
    assert_int_equal(enrol_response_decode(text_bytes(response), &r, &err), 0);
    assert_string_equal(buf_text(&r.trust.payload), "{}");
    assert_int_equal(enrol_response_encode(&r, &out, &err), 0);
    assert_string_equal(buf_text(&out), response);
}

static void refuses_wrong_members(void **state)
{
    (void)state;
    refuses(try_request, request, DIGEST, "00", "E_MEMBER", "token");
    refuses(try_request, request, SERVER, "x", "E_MEMBER", "server");
    refuses(try_request, request, "vps.example.org", "a b", "E_MEMBER", "hostname");
    refuses(try_request, request, "vps.example.org", "", "E_MEMBER", "hostname");
    refuses(try_request, request, "0.1.0", "0.1.0\\u001b", "E_MEMBER", "version");
    refuses(try_request, request, "\"csr\"", "\"CSR\"", "E_MEMBER", "csr: is missing");
    refuses(try_request, request, POINT("A"), BYTES_32, "E_MEMBER", "seal");
    refuses(try_response, response, "trust.v1", "order.v1", "E_TYPE", "trust");
    refuses(try_response, response, "\"e30=\"", "\"e30\"", "E_ENVELOPE", "trust.payload");
    refuses(try_response, response, "000102", "0001", "E_MEMBER", "plane");
    refuses(try_response, response, "\"certificate\"", "\"cert\"", "E_MEMBER", "certificate: is missing");
    for (size_t n = MESSAGE_PEM_MAX - 1; n <= MESSAGE_PEM_MAX + 1; n++) {
        char *pem = letters(n, 'A');
        if (n <= MESSAGE_PEM_MAX)
            accepts(try_request, request, "-----BEGIN CERTIFICATE REQUEST-----\\n", pem);
        else
            refuses(try_request, request, "-----BEGIN CERTIFICATE REQUEST-----\\n", pem, "E_MEMBER", "csr");
        free(pem);
    }
}

static void refuses_to_write_what_it_would_refuse(void **state)
{
    (void)state;
    AUTO_ENROL_REQUEST struct enrol_request q;
    AUTO_ENROL_RESPONSE struct enrol_response r;
    AUTO_WIPE struct buf out = BUF(ENROL_RESPONSE_MAX);
    struct error err;
    assert_int_equal(enrol_request_decode(text_bytes(request), &q, &err), 0);
    strcpy(q.hostname, "a b");
    assert_int_equal(enrol_request_encode(&q, &out, &err), -1);
    assert_string_equal(err.code, "E_MEMBER");
    assert_int_equal(out.size, 0);
    assert_int_equal(enrol_response_decode(text_bytes(response), &r, &err), 0);
    r.plane[3] = 'X';
    assert_int_equal(enrol_response_encode(&r, &out, &err), -1);
    r.trust.signature_count = 0;
    assert_int_equal(enrol_response_encode(&r, &out, &err), -1);
    assert_string_equal(err.code, "E_ENVELOPE");
    assert_int_equal(out.size, 0);
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    refuses_every_prefix(try_request, request);
    refuses_every_prefix(try_response, response);
    assert_in_range(survives_every_flipped_bit(try_request, request), 1, sizeof request * 8);
    assert_in_range(survives_every_flipped_bit(try_response, response), 1, sizeof response * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(refuses_wrong_members),
        cmocka_unit_test(refuses_to_write_what_it_would_refuse),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
