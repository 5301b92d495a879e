#include "proto/message.h"

#define KIND_DATA  1
#define FLAG_FINAL 1

static void put_big_endian(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, value >>= 8)
        out[i] = (uint8_t)value;
}

static uint64_t get_big_endian(const uint8_t *in, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

void data_encode_header(const struct data_frame *frame, uint8_t *out)
{
    out[0] = KIND_DATA;
    out[1] = frame->final ? FLAG_FINAL : 0;
    put_big_endian(out + 2, 0, 2);
    put_big_endian(out + 4, frame->handle, 4);
    put_big_endian(out + 8, frame->offset, 8);
}

int data_decode(struct bytes message, struct data_frame *out, struct error *err)
{
    *out = (struct data_frame){0};
    if (message.size < DATA_HEADER_SIZE || message.size > DATA_HEADER_SIZE + DATA_BYTES_MAX)
        return fail(err, "E_DATA", "a data message has %d to %d bytes, not %zu", DATA_HEADER_SIZE,
                    DATA_HEADER_SIZE + DATA_BYTES_MAX, message.size);
    const uint8_t *head = message.data;
    if (head[0] != KIND_DATA || (head[1] & ~FLAG_FINAL) != 0 || head[2] != 0 || head[3] != 0)
        return fail(err, "E_DATA", "a data message of kind %u with flags %u is not known", head[0], head[1]);
    uint64_t handle = get_big_endian(head + 4, 4), offset = get_big_endian(head + 8, 8);
    size_t size = message.size - DATA_HEADER_SIZE;
    if (handle < 1 || handle > MESSAGE_HANDLE_MAX)
        return fail(err, "E_DATA", "a handle is 1 to 2147483647");
    if (offset > DATA_OFFSET_MAX - size)
        return fail(err, "E_DATA", "a stream ends before 2^53");
    *out = (struct data_frame){.handle = (uint32_t)handle,
                               .offset = offset,
                               .final = (head[1] & FLAG_FINAL) != 0,
                               .bytes = {head + DATA_HEADER_SIZE, size}};
    return 0;
}
