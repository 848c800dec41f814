/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole tokens, judged to the end: files with "cases", each with a key, options, a clock and what must
 * come out. A case without "policy" is a "must".
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/jose/claims.h"
#include "tests/integration/vectors.h"

static bool vectors_requires(const json_t *options, const char *claim)
{
    const json_t *required = json_object_get(options, "require");
    for (size_t i = 0; i < json_array_size(required); i++) {
        if (strcmp(json_string_value(json_array_get(required, i)), claim) == 0) {
            return true;
        }
    }
    return false;
}

static struct sg_verdict vectors_check_required(const json_t *options,
                                                const struct sg_claims *claims)
{
    const json_t *required = json_object_get(options, "require");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *claim = json_string_value(json_array_get(required, i));
        if (json_object_get(claims->root, claim) == NULL) {
            return (struct sg_verdict){.reason = SIGNET_REASON_CLAIM_MISSING, .detail = claim};
        }
    }
    return (struct sg_verdict){.reason = SIGNET_REASON_NONE};
}

static struct sg_verdict vectors_check_claims(const json_t *test, const struct sg_jws *jws)
{
    const json_t *options = json_object_get(test, "options");
    const char *audience = vectors_text(options, "aud");
    struct sg_expectation expected = {
        .now = json_integer_value(json_object_get(test, "now")),
        .leeway_s = (uint32_t)json_integer_value(json_object_get(options, "leeway")),
        .audiences = &audience,
        .num_audiences = audience != NULL ? 1 : 0,
        .any_audience = audience == NULL,
        .issuer = vectors_text(options, "iss"),
        .subject = vectors_text(options, "sub"),
        .typ = vectors_text(options, "typ"),
        .exp_optional = !vectors_requires(options, "exp"),
    };
    struct sg_claims claims = {0};
    struct sg_verdict verdict = sg_claims_parse(jws, &claims);
    if (verdict.reason != SIGNET_REASON_NONE) {
        return verdict;
    }
    verdict = sg_claims_check(&claims, jws, &expected);
    if (verdict.reason == SIGNET_REASON_NONE) {
        verdict = vectors_check_required(options, &claims);
    }
    sg_claims_fini(&claims);
    return verdict;
}

/* The token's bytes, which need not be text. free() them; NULL if the case has none. */
static char *vectors_token(const json_t *test, size_t *len)
{
    const json_t *text = json_object_get(test, "jwt");
    const json_t *base64 = json_object_get(test, "jwt_base64");
    if (json_is_string(text)) {
        *len = json_string_length(text);
        char *copy = malloc(*len + 1);
        return copy != NULL ? memcpy(copy, json_string_value(text), *len + 1) : NULL;
    }
    size_t in_len = json_string_length(base64);
    char *bytes = in_len != 0 ? malloc(in_len) : NULL;
    if (bytes == NULL) {
        return NULL;
    }
    int decoded = EVP_DecodeBlock((unsigned char *)bytes,
                                  (const unsigned char *)json_string_value(base64), (int)in_len);
    const char *pad = strchr(json_string_value(base64), '=');
    size_t num_pad = pad != NULL ? strlen(pad) : 0;
    *len = decoded > 0 ? (size_t)decoded - num_pad : 0;
    return bytes;
}

static struct sg_verdict vectors_judge_token(const struct vectors_file *file, const json_t *test,
                                             const char *token, size_t len)
{
    const json_t *options = json_object_get(test, "options");
    const json_t *jwk = json_object_get(test, "key_obj");
    const char *alg = vectors_text(options, "alg");
    struct vectors_key key = {0};
    struct sg_jws jws;
    if (jwk == NULL) {
        jwk = json_object_get(test, "key");
    }
    /* "EdDSA" is of the curve that the key has (RFC 8037 section 3.1). */
    enum sg_alg pin = alg != NULL && strcmp(alg, "EdDSA") != 0 ? sg_alg_from_name(alg, strlen(alg))
                                                               : SG_ALG_UNSET;
    struct sg_verdict verdict = vectors_key_load(&key, file->keyholder, jwk, pin);
    if (verdict.reason == SIGNET_REASON_NONE) {
        verdict = vectors_key_verify(&key, token, len, &jws);
        vectors_key_free(&key);
    }
    return verdict.reason == SIGNET_REASON_NONE ? vectors_check_claims(test, &jws) : verdict;
}

static void vectors_run_case(struct vectors_file *file, const json_t *test)
{
    const char *id = vectors_text(test, "id");
    const char *expect = vectors_text(test, "expect");
    const char *policy = vectors_text(test, "policy");
    enum vectors_expected expected =
        expect != NULL && strcmp(expect, "accept") == 0 ? VECTORS_ACCEPT : VECTORS_REJECT;
    size_t len = 0;
    char *token = vectors_token(test, &len);
    struct sg_verdict verdict = vectors_judge_token(file, test, token, len);
    if (policy != NULL && strcmp(policy, "choice") == 0) {
        vectors_choice(file, expected, verdict);
    } else {
        vectors_judge(file, id, expected, verdict);
    }
    free(token);
}

bool vectors_run_jwt(struct vectors_file *file)
{
    const json_t *cases = json_object_get(file->root, "cases");
    const json_t *first = json_array_get(cases, 0);
    if (vectors_text(first, "expect") == NULL ||
        (json_object_get(first, "jwt") == NULL && json_object_get(first, "jwt_base64") == NULL)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(cases); i++) {
        vectors_run_case(file, json_array_get(cases, i));
    }
    return true;
}
