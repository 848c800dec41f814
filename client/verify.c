/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying: one token, a bearer header, or many tokens in one crossing. The daemon judges; this file
 * makes sure that its yes is a yes to the question that was asked. Whatever is not that is an error,
 * never a good token.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/private.h"
#include "common/claim_text.h"
#include "common/limits.h"
#include "common/rpc.h"

struct signet_verify_batch {
    Signet__V1__VerifyBatchResponse *response; /* NULL: nothing had to cross */
    size_t num;
    struct verify_item {
        struct signet_verified verified;        /* its token is NULL unless it is good */
        const char *flaw;                       /* why it was refused here; NULL: it crossed */
        const Signet__V1__VerifyResult *result; /* of one that crossed */
    } items[];
};

/* ---- Requests ---- */

static const struct sg_options_layout verify_options_layout = {
    .initializer = "SIGNET_VERIFY_OPTIONS_INIT",
    .first_len = SG_OPTIONS_END(struct signet_verify_options, timeout_ms),
    .known_len = SG_OPTIONS_END(struct signet_verify_options, consume),
};
_Static_assert(sizeof(struct signet_verify_options) ==
                   SG_OPTIONS_END(struct signet_verify_options, reserved),
               "options end with padding");

static signet_status verify_check_audiences(const struct signet_verify_options *options,
                                            struct signet_error *error)
{
    if (options->any_audience && options->num_audiences > 0) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "AUDIENCE_AMBIGUOUS",
                              "both audiences and any_audience are set; choose one");
    }
    if (!options->any_audience && options->num_audiences == 0) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "AUDIENCE_MISSING",
                              "no audience: say who you are, or set any_audience to accept tokens "
                              "that are meant for others");
    }
    return sg_client_check_texts(options->audiences, options->num_audiences, SG_MAX_AUDIENCES,
                                 SG_MAX_AUDIENCE_LEN, "audience", error);
}

/* Takes the caller's options into *options, a zeroed one, and checks that they ask for something. */
static signet_status verify_take_options(const struct signet_verify_options *given,
                                         struct signet_verify_options *options,
                                         struct signet_error *error)
{
    signet_status status = sg_client_take_options(&verify_options_layout, given, options, error);
    if (status != SIGNET_OK) {
        return status;
    }
    if (options->leeway_s > SG_MAX_LEEWAY_S) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "LEEWAY_RANGE",
                              "leeway_s is %" PRIu32 "; at most %u is allowed", options->leeway_s,
                              SG_MAX_LEEWAY_S);
    }
    status = verify_check_audiences(options, error);
    if (status == SIGNET_OK) {
        status =
            sg_client_check_text(options->keyset, false, SG_MAX_KEYSET_NAME_LEN, "keyset", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->issuer, false, SG_MAX_ISSUER_LEN, "issuer", error);
    }
    if (status == SIGNET_OK) {
        status =
            sg_client_check_text(options->subject, false, SG_MAX_SUBJECT_LEN, "subject", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->typ, false, SG_MAX_TYP_LEN, "typ", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_texts(options->scopes, options->num_scopes, SG_MAX_SCOPES,
                                       SG_MAX_SCOPE_LEN, "scope", error);
    }
    return status;
}

/* Why no token can look like this, or NULL. A string on the wire ends at its first NUL: a token with
 * one must not reach the daemon as the shorter token that it begins with. */
static const char *verify_token_flaw(const char *token, size_t len)
{
    if (len == 0) {
        return "the token is empty";
    }
    if (len > SG_MAX_TOKEN_LEN) {
        return "the token is longer than 16384 bytes";
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)token[i];
        if (byte <= 0x20 || byte >= 0x7f) {
            return "the token holds a byte that is no printable ASCII character";
        }
    }
    return NULL;
}

