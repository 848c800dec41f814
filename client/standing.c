/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon counts fractions of seconds, of which only the whole seconds below are on the wire; and it may trust a
 * foreign issuer for some audiences only, which the wire does not tell. So each rule here is put for the worst of
 * what may be true.
 */
#include "client/standing.h"

#include <string.h>

#include "client/private.h"
#include "common/claim_text.h"
#include "common/limits.h"

/* What the daemon reads (common/jose/claims.c): no sum here comes near the limits of 64 bits. */
#define STANDING_MAX_SECONDS (INT64_C(1) << 53)

static bool standing_is_time(int64_t seconds)
{
    return seconds >= -STANDING_MAX_SECONDS && seconds <= STANDING_MAX_SECONDS;
}

/* ---- Taking down ---- */

/* A date of which the fraction was cut off may be as late as a second later. But it had begun, with the leeway of the
 * question, when the daemon judged it, so that a token is not held back for the rest of the second that it was minted
 * in. */
static int64_t standing_latest(int64_t seconds, const struct signet_verify_options *options,
                               int64_t judged_at)
{
    return judged_at + (int64_t)options->leeway_s <= seconds ? seconds : seconds + 1;
}

static uint32_t standing_witnesses(const Signet__V1__VerifiedToken *token,
                                   const struct signet_verify_options *options)
{
    uint32_t witnesses = 0;
    for (size_t i = 0; i < token->n_audience; i++) {
        bool is_asked = options->any_audience;
        for (size_t j = 0; !is_asked && j < options->num_audiences; j++) {
            is_asked = strcmp(token->audience[i], options->audiences[j]) == 0;
        }
        witnesses |= (uint32_t)is_asked << i;
    }
    return witnesses;
}

bool sg_standing_init(struct sg_standing *standing, const Signet__V1__VerifiedToken *token,
                      const struct signet_verify_options *options, int64_t judged_at,
                      const struct sg_local_span *span)
{
    _Static_assert(SG_MAX_AUDIENCES <= 32, "a bit for each audience");
    if (token->n_audience > SG_MAX_AUDIENCES || !standing_is_time(token->expires_at) ||
        !standing_is_time(token->not_before) || !standing_is_time(token->issued_at) ||
        !standing_is_time(judged_at)) {
        return false;
    }
    *standing = (struct sg_standing){
        .span = *span,
        .latest_nbf = standing_latest(token->not_before, options, judged_at),
        /* Without max_age_s the daemon did not look whether it had begun. */
        .latest_iat = options->max_age_s != 0
                          ? standing_latest(token->issued_at, options, judged_at)
                          : token->issued_at + 1,
        .witnesses = standing_witnesses(token, options),
        .is_of_keyset = options->keyset != NULL,
    };
    return true;
}

/* ---- Asking again ---- */

static bool standing_holds_at(const struct sg_standing *standing,
                              const Signet__V1__VerifiedToken *token,
                              const struct signet_verify_options *options, int64_t now)
{
    if (!standing_is_time(now) || now < standing->span.from || now >= standing->span.until) {
        return false;
    }
    int64_t leeway = options->leeway_s;
    if (now >= token->expires_at + leeway) {
        return false;
    }
    if (token->has_not_before && now < standing->latest_nbf - leeway) {
        return false;
    }
    if (options->max_age_s == 0) {
        return true;
    }
    return token->has_issued_at && now >= standing->latest_iat - leeway &&
           now <= token->issued_at + (int64_t)options->max_age_s + leeway;
}

/* The token is for one of the audiences that are asked for now, and so is each that it was found good for: which of
 * them a foreign issuer is trusted for is not known here, but one of them it is. Whoever takes any audience has that
 * one as well. */
static bool standing_holds_for(const struct sg_standing *standing,
                               const Signet__V1__VerifiedToken *token,
                               const struct signet_verify_options *options)
{
    if (options->any_audience) {
        return true;
    }
    for (size_t i = 0; i < token->n_audience; i++) {
        bool is_asked = (standing->witnesses >> i & 1) == 0;
        for (size_t j = 0; !is_asked && j < options->num_audiences; j++) {
            is_asked = strcmp(token->audience[i], options->audiences[j]) == 0;
        }
        if (!is_asked) {
            return false;
        }
    }
    return standing->witnesses != 0;
}

static bool standing_is_wanted(const char *wanted, const char *got)
{
    return wanted == NULL || strcmp(wanted, got) == 0;
}

/* A token without a kid is judged only for those who name its keyset; that it had one, the wire does not tell. */
static bool standing_is_of_keyset(const struct sg_standing *standing,
                                  const Signet__V1__VerifiedToken *token,
                                  const struct signet_verify_options *options)
{
    return options->keyset != NULL ? strcmp(options->keyset, token->keyset) == 0
                                   : !standing->is_of_keyset;
}

/* An empty text stands for a header without typ, which is of no type, not even of "application/". */
static bool standing_is_of_typ(const Signet__V1__VerifiedToken *token,
                               const struct signet_verify_options *options)
{
    return options->typ == NULL ||
           (token->typ[0] != '\0' && sg_typ_equal(options->typ, token->typ));
}

static bool standing_has_scopes(const Signet__V1__VerifiedToken *token,
                                const struct signet_verify_options *options)
{
    const struct signet_verified view = {.token = token};
    for (size_t i = 0; i < options->num_scopes; i++) {
        if (!signet_verified_has_scope(&view, options->scopes[i])) {
            return false;
        }
    }
    return true;
}

bool sg_standing_holds(const struct sg_standing *standing, const Signet__V1__VerifiedToken *token,
                       const struct signet_verify_options *options, int64_t now)
{
    return standing_holds_at(standing, token, options, now) &&
           standing_holds_for(standing, token, options) &&
           standing_is_of_keyset(standing, token, options) &&
           standing_is_wanted(options->issuer, token->issuer) &&
           standing_is_wanted(options->subject, token->subject) &&
           standing_is_of_typ(token, options) && standing_has_scopes(token, options);
}
