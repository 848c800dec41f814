/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the daemon serves: if it can answer at all, it does.
 */
#include "server/health_service.h"

#include <string.h>

#include "signet/v1/admin.pb-c.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "signet/v1/token.pb-c.h"

static bool health_knows(const char *name)
{
    static const ProtobufCServiceDescriptor *const services[] = {
        &signet__v1__token_service__descriptor,
        &signet__v1__key_service__descriptor,
        &signet__v1__health_service__descriptor,
        &signet__v1__admin_service__descriptor,
    };
    if (name[0] == '\0') {
        return true; /* the daemon as a whole */
    }
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        if (strcmp(services[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

signet_status sg_health_check(struct sg_exchange *exchange)
{
    const Signet__V1__HealthCheckRequest *request =
        (const Signet__V1__HealthCheckRequest *)exchange->request;
    Signet__V1__HealthCheckResponse response = SIGNET__V1__HEALTH_CHECK_RESPONSE__INIT;
    if (!health_knows(request->service)) {
        return sg_rpc_fail(&exchange->error, SIGNET_NOT_FOUND, "SERVICE_UNKNOWN",
                           "service: expected nothing, or a full name such as "
                           "signet.v1.TokenService");
    }
    response.status = SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    return sg_exchange_append(exchange, &response.base);
}
