/* SPDX-License-Identifier: Apache-2.0
 *
 * Which key may have signed a token, and whether its claims are good.
 */
#include "common/jose/judge.h"

#include <string.h>

const struct sg_verdict sg_judge_kid_unknown = {
    .reason = SIGNET_REASON_UNKNOWN_KEY, .detail = "the token names no key that is known here"};
const struct sg_verdict sg_judge_keyset_empty = {.reason = SIGNET_REASON_UNKNOWN_KEY,
                                                 .detail = "the keyset has no key in use"};
const struct sg_verdict sg_judge_keyset_needed = {
    .reason = SIGNET_REASON_UNKNOWN_KEY,
    .detail = "the token names no key, and the request no keyset"};
const struct sg_verdict sg_judge_key_revoked = {.reason = SIGNET_REASON_KEY_REVOKED,
                                                .detail = "the key was revoked"};
const struct sg_verdict sg_judge_bad_signature = {.reason = SIGNET_REASON_BAD_SIGNATURE,
                                                  .detail = "the signature is not good"};
const struct sg_verdict sg_judge_revoked = {.reason = SIGNET_REASON_REVOKED,
                                            .detail = "the token was revoked"};

/* ---- Keys ---- */

static const struct sg_verdict judge_key_ended = {.reason = SIGNET_REASON_UNKNOWN_KEY,
                                                  .detail = "the key is no longer in use"};

bool sg_judge_consider(const struct sg_jws *jws, enum sg_alg alg, enum sg_judge_use use,
                       struct sg_verdict *refusal)
{
    if (use != SG_JUDGE_IN_USE) {
        if (refusal->reason == SIGNET_REASON_UNKNOWN_KEY) {
            *refusal = use == SG_JUDGE_KEY_REVOKED ? sg_judge_key_revoked : judge_key_ended;
        }
        return false;
    }
    struct sg_verdict verdict = sg_jws_check_alg(jws, alg);
    if (verdict.reason != SIGNET_REASON_NONE) {
        *refusal = verdict;
        return false;
    }
    return true;
}

/* ---- Claims ---- */

static bool judge_is_one_of(const char *text, const char *const *list, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (strcmp(text, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool judge_is_trusted_for(const struct sg_judge_signer *signer,
                                 const struct sg_claims *claims, const struct sg_expectation *asked)
{
    for (size_t i = 0; i < signer->num_audiences; i++) {
        const char *audience = signer->audiences[i];
        bool is_asked = asked->any_audience ||
                        judge_is_one_of(audience, asked->audiences, asked->num_audiences);
        if (is_asked && judge_is_one_of(audience, claims->audiences, claims->num_audiences)) {
            return true;
        }
    }
    return signer->num_audiences == 0;
}

struct sg_verdict sg_judge_claims(const struct sg_claims *claims, const struct sg_jws *jws,
                                  const struct sg_judge_signer *signer,
                                  const struct sg_expectation *asked)
{
    struct sg_expectation expected = *asked;
    expected.issuer = signer->issuer;
    struct sg_verdict verdict = sg_claims_check(claims, jws, &expected);
    if (verdict.reason == SIGNET_REASON_NONE && !judge_is_trusted_for(signer, claims, asked)) {
        verdict =
            (struct sg_verdict){.reason = SIGNET_REASON_WRONG_AUDIENCE,
                                .detail = "this issuer is not trusted for the token's audience"};
    }
    if (verdict.reason == SIGNET_REASON_NONE && asked->issuer != NULL &&
        strcmp(asked->issuer, claims->issuer) != 0) {
        verdict = (struct sg_verdict){.reason = SIGNET_REASON_WRONG_ISSUER,
                                      .detail = "the token is from another issuer"};
    }
    return verdict;
}
