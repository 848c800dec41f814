/* SPDX-License-Identifier: Apache-2.0
 *
 * What a token claims, read and judged. Never called before the signature was found good.
 */
#include "common/jose/claims.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/claim_text.h"
#include "common/jose/json.h"

/* NumericDates beyond this are not exact in a double, and no time anybody means. */
#define CLAIMS_MAX_SECONDS ((int64_t)1 << 53)

static struct sg_verdict claims_refused(signet_reason reason, const char *detail)
{
    return (struct sg_verdict){.reason = reason, .detail = detail};
}

/* Nobody judged it; not good either, for whoever looks at the reason alone. */
static struct sg_verdict claims_no_memory(void)
{
    return (struct sg_verdict){.reason = SIGNET_REASON_MALFORMED,
                               .detail = "no memory to read the payload",
                               .error = SIGNET_RESOURCE_EXHAUSTED};
}

static const struct sg_verdict claims_good = {.reason = SIGNET_REASON_NONE};

/* ---- Reading ---- */

/* An absent claim leaves *out as it is; a null is not absent. */
static bool claims_read_string(const json_t *root, const char *name, const char **out)
{
    const json_t *value = json_object_get(root, name);
    if (value == NULL) {
        return true;
    }
    if (!json_is_string(value)) {
        return false;
    }
    *out = json_string_value(value);
    return true;
}

static bool claims_read_date(const json_t *root, const char *name, struct sg_numeric_date *out)
{
    const json_t *value = json_object_get(root, name);
    if (value == NULL) {
        return true;
    }
    if (json_is_integer(value)) {
        json_int_t seconds = json_integer_value(value);
        if (seconds < -CLAIMS_MAX_SECONDS || seconds > CLAIMS_MAX_SECONDS) {
            return false;
        }
        *out = (struct sg_numeric_date){.present = true, .seconds = seconds};
        return true;
    }
    double seconds = json_real_value(value);
    if (!json_is_real(value) ||
        !(seconds >= -(double)CLAIMS_MAX_SECONDS && seconds <= (double)CLAIMS_MAX_SECONDS)) {
        return false;
    }
    int64_t whole = (int64_t)seconds; /* towards zero */
    whole -= (double)whole > seconds ? 1 : 0;
    *out = (struct sg_numeric_date){
        .present = true, .has_fraction = (double)whole < seconds, .seconds = whole};
    return true;
}

static bool claims_read_audience(const json_t *root, struct sg_claims *claims)
{
    const json_t *aud = json_object_get(root, "aud");
    if (aud == NULL) {
        return true;
    }
    claims->has_audience = true;
    if (json_is_string(aud)) {
        claims->audiences[0] = json_string_value(aud);
        claims->num_audiences = 1;
        return true;
    }
    size_t num = json_array_size(aud); /* 0 for what is no array */
    if (num == 0 || num > SG_MAX_AUDIENCES) {
        return false;
    }
    for (size_t i = 0; i < num; i++) {
        claims->audiences[i] = json_string_value(json_array_get(aud, i));
        if (claims->audiences[i] == NULL) {
            return false;
        }
    }
    claims->num_audiences = num;
    return true;
}

static struct sg_verdict claims_read(struct sg_claims *claims)
{
    const json_t *root = claims->root;
    const char *detail = NULL;
    if (!claims_read_date(root, "exp", &claims->exp)) {
        detail = "exp is not a number of seconds within 2^53 (RFC 7519 section 4.1.4)";
    } else if (!claims_read_date(root, "nbf", &claims->nbf)) {
        detail = "nbf is not a number of seconds within 2^53 (RFC 7519 section 4.1.5)";
    } else if (!claims_read_date(root, "iat", &claims->iat)) {
        detail = "iat is not a number of seconds within 2^53 (RFC 7519 section 4.1.6)";
    } else if (!claims_read_string(root, "iss", &claims->issuer)) {
        detail = "iss is not a string (RFC 7519 section 4.1.1)";
    } else if (!claims_read_string(root, "sub", &claims->subject)) {
        detail = "sub is not a string (RFC 7519 section 4.1.2)";
    } else if (!claims_read_string(root, "jti", &claims->jti)) {
        detail = "jti is not a string (RFC 7519 section 4.1.7)";
    } else if (!claims_read_audience(root, claims)) {
        detail = "aud is not a string or an array of 1 to 16 strings (RFC 7519 section 4.1.3)";
    }
    return detail != NULL ? claims_refused(SIGNET_REASON_CLAIM_INVALID, detail) : claims_good;
}

