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

/* Its process ended, and the next has no keys yet: a matter of some ten milliseconds. */
#define EXCHANGE_KEYHOLDER_RETRY_MS 50u

signet_status sg_exchange_no_keyholder(struct sg_exchange *exchange, signet_status status)
{
    if (status != SIGNET_UNAVAILABLE) {
        return sg_rpc_fail(&exchange->error, SIGNET_INTERNAL, "KEYHOLDER_FAILED",
                           "the keyholder does not take the request");
    }
    status = sg_rpc_fail(&exchange->error, SIGNET_UNAVAILABLE, "KEYHOLDER_DOWN",
                         "the keyholder is starting again; retry");
    exchange->error.retry_after_ms = EXCHANGE_KEYHOLDER_RETRY_MS;
    return status;
}

uint64_t sg_exchange_read_us(const struct sg_exchange *exchange)
{
    const struct sg_service *service = exchange->service;
    return service->read_mono_us != NULL ? service->read_mono_us() : 0;
}

void sg_exchange_count(struct sg_exchange *exchange, const struct sg_metrics_token *token)
{
    if (exchange->sample.num_items <= 1) {
        exchange->sample.token = *token;
    } else {
        sg_metrics_record_token(exchange->service->metrics, exchange->peer.uid, token);
    }
}

signet_status sg_exchange_no_memory(struct sg_exchange *exchange)
{
    return sg_rpc_fail(&exchange->error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                       "the daemon is out of memory");
}
