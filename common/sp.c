/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of nng's SP REQ/REP over IPC mapping. Reads a peer's lengths and never obeys them:
 * nothing is added to a length before it was compared with its bound.
 */
#include "common/sp.h"

#include <string.h>

#define SP_MARKER     0x01u
#define SP_LENGTH_LEN 9u /* marker and length */
#define SP_ID_TOP_BIT 0x80000000u

static void sp_put_be(uint64_t value, uint8_t *out, size_t len)
{
    for (size_t i = len; i > 0; i--) {
        out[i - 1] = (uint8_t)(value & 0xffu);
        value >>= 8;
    }
}

static uint64_t sp_get_be(const uint8_t *bytes, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

void sg_sp_handshake(uint16_t protocol, uint8_t out[SG_SP_HANDSHAKE_LEN])
{
    out[0] = 0;
    out[1] = 'S';
    out[2] = 'P';
    out[3] = 0;
    sp_put_be(protocol, out + 4, 2);
    out[6] = 0;
    out[7] = 0;
}

bool sg_sp_handshake_ok(const uint8_t bytes[SG_SP_HANDSHAKE_LEN], uint16_t protocol)
{
    uint8_t expected[SG_SP_HANDSHAKE_LEN];
    sg_sp_handshake(protocol, expected);
    return memcmp(bytes, expected, sizeof(expected)) == 0;
}

void sg_sp_header(uint32_t request_id, size_t body_len, uint8_t out[SG_SP_HEADER_LEN])
{
    out[0] = SP_MARKER;
    sp_put_be((uint64_t)body_len + SG_SP_ID_LEN, out + 1, 8);
    sp_put_be(request_id, out + SP_LENGTH_LEN, SG_SP_ID_LEN);
}

enum sg_sp_parse sg_sp_parse(const uint8_t *bytes, size_t len, size_t max_payload,
                             struct sg_sp_message *message)
{
    memset(message, 0, sizeof(*message));
    if (len > 0 && bytes[0] != SP_MARKER) {
        return SG_SP_BAD;
    }
    if (len < SP_LENGTH_LEN) {
        return SG_SP_MORE;
    }
    uint64_t payload_len = sp_get_be(bytes + 1, 8);
    if (payload_len < SG_SP_ID_LEN || payload_len > max_payload ||
        payload_len > SIZE_MAX - SP_LENGTH_LEN) {
        return SG_SP_BAD;
    }
    if (len >= SG_SP_HEADER_LEN) {
        message->request_id = (uint32_t)sp_get_be(bytes + SP_LENGTH_LEN, SG_SP_ID_LEN);
        if ((message->request_id & SP_ID_TOP_BIT) == 0) {
            return SG_SP_BAD;
        }
    }
    message->total_len = SP_LENGTH_LEN + (size_t)payload_len;
    if (len < message->total_len) {
        return SG_SP_MORE;
    }
    message->body = bytes + SG_SP_HEADER_LEN;
    message->body_len = (size_t)payload_len - SG_SP_ID_LEN;
    return SG_SP_MESSAGE;
}
