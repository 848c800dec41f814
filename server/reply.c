/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing responses. The envelope around a payload is a tag and a length; they are written by hand
 * once the length is known, since protobuf-c would have the payload copied into place. A test holds
 * the result against protobuf-c's own.
 */
#include "server/reply.h"

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "common/sp.h"

/* Field 1, a run of bytes: Response.payload. */
#define REPLY_PAYLOAD_TAG 0x0au
/* The tag and a length of up to 28 bits. */
#define REPLY_MAX_PREFIX 5u
#define REPLY_MAX_LEN    (SG_MAX_RESPONSE_FRAME - SG_SP_ID_LEN)
_Static_assert(SG_MAX_RESPONSE_FRAME < 1u << 28, "the length must fit the prefix");

/* Where the payload begins until its length is known. */
static size_t reply_payload_at(const struct sg_reply *reply)
{
    return reply->headroom + REPLY_MAX_PREFIX;
}

/* Makes room for extra more bytes; exactly that the first time, as most payloads have one part. */
static signet_status reply_reserve(struct sg_reply *reply, size_t extra)
{
    if (reply->bytes == NULL) {
        reply->len = reply_payload_at(reply);
    }
    size_t needed = reply->len + extra;
    if (needed - reply->headroom > REPLY_MAX_LEN) {
        return SIGNET_OUT_OF_RANGE;
    }
    if (reply->bytes != NULL && needed <= reply->cap) {
        return SIGNET_OK;
    }
    size_t cap = needed > 2 * reply->cap ? needed : 2 * reply->cap;
    uint8_t *bytes = realloc(reply->bytes, cap);
    if (bytes == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    reply->bytes = bytes;
    reply->cap = cap;
    return SIGNET_OK;
}

signet_status sg_reply_append(struct sg_reply *reply, const ProtobufCMessage *part)
{
    size_t len = protobuf_c_message_get_packed_size(part);
    if (len > REPLY_MAX_LEN) {
        return SIGNET_OUT_OF_RANGE;
    }
    signet_status status = reply_reserve(reply, len);
    if (status == SIGNET_OK) {
        reply->len += protobuf_c_message_pack(part, reply->bytes + reply->len);
    }
    return status;
}

signet_status sg_reply_finish(struct sg_reply *reply)
{
    signet_status status = reply_reserve(reply, 0);
    if (status != SIGNET_OK) {
        return status;
    }
    size_t payload_len = reply->len - reply_payload_at(reply);
    uint8_t prefix[REPLY_MAX_PREFIX] = {REPLY_PAYLOAD_TAG};
    size_t prefix_len = 1;
    size_t rest = payload_len;
    while (rest > 0x7f) {
        prefix[prefix_len++] = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    prefix[prefix_len++] = (uint8_t)rest;
    memcpy(reply->bytes + reply->headroom, prefix, prefix_len);
    memmove(reply->bytes + reply->headroom + prefix_len, reply->bytes + reply_payload_at(reply),
            payload_len);
    reply->len = reply->headroom + prefix_len + payload_len;
    return SIGNET_OK;
}

signet_status sg_reply_fail(struct sg_reply *reply, const struct sg_rpc_status *status)
{
    Signet__Rpc__V1__Status message = SIGNET__RPC__V1__STATUS__INIT;
    Signet__Rpc__V1__Response response = SIGNET__RPC__V1__RESPONSE__INIT;
    sg_reply_status(status, &message);
    response.outcome_case = SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS;
    response.status = &message;
    size_t len = signet__rpc__v1__response__get_packed_size(&response);
    uint8_t *bytes = malloc(reply->headroom + len);
    if (bytes == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    free(reply->bytes);
    reply->bytes = bytes;
    reply->len =
        reply->headroom + signet__rpc__v1__response__pack(&response, bytes + reply->headroom);
    reply->cap = reply->len;
    return SIGNET_OK;
}

void sg_reply_status(const struct sg_rpc_status *status, Signet__Rpc__V1__Status *out)
{
    out->code = (uint32_t)status->code;
    out->message = sg_reply_text(status->message);
    out->reason = sg_reply_text(status->reason);
    out->retry_after_ms = status->retry_after_ms;
}

void sg_reply_fini(struct sg_reply *reply)
{
    free(reply->bytes);
    *reply = (struct sg_reply){.headroom = reply->headroom};
}

char *sg_reply_text(const char *text)
{
    const union {
        const char *constant;
        char *plain;
    } same = {.constant = text};
    return same.plain; /* protobuf-c takes NULL for the default, the empty text */
}

char **sg_reply_texts(const char *const *texts)
{
    const union {
        const char *const *constant;
        char **plain;
    } same = {.constant = texts};
    return same.plain;
}
