/* SPDX-License-Identifier: Apache-2.0
 *
 * Revoke: what is asked for, whether the peer may, and for how long it has to be remembered. A revocation by issuer
 * and jti, or by issuer and subject, is about every keyset of that issuer, so the peer must have the right on each;
 * one of a keyset, or of a key of it, is about that keyset.
 */
#include "server/revoke_service.h"

#include <string.h>

#include "common/limits.h"
#include "server/access.h"
#include "server/audit_note.h"
#include "server/config_values.h"
#include "server/request_rules.h"
#include "server/revocations.h"
#include "server/right.h"
#include "server/rotation.h"
#include "server/verify.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/token.pb-c.h"

#define REVOKE_MAX_ERROR      256u
#define REVOKE_DEFAULT_LISTED 100u
#define REVOKE_MAX_LISTED     500u

static signet_status revoke_nothing_here(struct sg_exchange *exchange)
{
    return sg_rpc_fail(&exchange->error, SIGNET_UNIMPLEMENTED, "NO_REVOCATIONS",
                       "nothing can be revoked here");
}

/* ---- What is asked for ---- */

/* What is to be revoked, and what the audit says of it. */
struct revoke_act {
    const struct sg_keyset *keyset;
    const struct sg_grant *grant;
    const char *jti, *subject, *kid; /* NULL: it is not about one */
    int64_t expires_at;              /* of the token; 0: none is known */
    struct sg_store_revocation revocation;
};

/* The right on every other keyset with the issuer; that on the named one was asked for already. */
static signet_status revoke_check_right(struct sg_exchange *exchange, struct revoke_act *act)
{
    const struct sg_keyring *keyring = exchange->keyring;
    const char *issuer = act->keyset->issuer;
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        if (!keyset->is_internal && keyset != act->keyset && strcmp(keyset->issuer, issuer) == 0) {
            status =
                sg_access_check(exchange, SG_RIGHT_REVOKE, keyset->name, NULL, &exchange->error);
        }
    }
    return status;
}

/* Who may revoke nothing of a keyset is not told whether there is one. */
static signet_status revoke_find_keyset(struct sg_exchange *exchange, const char *name,
                                        struct revoke_act *act)
{
    struct sg_rpc_status *error = &exchange->error;
    signet_status status = sg_rule_keyset_name(name, error);
    if (status == SIGNET_OK) {
        status = sg_access_check(exchange, SG_RIGHT_REVOKE, name, &act->grant, error);
    }
    return status == SIGNET_OK ? sg_rule_keyset(exchange->keyring, name, &act->keyset, error)
                               : status;
}

/* Whether others than this daemon may have issued tokens under the keyset's keys, which may live for ever. */
static bool revoke_is_of_others(const struct sg_keyset *keyset)
{
    bool is_of_others = keyset->foreign != NULL;
    for (size_t i = 0; i < keyset->num_keys; i++) {
        is_of_others = is_of_others || keyset->keys[i].imported;
    }
    return is_of_others;
}

/* When the last token of the keyset's issuer expires that was issued until now, whatever the configuration was then. */
static int64_t revoke_last_expiry(const struct sg_exchange *exchange,
                                  const struct sg_keyset *keyset)
{
    const struct sg_keyring *keyring = exchange->keyring;
    bool is_of_others = revoke_is_of_others(keyset);
    for (size_t i = 0; i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *other = sg_keyring_keyset_at(keyring, i);
        is_of_others = is_of_others ||
                       (strcmp(other->issuer, keyset->issuer) == 0 && revoke_is_of_others(other));
    }
    return is_of_others ? SG_TIME_NEVER : exchange->now.wall_s + (int64_t)SG_CONFIG_MAX_TTL_S;
}

static signet_status revoke_read_jti(struct sg_exchange *exchange,
                                     const Signet__V1__RevokeRequest *request,
                                     struct revoke_act *act)
{
    struct sg_rpc_status *error = &exchange->error;
    int64_t expires_at = request->expires_at;
    if (expires_at != 0 && sg_rotation_accepted_until(expires_at) < exchange->now.wall_s) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID",
                           "expires_at: expected seconds since 1970 of a token that may still be "
                           "accepted, or 0");
    }
    act->jti = request->jti;
    act->expires_at = expires_at;
    act->revocation = (struct sg_store_revocation){
        .kind = SG_STORE_REVOKED_TOKEN,
        .scope = act->keyset->issuer,
        .name = request->jti,
        .until = sg_rotation_accepted_until(
            expires_at != 0 ? expires_at : revoke_last_expiry(exchange, act->keyset)),
    };
    return sg_rule_text("jti", request->jti, SG_MAX_JTI_LEN, "JTI_INVALID", error);
}

