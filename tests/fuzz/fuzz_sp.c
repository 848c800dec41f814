/* SPDX-License-Identifier: Apache-2.0
 *
 * The framing: whatever the bytes, a message lies within them, within its limit, and parses the same
 * when it arrives piece by piece.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/sp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

/* The answer for a message must not depend on how much of what follows it has come. */
static void fuzz_prefixes(const uint8_t *data, size_t size, enum sg_sp_parse whole)
{
    struct sg_sp_message message;
    size_t max = size < 64 ? size : 64;
    enum sg_sp_parse before = SG_SP_MORE;
    for (size_t len = 0; len < max; len++) {
        enum sg_sp_parse now = sg_sp_parse(data, len, SG_MAX_REQUEST_FRAME, &message);
        fuzz_check(before == SG_SP_MORE || now == before);
        before = now;
    }
    fuzz_check(before == SG_SP_MORE || before == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= SG_SP_HANDSHAKE_LEN) {
        uint8_t greeting[SG_SP_HANDSHAKE_LEN];
        sg_sp_handshake(SG_SP_REQ0, greeting);
        fuzz_check(sg_sp_handshake_ok(data, SG_SP_REQ0) ==
                   (memcmp(data, greeting, sizeof(greeting)) == 0));
    }
    size_t offset = 0;
    struct sg_sp_message message;
    enum sg_sp_parse parsed;
    while ((parsed = sg_sp_parse(data + offset, size - offset, SG_MAX_REQUEST_FRAME, &message)) ==
           SG_SP_MESSAGE) {
        fuzz_prefixes(data + offset, size - offset, parsed);
        fuzz_check(message.body == data + offset + SG_SP_HEADER_LEN);
        fuzz_check(message.total_len == SG_SP_HEADER_LEN + message.body_len);
        fuzz_check(message.total_len <= size - offset);
        fuzz_check(message.body_len + SG_SP_ID_LEN <= SG_MAX_REQUEST_FRAME);
        uint8_t header[SG_SP_HEADER_LEN];
        sg_sp_header(message.request_id, message.body_len, header);
        fuzz_check(memcmp(header, data + offset, sizeof(header)) == 0);
        offset += message.total_len;
    }
    fuzz_prefixes(data + offset, size - offset, parsed);
    return 0;
}
