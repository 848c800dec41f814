/* SPDX-License-Identifier: Apache-2.0
 *
 * The four methods about tokens: one or many, sign or verify. Minting is in sign.c and judging in
 * verify.c; here their outcomes become responses. An outcome that is not exactly one thing never
 * becomes a token.
 */
#include "server/token_service.h"

#include "server/request_rules.h"
#include "server/sign.h"
#include "server/verify.h"

/* Batches above this go to a worker whatever their algorithm. */
#define TOKENS_MAX_INLINE 8u

static signet_status tokens_no_outcome(struct sg_exchange *exchange)
{
    return sg_rpc_fail(&exchange->error, SIGNET_INTERNAL, "NO_OUTCOME",
                       "the request came to no outcome");
}

/* One request's error is the call's. */
static signet_status tokens_fail(struct sg_exchange *exchange, const struct sg_rpc_status *error)
{
    exchange->error = *error;
    return error->code;
}

/* ---- Sign ---- */

static signet_status tokens_answer_sign(struct sg_exchange *exchange,
                                        const struct sg_sign_outcome *outcome)
{
    if (outcome->error != NULL) {
        return tokens_fail(exchange, outcome->error);
    }
    if (outcome->token == NULL) {
        return tokens_no_outcome(exchange);
    }
    return sg_exchange_append(exchange, &outcome->token->base);
}

signet_status sg_token_sign(struct sg_exchange *exchange)
{
    const Signet__V1__SignRequest *const requests[] = {
        (const Signet__V1__SignRequest *)exchange->request};
    return sg_sign(exchange, requests, 1, tokens_answer_sign);
}

static signet_status tokens_answer_sign_batch(struct sg_exchange *exchange,
                                              const struct sg_sign_outcome *outcome)
{
    Signet__V1__SignBatchResponse part = SIGNET__V1__SIGN_BATCH_RESPONSE__INIT;
    Signet__V1__SignResult result = SIGNET__V1__SIGN_RESULT__INIT;
    Signet__V1__SignResult *results[] = {&result};
    Signet__Rpc__V1__Status error = SIGNET__RPC__V1__STATUS__INIT;
    if (outcome->error != NULL) {
        sg_reply_status(outcome->error, &error);
        result.outcome_case = SIGNET__V1__SIGN_RESULT__OUTCOME_ERROR;
        result.error = &error;
    } else if (outcome->token != NULL) {
        result.outcome_case = SIGNET__V1__SIGN_RESULT__OUTCOME_TOKEN;
        result.token = outcome->token;
    } else {
        return tokens_no_outcome(exchange);
    }
    part.results = results;
    part.n_results = 1;
    return sg_exchange_append(exchange, &part.base);
}

signet_status sg_token_sign_batch(struct sg_exchange *exchange)
{
    const Signet__V1__SignBatchRequest *batch =
        (const Signet__V1__SignBatchRequest *)exchange->request;
    signet_status status = sg_rule_batch(batch->n_requests, &exchange->error);
    if (status != SIGNET_OK) {
        return status;
    }
    return sg_sign(exchange, (const Signet__V1__SignRequest *const *)batch->requests,
                   batch->n_requests, tokens_answer_sign_batch);
}

/* What will only be refused must not wait for a worker with all that it was decoded to. */
static bool tokens_is_batch(size_t num)
{
    return num <= SG_MAX_BATCH;
}

bool sg_token_sign_is_slow(const struct sg_keyring *keyring, const ProtobufCMessage *request)
{
    return sg_sign_is_slow(keyring, (const Signet__V1__SignRequest *)request);
}

bool sg_token_sign_batch_is_slow(const struct sg_keyring *keyring, const ProtobufCMessage *request)
{
    const Signet__V1__SignBatchRequest *batch = (const Signet__V1__SignBatchRequest *)request;
    if (batch->n_requests > TOKENS_MAX_INLINE) {
        return tokens_is_batch(batch->n_requests);
    }
    for (size_t i = 0; i < batch->n_requests; i++) {
        if (sg_sign_is_slow(keyring, batch->requests[i])) {
            return true;
        }
    }
    return false;
}

/* ---- Verify ---- */

static signet_status tokens_answer_verify(struct sg_exchange *exchange,
                                          const struct sg_verify_outcome *outcome)
{
    Signet__V1__VerifyResponse response = SIGNET__V1__VERIFY_RESPONSE__INIT;
    if (outcome->error != NULL) {
        return tokens_fail(exchange, outcome->error);
    }
    if (outcome->rejection != NULL) {
        response.outcome_case = SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION;
        response.rejection = outcome->rejection;
    } else if (outcome->token != NULL) {
        response.outcome_case = SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN;
        response.token = outcome->token;
    } else {
        return tokens_no_outcome(exchange);
    }
    return sg_exchange_append(exchange, &response.base);
}

signet_status sg_token_verify(struct sg_exchange *exchange)
{
    const Signet__V1__VerifyRequest *const requests[] = {
        (const Signet__V1__VerifyRequest *)exchange->request};
    return sg_verify(exchange, requests, 1, tokens_answer_verify);
}

static signet_status tokens_answer_verify_batch(struct sg_exchange *exchange,
                                                const struct sg_verify_outcome *outcome)
{
    Signet__V1__VerifyBatchResponse part = SIGNET__V1__VERIFY_BATCH_RESPONSE__INIT;
    Signet__V1__VerifyResult result = SIGNET__V1__VERIFY_RESULT__INIT;
    Signet__V1__VerifyResult *results[] = {&result};
    Signet__Rpc__V1__Status error = SIGNET__RPC__V1__STATUS__INIT;
    if (outcome->error != NULL) {
        sg_reply_status(outcome->error, &error);
        result.outcome_case = SIGNET__V1__VERIFY_RESULT__OUTCOME_ERROR;
        result.error = &error;
    } else if (outcome->rejection != NULL) {
        result.outcome_case = SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION;
        result.rejection = outcome->rejection;
    } else if (outcome->token != NULL) {
        result.outcome_case = SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN;
        result.token = outcome->token;
    } else {
        return tokens_no_outcome(exchange);
    }
    part.results = results;
    part.n_results = 1;
    return sg_exchange_append(exchange, &part.base);
}

signet_status sg_token_verify_batch(struct sg_exchange *exchange)
{
    const Signet__V1__VerifyBatchRequest *batch =
        (const Signet__V1__VerifyBatchRequest *)exchange->request;
    signet_status status = sg_rule_batch(batch->n_requests, &exchange->error);
    if (status != SIGNET_OK) {
        return status;
    }
    return sg_verify(exchange, (const Signet__V1__VerifyRequest *const *)batch->requests,
                     batch->n_requests, tokens_answer_verify_batch);
}

/* What is to be used up waits for the disk. */
bool sg_token_verify_is_slow(const struct sg_keyring *keyring, const ProtobufCMessage *request)
{
    (void)keyring;
    return ((const Signet__V1__VerifyRequest *)request)->consume;
}

bool sg_token_verify_batch_is_slow(const struct sg_keyring *keyring,
                                   const ProtobufCMessage *request)
{
    const Signet__V1__VerifyBatchRequest *batch = (const Signet__V1__VerifyBatchRequest *)request;
    if (batch->n_requests > TOKENS_MAX_INLINE) {
        return tokens_is_batch(batch->n_requests);
    }
    for (size_t i = 0; i < batch->n_requests; i++) {
        if (sg_token_verify_is_slow(keyring, &batch->requests[i]->base)) {
            return true;
        }
    }
    return false;
}
