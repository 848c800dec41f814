/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and key sets as files of their own, which carry no label: what they say of themselves (use, alg,
 * length) tells whether they must be taken.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "tests/integration/vectors.h"

static bool vectors_jwk_is(const json_t *jwk, const char *name, const char *text)
{
    const char *value = vectors_text(jwk, name);
    return value != NULL && strcmp(value, text) == 0;
}

/* An RSA key or a secret needs an algorithm from somewhere. */
static enum sg_alg vectors_jwk_pin(const json_t *jwk)
{
    if (json_object_get(jwk, "alg") != NULL) {
        return SG_ALG_UNSET;
    }
    if (vectors_jwk_is(jwk, "kty", "oct")) {
        return SG_ALG_HS256;
    }
    return vectors_jwk_is(jwk, "kty", "RSA") ? SG_ALG_RS256 : SG_ALG_UNSET;
}

static enum vectors_expected vectors_jwk_expected(const json_t *jwk)
{
    const char *alg = vectors_text(jwk, "alg");
    const char *use = vectors_text(jwk, "use");
    const char *k = vectors_text(jwk, "k");
    enum sg_alg found = alg != NULL ? sg_alg_from_name(alg, strlen(alg)) : vectors_jwk_pin(jwk);
    const struct sg_alg_info *info = sg_alg_info(found);
    if ((alg != NULL && info == NULL) || (use != NULL && strcmp(use, "sig") != 0)) {
        return VECTORS_REJECT;
    }
    const char *n = vectors_text(jwk, "n");
    bool is_short = (k != NULL && info != NULL && strlen(k) < SG_BASE64URL_LEN(info->hash_len)) ||
                    (n != NULL && strlen(n) < SG_BASE64URL_LEN(SG_MIN_RSA_BITS / 8));
    return is_short ? VECTORS_REJECT : VECTORS_ACCEPT;
}

/* A private key must load as such too, and be of the same public key. */
static struct sg_verdict vectors_jwk_private(const json_t *jwk, const struct vectors_key *key)
{
    struct sg_verdict verdict = {.reason = SIGNET_REASON_UNKNOWN_KEY,
                                 .detail = "the private key does not load"};
    char *text = json_dumps(jwk, JSON_COMPACT);
    struct sg_jwk *parsed = NULL;
    struct sg_public_key *public = NULL;
    struct sg_key_error error;
    char one[44] = "";
    char two[44] = "";
    const uint8_t *secret = NULL;
    size_t len = 0;
    if (text != NULL &&
        sg_jwk_parse(text, strlen(text), key->alg, SG_JWK_PRIVATE, &parsed, &error) == SIGNET_OK &&
        sg_jwk_public(parsed, &public, &error) == SIGNET_OK &&
        sg_jwk_secret(parsed, &secret, &len) == SIGNET_OK && len > 0 &&
        sg_public_key_thumbprint(public, one) == SIGNET_OK &&
        sg_public_key_thumbprint(key->public, two) == SIGNET_OK && strcmp(one, two) == 0) {
        verdict = (struct sg_verdict){.reason = SIGNET_REASON_NONE};
    }
    sg_public_key_free(public);
    sg_jwk_free(parsed);
    free(text);
    return verdict;
}

static void vectors_run_key(struct vectors_file *file, const json_t *jwk)
{
    struct vectors_key key = {0};
    struct sg_verdict verdict = vectors_key_load(&key, file->keyholder, jwk, vectors_jwk_pin(jwk));
    if (verdict.reason == SIGNET_REASON_NONE && json_object_get(jwk, "d") != NULL) {
        verdict = vectors_jwk_private(jwk, &key);
    }
    vectors_key_free(&key);
    const char *kid = vectors_text(jwk, "kid");
    vectors_judge(file, kid != NULL ? kid : "key", vectors_jwk_expected(jwk), verdict);
}

/* The set as a set: as many usable keys as there are public ones with an algorithm known here. */
static void vectors_run_set(struct vectors_file *file, const json_t *keys)
{
    char *text = json_dumps(file->root, JSON_COMPACT);
    struct sg_jwks *set = NULL;
    struct sg_key_error error;
    struct sg_verdict verdict = {.reason = SIGNET_REASON_UNKNOWN_KEY, .detail = "set refused"};
    size_t num = 0;
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *jwk = json_array_get(keys, i);
        bool names_alg = vectors_jwk_pin(jwk) == SG_ALG_UNSET;
        num += names_alg && !vectors_jwk_is(jwk, "kty", "oct") &&
                       vectors_jwk_expected(jwk) == VECTORS_ACCEPT
                   ? 1
                   : 0;
    }
    if (text != NULL &&
        sg_jwks_parse(text, strlen(text), SG_JWK_PUBLIC, &set, &error) == SIGNET_OK) {
        bool fits =
            sg_jwks_num(set) == num && sg_jwks_num_skipped(set) + num == json_array_size(keys);
        verdict =
            (struct sg_verdict){.reason = fits ? SIGNET_REASON_NONE : SIGNET_REASON_UNKNOWN_KEY,
                                .detail = fits ? NULL : "another number of usable keys"};
    }
    sg_jwks_free(set);
    free(text);
    vectors_judge(file, "set", VECTORS_ACCEPT, verdict);
}

bool vectors_run_jwk(struct vectors_file *file)
{
    const json_t *keys = json_object_get(file->root, "keys");
    if (vectors_text(file->root, "kty") != NULL) {
        vectors_run_key(file, file->root);
        return true;
    }
    if (!json_is_array(keys)) {
        return false;
    }
    vectors_run_set(file, keys);
    for (size_t i = 0; i < json_array_size(keys); i++) {
        vectors_run_key(file, json_array_get(keys, i));
    }
    return true;
}
