/* SPDX-License-Identifier: Apache-2.0
 *
 * What handlers share.
 */
#include "server/services.h"

signet_status sg_exchange_append(struct sg_exchange *exchange, const ProtobufCMessage *part)
{
    if (part->descriptor != exchange->reply_type) {
        return sg_rpc_fail(&exchange->error, SIGNET_INTERNAL, "WRONG_REPLY",
                           "the handler answered with another message than the method's");
    }
    signet_status status = sg_reply_append(&exchange->reply, part);
    if (status == SIGNET_OUT_OF_RANGE) {
        return sg_rpc_fail(&exchange->error, SIGNET_RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE",
                           "the response would be larger than %u bytes; ask for less at once",
                           SG_MAX_RESPONSE_FRAME);
    }
    return status == SIGNET_OK ? SIGNET_OK : sg_exchange_no_memory(exchange);
}

signet_status sg_exchange_check_deadline(struct sg_exchange *exchange)
{
    const struct sg_service *service = exchange->service;
    if (service->is_stopping != NULL && service->is_stopping(service->stats_context)) {
        return sg_rpc_fail(&exchange->error, SIGNET_UNAVAILABLE, "STOPPING",
                           "the daemon stops; try again");
    }
    uint64_t now_ms = exchange->now.mono_ms;
    if (service->read_mono_ms != NULL) {
        now_ms = service->read_mono_ms();
    }
    if (now_ms < exchange->deadline_ms) {
        return SIGNET_OK;
    }
    return sg_rpc_fail(&exchange->error, SIGNET_DEADLINE_EXCEEDED, "DEADLINE_PASSED",
                       "the deadline passed before the work was done");
}

signet_status sg_exchange_no_memory(struct sg_exchange *exchange)
{
    return sg_rpc_fail(&exchange->error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                       "the daemon is out of memory");
}
