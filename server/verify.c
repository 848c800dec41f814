/* SPDX-License-Identifier: Apache-2.0
 *
 * The judgement of a token for a peer (common/jose/judge.h), in this order, each step only if all before it went well:
 *
 *   1. the request keeps its rules, and the peer may ask       else an error
 *   2. the token is well-formed                                else MALFORMED, UNSUPPORTED_HEADER
 *   3. there are keys that it may be under                     else UNKNOWN_KEY, KEY_REVOKED
 *   4. some of them are of the algorithm its header names      else WRONG_ALG
 *   5. its signature is good under one of them                 else BAD_SIGNATURE
 *   6. its payload can be read, and is good for what is asked  else the claims' reasons
 *   7. if it is to be used up: it is, now and for good         else CLAIM_MISSING, REPLAYED, or an error
 *
 * A step that cannot be done for want of memory is an error of the request, never a refusal: nobody
 * judged the token.
 *
 * Nothing looks at the payload before step 5 has named the key that signed it. Step 5 has one public
 * answer for everything that is wrong with a signature. A VerifiedToken is made in one place,
 * verify_judge, from the key of step 5 and the claims of step 6.
 *
 * Step 7 waits for the disk. What can change meanwhile is asked again: whether the token was revoked. Once a token of
 * a batch is used up the batch is answered, so that the answer is not lost: what keeps the rest from being judged is
 * the rest's error.
 */
#include "server/verify.h"

#include <stdlib.h>
#include <string.h>

#include "common/jose/claims.h"
#include "common/jose/describe.h"
#include "common/jose/judge.h"
#include "server/access.h"
#include "server/audit_note.h"
#include "server/consumed.h"
#include "server/keyholder/keyholder.h"
#include "server/keyring.h"
#include "server/mac_cache.h"
#include "server/price.h"
#include "server/request_rules.h"
#include "server/revocations.h"
#include "server/right.h"
#include "server/rotation.h"
#include "server/trust.h"

/* Judged together, with one crossing to the keyholder: enough to make that cheap, few enough to stay
 * in the processor's cache. */
#define VERIFY_CHUNK 16u
/* For a request that met the end of a key. */
#define VERIFY_RETRY_MS  10u
#define VERIFY_MAX_ERROR 256u
_Static_assert(VERIFY_CHUNK *SG_JUDGE_MAX_CANDIDATES <= SG_MAX_BATCH,
               "the checks of a chunk must fit one call of the keyholder");

struct verify_item {
    const Signet__V1__VerifyRequest *request;
    enum sg_right right; /* that the peer must have: to verify, or to revoke what it identifies */
    const struct sg_keyset *keyset; /* the one asked for; NULL: any */
    const struct sg_grant *grant;   /* that lets the peer ask about that keyset */
    struct sg_rpc_status error;     /* code other than SIGNET_OK: no judgement */
    struct sg_verdict verdict; /* reason other than NONE: refused, or with an error not judged */
    const struct sg_key *candidates[SG_JUDGE_MAX_CANDIDATES];
    const struct sg_grant *grants[SG_JUDGE_MAX_CANDIDATES]; /* that let the peer ask about each */
    size_t num_candidates;
    const struct sg_keyset *denied; /* one that it would be, but about which the peer may not ask */
    uint64_t crypto_us;             /* how long its signature took */
    const struct sg_key *signed_by; /* whose signature was found good; NULL: nobody's */
    bool is_used_up;                /* by this request */
    struct sg_jws jws;              /* not to be used once the token was refused */
};

/* The MACs of a chunk, to be checked in one crossing: for each item that has one, in order, a check
 * under each of its candidates. */
struct verify_macs {
    struct sg_keyholder_request *requests;
    struct sg_keyholder_reply *replies;
    size_t num;
    uint8_t *bytes; /* the signing inputs, one after the other */
    size_t bytes_len;
};

/* What is judged together. */
struct verify_chunk {
    sg_verify_sink *sink;
    enum sg_right right;
    struct verify_macs macs;
    uint64_t crypto_us_before; /* of the call, when it began to wait for the keyholder */
    bool has_used_up;          /* some token, of this chunk or of one before it */
    size_t num;
    struct verify_item items[];
};

/* Whether there is neither an error nor a refusal so far. */
static bool verify_is_open(const struct verify_item *item)
{
    return item->error.code == SIGNET_OK && item->verdict.reason == SIGNET_REASON_NONE;
}

/* ---- 1. Rules (the comments of VerifyRequest) ---- */

static signet_status verify_check_audiences(const Signet__V1__VerifyRequest *request,
                                            struct sg_rpc_status *error)
{
    if (request->n_audiences == 0 && !request->any_audience) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "AUDIENCE_REQUIRED",
                           "audiences: say who you are, or set any_audience");
    }
    if (request->n_audiences > 0 && request->any_audience) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "AUDIENCE_CONFLICT",
                           "audiences: expected none together with any_audience");
    }
    return sg_rule_texts("audiences", (const char *const *)request->audiences, request->n_audiences,
                         SG_MAX_AUDIENCES, SG_MAX_AUDIENCE_LEN, "AUDIENCE_INVALID", error);
}