struct sg_verdict sg_claims_parse(const struct sg_jws *jws, struct sg_claims *out)
{
    /* 3 bytes in 4 characters, rounded up, and a NUL. */
    size_t room = jws->payload_b64_len / 4 * 3 + 3;
    char *json = malloc(room + 1);
    if (json == NULL) {
        return claims_no_memory();
    }
    size_t len = 0;
    if (!sg_base64url_decode(jws->payload_b64, jws->payload_b64_len, (uint8_t *)json, room, &len)) {
        free(json);
        return claims_refused(SIGNET_REASON_MALFORMED, "the payload is not strict base64url");
    }
    json[len] = '\0';
    struct sg_claims claims = {.json = json, .json_len = len};
    const char *detail = NULL;
    signet_status status =
        sg_json_load(json, len, SG_MAX_PAYLOAD_LEN, SG_MAX_JSON_DEPTH, &claims.root, &detail);
    struct sg_verdict verdict = claims_no_memory();
    if (status == SIGNET_OK) {
        verdict = claims_read(&claims);
    } else if (status != SIGNET_RESOURCE_EXHAUSTED) {
        verdict = claims_refused(SIGNET_REASON_MALFORMED, detail);
    }
    if (verdict.reason != SIGNET_REASON_NONE) {
        sg_claims_fini(&claims);
        return verdict;
    }
    *out = claims;
    return verdict;
}

void sg_claims_fini(struct sg_claims *claims)
{
    json_decref(claims->root);
    free(claims->json);
    *claims = (struct sg_claims){0};
}

/* ---- Judging ---- */

/* A date with a fraction lies within the second that begins at date->seconds. A clock that counts
 * whole seconds is before it exactly while it is before the next whole second. */
static int64_t claims_first_second_not_before(const struct sg_numeric_date *date)
{
    return date->seconds + (date->has_fraction ? 1 : 0);
}

static int64_t claims_leeway(const struct sg_expectation *expected)
{
    return expected->leeway_s < SG_MAX_LEEWAY_S ? expected->leeway_s : SG_MAX_LEEWAY_S;
}

/* now is the caller's own clock; a claim is within 2^53 and leeway and age within 2^32, so that no sum
 * here comes near the limits of 64 bits. */
static struct sg_verdict claims_check_times(const struct sg_claims *claims,
                                            const struct sg_expectation *expected)
{
    int64_t leeway = claims_leeway(expected);
    if (!claims->exp.present && !expected->exp_optional) {
        return claims_refused(SIGNET_REASON_CLAIM_MISSING, "the token has no exp");
    }
    if (claims->exp.present &&
        expected->now >= claims_first_second_not_before(&claims->exp) + leeway) {
        return claims_refused(SIGNET_REASON_EXPIRED, "the token has expired");
    }
    if (claims->nbf.present &&
        expected->now < claims_first_second_not_before(&claims->nbf) - leeway) {
        return claims_refused(SIGNET_REASON_NOT_YET_VALID, "the token is not valid yet");
    }
    if (expected->max_age_s != 0 && claims->iat.present &&
        expected->now < claims_first_second_not_before(&claims->iat) - leeway) {
        return claims_refused(SIGNET_REASON_CLAIM_INVALID,
                              "iat is in the future, so the token's age cannot be told");
    }
    return claims_good;
}

static struct sg_verdict claims_check_audience(const struct sg_claims *claims,
                                               const struct sg_expectation *expected)
{
    if (expected->any_audience) {
        return claims_good;
    }
    for (size_t i = 0; i < claims->num_audiences; i++) {
        for (size_t j = 0; j < expected->num_audiences; j++) {
            if (strcmp(claims->audiences[i], expected->audiences[j]) == 0) {
                return claims_good;
            }
        }
    }
    return claims_refused(SIGNET_REASON_WRONG_AUDIENCE, claims->has_audience
                                                            ? "the token is for another audience"
                                                            : "the token names no audience");
}