static signet_status revoke_read_subject(struct sg_exchange *exchange,
                                         const Signet__V1__RevokeRequest *request,
                                         struct revoke_act *act)
{
    act->subject = request->subject;
    act->revocation = (struct sg_store_revocation){
        .kind = SG_STORE_REVOKED_SUBJECT,
        .scope = act->keyset->issuer,
        .name = request->subject,
        .until = sg_rotation_accepted_until(revoke_last_expiry(exchange, act->keyset)),
    };
    return sg_rule_text("subject", request->subject, SG_MAX_SUBJECT_LEN, "SUBJECT_INVALID",
                        &exchange->error);
}

static signet_status revoke_read_all(struct sg_exchange *exchange,
                                     const Signet__V1__RevokeRequest *request,
                                     struct revoke_act *act)
{
    act->revocation = (struct sg_store_revocation){
        .kind = SG_STORE_REVOKED_KEYSET,
        .scope = act->keyset->name,
        .name = "",
        .until = sg_rotation_accepted_until(revoke_last_expiry(exchange, act->keyset)),
    };
    return request->all ? SIGNET_OK
                        : sg_rpc_fail(&exchange->error, SIGNET_INVALID_ARGUMENT, "WHAT_REQUIRED",
                                      "all: expected true");
}

/* A key that signs would go on signing what everybody refuses. Nobody's keys but its own sign for a keyset of ours. */
static bool revoke_key_signs(const struct sg_key *key, int64_t now)
{
    if (key->keyset->foreign != NULL) {
        return false;
    }
    enum sg_key_state state = sg_key_state(key, now);
    return state == SG_KEY_NEXT || state == SG_KEY_ACTIVE;
}

/* Names that no key has would only fill the board. */
static signet_status revoke_check_key(struct sg_exchange *exchange, const struct revoke_act *act)
{
    struct sg_rpc_status *error = &exchange->error;
    const char *keyset = act->keyset->name;
    size_t num = 0;
    size_t num_of_keyset = 0;
    const struct sg_key *const *keys =
        sg_keyring_keys(exchange->keyring, act->kid, strlen(act->kid), &num);
    for (size_t i = 0; i < num; i++) {
        if (keys[i]->keyset != act->keyset) {
            continue;
        }
        num_of_keyset++;
        if (revoke_key_signs(keys[i], exchange->now.wall_s)) {
            return sg_rpc_fail(
                error, SIGNET_FAILED_PRECONDITION, "KEY_SIGNS",
                "kid: this key signs, or is to; first signet key rotate %s --now, or "
                "revoke the key itself: signet key revoke, as an operator",
                keyset);
        }
    }
    return num_of_keyset > 0 ? SIGNET_OK
                             : sg_rpc_fail(error, SIGNET_NOT_FOUND, "KID_UNKNOWN",
                                           "kid: keyset %s has no key with this kid", keyset);
}

static signet_status revoke_read_kid(struct sg_exchange *exchange,
                                     const Signet__V1__RevokeRequest *request,
                                     struct revoke_act *act)
{
    act->kid = request->kid;
    act->revocation = (struct sg_store_revocation){
        .kind = SG_STORE_REVOKED_KID,
        .scope = act->keyset->name,
        .name = request->kid,
        .until = SG_TIME_NEVER,
    };
    signet_status status =
        sg_rule_text("kid", request->kid, SG_MAX_KID_LEN, "KID_INVALID", &exchange->error);
    return status == SIGNET_OK ? revoke_check_key(exchange, act) : status;
}

static signet_status revoke_read(struct sg_exchange *exchange,
                                 const Signet__V1__RevokeRequest *request, struct revoke_act *act)
{
    signet_status status = revoke_find_keyset(exchange, request->keyset, act);
    if (status != SIGNET_OK) {
        return status;
    }
    if (request->what_case == SIGNET__V1__REVOKE_REQUEST__WHAT_ALL) {
        return revoke_read_all(exchange, request, act);
    }
    if (request->what_case == SIGNET__V1__REVOKE_REQUEST__WHAT_KID) {
        return revoke_read_kid(exchange, request, act);
    }
    status = request->what_case == SIGNET__V1__REVOKE_REQUEST__WHAT_JTI
                 ? revoke_read_jti(exchange, request, act)
                 : revoke_read_subject(exchange, request, act);
    return status == SIGNET_OK ? revoke_check_right(exchange, act) : status;
}

/* ---- Doing it ---- */