static signet_status verify_check_scopes(const Signet__V1__VerifyRequest *request,
                                         struct sg_rpc_status *error)
{
    signet_status status = sg_rule_texts(
        "required_scope", (const char *const *)request->required_scope, request->n_required_scope,
        SG_MAX_SCOPES, SG_MAX_SCOPE_LEN, "SCOPE_INVALID", error);
    for (size_t i = 0; status == SIGNET_OK && i < request->n_required_scope; i++) {
        if (strchr(request->required_scope[i], ' ') != NULL) {
            status = sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "SCOPE_INVALID",
                                 "required_scope: expected one scope in each value, no spaces");
        }
    }
    return status;
}

/* The keyset that was asked for. Who may not verify with it is not told whether there is one. */
static signet_status verify_check_keyset(const struct sg_exchange *exchange,
                                         struct verify_item *item)
{
    const char *name = item->request->keyset;
    signet_status status = sg_rule_keyset_name(name, &item->error);
    if (status == SIGNET_OK) {
        status = sg_access_check(exchange, item->right, name, &item->grant, &item->error);
    }
    return status == SIGNET_OK
               ? sg_rule_keyset(exchange->keyring, name, &item->keyset, &item->error)
               : status;
}

/* The fields where empty means that nothing is asked. */
static signet_status verify_check_names(const struct sg_exchange *exchange,
                                        struct verify_item *item)
{
    const Signet__V1__VerifyRequest *request = item->request;
    struct sg_rpc_status *error = &item->error;
    signet_status status = SIGNET_OK;
    if (request->keyset[0] != '\0') {
        status = verify_check_keyset(exchange, item);
    }
    if (status == SIGNET_OK && request->issuer[0] != '\0') {
        status =
            sg_rule_text("issuer", request->issuer, SG_MAX_ISSUER_LEN, "ISSUER_INVALID", error);
    }
    if (status == SIGNET_OK && request->subject[0] != '\0') {
        status =
            sg_rule_text("subject", request->subject, SG_MAX_SUBJECT_LEN, "SUBJECT_INVALID", error);
    }
    if (status == SIGNET_OK && request->typ[0] != '\0') {
        status = sg_rule_typ(request->typ, error);
    }
    return status;
}

static signet_status verify_check_request(const struct sg_exchange *exchange,
                                          struct verify_item *item)
{
    const Signet__V1__VerifyRequest *request = item->request;
    signet_status status = verify_check_audiences(request, &item->error);
    if (status == SIGNET_OK && request->keyset[0] == '\0') {
        /* Nothing is judged for one who may verify nothing. */
        status = sg_access_check(exchange, item->right, NULL, NULL, &item->error);
    }
    if (status == SIGNET_OK) {
        status = verify_check_names(exchange, item);
    }
    if (status == SIGNET_OK) {
        status = verify_check_scopes(request, &item->error);
    }
    if (status == SIGNET_OK && request->leeway_s > SG_MAX_LEEWAY_S) {
        status = sg_rpc_fail(&item->error, SIGNET_INVALID_ARGUMENT, "LEEWAY_TOO_LONG",
                             "leeway_s: expected at most %u seconds", SG_MAX_LEEWAY_S);
    }
    return status;
}

/* ---- 2. The token's form ---- */

/* Most tokens carry a header that was written here, and then need no JSON read. */
static bool verify_use_known_header(const struct sg_keyring *keyring, struct sg_jws *jws)
{
    const struct sg_key *key =
        sg_keyring_key_of_header(keyring, jws->header_b64, jws->header_b64_len);
    if (key == NULL) {
        return false;
    }
    const struct sg_jws_known_header known = {
        .b64 = key->header_b64,
        .b64_len = key->header_b64_len,
        .alg = sg_alg_info(key->alg)->jws_name,
        .kid = key->kid,
        .typ = key->keyset->typ,
    };
    return sg_jws_use_header(jws, &known);
}

static void verify_take_apart(const struct sg_exchange *exchange, struct verify_item *item)
{
    const char *token = item->request->token;
    item->verdict = sg_jws_split(token, strlen(token), &item->jws);
    if (verify_is_open(item) && !verify_use_known_header(exchange->keyring, &item->jws)) {
        item->verdict = sg_jws_read_header(&item->jws);
    }
}

/* ---- 3 and 4. The keys it may be under, and their algorithms ---- */

/* The grant that lets the peer ask about tokens under a key; NULL if none does. */
static const struct sg_grant *verify_find_grant(const struct sg_exchange *exchange,
                                                const struct verify_item *item,
                                                const struct sg_key *key)
{
    if (item->keyset != NULL) {
        return item->grant;
    }
    size_t num = item->num_candidates;
    if (num > 0 && item->candidates[num - 1]->keyset == key->keyset) {
        return item->grants[num - 1];
    }
    return sg_access_find(exchange, item->right, key->keyset->name);
}