static struct sg_verdict claims_check_names(const struct sg_claims *claims,
                                            const struct sg_jws *jws,
                                            const struct sg_expectation *expected)
{
    if (expected->issuer != NULL &&
        (claims->issuer == NULL || strcmp(claims->issuer, expected->issuer) != 0)) {
        return claims_refused(SIGNET_REASON_WRONG_ISSUER, "the token is from another issuer");
    }
    struct sg_verdict verdict = claims_check_audience(claims, expected);
    if (verdict.reason != SIGNET_REASON_NONE) {
        return verdict;
    }
    if (expected->typ != NULL && (!jws->has_typ || !sg_typ_equal(jws->typ, expected->typ))) {
        return claims_refused(SIGNET_REASON_WRONG_TYPE, "the token is of another type");
    }
    if (expected->subject != NULL && claims->subject == NULL) {
        return claims_refused(SIGNET_REASON_CLAIM_MISSING, "the token has no sub");
    }
    if (expected->subject != NULL && strcmp(claims->subject, expected->subject) != 0) {
        return claims_refused(SIGNET_REASON_CLAIM_INVALID, "the token is for another subject");
    }
    return claims_good;
}

static struct sg_verdict claims_check_scopes(const struct sg_claims *claims,
                                             const struct sg_expectation *expected)
{
    if (expected->num_scopes == 0) {
        return claims_good;
    }
    const json_t *scope = json_object_get(claims->root, "scope");
    if (scope == NULL) {
        return claims_refused(SIGNET_REASON_CLAIM_MISSING, "the token has no scope");
    }
    if (!json_is_string(scope)) {
        return claims_refused(SIGNET_REASON_CLAIM_INVALID,
                              "scope is not a string (RFC 8693 section 4.2)");
    }
    for (size_t i = 0; i < expected->num_scopes; i++) {
        if (!sg_scope_has(json_string_value(scope), expected->scopes[i])) {
            return claims_refused(SIGNET_REASON_CLAIM_INVALID,
                                  "a scope that is needed is not there");
        }
    }
    return claims_good;
}

static struct sg_verdict claims_check_age(const struct sg_claims *claims,
                                          const struct sg_expectation *expected)
{
    if (expected->max_age_s == 0) {
        return claims_good;
    }
    if (!claims->iat.present) {
        return claims_refused(SIGNET_REASON_CLAIM_MISSING, "the token has no iat to tell its age");
    }
    if (expected->now > claims_first_second_not_before(&claims->iat) +
                            (int64_t)expected->max_age_s + claims_leeway(expected)) {
        return claims_refused(SIGNET_REASON_TOO_OLD, "the token was issued too long ago");
    }
    return claims_good;
}

struct sg_verdict sg_claims_check(const struct sg_claims *claims, const struct sg_jws *jws,
                                  const struct sg_expectation *expected)
{
    struct sg_verdict verdict = claims_check_times(claims, expected);
    if (verdict.reason == SIGNET_REASON_NONE) {
        verdict = claims_check_names(claims, jws, expected);
    }
    if (verdict.reason == SIGNET_REASON_NONE) {
        verdict = claims_check_scopes(claims, expected);
    }
    if (verdict.reason == SIGNET_REASON_NONE) {
        verdict = claims_check_age(claims, expected);
    }
    return verdict;
}

/* ---- Writing ---- */

static bool claims_put_string(json_t *root, const char *name, const char *text)
{
    return text == NULL || json_object_set_new(root, name, json_string(text)) == 0;
}

static bool claims_put_audiences(json_t *root, const struct sg_new_claims *claims)
{
    if (claims->num_audiences <= 1) {
        return claims->num_audiences == 0 || claims_put_string(root, "aud", claims->audiences[0]);
    }
    json_t *list = json_array();
    bool done = list != NULL;
    for (size_t i = 0; done && i < claims->num_audiences; i++) {
        done = json_array_append_new(list, json_string(claims->audiences[i])) == 0;
    }
    return json_object_set_new(root, "aud", list) == 0 && done; /* takes list in any case */
}

static bool claims_put_registered(json_t *root, const struct sg_new_claims *claims)
{
    return claims_put_string(root, "iss", claims->issuer) &&
           claims_put_string(root, "sub", claims->subject) && claims_put_audiences(root, claims) &&
           json_object_set_new(root, "iat", json_integer(claims->iat)) == 0 &&
           json_object_set_new(root, "nbf", json_integer(claims->nbf)) == 0 &&
           json_object_set_new(root, "exp", json_integer(claims->exp)) == 0 &&
           claims_put_string(root, "jti", claims->jti);
}

