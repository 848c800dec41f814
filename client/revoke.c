/* SPDX-License-Identifier: Apache-2.0
 *
 * Revoking: one token, a subject's, a keyset's, or a key's. The daemon writes it down; this file makes sure
 * that its yes is to what was asked. Whatever is not that is an error, never a revocation.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
#include "common/limits.h"
#include "common/rpc.h"

struct signet_revocation {
    Signet__V1__RevokeResponse *response; /* its revocation is there */
};

#define REVOKE_SAME_KIND(name)                                                                     \
    _Static_assert((int)SIGNET_REVOKED_##name ==                                                   \
                       (int)SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_##name,                   \
                   "the kind " #name " differs from the contract")
REVOKE_SAME_KIND(TOKEN);
REVOKE_SAME_KIND(SUBJECT);
REVOKE_SAME_KIND(KEYSET);
REVOKE_SAME_KIND(KID);

/* ---- Requests ---- */

static const struct sg_options_layout revoke_options_layout = {
    .initializer = "SIGNET_REVOKE_OPTIONS_INIT",
    .first_len = SG_OPTIONS_END(struct signet_revoke_options, timeout_ms),
    .known_len = SG_OPTIONS_END(struct signet_revoke_options, timeout_ms),
};
_Static_assert(sizeof(struct signet_revoke_options) ==
                   SG_OPTIONS_END(struct signet_revoke_options, reserved),
               "options end with padding");

static signet_status revoke_check_what(const struct signet_revoke_options *options,
                                       struct signet_error *error)
{
    int num = (options->token != NULL) + (options->jti != NULL) + (options->subject != NULL) +
              (options->kid != NULL) + options->all;
    if (num == 1) {
        return SIGNET_OK;
    }
    return num == 0
               ? sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "WHAT_REQUIRED",
                                "nothing to revoke: give a token, a jti, a subject or a kid, "
                                "or set all")
               : sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "WHAT_AMBIGUOUS",
                                "token, jti, subject, kid and all exclude each other; choose one");
}

static signet_status revoke_check_expiry(const struct signet_revoke_options *options,
                                         struct signet_error *error)
{
    if (options->expires_at < 0) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID",
                              "expires_at is %" PRId64 "; seconds since 1970 are expected, or 0",
                              options->expires_at);
    }
    if (options->expires_at != 0 && options->jti == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID",
                              "expires_at belongs to a jti; leave it 0 here");
    }
    return SIGNET_OK;
}

static signet_status revoke_check_options(const struct signet_revoke_options *options,
                                          struct signet_error *error)
{
    signet_status status = revoke_check_what(options, error);
    if (status == SIGNET_OK) {
        status = revoke_check_expiry(options, error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->token, false, SG_MAX_TOKEN_LEN, "token", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->jti, false, SG_MAX_JTI_LEN, "jti", error);
    }
    if (status == SIGNET_OK) {
        status =
            sg_client_check_text(options->subject, false, SG_MAX_SUBJECT_LEN, "subject", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->kid, false, SG_MAX_KID_LEN, "kid", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->keyset, options->token == NULL,
                                      SG_MAX_KEYSET_NAME_LEN, "keyset", error);
    }
    if (status == SIGNET_OK) {
        status = sg_client_check_text(options->reason, false, SG_MAX_REASON_LEN, "reason", error);
    }
    return status;
}

static void revoke_request(const struct signet_revoke_options *options,
                           Signet__V1__RevokeRequest *request)
{
    signet__v1__revoke_request__init(request);
    request->keyset = sg_client_wire_text(options->keyset);
    request->expires_at = options->expires_at;
    request->reason = sg_client_wire_text(options->reason);
    if (options->token != NULL) {
        request->what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_TOKEN;
        request->token = sg_client_wire_text(options->token);
    } else if (options->jti != NULL) {
        request->what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_JTI;
        request->jti = sg_client_wire_text(options->jti);
    } else if (options->subject != NULL) {
        request->what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_SUBJECT;
        request->subject = sg_client_wire_text(options->subject);
    } else if (options->kid != NULL) {
        request->what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_KID;
        request->kid = sg_client_wire_text(options->kid);
    } else {
        request->what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_ALL;
        request->all = true;
    }
}

/* ---- Answers ---- */