static enum sg_judge_use verify_key_use(const struct sg_key *key, int64_t now)
{
    if (sg_key_may_verify(key, now)) {
        return SG_JUDGE_IN_USE;
    }
    return sg_key_state(key, now) == SG_KEY_REVOKED ? SG_JUDGE_KEY_REVOKED : SG_JUDGE_ENDED;
}

/* Takes a key as a candidate if the peer may ask about it, and it is one for this token. The refusal that the token
 * would get is kept. */
static void verify_consider(const struct sg_exchange *exchange, struct verify_item *item,
                            const struct sg_key *key, struct sg_verdict *refusal)
{
    if (key->keyset->is_internal || (item->keyset != NULL && key->keyset != item->keyset)) {
        return;
    }
    const struct sg_grant *grant = verify_find_grant(exchange, item, key);
    if (grant == NULL) {
        item->denied = key->keyset;
        return;
    }
    if (sg_judge_consider(&item->jws, key->alg, verify_key_use(key, exchange->now.wall_s),
                          refusal) &&
        item->num_candidates < SG_JUDGE_MAX_CANDIDATES) {
        item->grants[item->num_candidates] = grant;
        item->candidates[item->num_candidates++] = key;
    }
}

/* No key is left: the peer is told why, or that it may not ask. */
static void verify_without_key(const struct sg_exchange *exchange, struct verify_item *item,
                               const struct sg_verdict *refusal)
{
    item->verdict = *refusal;
    if (item->denied != NULL && refusal->reason == SIGNET_REASON_UNKNOWN_KEY) {
        item->error.code =
            sg_access_check(exchange, item->right, item->denied->name, NULL, &item->error);
    }
}

static void verify_find_named_keys(const struct sg_exchange *exchange, struct verify_item *item)
{
    struct sg_verdict refusal = sg_judge_kid_unknown;
    size_t num = 0;
    const struct sg_key *const *keys =
        sg_keyring_keys(exchange->keyring, item->jws.kid, item->jws.kid_len, &num);
    for (size_t i = 0; i < num; i++) {
        verify_consider(exchange, item, keys[i], &refusal);
    }
    if (item->num_candidates == 0) {
        verify_without_key(exchange, item, &refusal);
    }
}

/* A token that names no key: only if the caller names the keyset. */
static void verify_find_keys_of_keyset(const struct sg_exchange *exchange, struct verify_item *item)
{
    struct sg_verdict refusal = sg_judge_keyset_empty;
    const struct sg_keyset *keyset = item->keyset;
    if (keyset == NULL) {
        item->verdict = sg_judge_keyset_needed;
        return;
    }
    /* What we sign has a kid: one without comes from where a key was imported from, which must be among
     * those that are tried, however many were made since. The newest first: most tokens are. */
    for (int imported = 1; imported >= 0; imported--) {
        for (size_t i = keyset->num_keys; i > 0; i--) {
            if (keyset->keys[i - 1].imported == (imported != 0)) {
                verify_consider(exchange, item, &keyset->keys[i - 1], &refusal);
            }
        }
    }
    if (item->num_candidates == 0) {
        verify_without_key(exchange, item, &refusal);
    }
}

/* Steps 1 to 4. All candidates are of the header's algorithm. */
static void verify_prepare(const struct sg_exchange *exchange, struct verify_item *item)
{
    item->error.code = verify_check_request(exchange, item);
    if (verify_is_open(item)) {
        verify_take_apart(exchange, item);
    }
    if (verify_is_open(item)) {
        if (item->jws.has_kid) {
            verify_find_named_keys(exchange, item);
        } else {
            verify_find_keys_of_keyset(exchange, item);
        }
    }
}

/* ---- 5. The signature ---- */

static bool verify_is_hmac(const struct verify_item *item)
{
    return sg_alg_info(item->candidates[0]->alg)->family == SG_FAMILY_HMAC;
}

static void verify_public_signature(struct verify_item *item)
{
    struct sg_verdict undecided = {.reason = SIGNET_REASON_NONE};
    for (size_t i = 0; item->signed_by == NULL && i < item->num_candidates; i++) {
        const struct sg_key *key = item->candidates[i];
        if (key->public_key == NULL) {
            continue;
        }
        struct sg_verdict verdict = sg_public_key_verify(key->public_key, &item->jws);
        if (verdict.reason == SIGNET_REASON_NONE) {
            item->signed_by = key;
        } else if (verdict.error != SIGNET_OK) {
            undecided = verdict;
        }
    }
    if (item->signed_by == NULL) {
        item->verdict = undecided; /* NONE if every key said no: verify_judge refuses it */
    }
}

