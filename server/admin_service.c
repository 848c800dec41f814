/* SPDX-License-Identifier: Apache-2.0
 *
 * How the daemon is doing, for operators: counts and limits, nothing of any token or peer.
 */
#include "server/admin_service.h"

#include <unistd.h>

#include "server/keyring.h"
#include "signet/v1/admin.pb-c.h"

static void admin_count_keys(const struct sg_keyring *keyring, Signet__V1__StatusResponse *response)
{
    size_t num_keysets = sg_keyring_num_keysets(keyring);
    size_t num_keys = 0;
    for (size_t i = 0; i < num_keysets; i++) {
        num_keys += sg_keyring_keyset_at(keyring, i)->num_keys;
    }
    response->num_keysets = (uint32_t)num_keysets;
    response->num_keys = (uint32_t)num_keys;
}

static void admin_read_stats(const struct sg_service *service, Signet__V1__StatusResponse *response)
{
    struct sg_server_stats stats = {0};
    if (service->read_stats != NULL) {
        service->read_stats(service->stats_context, &stats);
    }
    response->num_connections = stats.num_connections;
    response->max_connections = stats.max_connections;
    response->num_in_flight = stats.num_in_flight;
    response->max_in_flight = stats.max_in_flight;
    response->num_requests = stats.num_requests;
    response->num_errors = stats.num_errors;
    response->num_refused_connections = stats.num_refused_connections;
    response->num_protocol_errors = stats.num_protocol_errors;
}

signet_status sg_admin_status(struct sg_exchange *exchange)
{
    const struct sg_service *service = exchange->service;
    Signet__V1__StatusResponse response = SIGNET__V1__STATUS_RESPONSE__INIT;
    response.version = sg_reply_text(service->version);
    response.pid = (uint32_t)getpid();
    response.started_at = service->started.wall_s;
    response.uptime_ms = exchange->now.mono_ms - service->started.mono_ms;
    response.ephemeral_keys = service->ephemeral_keys;
    admin_count_keys(service->keyring, &response);
    admin_read_stats(service, &response);
    return sg_exchange_append(exchange, &response.base);
}