/* Fills all but the token. */
static void verify_request(const struct signet_verify_options *options,
                           Signet__V1__VerifyRequest *request)
{
    signet__v1__verify_request__init(request);
    request->n_audiences = options->num_audiences;
    request->audiences = sg_client_wire_texts(options->audiences);
    request->any_audience = options->any_audience;
    request->keyset = sg_client_wire_text(options->keyset);
    request->issuer = sg_client_wire_text(options->issuer);
    request->typ = sg_client_wire_text(options->typ);
    request->n_required_scope = options->num_scopes;
    request->required_scope = sg_client_wire_texts(options->scopes);
    request->leeway_s = options->leeway_s;
    request->max_age_s = options->max_age_s;
    request->subject = sg_client_wire_text(options->subject);
    request->consume = options->consume;
}

/* ---- Answers ---- */

static bool verify_same(const char *wanted, const char *got)
{
    return wanted == NULL || strcmp(wanted, got) == 0;
}

static bool verify_is_for(const struct signet_verify_options *options,
                          const Signet__V1__VerifiedToken *token)
{
    for (size_t i = 0; i < options->num_audiences; i++) {
        for (size_t j = 0; j < token->n_audience; j++) {
            if (strcmp(options->audiences[i], token->audience[j]) == 0) {
                return true;
            }
        }
    }
    return options->any_audience;
}

static bool verify_is_whole(const Signet__V1__VerifiedToken *token)
{
    for (size_t i = 0; i < token->n_claims; i++) {
        if (token->claims[i]->value_case == SIGNET__V1__CLAIM__VALUE__NOT_SET) {
            return false;
        }
    }
    return token->issuer[0] != '\0' && token->kid[0] != '\0' && token->keyset[0] != '\0' &&
           token->claims_json[0] != '\0' && token->expires_at > 0;
}

/* The daemon's yes: is it to this question? */
static signet_status verify_check_token(const struct signet_verify_options *options,
                                        const Signet__V1__VerifiedToken *token,
                                        struct signet_error *error)
{
    if (!verify_is_whole(token)) {
        return sg_client_bad_answer(error, "a verified token that lacks required parts");
    }
    if (!verify_is_for(options, token)) {
        return sg_client_bad_answer(error, "a verified token for another audience");
    }
    if (!verify_same(options->keyset, token->keyset) ||
        !verify_same(options->issuer, token->issuer) ||
        !verify_same(options->subject, token->subject)) {
        return sg_client_bad_answer(error, "a verified token of another keyset, issuer or subject");
    }
    if (options->typ != NULL && !sg_typ_equal(options->typ, token->typ)) {
        return sg_client_bad_answer(error, "a verified token of another type");
    }
    if (options->max_age_s != 0 && !token->has_issued_at) {
        return sg_client_bad_answer(error, "a verified token of unknown age");
    }
    if (options->consume != token->consumed) {
        return sg_client_bad_answer(error, options->consume
                                               ? "a verified token that was not used up"
                                               : "a verified token that was used up unasked");
    }
    const struct signet_verified view = {.token = token};
    for (size_t i = 0; i < options->num_scopes; i++) {
        if (!signet_verified_has_scope(&view, options->scopes[i])) {
            return sg_client_bad_answer(error, "a verified token without the scope asked for");
        }
    }
    return SIGNET_OK;
}

static signet_status verify_rejected(const Signet__V1__Rejection *rejection,
                                     struct signet_error *error)
{
    if (rejection->reason == SIGNET__V1__REJECTION_REASON__REJECTION_REASON_UNSPECIFIED) {
        return sg_client_bad_answer(error, "a rejection without a reason");
    }
    /* A number that this library does not know yet is a rejection all the same. */
    return sg_client_reject(error, (signet_reason)rejection->reason,
                            rejection->detail[0] != '\0' ? rejection->detail
                                                         : "signetd refused the token");
}