/* Whether the keyholder has found the MAC good before, under a key that is still in the same slot. All that is not the
 * MAC is looked at as if it had not. */
static void verify_recall_mac(const struct sg_exchange *exchange, struct verify_item *item)
{
    struct sg_mac_cache *macs = exchange->service->macs;
    const char *token = item->request->token;
    for (size_t i = 0; macs != NULL && item->signed_by == NULL && i < item->num_candidates; i++) {
        if (sg_mac_cache_has(macs, sg_key_slot(item->candidates[i]), token, strlen(token))) {
            item->signed_by = item->candidates[i];
        }
    }
}

/* What is known to be good needs no check, nor does a longer MAC than any that there is. */
static bool verify_has_mac(const struct verify_item *item)
{
    return verify_is_open(item) && verify_is_hmac(item) && item->signed_by == NULL &&
           item->jws.signature_len <= SG_KEYHOLDER_MAX_MAC;
}

static void verify_add_mac(const struct verify_item *item, struct verify_macs *macs)
{
    const struct sg_jws *jws = &item->jws;
    for (size_t i = 0; i < item->num_candidates; i++) {
        struct sg_keyholder_request *request = &macs->requests[macs->num++];
        *request = (struct sg_keyholder_request){
            .op = SG_KEYHOLDER_MAC_CHECK,
            .slot = sg_key_slot(item->candidates[i]),
            .data_off = (uint32_t)macs->bytes_len,
            .data_len = (uint32_t)jws->signing_input_len,
            .mac_len = (uint32_t)jws->signature_len,
        };
        memcpy(request->mac, jws->signature, jws->signature_len);
    }
    memcpy(macs->bytes + macs->bytes_len, jws->signing_input, jws->signing_input_len);
    macs->bytes_len += jws->signing_input_len;
}

/* What the keyholder said of a MAC under one key, the more serious the higher. */
enum verify_mac {
    VERIFY_MAC_DIFFERS = 1,
    VERIFY_MAC_REVOKED, /* the key was, after this request had found it */
    VERIFY_MAC_ABSENT,  /* the secret is not in memory, or no longer */
    VERIFY_MAC_FAILED,
    VERIFY_MAC_EQUAL
};

static enum verify_mac verify_read_reply(const struct sg_key *key,
                                         const struct sg_keyholder_request *request,
                                         const struct sg_keyholder_reply *reply)
{
    if (reply->status == SIGNET_OK && reply->verdict == SG_KEYHOLDER_MAC_EQUAL) {
        return VERIFY_MAC_EQUAL;
    }
    if (reply->status == SIGNET_OK && reply->verdict == SG_KEYHOLDER_MAC_DIFFERS) {
        return VERIFY_MAC_DIFFERS;
    }
    if (reply->status == SIGNET_FAILED_PRECONDITION) {
        return VERIFY_MAC_REVOKED;
    }
    bool is_absent = request->slot == 0 || request->slot != sg_key_slot(key);
    return reply->status == SIGNET_NOT_FOUND && is_absent ? VERIFY_MAC_ABSENT : VERIFY_MAC_FAILED;
}

/* Anything but a clear answer is an error: neither a good MAC nor a bad one. */
static void verify_read_mac(struct sg_mac_cache *macs, struct verify_item *item,
                            const struct sg_keyholder_request *requests,
                            const struct sg_keyholder_reply *replies)
{
    enum verify_mac worst = VERIFY_MAC_DIFFERS;
    for (size_t i = 0; item->signed_by == NULL && i < item->num_candidates; i++) {
        enum verify_mac mac = verify_read_reply(item->candidates[i], &requests[i], &replies[i]);
        if (mac == VERIFY_MAC_EQUAL) {
            item->signed_by = item->candidates[i];
            if (macs != NULL) {
                sg_mac_cache_add(macs, requests[i].slot, item->request->token,
                                 strlen(item->request->token));
            }
        }
        worst = mac > worst ? mac : worst;
    }
    if (item->signed_by != NULL) {
        return;
    }
    if (worst == VERIFY_MAC_REVOKED) {
        item->verdict = sg_judge_key_revoked;
    } else if (worst == VERIFY_MAC_ABSENT) {
        (void)sg_rpc_fail(&item->error, SIGNET_UNAVAILABLE, "KEY_ABSENT",
                          "the key is not in memory; try again");
        item->error.retry_after_ms = VERIFY_RETRY_MS;
    } else if (worst == VERIFY_MAC_FAILED) {
        (void)sg_rpc_fail(&item->error, SIGNET_INTERNAL, "KEYHOLDER_FAILED",
                          "the keyholder did not judge the signature");
    }
}

