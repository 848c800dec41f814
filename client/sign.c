/* SPDX-License-Identifier: Apache-2.0
 *
 * Minting: one token, or many in one crossing. What the daemon hands back is checked to be a
 * finished token before the caller sees it.
 */
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
#include "common/limits.h"
#include "common/rpc.h"

struct signet_signed {
    const Signet__V1__SignResponse *token;
    Signet__V1__SignResponse *owner; /* NULL: a batch owns it */
};

struct signet_sign_batch {
    Signet__V1__SignBatchResponse *response;
    size_t num;
    struct signet_signed tokens[]; /* token NULL where the result is an error */
};

/* ---- Requests ---- */

static const struct sg_options_layout sign_options_layout = {
    .initializer = "SIGNET_SIGN_OPTIONS_INIT",
    .first_len = SG_OPTIONS_END(struct signet_sign_options, timeout_ms),
    .known_len = SG_OPTIONS_END(struct signet_sign_options, timeout_ms),
};
_Static_assert(sizeof(struct signet_sign_options) ==
                   SG_OPTIONS_END(struct signet_sign_options, reserved),
               "options end with padding");

static signet_status sign_check_options(const struct signet_sign_options *options,
                                        struct signet_error *error)
{
    if (options->num_audiences == 0) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "AUDIENCE_MISSING",
                              "no audience: say who the token is for");
    }
    signet_status status =
        sg_client_check_text(options->keyset, true, SG_MAX_KEYSET_NAME_LEN, "keyset", error);
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->subject, true, SG_MAX_SUBJECT_LEN, "subject", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_texts(options->audiences, options->num_audiences, SG_MAX_AUDIENCES,
                                       SG_MAX_AUDIENCE_LEN, "audience", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->claims_json, false, SG_MAX_CLAIMS_JSON_LEN,
                                      "claims_json", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->typ, false, SG_MAX_TYP_LEN, "typ", error);
    }
    return status;
}

/* Takes the caller's options into *options, a zeroed one, and fills the request from it. */
static signet_status sign_request(const void *given, struct signet_sign_options *options,
                                  Signet__V1__SignRequest *request, struct signet_error *error)
{
    signet_status status = sg_client_take_options(&sign_options_layout, given, options, error);
    if (status == SIGNET_OK) {
        status = sign_check_options(options, error);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    signet__v1__sign_request__init(request);
    request->keyset = sg_client_wire_text(options->keyset);
    request->subject = sg_client_wire_text(options->subject);
    request->n_audience = options->num_audiences;
    request->audience = sg_client_wire_texts(options->audiences);
    request->ttl_s = options->ttl_s;
    request->not_before = options->not_before;
    request->claims_json = sg_client_wire_text(options->claims_json);
    request->typ = sg_client_wire_text(options->typ);
    return SIGNET_OK;
}

/* ---- Answers ---- */

/* A JWS in compact serialization has three parts (RFC 7515 section 3.1), none of them empty here. */
static bool sign_is_compact(const char *token)
{
    const char *first = strchr(token, '.');
    const char *second = first != NULL ? strchr(first + 1, '.') : NULL;
    return second != NULL && first > token && second > first + 1 && second[1] != '\0' &&
           strchr(second + 1, '.') == NULL;
}

static signet_status sign_check_token(const Signet__V1__SignResponse *token,
                                      struct signet_error *error)
{
    if (!sign_is_compact(token->token)) {
        return sg_client_bad_answer(error, "a signed token that is none");
    }
    if (token->kid[0] == '\0' || token->jti[0] == '\0') {
        return sg_client_bad_answer(error, "a signed token without kid or jti");
    }
    if (token->issued_at <= 0 || token->expires_at <= token->issued_at) {
        return sg_client_bad_answer(error, "a signed token without a life");
    }
    return SIGNET_OK;
}

static signet_status sign_check(const ProtobufCMessage *answer, const void *context,
                                struct signet_error *error)
{
    (void)context;
    return sign_check_token((const Signet__V1__SignResponse *)answer, error);
}

static signet_status sign_check_result(const Signet__V1__SignResult *result,
                                       struct signet_error *error)
{
    switch (result->outcome_case) {
    case SIGNET__V1__SIGN_RESULT__OUTCOME_TOKEN:
        return sign_check_token(result->token, error);
    case SIGNET__V1__SIGN_RESULT__OUTCOME_ERROR:
        /* Any status may stand here, but it must be one. */
        return sg_client_fail_status(error, result->error) == SIGNET_PROTOCOL_ERROR
                   ? SIGNET_PROTOCOL_ERROR
                   : SIGNET_OK;
    case SIGNET__V1__SIGN_RESULT__OUTCOME__NOT_SET:
    case _SIGNET__V1__SIGN_RESULT__OUTCOME__CASE_IS_INT_SIZE:
    default:
        return sg_client_bad_answer(error, "a result without an outcome");
    }
}

static signet_status sign_check_batch(const ProtobufCMessage *answer, const void *context,
                                      struct signet_error *error)
{
    const Signet__V1__SignBatchResponse *response = (const Signet__V1__SignBatchResponse *)answer;
    const size_t *num_requests = context;
    if (response->n_results != *num_requests) {
        return sg_client_bad_answer(error, "another number of results than there were requests");
    }
    for (size_t i = 0; i < response->n_results; i++) {
        struct signet_error problem;
        if (sign_check_result(response->results[i], &problem) != SIGNET_OK) {
            return sg_client_fail(error, problem.status, problem.code, "%s", problem.message);
        }
    }
    return SIGNET_OK;
}

/* ---- One token ---- */

signet_status signet_sign(struct signet_client *client, const struct signet_sign_options *options,
                          struct signet_signed **out, struct signet_error *error)
{
    if (out == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the place for the token must be given");
    }
    struct signet_sign_options taken = {.size = 0};
    Signet__V1__SignRequest request;
    signet_status status = sign_request(options, &taken, &request, error);
    if (status != SIGNET_OK) {
        return status;
    }
    struct signet_signed *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        return sg_client_no_memory(error);
    }
    ProtobufCMessage *answer = NULL;
    status = sg_client_call_checked(client, SG_METHOD_SIGN, &request.base,
                                    &signet__v1__sign_response__descriptor, taken.timeout_ms,
                                    sign_check, NULL, &answer, error);
    if (status != SIGNET_OK) {
        free(result);
        return status;
    }
    result->owner = (Signet__V1__SignResponse *)answer;
    result->token = result->owner;
    *out = result;
    return SIGNET_OK;
}

