/* SPDX-License-Identifier: Apache-2.0
 *
 * nng's SP REQ/REP over IPC mapping, as bytes. Both sides first send eight bytes, 00 'S' 'P' 00 |
 * protocol u16 BE | 00 00; then messages: 01 | length u64 BE | request id u32 BE, top bit set | body.
 * The length counts the id and the body. Pure functions; no I/O.
 */
#ifndef SG_SP_H
#define SG_SP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_SP_REQ0          0x0030u
#define SG_SP_REP0          0x0031u
#define SG_SP_HANDSHAKE_LEN 8u
#define SG_SP_HEADER_LEN    13u /* marker, length and request id */
#define SG_SP_ID_LEN        4u

/* sg_sp_handshake writes the greeting of a side that speaks protocol. */
void sg_sp_handshake(uint16_t protocol, uint8_t out[SG_SP_HANDSHAKE_LEN]);

/* sg_sp_handshake_ok says whether the first eight bytes are the greeting of protocol. */
bool sg_sp_handshake_ok(const uint8_t bytes[SG_SP_HANDSHAKE_LEN], uint16_t protocol);

/* sg_sp_header writes the header of a message with a body of body_len bytes. */
void sg_sp_header(uint32_t request_id, size_t body_len, uint8_t out[SG_SP_HEADER_LEN]);

enum sg_sp_parse {
    SG_SP_BAD = 0, /* not a message, too long, or an id without its top bit: close the connection */
    SG_SP_MORE = 1, /* more bytes are needed; message.total_len is set once it is known, else 0 */
    SG_SP_MESSAGE = 2
};

struct sg_sp_message {
    uint32_t request_id;
    const uint8_t *body; /* into the parsed bytes */
    size_t body_len;
    size_t total_len; /* header and body: how far to advance */
};

/* sg_sp_parse looks at the start of bytes. max_payload bounds id and body together. */
enum sg_sp_parse sg_sp_parse(const uint8_t *bytes, size_t len, size_t max_payload,
                             struct sg_sp_message *message);

#endif