/* taken_us: how long the keyholder took for all of them. */
static void verify_read_macs(const struct sg_exchange *exchange, struct verify_chunk *chunk,
                             uint64_t taken_us)
{
    size_t at = 0;
    for (size_t i = 0; i < chunk->num; i++) {
        struct verify_item *item = &chunk->items[i];
        if (verify_has_mac(item)) {
            item->crypto_us = taken_us / chunk->macs.num;
            size_t num_candidates = item->num_candidates;
            verify_read_mac(exchange->service->macs, item, chunk->macs.requests + at,
                            chunk->macs.replies + at);
            at += num_candidates;
        }
    }
}

static bool verify_reserve_macs(struct verify_chunk *chunk, struct verify_macs *macs)
{
    *macs = (struct verify_macs){0};
    for (size_t i = 0; i < chunk->num; i++) {
        const struct verify_item *item = &chunk->items[i];
        if (verify_has_mac(item)) {
            macs->num += item->num_candidates;
            macs->bytes_len += item->jws.signing_input_len;
        }
    }
    if (macs->num == 0) {
        return true;
    }
    macs->requests = malloc(macs->num * sizeof(*macs->requests));
    macs->replies = malloc(macs->num * sizeof(*macs->replies));
    macs->bytes = malloc(macs->bytes_len);
    return macs->requests != NULL && macs->replies != NULL && macs->bytes != NULL;
}

static void verify_release_macs(struct verify_macs *macs)
{
    free(macs->bytes);
    free(macs->replies);
    free(macs->requests);
    *macs = (struct verify_macs){0};
}

/* What its uid was not charged with when the request was read. */
static uint64_t verify_unforeseen_cost(const struct sg_exchange *exchange,
                                       const struct verify_item *item)
{
    const struct sg_costs *costs = exchange->service->costs;
    if (costs == NULL ||
        sg_price_foresees(exchange->keyring, item->jws.header_b64, item->jws.header_b64_len)) {
        return 0;
    }
    return item->num_candidates * sg_price_check(costs, item->candidates[0]);
}

/* What can be judged here, and what the keyholder is to be asked. */
static signet_status verify_signatures(struct sg_exchange *exchange, struct verify_chunk *chunk)
{
    struct verify_macs *macs = &chunk->macs;
    for (size_t i = 0; i < chunk->num; i++) {
        struct verify_item *item = &chunk->items[i];
        if (!verify_is_open(item)) {
            continue;
        }
        exchange->cost_us += verify_unforeseen_cost(exchange, item);
        if (verify_is_hmac(item)) {
            verify_recall_mac(exchange, item);
        } else {
            uint64_t begun_us = sg_exchange_read_us(exchange);
            verify_public_signature(item);
            item->crypto_us = sg_exchange_read_us(exchange) - begun_us;
            exchange->sample.crypto_us += item->crypto_us;
        }
    }
    if (!verify_reserve_macs(chunk, macs)) {
        return sg_exchange_no_memory(exchange);
    }
    macs->num = 0;
    macs->bytes_len = 0;
    for (size_t i = 0; i < chunk->num; i++) {
        if (verify_has_mac(&chunk->items[i])) {
            verify_add_mac(&chunk->items[i], macs);
        }
    }
    return SIGNET_OK;
}

/* ---- 6. The claims ---- */

/* Of a token that is only identified, so that it can be revoked whatever its times. */
static struct sg_verdict verify_check_issuer(const struct verify_item *item,
                                             const struct sg_claims *claims)
{
    if (claims->issuer != NULL && strcmp(claims->issuer, item->signed_by->keyset->issuer) == 0) {
        return (struct sg_verdict){.reason = SIGNET_REASON_NONE};
    }
    return (struct sg_verdict){.reason = SIGNET_REASON_WRONG_ISSUER,
                               .detail = "the key is not one of the token's issuer"};
}

static bool verify_is_revoked(const struct sg_exchange *exchange, const struct verify_item *item,
                              const struct sg_claims *claims)
{
    const struct sg_keyset *keyset = item->signed_by->keyset;
    const struct sg_revocations_token token = {
        .issuer = keyset->issuer,
        .keyset = keyset->name,
        .kid = item->signed_by->kid,
        .jti = claims->jti,
        .subject = claims->subject,
        .has_iat = claims->iat.present,
        .iat = claims->iat.seconds,
    };
    return exchange->service->revocations != NULL &&
           sg_revocations_refuse(exchange->service->revocations, &token);
}

/* audiences: room for those that a foreign issuer is trusted for. */
static struct sg_judge_signer verify_signer(const struct verify_item *item,
                                            const char *audiences[SG_MAX_AUDIENCES])
{
    const struct sg_keyset *keyset = item->signed_by->keyset;
    const struct sg_trust_issuer *foreign = keyset->foreign;
    size_t num = foreign != NULL ? foreign->num_audiences : 0;
    for (size_t i = 0; i < num; i++) {
        audiences[i] = foreign->audiences[i];
    }
    return (struct sg_judge_signer){
        .issuer = keyset->issuer, .audiences = audiences, .num_audiences = num};
}

