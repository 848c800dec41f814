/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying many tokens under the same options: what cannot be judged here, in one crossing. Each has a verdict of its
 * own.
 */
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
#include "client/verify_parts.h"
#include "common/limits.h"
#include "common/rpc.h"

struct signet_verify_batch {
    Signet__V1__VerifyBatchResponse *response; /* NULL: nothing had to cross */
    size_t num;
    struct verify_item {
        bool crosses;                  /* only the daemon can judge it */
        struct signet_verified *known; /* good, out of the cache; owned */
        struct signet_verified
            verified; /* its token is NULL unless it is good; the response has it, or its body */
        signet_reason reason; /* refused here, and why */
        const char *detail;
        const Signet__V1__VerifyResult *result; /* of one that crossed */
    } items[];
};

/* ---- Answers ---- */

/* One result: SIGNET_OK is the yes. */
static signet_status verify_result(const Signet__V1__VerifyResult *result,
                                   const struct signet_verify_options *options,
                                   struct signet_error *error)
{
    switch (result->outcome_case) {
    case SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN:
        return sg_verify_check_token(options, result->token, error);
    case SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION:
        return sg_verify_rejected(result->rejection, error);
    case SIGNET__V1__VERIFY_RESULT__OUTCOME_ERROR:
        return sg_client_fail_status(error, result->error);
    case SIGNET__V1__VERIFY_RESULT__OUTCOME__NOT_SET:
    case _SIGNET__V1__VERIFY_RESULT__OUTCOME__CASE_IS_INT_SIZE:
    default:
        return sg_client_bad_answer(error, "a result without an outcome");
    }
}

struct verify_batch_context {
    const struct signet_verify_options *options;
    size_t num_sent;
};

static signet_status verify_check_batch(const ProtobufCMessage *answer, const void *context,
                                        struct signet_error *error)
{
    const Signet__V1__VerifyBatchResponse *response =
        (const Signet__V1__VerifyBatchResponse *)answer;
    const struct verify_batch_context *batch = context;
    if (response->n_results != batch->num_sent) {
        return sg_client_bad_answer(error, "another number of results than there were tokens");
    }
    for (size_t i = 0; i < response->n_results; i++) {
        struct signet_error problem;
        if (verify_result(response->results[i], batch->options, &problem) ==
            SIGNET_PROTOCOL_ERROR) {
            return sg_client_fail(error, problem.status, problem.code, "%s", problem.message);
        }
    }
    return SIGNET_OK;
}

/* ---- Verdicts of this process ---- */

static void verify_item_refuse(struct verify_item *item, signet_reason reason, const char *detail)
{
    item->reason = reason;
    item->detail = detail;
}

static signet_status verify_item_judge(struct verify_item *item, const struct sg_question *question,
                                       struct signet_error *error)
{
    item->known = sg_question_recall(question);
    if (item->known != NULL) {
        return SIGNET_OK;
    }
    const char *flaw = sg_verify_flaw(question->token, question->token_len);
    if (flaw != NULL) {
        verify_item_refuse(item, SIGNET_REASON_MALFORMED, flaw);
        return SIGNET_OK;
    }
    struct sg_local_answer answer;
    sg_question_judge(question, &answer);
    switch (answer.outcome) {
    case SG_LOCAL_GOOD:
        item->verified = (struct signet_verified){.token = answer.body->token, .body = answer.body};
        return SIGNET_OK;
    case SG_LOCAL_REFUSED:
        verify_item_refuse(item, answer.reason, answer.detail);
        return SIGNET_OK;
    case SG_LOCAL_NO_MEMORY:
        return sg_client_no_memory(error);
    case SG_LOCAL_ASK:
    default:
        item->crosses = true;
        return SIGNET_OK;
    }
}

/* Judges what can be judged here. */
static signet_status verify_batch_judge(struct signet_verify_batch *batch,
                                        struct signet_client *client,
                                        const struct signet_token_view *tokens,
                                        const struct signet_verify_options *options,
                                        struct sg_question *questions, struct signet_error *error)
{
    for (size_t i = 0; i < batch->num; i++) {
        if (tokens[i].token == NULL) {
            return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                                  "token %zu is NULL", i);
        }
        sg_question_init(&questions[i], client, tokens[i].token, tokens[i].token_len, options);
        signet_status status = verify_item_judge(&batch->items[i], &questions[i], error);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    return SIGNET_OK;
}

/* ---- Requests ---- */

/* Makes room for the tokens that cross, with their terminators. NULL without memory. */
static char *verify_batch_texts(const struct signet_verify_batch *batch,
                                const struct sg_question *questions)
{
    size_t cap = 1;
    for (size_t i = 0; i < batch->num; i++) {
        cap += batch->items[i].crosses ? questions[i].token_len + 1 : 0;
    }
    return malloc(cap);
}

/* Fills a request for each token that crosses; returns how many. */
static size_t verify_batch_requests(const struct signet_verify_batch *batch,
                                    const struct sg_question *questions, char *text,
                                    Signet__V1__VerifyRequest *wire,
                                    Signet__V1__VerifyRequest **pointers)
{
    size_t num_sent = 0;
    for (size_t i = 0; i < batch->num; i++) {
        const struct sg_question *question = &questions[i];
        if (!batch->items[i].crosses) {
            continue;
        }
        memcpy(text, question->token, question->token_len);
        text[question->token_len] = '\0';
        sg_verify_request(question->options, &wire[num_sent]);
        wire[num_sent].token = text;
        pointers[num_sent] = &wire[num_sent];
        text += question->token_len + 1;
        num_sent++;
    }
    return num_sent;
}