static void revoke_describe(const struct sg_store_revocation *from, Signet__V1__Revocation *out)
{
    signet__v1__revocation__init(out);
    bool is_of_keyset = from->kind == SG_STORE_REVOKED_KEYSET || from->kind == SG_STORE_REVOKED_KID;
    out->kind = (Signet__V1__RevocationKind)from->kind;
    out->issuer = is_of_keyset ? NULL : sg_reply_text(from->scope);
    out->keyset = is_of_keyset ? sg_reply_text(from->scope) : NULL;
    out->name = sg_reply_text(from->name);
    out->revoked_at = from->at;
    out->until = from->until == SG_TIME_NEVER ? 0 : from->until;
    out->uid = from->by;
    out->reason = sg_reply_text(from->reason);
}

static signet_status revoke_write(struct sg_exchange *exchange, struct revoke_act *act,
                                  const char *reason)
{
    char message[REVOKE_MAX_ERROR];
    act->revocation.by = exchange->peer.uid;
    act->revocation.reason = reason;
    signet_status status = sg_revocations_add(exchange->service->revocations, &act->revocation,
                                              message, sizeof(message));
    if (status != SIGNET_OK) {
        return sg_rpc_fail(&exchange->error, status, "NOT_REVOKED",
                           "it cannot be written down, and nothing was revoked: %s", message);
    }
    Signet__V1__RevokeResponse response = SIGNET__V1__REVOKE_RESPONSE__INIT;
    Signet__V1__Revocation revocation;
    revoke_describe(&act->revocation, &revocation);
    response.revocation = &revocation;
    return sg_exchange_append(exchange, &response.base);
}

/* That no room is left for records keeps nobody from revoking. */
static signet_status revoke_do(struct sg_exchange *exchange, struct revoke_act *act)
{
    const Signet__V1__RevokeRequest *request = (const Signet__V1__RevokeRequest *)exchange->request;
    struct sg_audit_place place = {0};
    struct sg_rpc_status full;
    signet_status admitted = sg_audit_admit_at_once(exchange, &place, &full);
    (void)admitted;
    signet_status status = revoke_write(exchange, act, request->reason);
    const struct sg_audit_revoked revoked = {
        .keyset = act->keyset->name,
        .grant = act->grant,
        .jti = act->jti,
        .subject = act->subject,
        .kid = act->kid,
        .expires_at = act->expires_at,
    };
    sg_audit_write_revoked(exchange, &place, &revoked, status);
    return status;
}

/* ---- By token ---- */

static signet_status revoke_no_token(struct sg_exchange *exchange, const char *why)
{
    return sg_rpc_fail(&exchange->error, SIGNET_INVALID_ARGUMENT, "TOKEN_INVALID", "token: %s",
                       why);
}

static signet_status revoke_identified(struct sg_exchange *exchange,
                                       const struct sg_verify_outcome *outcome)
{
    const Signet__V1__RevokeRequest *request = (const Signet__V1__RevokeRequest *)exchange->request;
    const Signet__V1__VerifiedToken *token = outcome->token;
    struct revoke_act act = {0};
    if (outcome->error != NULL) {
        exchange->error = *outcome->error;
        return exchange->error.code;
    }
    if (token == NULL) {
        return revoke_no_token(exchange, outcome->rejection != NULL ? outcome->rejection->detail
                                                                    : "it came to no outcome");
    }
    if (token->jti == NULL || token->jti[0] == '\0') {
        return revoke_no_token(exchange,
                               "it has no jti; revoke its subject, or its keyset's tokens");
    }
    const Signet__V1__RevokeRequest by_jti = {
        .base = request->base,
        .what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_JTI,
        .jti = token->jti,
        .keyset = token->keyset,
        .expires_at = token->expires_at,
        .reason = request->reason,
    };
    if (sg_rotation_accepted_until(token->expires_at) < exchange->now.wall_s) {
        return revoke_no_token(exchange, "it has expired, and is refused with any leeway");
    }
    signet_status status = revoke_read(exchange, &by_jti, &act);
    return status == SIGNET_OK ? revoke_do(exchange, &act) : status;
}

static signet_status revoke_token(struct sg_exchange *exchange,
                                  const Signet__V1__RevokeRequest *request)
{
    Signet__V1__VerifyRequest verify = SIGNET__V1__VERIFY_REQUEST__INIT;
    verify.token = request->token;
    verify.keyset = request->keyset;
    verify.any_audience = true;
    return sg_verify_identify(exchange, &verify, revoke_identified);
}

/* ---- Revoke ---- */

