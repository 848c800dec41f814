/* SPDX-License-Identifier: Apache-2.0
 *
 * The claims set (RFC 7519 section 4): reading it after the signature was found good, judging it,
 * and writing one. Nothing here may run before the signature check. Uses no OpenSSL.
 */
#ifndef SG_JOSE_CLAIMS_H
#define SG_JOSE_CLAIMS_H

#include <stdbool.h>

#include "common/jose/jws.h"

struct json_t;

/* A NumericDate: whole seconds, and whether a fraction was cut off (towards minus infinity). */
struct sg_numeric_date {
    bool present;
    bool has_fraction;
    int64_t seconds; /* within +-2^53 */
};

struct sg_claims {
    struct json_t *root; /* the whole object; owned */
    char *json;          /* the payload's bytes as signed, NUL-terminated; owned */
    size_t json_len;
    const char *issuer, *subject, *jti; /* NULL if absent; owned by root; no NUL inside */
    const char *audiences[SG_MAX_AUDIENCES];
    size_t num_audiences;
    bool has_audience;
    struct sg_numeric_date exp, nbf, iat;
};

/* sg_claims_parse decodes and reads the payload of a token whose signature was found good.
 * SIGNET_REASON_NONE on success; MALFORMED: not one JSON object, duplicate members at any depth,
 * bad UTF-8, over the limits; CLAIM_INVALID: a registered claim of a wrong type or range, an empty
 * aud, or more than SG_MAX_AUDIENCES of them. With its error set, there was no memory to read it. *out is
 * written on success only. */
struct sg_verdict sg_claims_parse(const struct sg_jws *jws, struct sg_claims *out);
void sg_claims_fini(struct sg_claims *claims); /* legal on a zeroed one */

/* What a token must be good for. */
struct sg_expectation {
    int64_t now;        /* seconds since 1970 */
    uint32_t leeway_s;  /* at most SG_MAX_LEEWAY_S */
    uint32_t max_age_s; /* 0: not checked */
    const char *const *audiences;
    size_t num_audiences;
    bool any_audience;         /* else, without audiences, every token is refused */
    const char *issuer;        /* NULL: not checked here */
    const char *subject;       /* NULL: not checked */
    const char *typ;           /* NULL: not checked */
    const char *const *scopes; /* all required */
    size_t num_scopes;
    bool exp_optional; /* the daemon never sets it */
};

/* sg_claims_check judges the claims. SIGNET_REASON_NONE: good for what is expected, provided that
 * the signature was good. In this order, the first fault is the answer:
 *   exp       CLAIM_MISSING unless exp_optional; EXPIRED unless now < exp + leeway (RFC 7519 4.1.4)
 *   nbf       NOT_YET_VALID unless now >= nbf - leeway (4.1.5)
 *   iat       CLAIM_INVALID if it is later than now + leeway, but only where max_age_s asks for the
 *             token's age: RFC 7519 4.1.6 gives iat no other power to refuse
 *   issuer    WRONG_ISSUER unless it is there and equal
 *   audience  WRONG_AUDIENCE unless one of those expected is among the token's, or any_audience
 *   typ       WRONG_TYPE unless it is there and equal (sg_typ_equal)
 *   subject   CLAIM_INVALID unless it is there and equal; CLAIM_MISSING if it is not there
 *   scope     CLAIM_MISSING without "scope" (RFC 8693 4.2); CLAIM_INVALID if it is no string or
 *             lacks one
 *   max age   CLAIM_MISSING without iat; TOO_OLD if iat is before now - max_age_s - leeway
 * Fractions of seconds count. A leeway over SG_MAX_LEEWAY_S counts as SG_MAX_LEEWAY_S. */
struct sg_verdict sg_claims_check(const struct sg_claims *claims, const struct sg_jws *jws,
                                  const struct sg_expectation *expected);

/* sg_claims_is_registered says whether a claim of this name is one that Signet sets itself (RFC 7519
 * section 4.1). */
bool sg_claims_is_registered(const char *name);

/* Judges the claims that a caller adds, where they are read. extra: a JSON object without registered
 * claims, which it does not change, or NULL if there are none. Returns SIGNET_OK or, for a refusal, PERMISSION_DENIED; its context
 * learns why. */
struct sg_claim_check {
    signet_status (*check)(void *context, struct json_t *extra); /* NULL: none */
    void *context;
};

/* A claim that the caller has no say in. */
struct sg_forced_claim {
    const char *name; /* no registered one */
    const char *text; /* NULL: the claim is a number */
    int64_t number;
};

/* What the daemon puts into a new token. */
struct sg_new_claims {
    const char *issuer, *subject, *jti;
    const char *const *audiences;
    size_t num_audiences;
    int64_t iat, nbf, exp;
    const char *extra_json; /* a JSON object, or NULL */
    size_t extra_json_len;
    struct sg_claim_check check;          /* of what is in extra_json */
    const struct sg_forced_claim *forced; /* in the place of what extra_json has of these names */
    size_t num_forced;
};

/* sg_claims_write writes the payload as compact JSON: iss, sub, aud, iat, nbf, exp, jti, then the
 * extra claims in their order, then those forced. A NULL string, or no audience, leaves that claim out; one
 * audience is written as a string, more as an array. INVALID_ARGUMENT, with static text in *detail, if
 * extra_json is not one strict JSON object within the limits or names a registered claim, if a string is
 * not UTF-8, if a registered claim is forced, or if the payload would be longer than SG_MAX_PAYLOAD_LEN.
 * PERMISSION_DENIED if the check refused, which is asked once all else about extra_json is found good.
 * RESOURCE_EXHAUSTED without memory. *out is freed with free(). */
signet_status sg_claims_write(const struct sg_new_claims *claims, char **out, size_t *out_len,
                              const char **detail) SIGNET_MUST_CHECK;

#endif