/* The answer to one request: SIGNET_OK is the yes. */
static signet_status verify_check(const ProtobufCMessage *answer, const void *context,
                                  struct signet_error *error)
{
    const Signet__V1__VerifyResponse *response = (const Signet__V1__VerifyResponse *)answer;
    switch (response->outcome_case) {
    case SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN:
        return verify_check_token(context, response->token, error);
    case SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION:
        return verify_rejected(response->rejection, error);
    case SIGNET__V1__VERIFY_RESPONSE__OUTCOME__NOT_SET:
    case _SIGNET__V1__VERIFY_RESPONSE__OUTCOME__CASE_IS_INT_SIZE:
    default:
        return sg_client_bad_answer(error, "a verdict without an outcome");
    }
}

/* As verify_check, for one result of a batch. */
static signet_status verify_result(const Signet__V1__VerifyResult *result,
                                   const struct signet_verify_options *options,
                                   struct signet_error *error)
{
    switch (result->outcome_case) {
    case SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN:
        return verify_check_token(options, result->token, error);
    case SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION:
        return verify_rejected(result->rejection, error);
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

/* ---- One token ---- */

static signet_status verify_call(struct signet_client *client, const char *token, size_t token_len,
                                 const struct signet_verify_options *options,
                                 ProtobufCMessage **out, struct signet_error *error)
{
    char *text = strndup(token, token_len);
    if (text == NULL) {
        return sg_client_no_memory(error);
    }
    Signet__V1__VerifyRequest request;
    verify_request(options, &request);
    request.token = text;
    signet_status status = sg_client_call_checked(
        client, SG_METHOD_VERIFY, &request.base, &signet__v1__verify_response__descriptor,
        options->timeout_ms, verify_check, options, out, error);
    free(text);
    return status;
}

/* signet_verify with options that were taken already. */
static signet_status verify_one(struct signet_client *client, const char *token, size_t token_len,
                                const struct signet_verify_options *options,
                                struct signet_verified **out, struct signet_error *error)
{
    const char *flaw = verify_token_flaw(token, token_len);
    if (flaw != NULL) {
        return sg_client_reject(error, SIGNET_REASON_MALFORMED, flaw);
    }
    struct signet_verified *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        return sg_client_no_memory(error);
    }
    ProtobufCMessage *answer = NULL;
    signet_status status = verify_call(client, token, token_len, options, &answer, error);
    if (status != SIGNET_OK) {
        free(result);
        return status;
    }
    result->owner = (Signet__V1__VerifyResponse *)answer;
    result->token = result->owner->token;
    *out = result;
    return SIGNET_OK;
}

signet_status signet_verify(struct signet_client *client, const char *token, size_t token_len,
                            const struct signet_verify_options *options,
                            struct signet_verified **out, struct signet_error *error)
{
    if (client == NULL || token == NULL || out == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the client, the token and the place for the result must be given");
    }
    struct signet_verify_options taken = {.size = 0};
    signet_status status = verify_take_options(options, &taken, error);
    return status == SIGNET_OK ? verify_one(client, token, token_len, &taken, out, error) : status;
}

/* ---- Bearer headers ---- */

/* RFC 6750 section 2.1: "Bearer" 1*SP b64token, the scheme in any case (RFC 7235 section 2.1).
 * Returns the token, or NULL if the value is of another form. */
static const char *verify_bearer_token(const char *authorization)
{
    static const char scheme[] = "Bearer";
    size_t len = sizeof(scheme) - 1;
    if (authorization == NULL || strncasecmp(authorization, scheme, len) != 0) {
        return NULL;
    }
    const char *token = authorization + len;
    token += strspn(token, " ");
    if (token == authorization + len) {
        return NULL;
    }
    static const char b64token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789-._~+/=";
    size_t token_len = strspn(token, b64token);
    return token_len > 0 && token[token_len] == '\0' ? token : NULL;
}

signet_status signet_verify_bearer(struct signet_client *client, const char *authorization,
                                   const struct signet_verify_options *options,
                                   struct signet_verified **out, struct signet_error *error)
{
    if (client == NULL || out == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the client and the place for the result must be given");
    }
    struct signet_verify_options taken = {.size = 0};
    signet_status status = verify_take_options(options, &taken, error);
    if (status != SIGNET_OK) {
        return status;
    }
    const char *token = verify_bearer_token(authorization);
    if (token == NULL) {
        return sg_client_reject(error, SIGNET_REASON_MALFORMED,
                                "the Authorization value is not \"Bearer\" and one token");
    }
    return verify_one(client, token, strlen(token), &taken, out, error);
}

/* ---- Many ---- */

/* Notes what cannot be a token, and makes room for the others with their terminators. */
static signet_status verify_batch_texts(struct signet_verify_batch *batch,
                                        const struct signet_token_view *tokens, char **out,
                                        struct signet_error *error)
{
    size_t cap = 1;
    for (size_t i = 0; i < batch->num; i++) {
        if (tokens[i].token == NULL) {
            return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                                  "token %zu is NULL", i);
        }
        batch->items[i].flaw = verify_token_flaw(tokens[i].token, tokens[i].token_len);
        cap += batch->items[i].flaw == NULL ? tokens[i].token_len + 1 : 0;
    }
    *out = malloc(cap);
    return *out != NULL ? SIGNET_OK : sg_client_no_memory(error);
}