void signet_signed_free(struct signet_signed *token)
{
    if (token == NULL) {
        return;
    }
    signet__v1__sign_response__free_unpacked(token->owner, NULL);
    free(token);
}

const char *signet_signed_token(const struct signet_signed *token)
{
    return token->token->token;
}

const char *signet_signed_kid(const struct signet_signed *token)
{
    return token->token->kid;
}

const char *signet_signed_jti(const struct signet_signed *token)
{
    return token->token->jti;
}

int64_t signet_signed_issued_at(const struct signet_signed *token)
{
    return token->token->issued_at;
}

int64_t signet_signed_expires_at(const struct signet_signed *token)
{
    return token->token->expires_at;
}

/* ---- Many ---- */

static signet_status sign_batch_request(const struct signet_sign_options *requests, size_t num,
                                        Signet__V1__SignRequest *wire,
                                        Signet__V1__SignRequest **pointers,
                                        struct signet_error *error)
{
    /* An array of structs as long as the caller was compiled with: each says it, all the same. */
    const char *next = (const char *)requests;
    size_t stride = 0;
    for (size_t i = 0; i < num; i++, next += stride) {
        struct signet_sign_options options = {.size = 0};
        struct signet_error problem;
        memset(&problem, 0, sizeof(problem));
        signet_status status = sign_request(next, &options, &wire[i], &problem);
        stride = i == 0 ? options.size : stride;
        if (status == SIGNET_OK && options.size != stride) {
            status = sg_client_fail(&problem, SIGNET_INVALID_ARGUMENT, "OPTIONS_SIZE",
                                    "its options are of another size than the first");
        }
        if (status != SIGNET_OK) {
            return sg_client_fail(error, status, problem.code, "request %zu: %s", i,
                                  problem.message);
        }
        pointers[i] = &wire[i];
    }
    return SIGNET_OK;
}

static signet_status sign_batch_call(struct signet_client *client,
                                     const struct signet_sign_options *requests, size_t num,
                                     uint32_t timeout_ms, Signet__V1__SignBatchResponse **out,
                                     struct signet_error *error)
{
    Signet__V1__SignRequest *wire = calloc(num, sizeof(*wire));
    Signet__V1__SignRequest **pointers = calloc(num, sizeof(Signet__V1__SignRequest *));
    signet_status status = wire != NULL && pointers != NULL
                               ? sign_batch_request(requests, num, wire, pointers, error)
                               : sg_client_no_memory(error);
    if (status == SIGNET_OK) {
        Signet__V1__SignBatchRequest request;
        signet__v1__sign_batch_request__init(&request);
        request.n_requests = num;
        request.requests = pointers;
        ProtobufCMessage *answer = NULL;
        status = sg_client_call_checked(client, SG_METHOD_SIGN_BATCH, &request.base,
                                        &signet__v1__sign_batch_response__descriptor, timeout_ms,
                                        sign_check_batch, &num, &answer, error);
        if (status == SIGNET_OK) {
            *out = (Signet__V1__SignBatchResponse *)answer;
        }
    }
    free(pointers);
    free(wire);
    return status;
}

signet_status signet_sign_many(struct signet_client *client,
                               const struct signet_sign_options *requests, size_t num_requests,
                               uint32_t timeout_ms, struct signet_sign_batch **out,
                               struct signet_error *error)
{
    if (out == NULL || requests == NULL || num_requests == 0 || num_requests > SG_MAX_BATCH) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "BATCH_SIZE",
                              "a batch has 1 to %u requests, and a place for the results",
                              SG_MAX_BATCH);
    }
    struct signet_sign_batch *batch =
        calloc(1, sizeof(*batch) + num_requests * sizeof(batch->tokens[0]));
    if (batch == NULL) {
        return sg_client_no_memory(error);
    }
    signet_status status =
        sign_batch_call(client, requests, num_requests, timeout_ms, &batch->response, error);
    if (status != SIGNET_OK) {
        free(batch);
        return status;
    }
    batch->num = num_requests;
    for (size_t i = 0; i < num_requests; i++) {
        const Signet__V1__SignResult *result = batch->response->results[i];
        if (result->outcome_case == SIGNET__V1__SIGN_RESULT__OUTCOME_TOKEN) {
            batch->tokens[i].token = result->token;
        }
    }
    *out = batch;
    return SIGNET_OK;
}

signet_status signet_sign_batch_get(const struct signet_sign_batch *batch, size_t index,
                                    const struct signet_signed **out, struct signet_error *error)
{
    if (batch == NULL || out == NULL || index >= batch->num) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "BATCH_INDEX",
                              "the batch has no result number %zu", index);
    }
    if (batch->tokens[index].token == NULL) {
        return sg_client_fail_status(error, batch->response->results[index]->error);
    }
    *out = &batch->tokens[index];
    return SIGNET_OK;
}

void signet_sign_batch_free(struct signet_sign_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    signet__v1__sign_batch_response__free_unpacked(batch->response, NULL);
    free(batch);
}
