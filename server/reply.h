/* SPDX-License-Identifier: Apache-2.0
 *
 * A Response of the envelope in the making: room for the caller's framing, then the envelope, in one
 * buffer that is handed on as it is. A payload is written in parts, so that a batch holds one result
 * in memory at a time: the encodings of several messages of one type, one after the other, are the
 * encoding of all of them merged, in which repeated fields run on.
 */
#ifndef SG_REPLY_H
#define SG_REPLY_H

#include <protobuf-c/protobuf-c.h>
#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "signet/rpc/v1/rpc.pb-c.h"

struct sg_rpc_status;

struct sg_reply {
    size_t headroom; /* set this, zero the rest */
    uint8_t *bytes;  /* owned; NULL as long as nothing was written */
    size_t len, cap;
};

/* sg_reply_append adds the encoding of part to the payload. RESOURCE_EXHAUSTED: there is no memory;
 * OUT_OF_RANGE: the response would be above SG_MAX_RESPONSE_FRAME. Nothing was added then. */
signet_status sg_reply_append(struct sg_reply *reply,
                              const ProtobufCMessage *part) SIGNET_MUST_CHECK;

/* sg_reply_finish makes what was appended the payload of a Response. bytes and len are complete then.
 * RESOURCE_EXHAUSTED without memory. */
signet_status sg_reply_finish(struct sg_reply *reply) SIGNET_MUST_CHECK;

/* sg_reply_fail makes it a Response with a Status instead; what was appended is dropped. */
signet_status sg_reply_fail(struct sg_reply *reply,
                            const struct sg_rpc_status *status) SIGNET_MUST_CHECK;

/* sg_reply_status fills a Status; its texts stay those of status. */
void sg_reply_status(const struct sg_rpc_status *status, Signet__Rpc__V1__Status *out);

void sg_reply_fini(struct sg_reply *reply); /* unless bytes was handed on */

/* sg_reply_text and sg_reply_texts put constant text into a message that is to be encoded: protobuf-c's
 * structs know no const. NULL becomes the empty text. */
char *sg_reply_text(const char *text);
char **sg_reply_texts(const char *const *texts);

#endif