/* Fills a request for each token that may cross; returns how many. */
static size_t verify_batch_requests(const struct signet_verify_batch *batch,
                                    const struct signet_token_view *tokens,
                                    const struct signet_verify_options *options, char *text,
                                    Signet__V1__VerifyRequest *wire,
                                    Signet__V1__VerifyRequest **pointers)
{
    size_t num_sent = 0;
    for (size_t i = 0; i < batch->num; i++) {
        if (batch->items[i].flaw != NULL) {
            continue;
        }
        memcpy(text, tokens[i].token, tokens[i].token_len);
        text[tokens[i].token_len] = '\0';
        verify_request(options, &wire[num_sent]);
        wire[num_sent].token = text;
        pointers[num_sent] = &wire[num_sent];
        text += tokens[i].token_len + 1;
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

static signet_status verify_batch_call(struct signet_client *client,
                                       struct signet_verify_batch *batch,
                                       const struct signet_token_view *tokens,
                                       const struct signet_verify_options *options,
                                       struct signet_error *error)
{
    char *text = NULL;
    signet_status status = verify_batch_texts(batch, tokens, &text, error);
    if (status != SIGNET_OK) {
        return status;
    }
    Signet__V1__VerifyRequest *wire = calloc(batch->num, sizeof(*wire));
    Signet__V1__VerifyRequest **pointers = calloc(batch->num, sizeof(Signet__V1__VerifyRequest *));
    if (wire == NULL || pointers == NULL) {
        status = sg_client_no_memory(error);
    } else {
        size_t num_sent = verify_batch_requests(batch, tokens, options, text, wire, pointers);
        status = verify_batch_cross(client, options, pointers, num_sent, &batch->response, error);
    }
    free(pointers);
    free(wire);
    free(text);
    return status;
}

/* Gives each token that crossed its result. */
static void verify_batch_assign(struct signet_verify_batch *batch)
{
    size_t next = 0;
    for (size_t i = 0; i < batch->num; i++) {
        struct verify_item *item = &batch->items[i];
        if (item->flaw != NULL) {
            continue;
        }
        item->result = batch->response->results[next++];
        if (item->result->outcome_case == SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN) {
            item->verified.token = item->result->token;
        }
    }
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
    signet_status status = verify_take_options(options, &taken, error);
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
        free(batch);
        return status;
    }
    verify_batch_assign(batch);
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
    if (item->verified.token != NULL) {
        *out = &item->verified;
        return SIGNET_OK;
    }
    if (item->flaw != NULL) {
        return sg_client_reject(error, SIGNET_REASON_MALFORMED, item->flaw);
    }
    return item->result->outcome_case == SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION
               ? verify_rejected(item->result->rejection, error)
               : sg_client_fail_status(error, item->result->error);
}

void signet_verify_batch_free(struct signet_verify_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    signet__v1__verify_batch_response__free_unpacked(batch->response, NULL);
    free(batch);
}
