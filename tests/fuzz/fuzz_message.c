/* Control messages, data frames, events and enrolments. What decodes must encode, and decode again. */
#include <stdlib.h>
#include <string.h>

#include "proto/enrol.h"
#include "proto/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void message_round(struct bytes text)
{
    AUTO_MESSAGE struct message m = {0}, again = {0};
    AUTO_BUF struct buf out = BUF(2 * MESSAGE_MAX);
    struct error err;
    if (message_decode(text, &m, &err) < 0 || m.type == MESSAGE_UNKNOWN)
        return;
    if (message_encode(&m, &out, &err) < 0 || message_decode(buf_view(&out), &again, &err) < 0 ||
        again.type != m.type)
        abort();
}

static void event_round(struct bytes line)
{
    AUTO_EVENT struct event e = {0};
    AUTO_BUF struct buf out = BUF(2 * EVENT_MAX);
    struct error err;
    if (event_decode(line, &e, &err) == 0 && event_encode(&e, &out, &err) < 0 &&
        strcmp(err.code, "E_TOO_LARGE") != 0)
        abort();
}

static void enrol_round(struct bytes text)
{
    AUTO_ENROL_REQUEST struct enrol_request q = {0};
    AUTO_ENROL_RESPONSE struct enrol_response r = {0};
    AUTO_BUF struct buf out = BUF(2 * ENROL_RESPONSE_MAX);
    struct error err;
    if (enrol_request_decode(text, &q, &err) == 0 && enrol_request_encode(&q, &out, &err) < 0 &&
        strcmp(err.code, "E_TOO_LARGE") != 0)
        abort();
    buf_free(&out);
    if (enrol_response_decode(text, &r, &err) == 0 && enrol_response_encode(&r, &out, &err) < 0 &&
        strcmp(err.code, "E_TOO_LARGE") != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = {data, size};
    struct data_frame frame;
    message_round(all);
    event_round(all);
    enrol_round(all);
    if (data_decode(all, &frame, NULL) == 0) {
        uint8_t head[DATA_HEADER_SIZE];
        data_encode_header(&frame, head);
        if (memcmp(head, data, sizeof head) != 0)
            abort();
    }
    return 0;
}