static struct sg_verdict verify_check_claims(const struct sg_exchange *exchange,
                                             const struct verify_item *item,
                                             const struct sg_claims *claims)
{
    const Signet__V1__VerifyRequest *request = item->request;
    const struct sg_expectation asked = {
        .now = exchange->now.wall_s,
        .leeway_s = request->leeway_s,
        .max_age_s = request->max_age_s,
        .audiences = (const char *const *)request->audiences,
        .num_audiences = request->n_audiences,
        .any_audience = request->any_audience,
        .issuer = request->issuer[0] != '\0' ? request->issuer : NULL,
        .subject = request->subject[0] != '\0' ? request->subject : NULL,
        .typ = request->typ[0] != '\0' ? request->typ : NULL,
        .scopes = (const char *const *)request->required_scope,
        .num_scopes = request->n_required_scope,
    };
    const char *audiences[SG_MAX_AUDIENCES];
    const struct sg_judge_signer signer = verify_signer(item, audiences);
    struct sg_verdict verdict = sg_judge_claims(claims, &item->jws, &signer, &asked);
    if (verdict.reason == SIGNET_REASON_NONE && verify_is_revoked(exchange, item, claims)) {
        verdict = sg_judge_revoked;
    }
    return verdict;
}

/* ---- 7. Using it up ---- */

static void verify_refuse(struct verify_item *item, signet_reason reason, const char *detail)
{
    item->verdict = (struct sg_verdict){.reason = reason, .detail = detail};
}

static void verify_write_use(const struct sg_exchange *exchange, struct verify_item *item,
                             const struct sg_claims *claims)
{
    struct sg_consumed *consumed = exchange->service->consumed;
    char message[VERIFY_MAX_ERROR];
    enum sg_store_outcome outcome = SG_STORE_REPLAYED;
    const struct sg_store_consumed token = {
        .issuer = item->signed_by->keyset->issuer,
        .jti = claims->jti,
        .until = sg_rotation_accepted_until(claims->exp.seconds),
        .uid = exchange->peer.uid,
    };
    signet_status status = sg_consumed_use(consumed, &token, &outcome, message, sizeof(message));
    if (status != SIGNET_OK) {
        (void)sg_rpc_fail(&item->error, status, "NOT_CONSUMED",
                          "it cannot be written down, and the token was not used up: %s", message);
    } else if (outcome == SG_STORE_FULL) {
        (void)sg_rpc_fail(&item->error, SIGNET_RESOURCE_EXHAUSTED, "CONSUMED_FULL",
                          "uid %lu has used up %u tokens that have not expired; wait until some "
                          "have, give them shorter lives, or have limits.consumed_per_uid raised",
                          (unsigned long)token.uid, sg_consumed_max_per_uid(consumed));
    } else if (outcome == SG_STORE_CONSUMED) {
        item->is_used_up = true;
    } else {
        verify_refuse(item, SIGNET_REASON_REPLAYED, "the token was used up before");
    }
}

/* Only for a token that is good in every other way, which then stays open only if it is used up. */
static void verify_use_up(const struct sg_exchange *exchange, struct verify_item *item,
                          const struct sg_claims *claims)
{
    if (exchange->service->consumed == NULL) {
        (void)sg_rpc_fail(&item->error, SIGNET_UNIMPLEMENTED, "NO_CONSUMED",
                          "no token can be used up here");
    } else if (claims->jti == NULL || claims->jti[0] == '\0') {
        verify_refuse(item, SIGNET_REASON_CLAIM_MISSING,
                      "the token has no jti, and cannot be used up");
    } else if (strlen(claims->jti) > SG_MAX_JTI_LEN) {
        verify_refuse(item, SIGNET_REASON_CLAIM_INVALID,
                      "the token's jti is too long to be used up");
    } else {
        verify_write_use(exchange, item, claims);
    }
    if (item->is_used_up && verify_is_revoked(exchange, item, claims)) {
        item->verdict = sg_judge_revoked;
    }
}

/* ---- Answering ---- */

/* Steps 5 to 7 come together here. True, and only then, *out is a good token; *claims is what it
 * points into, and is the caller's to release in any case. */
static bool verify_judge(const struct sg_exchange *exchange, struct verify_item *item,
                         struct sg_claims *claims, Signet__V1__VerifiedToken *out)
{
    if (!verify_is_open(item)) {
        return false;
    }
    if (item->signed_by == NULL) {
        item->verdict = sg_judge_bad_signature;
        return false;
    }
    item->verdict = sg_claims_parse(&item->jws, claims);
    if (!verify_is_open(item)) {
        return false;
    }
    item->verdict = item->right == SG_RIGHT_VERIFY ? verify_check_claims(exchange, item, claims)
                                                   : verify_check_issuer(item, claims);
    if (!verify_is_open(item)) {
        return false;
    }
    if (!sg_describe(claims, &item->jws, item->signed_by->kid, item->signed_by->keyset->name,
                     exchange->arena, out)) {
        (void)sg_rpc_fail(&item->error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                          "describing the token takes too much memory");
        return false;
    }
    if (item->request->consume) {
        verify_use_up(exchange, item, claims);
    }
    out->consumed = item->is_used_up;
    return verify_is_open(item);
}

