/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole way of a request, from bytes to bytes: there is always one well-formed answer, and since
 * the keys are made anew in every run, no token that comes in can be good.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/keyholder/keyholder.h"
#include "server/keymaster.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/token.pb-c.h"

#define FUZZ_HEADROOM 13u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

static int64_t fuzz_read_wall_s(void)
{
    return 1;
}

static const struct sg_service *fuzz_service(void)
{
    static struct sg_service service;
    static struct sg_config *config; /* as long as its keymaster */
    struct sg_keymaster *keymaster = NULL;
    char error[256];
    if (service.keyrings != NULL) {
        return &service;
    }
    fuzz_check(sg_config_demo(&config) == SIGNET_OK);
    fuzz_check(sg_keyholder_new(1, &service.keyholder) == SIGNET_OK);
    const struct sg_keymaster_options options = {
        .config = config,
        .keyholder = service.keyholder,
        .passphrase_fd = -1,
        .read_wall_s = fuzz_read_wall_s,
    };
    fuzz_check(sg_keymaster_new(&options, &keymaster, error, sizeof(error)) == SIGNET_OK);
    service.keyrings = sg_keymaster_keyrings(keymaster);
    service.keymaster = keymaster;
    service.is_admin = true; /* every method; root or not, the peer is whoever runs this */
    service.version = "0.0.0-fuzz";
    return &service;
}

static void fuzz_status(const Signet__Rpc__V1__Status *status)
{
    fuzz_check(status->code >= 1 && status->code <= 16);
    fuzz_check(status->reason[0] != '\0');
    fuzz_check(strlen(status->message) < SG_MAX_STATUS_MESSAGE);
}

static void fuzz_rejection(const Signet__V1__Rejection *rejection)
{
    fuzz_check(rejection->reason >= 1 && (int)rejection->reason <= SIGNET_REASON_POLICY);
}

static void fuzz_verify(const ProtobufCBinaryData *payload)
{
    Signet__V1__VerifyResponse *response =
        signet__v1__verify_response__unpack(NULL, payload->len, payload->data);
    fuzz_check(response != NULL);
    fuzz_check(response->outcome_case == SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION);
    fuzz_rejection(response->rejection);
    signet__v1__verify_response__free_unpacked(response, NULL);
}

static void fuzz_verify_batch(const ProtobufCBinaryData *payload)
{
    Signet__V1__VerifyBatchResponse *response =
        signet__v1__verify_batch_response__unpack(NULL, payload->len, payload->data);
    fuzz_check(response != NULL);
    fuzz_check(response->n_results >= 1 && response->n_results <= SG_MAX_BATCH);
    for (size_t i = 0; i < response->n_results; i++) {
        const Signet__V1__VerifyResult *result = response->results[i];
        if (result->outcome_case == SIGNET__V1__VERIFY_RESULT__OUTCOME_ERROR) {
            fuzz_status(result->error);
        } else {
            fuzz_check(result->outcome_case == SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION);
            fuzz_rejection(result->rejection);
        }
    }
    signet__v1__verify_batch_response__free_unpacked(response, NULL);
}

/* The method that was asked for, as any decoder reads it. */
static void fuzz_payload(const uint8_t *data, size_t size, const ProtobufCBinaryData *payload)
{
    Signet__Rpc__V1__Request *request = signet__rpc__v1__request__unpack(NULL, size, data);
    fuzz_check(request != NULL); /* it was answered with a payload */
    if (strcmp(request->method, SG_METHOD_VERIFY) == 0) {
        fuzz_verify(payload);
    } else if (strcmp(request->method, SG_METHOD_VERIFY_BATCH) == 0) {
        fuzz_verify_batch(payload);
    }
    signet__rpc__v1__request__free_unpacked(request, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sg_peer peer = {.uid = 1000, .gid = 1000, .pid = 1000};
    const struct sg_now now = {.wall_s = 1800000000, .mono_ms = 1000};
    struct sg_response answer = {0};
    struct sg_call *call = sg_call_begin(fuzz_service(), &peer, data, size, now, FUZZ_HEADROOM);
    fuzz_check(call != NULL);
    (void)sg_call_is_slow(call);
    fuzz_check(sg_call_finish(call, now, &answer));
    fuzz_check(answer.bytes != NULL && answer.len >= FUZZ_HEADROOM);
    fuzz_check(answer.len - FUZZ_HEADROOM <= SG_MAX_RESPONSE_FRAME);
    Signet__Rpc__V1__Response *response = signet__rpc__v1__response__unpack(
        NULL, answer.len - FUZZ_HEADROOM, answer.bytes + FUZZ_HEADROOM);
    fuzz_check(response != NULL);
    if (answer.is_error) {
        fuzz_check(response->outcome_case == SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS);
        fuzz_status(response->status);
    } else {
        fuzz_check(response->outcome_case == SIGNET__RPC__V1__RESPONSE__OUTCOME_PAYLOAD);
        fuzz_payload(data, size, &response->payload);
    }
    signet__rpc__v1__response__free_unpacked(response, NULL);
    free(answer.bytes);
    return 0;
}
