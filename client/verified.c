/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a verified token. The daemon has parsed its JSON; here are only typed values.
 */
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
#include "common/claim_text.h"

void signet_verified_free(struct signet_verified *token)
{
    if (token == NULL) {
        return;
    }
    sg_verified_body_unref(token->body);
    free(token);
}

void sg_verified_body_unref(struct sg_verified_body *body)
{
    if (body != NULL && atomic_fetch_sub(&body->num_refs, 1) == 1) {
        body->release(body);
    }
}

/* ---- Registered claims (RFC 7519 section 4.1) and the header ---- */

const char *signet_verified_issuer(const struct signet_verified *token)
{
    return token->token->issuer;
}

const char *signet_verified_subject(const struct signet_verified *token)
{
    return token->token->subject;
}

size_t signet_verified_num_audiences(const struct signet_verified *token)
{
    return token->token->n_audience;
}

const char *signet_verified_audience(const struct signet_verified *token, size_t index)
{
    return index < token->token->n_audience ? token->token->audience[index] : NULL;
}

int64_t signet_verified_expires_at(const struct signet_verified *token)
{
    return token->token->expires_at;
}

signet_status signet_verified_not_before(const struct signet_verified *token, int64_t *out)
{
    if (!token->token->has_not_before) {
        return SIGNET_NOT_FOUND;
    }
    *out = token->token->not_before;
    return SIGNET_OK;
}

signet_status signet_verified_issued_at(const struct signet_verified *token, int64_t *out)
{
    if (!token->token->has_issued_at) {
        return SIGNET_NOT_FOUND;
    }
    *out = token->token->issued_at;
    return SIGNET_OK;
}

const char *signet_verified_jti(const struct signet_verified *token)
{
    return token->token->jti;
}

const char *signet_verified_kid(const struct signet_verified *token)
{
    return token->token->kid;
}

const char *signet_verified_keyset(const struct signet_verified *token)
{
    return token->token->keyset;
}

const char *signet_verified_typ(const struct signet_verified *token)
{
    return token->token->typ;
}

const char *signet_verified_claims_json(const struct signet_verified *token)
{
    return token->token->claims_json;
}

/* ---- Other claims ---- */

static const Signet__V1__Claim *verified_claim(const struct signet_verified *token,
                                               const char *name)
{
    for (size_t i = 0; name != NULL && i < token->token->n_claims; i++) {
        if (strcmp(token->token->claims[i]->name, name) == 0) {
            return token->token->claims[i];
        }
    }
    return NULL;
}

static signet_claim_type verified_type(const Signet__V1__Claim *claim)
{
    switch (claim->value_case) {
    case SIGNET__V1__CLAIM__VALUE_STRING_VALUE:
        return SIGNET_CLAIM_STRING;
    case SIGNET__V1__CLAIM__VALUE_INT_VALUE:
        return SIGNET_CLAIM_INT;
    case SIGNET__V1__CLAIM__VALUE_DOUBLE_VALUE:
        return SIGNET_CLAIM_DOUBLE;
    case SIGNET__V1__CLAIM__VALUE_BOOL_VALUE:
        return SIGNET_CLAIM_BOOL;
    case SIGNET__V1__CLAIM__VALUE_JSON_VALUE:
        return SIGNET_CLAIM_JSON;
    case SIGNET__V1__CLAIM__VALUE__NOT_SET:
    case _SIGNET__V1__CLAIM__VALUE__CASE_IS_INT_SIZE:
    default:
        return SIGNET_CLAIM_NONE;
    }
}

size_t signet_verified_num_claims(const struct signet_verified *token)
{
    return token->token->n_claims;
}

const char *signet_verified_claim_name(const struct signet_verified *token, size_t index)
{
    return index < token->token->n_claims ? token->token->claims[index]->name : NULL;
}

signet_claim_type signet_verified_claim_type(const struct signet_verified *token, const char *name)
{
    const Signet__V1__Claim *claim = verified_claim(token, name);
    return claim != NULL ? verified_type(claim) : SIGNET_CLAIM_NONE;
}

/* The claim called name, if it is of that type. */
static signet_status verified_typed_claim(const struct signet_verified *token, const char *name,
                                          signet_claim_type type, const Signet__V1__Claim **out)
{
    const Signet__V1__Claim *claim = verified_claim(token, name);
    if (claim == NULL) {
        return SIGNET_NOT_FOUND;
    }
    if (verified_type(claim) != type) {
        return SIGNET_FAILED_PRECONDITION;
    }
    *out = claim;
    return SIGNET_OK;
}

signet_status signet_verified_claim_string(const struct signet_verified *token, const char *name,
                                           const char **out)
{
    const Signet__V1__Claim *claim = NULL;
    signet_status status = verified_typed_claim(token, name, SIGNET_CLAIM_STRING, &claim);
    if (status == SIGNET_OK) {
        *out = claim->string_value;
    }
    return status;
}

signet_status signet_verified_claim_int(const struct signet_verified *token, const char *name,
                                        int64_t *out)
{
    const Signet__V1__Claim *claim = NULL;
    signet_status status = verified_typed_claim(token, name, SIGNET_CLAIM_INT, &claim);
    if (status == SIGNET_OK) {
        *out = claim->int_value;
    }
    return status;
}

signet_status signet_verified_claim_double(const struct signet_verified *token, const char *name,
                                           double *out)
{
    const Signet__V1__Claim *claim = verified_claim(token, name);
    if (claim == NULL) {
        return SIGNET_NOT_FOUND;
    }
    switch (verified_type(claim)) {
    case SIGNET_CLAIM_DOUBLE:
        *out = claim->double_value;
        return SIGNET_OK;
    case SIGNET_CLAIM_INT: /* JSON has one kind of number: many writers turn 1.0 into 1 */
        *out = (double)claim->int_value;
        return SIGNET_OK;
    case SIGNET_CLAIM_NONE:
    case SIGNET_CLAIM_STRING:
    case SIGNET_CLAIM_BOOL:
    case SIGNET_CLAIM_JSON:
    default:
        return SIGNET_FAILED_PRECONDITION;
    }
}

signet_status signet_verified_claim_bool(const struct signet_verified *token, const char *name,
                                         bool *out)
{
    const Signet__V1__Claim *claim = NULL;
    signet_status status = verified_typed_claim(token, name, SIGNET_CLAIM_BOOL, &claim);
    if (status == SIGNET_OK) {
        *out = claim->bool_value != 0;
    }
    return status;
}

signet_status signet_verified_claim_json(const struct signet_verified *token, const char *name,
                                         const char **out)
{
    const Signet__V1__Claim *claim = NULL;
    signet_status status = verified_typed_claim(token, name, SIGNET_CLAIM_JSON, &claim);
    if (status == SIGNET_OK) {
        *out = claim->json_value;
    }
    return status;
}

bool signet_verified_has_scope(const struct signet_verified *token, const char *scope)
{
    const char *scopes = NULL;
    return scope != NULL && signet_verified_claim_string(token, "scope", &scopes) == SIGNET_OK &&
           sg_scope_has(scopes, scope);
}