static const struct sg_grant *verify_deciding_grant(const struct verify_item *item)
{
    for (size_t i = 0; i < item->num_candidates; i++) {
        if (item->candidates[i] == item->signed_by) {
            return item->grants[i];
        }
    }
    return item->grant;
}

/* Has the audit know of a judgement, or of a request that came to none. A denial is known already. */
static void verify_record(const struct sg_exchange *exchange, const struct verify_item *item,
                          const struct sg_claims *claims)
{
    const struct sg_audit_judged judged = {
        .key = item->signed_by,
        .grant = verify_deciding_grant(item),
        .claims = claims->root != NULL ? claims : NULL,
        .verdict = &item->verdict,
        .is_used_up = item->is_used_up,
    };
    if (item->error.code == SIGNET_OK) {
        sg_audit_note_judged(exchange, &judged);
    } else if (item->error.code != SIGNET_PERMISSION_DENIED) {
        sg_audit_note_refusal(exchange, item->keyset != NULL ? item->keyset->name : NULL,
                              judged.grant, &item->error);
    }
}

static void verify_count(struct sg_exchange *exchange, const struct verify_item *item)
{
    bool was_checked = item->error.code == SIGNET_OK && item->num_candidates > 0;
    const struct sg_key *key = item->signed_by != NULL     ? item->signed_by
                               : item->num_candidates == 1 ? item->candidates[0]
                                                           : NULL;
    const struct sg_metrics_token token = {
        .act = SG_METRICS_VERIFY,
        .status = item->error.code,
        .rejection = item->error.code == SIGNET_OK ? item->verdict.reason : SIGNET_REASON_NONE,
        .alg = was_checked ? item->candidates[0]->alg : SG_ALG_UNSET,
        .keyset = key != NULL ? key->keyset->name : NULL,
        .crypto_us = item->crypto_us,
    };
    sg_exchange_count(exchange, &token);
}

static signet_status verify_answer(struct sg_exchange *exchange, struct verify_item *item,
                                   sg_verify_sink *sink)
{
    struct sg_claims claims = {0};
    Signet__V1__VerifiedToken token;
    Signet__V1__Rejection rejection = SIGNET__V1__REJECTION__INIT;
    struct sg_verify_outcome outcome = {0};
    bool is_good = verify_judge(exchange, item, &claims, &token);
    if (item->error.code == SIGNET_OK && item->verdict.error != SIGNET_OK) {
        (void)sg_rpc_fail(&item->error, item->verdict.error, "NO_MEMORY", "%s",
                          item->verdict.detail);
    }
    if (is_good) {
        outcome.token = &token;
    } else if (item->error.code != SIGNET_OK) {
        outcome.error = &item->error;
    } else {
        rejection.reason = (Signet__V1__RejectionReason)item->verdict.reason;
        rejection.detail = sg_reply_text(item->verdict.detail);
        outcome.rejection = &rejection;
    }
    if (item->right == SG_RIGHT_VERIFY) { /* else it was not asked whether it is good */
        verify_record(exchange, item, &claims);
        verify_count(exchange, item);
    }
    signet_status status = sink(exchange, &outcome);
    sg_claims_fini(&claims);
    return status;
}

/* ---- Chunks ---- */

static void verify_free_chunk(void *job)
{
    struct verify_chunk *chunk = job;
    verify_release_macs(&chunk->macs);
    free(chunk);
}

static signet_status verify_answer_chunk(struct sg_exchange *exchange, struct verify_chunk *chunk)
{
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < chunk->num; i++) {
        status = verify_answer(exchange, &chunk->items[i], chunk->sink);
        chunk->has_used_up = chunk->has_used_up || chunk->items[i].is_used_up;
    }
    return status;
}

static signet_status verify_resume(struct sg_exchange *exchange)
{
    struct verify_chunk *chunk = exchange->wait.job;
    verify_read_macs(exchange, chunk, exchange->sample.crypto_us - chunk->crypto_us_before);
    return verify_answer_chunk(exchange, chunk);
}

/* Leaves the rest to when the keyholder has answered. */
static void verify_wait(struct sg_exchange *exchange, struct verify_chunk *chunk)
{
    struct sg_exchange_wait *wait = &exchange->wait;
    chunk->crypto_us_before = exchange->sample.crypto_us;
    wait->crossing.status = SIGNET_UNAVAILABLE; /* until it is known */
    wait->crossing.requests = chunk->macs.requests;
    wait->crossing.num = chunk->macs.num;
    wait->crossing.bytes = chunk->macs.bytes;
    wait->crossing.bytes_len = chunk->macs.bytes_len;
    wait->crossing.replies = chunk->macs.replies;
    wait->job = chunk;
    wait->free_job = verify_free_chunk;
    wait->resume = verify_resume;
}