static signet_status revoke_check(struct sg_exchange *exchange,
                                  const Signet__V1__RevokeRequest *request)
{
    if (request->what_case == SIGNET__V1__REVOKE_REQUEST__WHAT__NOT_SET) {
        return sg_rpc_fail(&exchange->error, SIGNET_INVALID_ARGUMENT, "WHAT_REQUIRED",
                           "expected a token, a jti, a subject, a kid, or all");
    }
    if (strlen(request->reason) > SG_MAX_REASON_LEN) {
        return sg_rpc_fail(&exchange->error, SIGNET_INVALID_ARGUMENT, "REASON_TOO_LONG",
                           "reason: expected at most %u bytes", SG_MAX_REASON_LEN);
    }
    bool is_jti = request->what_case == SIGNET__V1__REVOKE_REQUEST__WHAT_JTI;
    if (request->expires_at != 0 && !is_jti) {
        return sg_rpc_fail(&exchange->error, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID",
                           "expires_at: only of the token of a jti");
    }
    return SIGNET_OK;
}

signet_status sg_revoke(struct sg_exchange *exchange)
{
    const Signet__V1__RevokeRequest *request = (const Signet__V1__RevokeRequest *)exchange->request;
    struct revoke_act act = {0};
    if (exchange->service->revocations == NULL) {
        return revoke_nothing_here(exchange);
    }
    signet_status status = revoke_check(exchange, request);
    if (status == SIGNET_OK && request->what_case == SIGNET__V1__REVOKE_REQUEST__WHAT_TOKEN) {
        return revoke_token(exchange, request);
    }
    if (status == SIGNET_OK) {
        status = revoke_read(exchange, request, &act);
    }
    return status == SIGNET_OK ? revoke_do(exchange, &act) : status;
}

/* ---- ListRevocations ---- */

struct revoke_listing {
    struct sg_exchange *exchange;
    size_t num, max;
    bool has_more;
    signet_status status;
};

static void revoke_list_one(void *context, const struct sg_store_revocation *record)
{
    struct revoke_listing *listing = context;
    Signet__V1__ListRevocationsResponse part = SIGNET__V1__LIST_REVOCATIONS_RESPONSE__INIT;
    Signet__V1__Revocation revocation;
    Signet__V1__Revocation *list[] = {&revocation};
    if (listing->status != SIGNET_OK) {
        return;
    }
    if (listing->num == listing->max) {
        listing->has_more = true; /* one more was asked for to know that */
        return;
    }
    revoke_describe(record, &revocation);
    part.revocations = list;
    part.n_revocations = 1;
    listing->num++;
    listing->status = sg_exchange_append(listing->exchange, &part.base);
}

static signet_status revoke_end_list(const struct revoke_listing *listing)
{
    Signet__V1__ListRevocationsResponse part = SIGNET__V1__LIST_REVOCATIONS_RESPONSE__INIT;
    part.more = listing->has_more;
    return sg_exchange_append(listing->exchange, &part.base);
}

static void revoke_read_after(const Signet__V1__Revocation *after,
                              struct sg_store_revocation_key *out)
{
    bool is_of_keyset = after->kind == SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET ||
                        after->kind == SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID;
    *out = (struct sg_store_revocation_key){
        .kind = (enum sg_store_revocation_kind)after->kind,
        .scope = is_of_keyset ? after->keyset : after->issuer,
        .name = after->name,
    };
}

signet_status sg_revoke_list(struct sg_exchange *exchange)
{
    const Signet__V1__ListRevocationsRequest *request =
        (const Signet__V1__ListRevocationsRequest *)exchange->request;
    struct sg_revocations *revocations = exchange->service->revocations;
    char message[REVOKE_MAX_ERROR];
    struct sg_store_revocation_key after;
    struct revoke_listing listing = {.exchange = exchange, .status = SIGNET_OK};
    if (revocations == NULL) {
        return revoke_nothing_here(exchange);
    }
    if (request->max > REVOKE_MAX_LISTED) {
        return sg_rpc_fail(&exchange->error, SIGNET_INVALID_ARGUMENT, "MAX_INVALID",
                           "max: expected at most %u", REVOKE_MAX_LISTED);
    }
    listing.max = request->max != 0 ? request->max : REVOKE_DEFAULT_LISTED;
    if (request->after != NULL) {
        revoke_read_after(request->after, &after);
    }
    signet_status status =
        sg_revocations_list(revocations, request->after != NULL ? &after : NULL, listing.max + 1,
                            revoke_list_one, &listing, message, sizeof(message));
    if (status != SIGNET_OK) {
        return sg_rpc_fail(&exchange->error, status, "STATE_UNREADABLE", "%s", message);
    }
    return listing.status == SIGNET_OK ? revoke_end_list(&listing) : listing.status;
}