static signet_status verify_batch_cross(struct signet_client *client,
                                        const struct signet_verify_options *options,
                                        Signet__V1__VerifyRequest **requests, size_t num_sent,
                                        Signet__V1__VerifyBatchResponse **out,
                                        struct signet_error *error)
{
    if (num_sent == 0) {
        return SIGNET_OK;
    }
    Signet__V1__VerifyBatchRequest request;
    signet__v1__verify_batch_request__init(&request);
    request.n_requests = num_sent;
    request.requests = requests;
    struct verify_batch_context context = {.options = options, .num_sent = num_sent};
    ProtobufCMessage *answer = NULL;
    signet_status status =
        sg_client_call_checked(client, SG_METHOD_VERIFY_BATCH, &request.base,
                               &signet__v1__verify_batch_response__descriptor, options->timeout_ms,
                               verify_check_batch, &context, &answer, error);
    if (status == SIGNET_OK) {
        *out = (Signet__V1__VerifyBatchResponse *)answer;
    }
    return status;
}

static signet_status verify_batch_ask(struct signet_client *client,
                                      struct signet_verify_batch *batch,
                                      const struct sg_question *questions,
                                      const struct signet_verify_options *options,
                                      struct signet_error *error)
{
    signet_status status = SIGNET_OK;
    char *text = verify_batch_texts(batch, questions);
    Signet__V1__VerifyRequest *wire = calloc(batch->num, sizeof(*wire));
    Signet__V1__VerifyRequest **pointers = calloc(batch->num, sizeof(Signet__V1__VerifyRequest *));
    if (text == NULL || wire == NULL || pointers == NULL) {
        status = sg_client_no_memory(error);
    } else {
        size_t num_sent = verify_batch_requests(batch, questions, text, wire, pointers);
        status = verify_batch_cross(client, options, pointers, num_sent, &batch->response, error);
    }
    free(pointers);
    free(wire);
    free(text);
    return status;
}

/* Gives each token that crossed its result, and remembers those that are good. */
static void verify_batch_assign(struct signet_verify_batch *batch,
                                const struct sg_question *questions)
{
    size_t next = 0;
    for (size_t i = 0; i < batch->num; i++) {
        struct verify_item *item = &batch->items[i];
        if (!item->crosses) {
            continue;
        }
        item->result = batch->response->results[next++];
        if (item->result->outcome_case == SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN) {
            item->verified.token = item->result->token;
            sg_question_remember(&questions[i], item->verified.token);
        }
    }
}

static signet_status verify_batch_call(struct signet_client *client,
                                       struct signet_verify_batch *batch,
                                       const struct signet_token_view *tokens,
                                       const struct signet_verify_options *options,
                                       struct signet_error *error)
{
    struct sg_question *questions = calloc(batch->num, sizeof(*questions));
    if (questions == NULL) {
        return sg_client_no_memory(error);
    }
    signet_status status = verify_batch_judge(batch, client, tokens, options, questions, error);
    if (status == SIGNET_OK) {
        status = verify_batch_ask(client, batch, questions, options, error);
    }
    if (status == SIGNET_OK) {
        verify_batch_assign(batch, questions);
    }
    free(questions);
    return status;
}

signet_status signet_verify_many(struct signet_client *client,
                                 const struct signet_token_view *tokens, size_t num_tokens,
                                 const struct signet_verify_options *options,
                                 struct signet_verify_batch **out, struct signet_error *error)
{
    if (client == NULL || out == NULL || tokens == NULL || num_tokens == 0 ||
        num_tokens > SG_MAX_BATCH) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "BATCH_SIZE",
                              "a batch has 1 to %u tokens, a client and a place for the results",
                              SG_MAX_BATCH);
    }
    struct signet_verify_options taken = {.size = 0};
    signet_status status = sg_verify_take_options(options, &taken, error);
    if (status != SIGNET_OK) {
        return status;
    }
    struct signet_verify_batch *batch =
        calloc(1, sizeof(*batch) + num_tokens * sizeof(batch->items[0]));
    if (batch == NULL) {
        return sg_client_no_memory(error);
    }
    batch->num = num_tokens;
    status = verify_batch_call(client, batch, tokens, &taken, error);
    if (status != SIGNET_OK) {
        signet_verify_batch_free(batch);
        return status;
    }
    *out = batch;
    return SIGNET_OK;
}

signet_status signet_verify_batch_get(const struct signet_verify_batch *batch, size_t index,
                                      const struct signet_verified **out,
                                      struct signet_error *error)
{
    if (batch == NULL || out == NULL || index >= batch->num) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "BATCH_INDEX",
                              "the batch has no result number %zu", index);
    }
    const struct verify_item *item = &batch->items[index];
    if (item->known != NULL) {
        *out = item->known;
        return SIGNET_OK;
    }
    if (item->verified.token != NULL) {
        *out = &item->verified;
        return SIGNET_OK;
    }
    if (!item->crosses) {
        return sg_client_reject(error, item->reason, item->detail);
    }
    return item->result->outcome_case == SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION
               ? sg_verify_rejected(item->result->rejection, error)
               : sg_client_fail_status(error, item->result->error);
}

void signet_verify_batch_free(struct signet_verify_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    for (size_t i = 0; i < batch->num; i++) {
        signet_verified_free(batch->items[i].known);
        sg_verified_body_unref(batch->items[i].verified.body);
    }
    signet__v1__verify_batch_response__free_unpacked(batch->response, NULL);
    free(batch);
}
