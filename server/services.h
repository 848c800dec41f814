/* SPDX-License-Identifier: Apache-2.0
 *
 * What a service's handler gets and gives. A handler reads a decoded request, appends its response,
 * and keeps no state of its own between calls; it never sees bytes of the wire or a socket.
 */
#ifndef SG_SERVICES_H
#define SG_SERVICES_H

#include <protobuf-c/protobuf-c.h>

#include "common/arena.h"
#include "common/rpc.h"
#include "server/dispatch.h"
#include "server/keyring.h"
#include "server/metrics.h"
#include "server/reply.h"

struct sg_exchange;

/* What a handler needs of the keyholder. */
struct sg_exchange_wait {
    bool is_allowed;
    struct sg_keyholder_crossing crossing; /* requests, num, bytes, bytes_len, replies */
    /* As the handler itself, once crossing.status is set. NULL: nothing is waited for. */
    signet_status (*resume)(struct sg_exchange *exchange);
    /* Owns what the crossing points to; released in any case, resumed or not. */
    void *job;
    void (*free_job)(void *job);
};

/* One call that is being worked on. */
struct sg_exchange {
    const struct sg_service *service;
    struct sg_keyring *keyring; /* while a handler runs, or waits */
    struct sg_peer peer;
    const char *method;      /* package.Service/Method; static; empty: none that there is */
    const char *traceparent; /* of the caller's span; in the arena; NULL: it gave none */
    struct sg_now now;
    uint64_t begun_us;               /* when it was read, by the service's clock of microseconds */
    uint64_t deadline_ms;            /* CLOCK_MONOTONIC */
    const ProtobufCMessage *request; /* of the method's input type */
    const ProtobufCMessageDescriptor *reply_type; /* the method's output type */
    struct sg_arena *arena;                       /* for what lives as long as the call */
    struct sg_reply reply;
    struct sg_rpc_status error; /* why there is no response; filled by whoever fails */
    struct sg_exchange_wait wait;
    /* Of an operator's act that was answered and did not come about: why, as a stable word; static. NULL: it did. */
    const char *not_done;
    /* What is counted of the call. Handlers fill crypto_us, num_items and token, but for its status, which is
     * the call's; the rest is dispatch's. */
    struct sg_metrics_sample sample;
    uint64_t cost_us; /* by server/costs.h, beyond what was foreseen when the request was read */
};

/* A handler appends the response and returns SIGNET_OK, or fills exchange->error and returns its
 * code; what it had appended is not sent then. With wait.is_allowed it may instead leave what it needs
 * of the keyholder in wait, and return SIGNET_OK: it is resumed when the answer is there. */
typedef signet_status sg_handler(struct sg_exchange *exchange);

/* Says whether a request is worth a worker thread. Looks at the request only. */
typedef bool sg_slowness(const struct sg_keyring *keyring, const ProtobufCMessage *request);

/* sg_exchange_append adds a part of the response, which is of the method's output type. On failure
 * exchange->error is filled. */
signet_status sg_exchange_append(struct sg_exchange *exchange,
                                 const ProtobufCMessage *part) SIGNET_MUST_CHECK;

/* sg_exchange_check_deadline fails with DEADLINE_EXCEEDED once the deadline has passed, and with
 * UNAVAILABLE once a stop waits no longer. For work that takes long, between its parts. */
signet_status sg_exchange_check_deadline(struct sg_exchange *exchange) SIGNET_MUST_CHECK;

/* sg_exchange_no_keyholder fills exchange->error for a crossing that failed with status, and returns its
 * code. */
signet_status sg_exchange_no_keyholder(struct sg_exchange *exchange, signet_status status);

/* sg_exchange_read_us reads the service's clock of microseconds, for what is counted. */
uint64_t sg_exchange_read_us(const struct sg_exchange *exchange);

/* sg_exchange_count counts what became of one token of the call. */
void sg_exchange_count(struct sg_exchange *exchange, const struct sg_metrics_token *token);

/* sg_exchange_no_memory fills exchange->error and returns its code. */
signet_status sg_exchange_no_memory(struct sg_exchange *exchange);

#endif
