/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying one token, or a bearer header. The daemon judges; this file makes sure that its yes is a yes to the
 * question that was asked. Whatever is not that is an error, never a good token.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/private.h"
#include "client/verify_parts.h"
#include "common/claim_text.h"
#include "common/limits.h"
#include "common/rpc.h"

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

signet_status sg_verify_take_options(const struct signet_verify_options *given,
                                     struct signet_verify_options *options,
                                     struct signet_error *error)
{
    signet_status status = sg_client_take_options(&verify_options_layout, given, options, error);
    if (status == SIGNET_OK) {
        status = sg_client_check_timeout(options->timeout_ms, error);
    }
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

const char *sg_verify_flaw(const char *token, size_t len)
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

void sg_verify_request(const struct signet_verify_options *options,
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
    /* A foreign issuer's key may have no kid. */
    return token->issuer[0] != '\0' && token->keyset[0] != '\0' && token->claims_json[0] != '\0' &&
           token->expires_at > 0;
}

signet_status sg_verify_check_token(const struct signet_verify_options *options,
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

signet_status sg_verify_rejected(const Signet__V1__Rejection *rejection, struct signet_error *error)
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
        return sg_verify_check_token(context, response->token, error);
    case SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION:
        return sg_verify_rejected(response->rejection, error);
    case SIGNET__V1__VERIFY_RESPONSE__OUTCOME__NOT_SET:
    case _SIGNET__V1__VERIFY_RESPONSE__OUTCOME__CASE_IS_INT_SIZE:
    default:
        return sg_client_bad_answer(error, "a verdict without an outcome");
    }
}

/* ---- One token ---- */

/* What a program gets of an answer: in one piece, so that no memory can lack once there is one. */
struct verify_answer {
    struct signet_verified verified;
    struct sg_verified_body body;
    Signet__V1__VerifyResponse *response;
};

static void verify_release(struct sg_verified_body *body)
{
    struct verify_answer *answer =
        (struct verify_answer *)(void *)((char *)body - offsetof(struct verify_answer, body));
    signet__v1__verify_response__free_unpacked(answer->response, NULL);
}

static void verify_fill(struct verify_answer *answer, ProtobufCMessage *message)
{
    answer->response = (Signet__V1__VerifyResponse *)message;
    atomic_init(&answer->body.num_refs, 1);
    answer->body.token = answer->response->token;
    answer->body.release = verify_release;
    answer->verified.token = answer->body.token;
    answer->verified.body = &answer->body;
}

static signet_status verify_cross(const struct sg_question *question,
                                  const struct sg_deadline *deadline, ProtobufCMessage **out,
                                  struct signet_error *error)
{
    char *text = strndup(question->token, question->token_len);
    if (text == NULL) {
        return sg_client_no_memory(error);
    }
    Signet__V1__VerifyRequest request;
    sg_verify_request(question->options, &request);
    request.token = text;
    signet_status status = sg_client_call_until(question->client, SG_METHOD_VERIFY, &request.base,
                                                &signet__v1__verify_response__descriptor, deadline,
                                                verify_check, question->options, out, error);
    free(text);
    return status;
}

/* The daemon's verdict, which is remembered. */
static signet_status verify_ask(const struct sg_question *question,
                                const struct sg_deadline *deadline, struct signet_verified **out,
                                struct signet_error *error)
{
    struct verify_answer *answer = calloc(1, sizeof(*answer));
    if (answer == NULL) {
        return sg_client_no_memory(error);
    }
    ProtobufCMessage *message = NULL;
    signet_status status = verify_cross(question, deadline, &message, error);
    if (status != SIGNET_OK) {
        free(answer);
        return status;
    }
    verify_fill(answer, message);
    sg_question_remember(question, answer->verified.token);
    *out = &answer->verified;
    return SIGNET_OK;
}

/* As verify_ask, but if somebody is asking about this token just now, it is waited for what they remember. */
static signet_status verify_ask_in_turn(struct sg_question *question, struct signet_verified **out,
                                        struct signet_error *error)
{
    struct signet_client *client = question->client;
    const struct sg_deadline deadline = sg_client_deadline(client, question->options->timeout_ms);
    if (!question->is_cacheable) {
        return verify_ask(question, &deadline, out, error);
    }
    struct sg_flights *flights = &client->attached.flights;
    const uint32_t epoch = question->key.epoch;
    struct sg_flight *flight = NULL;
    enum sg_flights_role role =
        sg_flights_join(flights, question->key.hash, epoch, &deadline, &flight);
    if (role == SG_FLIGHTS_LATE) {
        return sg_client_late(client, &deadline, error);
    }
    /* Time has passed; and somebody may have landed between our look into the cache and our turn. */
    sg_question_init(question, client, question->token, question->token_len, question->options);
    struct signet_verified *known = sg_question_recall(question);
    signet_status status = SIGNET_OK;
    if (known != NULL) {
        *out = known;
    } else {
        status = verify_ask(question, &deadline, out, error);
    }
    if (role == SG_FLIGHTS_LEADS) {
        sg_flights_land(flights, flight, epoch);
    }
    return status;
}

/* Takes over a reference to a token that is good. */
static signet_status verify_take(struct sg_verified_body *body, struct signet_verified **out,
                                 struct signet_error *error)
{
    struct signet_verified *verified = malloc(sizeof(*verified));
    if (verified == NULL) {
        sg_verified_body_unref(body);
        return sg_client_no_memory(error);
    }
    *verified = (struct signet_verified){.token = body->token, .body = body};
    *out = verified;
    return SIGNET_OK;
}

/* signet_verify with options that were taken already. */
static signet_status verify_one(struct signet_client *client, const char *token, size_t token_len,
                                const struct signet_verify_options *options,
                                struct signet_verified **out, struct signet_error *error)
{
    struct sg_question question;
    sg_question_init(&question, client, token, token_len, options);
    struct signet_verified *known = sg_question_recall(&question);
    if (known !=
        NULL) { /* no flaw: it is the same, byte for byte, as a token that was found good */
        *out = known;
        return SIGNET_OK;
    }
    const char *flaw = sg_verify_flaw(token, token_len);
    if (flaw != NULL) {
        return sg_client_reject(error, SIGNET_REASON_MALFORMED, flaw);
    }
    struct sg_local_answer answer;
    sg_question_judge(&question, &answer);
    switch (answer.outcome) {
    case SG_LOCAL_GOOD:
        return verify_take(answer.body, out, error);
    case SG_LOCAL_REFUSED:
        return sg_client_reject(error, answer.reason, answer.detail);
    case SG_LOCAL_NO_MEMORY:
        return sg_client_no_memory(error);
    case SG_LOCAL_ASK:
    default:
        return verify_ask_in_turn(&question, out, error);
    }
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
    signet_status status = sg_verify_take_options(options, &taken, error);
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
    signet_status status = sg_verify_take_options(options, &taken, error);
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