/* What a revocation of its kind has to say. A kind that is none is not whole. */
static bool revoke_is_whole(const Signet__V1__Revocation *revocation)
{
    if (revocation->revoked_at <= 0 || revocation->until < 0) {
        return false;
    }
    switch (revocation->kind) {
    case SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_TOKEN:
    case SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_SUBJECT:
        return revocation->issuer[0] != '\0' && revocation->name[0] != '\0' &&
               revocation->keyset[0] == '\0';
    case SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET:
        return revocation->keyset[0] != '\0' && revocation->issuer[0] == '\0' &&
               revocation->name[0] == '\0';
    case SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID:
        return revocation->keyset[0] != '\0' && revocation->issuer[0] == '\0' &&
               revocation->name[0] != '\0' && revocation->until == 0;
    case SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_UNSPECIFIED:
    case _SIGNET__V1__REVOCATION_KIND_IS_INT_SIZE:
    default:
        return false;
    }
}

/* The daemon's yes: is it to this question? Only the daemon knows the jti of a token, which takes a
 * JSON parser to find, and the issuer of a keyset. */
static bool revoke_is_of(const struct signet_revoke_options *options,
                         const Signet__V1__Revocation *revocation)
{
    bool is_token = revocation->kind == SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_TOKEN;
    if (options->token != NULL) {
        return is_token;
    }
    if (options->jti != NULL) {
        return is_token && strcmp(revocation->name, options->jti) == 0;
    }
    if (options->subject != NULL) {
        return revocation->kind == SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_SUBJECT &&
               strcmp(revocation->name, options->subject) == 0;
    }
    if (options->kid != NULL) {
        return revocation->kind == SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID &&
               strcmp(revocation->keyset, options->keyset) == 0 &&
               strcmp(revocation->name, options->kid) == 0;
    }
    return revocation->kind == SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET &&
           strcmp(revocation->keyset, options->keyset) == 0;
}

static signet_status revoke_check(const ProtobufCMessage *answer, const void *context,
                                  struct signet_error *error)
{
    const Signet__V1__Revocation *revocation =
        ((const Signet__V1__RevokeResponse *)answer)->revocation;
    if (revocation == NULL || !revoke_is_whole(revocation)) {
        return sg_client_bad_answer(error, "a revocation that lacks required parts");
    }
    if (!revoke_is_of(context, revocation)) {
        return sg_client_bad_answer(error, "a revocation of something else");
    }
    return SIGNET_OK;
}

/* ---- Revoking ---- */

signet_status signet_revoke(struct signet_client *client,
                            const struct signet_revoke_options *options,
                            struct signet_revocation **out, struct signet_error *error)
{
    if (client == NULL || out == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the client and the place for the result must be given");
    }
    struct signet_revoke_options taken = {.size = 0};
    signet_status status = sg_client_take_options(&revoke_options_layout, options, &taken, error);
    if (status == SIGNET_OK) {
        status = revoke_check_options(&taken, error);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    Signet__V1__RevokeRequest request;
    revoke_request(&taken, &request);
    struct signet_revocation *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        return sg_client_no_memory(error);
    }
    ProtobufCMessage *answer = NULL;
    status = sg_client_call_checked(client, SG_METHOD_REVOKE, &request.base,
                                    &signet__v1__revoke_response__descriptor, taken.timeout_ms,
                                    revoke_check, &taken, &answer, error);
    if (status != SIGNET_OK) {
        free(result);
        return status;
    }
    result->response = (Signet__V1__RevokeResponse *)answer;
    *out = result;
    return SIGNET_OK;
}

void signet_revocation_free(struct signet_revocation *revocation)
{
    if (revocation == NULL) {
        return;
    }
    signet__v1__revoke_response__free_unpacked(revocation->response, NULL);
    free(revocation);
}

signet_revoked_kind signet_revocation_kind(const struct signet_revocation *revocation)
{
    return (signet_revoked_kind)revocation->response->revocation->kind;
}

const char *signet_revocation_issuer(const struct signet_revocation *revocation)
{
    return revocation->response->revocation->issuer;
}

const char *signet_revocation_keyset(const struct signet_revocation *revocation)
{
    return revocation->response->revocation->keyset;
}

const char *signet_revocation_name(const struct signet_revocation *revocation)
{
    return revocation->response->revocation->name;
}

int64_t signet_revocation_revoked_at(const struct signet_revocation *revocation)
{
    return revocation->response->revocation->revoked_at;
}

int64_t signet_revocation_until(const struct signet_revocation *revocation)
{
    return revocation->response->revocation->until;
}

uint32_t signet_revocation_uid(const struct signet_revocation *revocation)
{
    return revocation->response->revocation->uid;
}

const char *signet_revocation_reason(const struct signet_revocation *revocation)
{
    return revocation->response->revocation->reason;
}