bool sg_claims_is_registered(const char *name)
{
    static const char *const registered[] = {"iss", "sub", "aud", "exp", "nbf", "iat", "jti"};
    if (strlen(name) != 3) {
        return false; /* as each of them has; most names are told apart by this */
    }
    for (size_t i = 0; i < sizeof(registered) / sizeof(registered[0]); i++) {
        if (strcmp(name, registered[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Copies what the caller adds behind what the daemon says. */
static signet_status claims_copy_extra(json_t *root, json_t *extra, const char **detail)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(extra, name, value)
    {
        if (sg_claims_is_registered(name)) {
            *detail = "the extra claims name one of iss, sub, aud, exp, nbf, iat, jti";
            return SIGNET_INVALID_ARGUMENT;
        }
        if (json_object_set(root, name, value) != 0) {
            *detail = "no memory for the claims";
            return SIGNET_RESOURCE_EXHAUSTED;
        }
    }
    return SIGNET_OK;
}

static signet_status claims_put_extra(json_t *root, const struct sg_new_claims *claims,
                                      const char **detail)
{
    json_t *extra = NULL;
    signet_status status = SIGNET_OK;
    if (claims->extra_json != NULL) {
        status = sg_json_load(claims->extra_json, claims->extra_json_len, SG_MAX_CLAIMS_JSON_LEN,
                              SG_MAX_CLAIMS_JSON_DEPTH, &extra, detail);
    }
    if (status == SIGNET_OK && extra != NULL) {
        status = claims_copy_extra(root, extra, detail);
    }
    if (status == SIGNET_OK && claims->check.check != NULL) {
        status = claims->check.check(claims->check.context, extra);
        *detail = status == SIGNET_OK ? NULL : "the extra claims are not permitted";
    }
    json_decref(extra);
    return status;
}

static signet_status claims_put_forced(json_t *root, const struct sg_new_claims *claims,
                                       const char **detail)
{
    for (size_t i = 0; i < claims->num_forced; i++) {
        const struct sg_forced_claim *forced = &claims->forced[i];
        if (sg_claims_is_registered(forced->name)) {
            *detail = "a forced claim is one of iss, sub, aud, exp, nbf, iat, jti";
            return SIGNET_INVALID_ARGUMENT;
        }
        errno = 0; /* as in sg_claims_write */
        json_t *value =
            forced->text != NULL ? json_string(forced->text) : json_integer(forced->number);
        if (json_object_set_new(root, forced->name, value) != 0) {
            bool no_memory = errno == ENOMEM;
            *detail = no_memory ? "no memory for the claims" : "a forced claim is not UTF-8";
            return no_memory ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_INVALID_ARGUMENT;
        }
    }
    return SIGNET_OK;
}

signet_status sg_claims_write(const struct sg_new_claims *claims, char **out, size_t *out_len,
                              const char **detail)
{
    errno = 0; /* jansson has one NULL for bad UTF-8 and for want of memory */
    json_t *root = json_object();
    if (root == NULL) {
        *detail = "no memory for the claims";
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = SIGNET_INVALID_ARGUMENT;
    char *text = NULL;
    if (!claims_put_registered(root, claims)) {
        bool no_memory = errno == ENOMEM;
        *detail = no_memory ? "no memory for the claims" : "a claim is not UTF-8";
        status = no_memory ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_INVALID_ARGUMENT;
    } else {
        status = claims_put_extra(root, claims, detail);
    }
    if (status == SIGNET_OK) {
        status = claims_put_forced(root, claims, detail);
    }
    if (status == SIGNET_OK) {
        text = json_dumps(root, JSON_COMPACT);
        *detail = "no memory for the claims";
        status = text != NULL ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
    }
    json_decref(root);
    if (status == SIGNET_OK && strlen(text) > SG_MAX_PAYLOAD_LEN) {
        free(text);
        *detail = "the claims are longer than 12288 bytes of JSON";
        status = SIGNET_INVALID_ARGUMENT;
    }
    if (status == SIGNET_OK) {
        *out = text;
        *out_len = strlen(text);
        *detail = NULL;
    }
    return status;
}