static void verify_begin(const struct verify_chunk *chunk, struct verify_item *item,
                         const Signet__V1__VerifyRequest *request)
{
    /* All but the jws, which is large and filled by its parser. */
    memset(item, 0, offsetof(struct verify_item, jws));
    item->request = request;
    item->right = chunk->right;
}

static signet_status verify_prepare_chunk(struct sg_exchange *exchange, struct verify_chunk *chunk,
                                          const Signet__V1__VerifyRequest *const *requests)
{
    for (size_t i = 0; i < chunk->num; i++) {
        verify_begin(chunk, &chunk->items[i], requests[i]);
        verify_prepare(exchange, &chunk->items[i]);
    }
    return verify_signatures(exchange, chunk);
}

/* All of a chunk up to its answers, the keyholder's part included. */
static signet_status verify_work(struct sg_exchange *exchange, struct verify_chunk *chunk,
                                 const Signet__V1__VerifyRequest *const *requests)
{
    const struct verify_macs *macs = &chunk->macs;
    signet_status status = verify_prepare_chunk(exchange, chunk, requests);
    if (status == SIGNET_OK && macs->num > 0) {
        uint64_t begun_us = sg_exchange_read_us(exchange);
        status = sg_keyholder_call(exchange->service->keyholder, macs->requests, macs->num,
                                   macs->bytes, macs->bytes_len, macs->replies);
        if (status != SIGNET_OK) {
            return sg_exchange_no_keyholder(exchange, status);
        }
        uint64_t taken_us = sg_exchange_read_us(exchange) - begun_us;
        exchange->sample.crypto_us += taken_us;
        verify_read_macs(exchange, chunk, taken_us);
    }
    return status;
}

/* Answers each of a chunk with the error that kept it from being judged. */
static signet_status verify_give_up(struct sg_exchange *exchange, struct verify_chunk *chunk,
                                    const Signet__V1__VerifyRequest *const *requests)
{
    const struct sg_rpc_status error = exchange->error;
    for (size_t i = 0; i < chunk->num; i++) {
        verify_begin(chunk, &chunk->items[i], requests[i]);
        chunk->items[i].error = error;
    }
    return verify_answer_chunk(exchange, chunk);
}

static signet_status verify_at_once(struct sg_exchange *exchange, struct verify_chunk *chunk,
                                    const Signet__V1__VerifyRequest *const *requests, size_t num)
{
    signet_status status = SIGNET_OK;
    size_t max = chunk->num;
    for (size_t done = 0; status == SIGNET_OK && done < num; done += chunk->num) {
        size_t left = num - done;
        chunk->num = left < max ? left : max;
        if (done > 0) {
            status = sg_exchange_check_deadline(exchange);
        }
        if (status == SIGNET_OK) {
            status = verify_work(exchange, chunk, requests + done);
        }
        if (status == SIGNET_OK) {
            status = verify_answer_chunk(exchange, chunk);
        } else if (chunk->has_used_up) {
            status = verify_give_up(exchange, chunk, requests + done);
        }
        verify_release_macs(&chunk->macs);
    }
    return status;
}

static signet_status verify_all(struct sg_exchange *exchange, enum sg_right right,
                                const Signet__V1__VerifyRequest *const *requests, size_t num,
                                sg_verify_sink *sink)
{
    size_t max = num < VERIFY_CHUNK ? num : VERIFY_CHUNK;
    struct verify_chunk *chunk = malloc(sizeof(*chunk) + max * sizeof(chunk->items[0]));
    if (chunk == NULL) {
        return sg_exchange_no_memory(exchange);
    }
    chunk->sink = sink;
    chunk->right = right;
    chunk->macs = (struct verify_macs){0};
    chunk->has_used_up = false;
    chunk->num = max;
    exchange->sample.num_items = (uint32_t)num;
    signet_status status;
    if (!exchange->wait.is_allowed || num > max) {
        status = verify_at_once(exchange, chunk, requests, num);
    } else {
        status = verify_prepare_chunk(exchange, chunk, requests);
        if (status == SIGNET_OK && chunk->macs.num > 0) {
            verify_wait(exchange, chunk);
            return SIGNET_OK;
        }
        status = status == SIGNET_OK ? verify_answer_chunk(exchange, chunk) : status;
    }
    verify_free_chunk(chunk);
    return status;
}

signet_status sg_verify(struct sg_exchange *exchange,
                        const Signet__V1__VerifyRequest *const *requests, size_t num,
                        sg_verify_sink *sink)
{
    return verify_all(exchange, SG_RIGHT_VERIFY, requests, num, sink);
}

signet_status sg_verify_identify(struct sg_exchange *exchange,
                                 const Signet__V1__VerifyRequest *request, sg_verify_sink *sink)
{
    return verify_all(exchange, SG_RIGHT_REVOKE, &request, 1, sink);
}
