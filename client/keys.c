/* SPDX-License-Identifier: Apache-2.0
 *
 * The public keys, and whether the daemon serves.
 */
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
#include "common/limits.h"
#include "common/rpc.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/key.pb-c.h"

static signet_status keys_check_jwks(const ProtobufCMessage *answer, const void *context,
                                     struct signet_error *error)
{
    (void)context;
    const Signet__V1__GetJwksResponse *response = (const Signet__V1__GetJwksResponse *)answer;
    if (response->jwks_json[0] != '{') {
        return sg_client_bad_answer(error, "a JWK Set that is no JSON object");
    }
    return SIGNET_OK;
}

signet_status signet_jwks(struct signet_client *client, const char *keyset, uint32_t timeout_ms,
                          char **out, struct signet_error *error)
{
    if (out == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the place for the JWK Set must be given");
    }
    signet_status status =
        sg_client_check_text(keyset, false, SG_MAX_KEYSET_NAME_LEN, "keyset", error);
    if (status != SIGNET_OK) {
        return status;
    }
    Signet__V1__GetJwksRequest request;
    signet__v1__get_jwks_request__init(&request);
    request.keyset = sg_client_wire_text(keyset);
    ProtobufCMessage *answer = NULL;
    status = sg_client_call_checked(client, SG_METHOD_GET_JWKS, &request.base,
                                    &signet__v1__get_jwks_response__descriptor, timeout_ms,
                                    keys_check_jwks, NULL, &answer, error);
    if (status != SIGNET_OK) {
        return status;
    }
    char *text = strdup(((const Signet__V1__GetJwksResponse *)answer)->jwks_json);
    protobuf_c_message_free_unpacked(answer, NULL);
    if (text == NULL) {
        return sg_client_no_memory(error);
    }
    *out = text;
    return SIGNET_OK;
}

static signet_status keys_check_health(const ProtobufCMessage *answer, const void *context,
                                       struct signet_error *error)
{
    (void)context;
    switch (((const Signet__V1__HealthCheckResponse *)answer)->status) {
    case SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING:
        return SIGNET_OK;
    case SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING:
        return sg_client_fail(error, SIGNET_UNAVAILABLE, "NOT_SERVING",
                              "signetd answers, but does not serve now");
    case SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__UNKNOWN:
    case SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN:
    case _SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS_IS_INT_SIZE:
    default:
        return sg_client_bad_answer(error, "a health that is neither good nor bad");
    }
}

signet_status signet_health(struct signet_client *client, uint32_t timeout_ms,
                            struct signet_error *error)
{
    Signet__V1__HealthCheckRequest request;
    signet__v1__health_check_request__init(&request);
    ProtobufCMessage *answer = NULL;
    signet_status status =
        sg_client_call_checked(client, SG_METHOD_HEALTH_CHECK, &request.base,
                               &signet__v1__health_check_response__descriptor, timeout_ms,
                               keys_check_health, NULL, &answer, error);
    if (status == SIGNET_OK) {
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    return status;
}
