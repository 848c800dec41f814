/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of vectors, and the check of a token under one, put together of the same pieces as the daemon's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/keyholder.h"
#include "tests/integration/vectors.h"

static struct sg_verdict vectors_bad(signet_reason reason, const char *detail)
{
    return (struct sg_verdict){.reason = reason, .detail = detail};
}

/* The key's fault outlives the call for the line that prints it; the test has one thread. */
static struct sg_verdict vectors_bad_key(const char *message)
{
    static char kept[sizeof(((struct sg_key_error *)0)->message) + 16];
    (void)snprintf(kept, sizeof(kept), "key refused: %s", message);
    return vectors_bad(SIGNET_REASON_UNKNOWN_KEY, kept);
}

struct sg_verdict vectors_key_import(struct vectors_key *key, struct sg_keyholder *keyholder,
                                     enum sg_alg alg, const uint8_t *secret, size_t len)
{
    struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_IMPORT, .alg = alg, .data_len = (uint32_t)len};
    struct sg_keyholder_reply reply;
    if (sg_keyholder_call(keyholder, &request, 1, secret, len, &reply) != SIGNET_OK) {
        return vectors_bad_key("the keyholder did not answer");
    }
    if (reply.status != SIGNET_OK) {
        return vectors_bad_key(reply.message);
    }
    *key = (struct vectors_key){.alg = alg, .slot = reply.slot, .keyholder = keyholder};
    return vectors_bad(SIGNET_REASON_NONE, NULL);
}

struct sg_verdict vectors_key_from_jwk(struct vectors_key *key, struct sg_keyholder *keyholder,
                                       const struct sg_jwk *jwk)
{
    struct sg_key_error error;
    const uint8_t *secret = NULL;
    size_t len = 0;
    *key = (struct vectors_key){.alg = sg_jwk_alg(jwk), .keyholder = keyholder};
    if (sg_alg_info(key->alg)->family != SG_FAMILY_HMAC) {
        if (sg_jwk_public(jwk, &key->public, &error) != SIGNET_OK) {
            return vectors_bad_key(error.message);
        }
    } else if (sg_jwk_secret(jwk, &secret, &len) != SIGNET_OK) {
        return vectors_bad_key("no secret in it");
    } else {
        struct sg_verdict verdict = vectors_key_import(key, keyholder, key->alg, secret, len);
        if (verdict.reason != SIGNET_REASON_NONE) {
            return verdict;
        }
    }
    const char *kid = sg_jwk_kid(jwk);
    key->has_kid = kid != NULL;
    (void)snprintf(key->kid, sizeof(key->kid), "%s", kid != NULL ? kid : "");
    return vectors_bad(SIGNET_REASON_NONE, NULL);
}

struct sg_verdict vectors_key_load(struct vectors_key *key, struct sg_keyholder *keyholder,
                                   const json_t *jwk, enum sg_alg pin)
{
    const char *kty = vectors_text(jwk, "kty");
    bool is_secret = kty != NULL && strcmp(kty, "oct") == 0;
    char *text = json_dumps(jwk, JSON_COMPACT);
    struct sg_jwk *parsed = NULL;
    struct sg_key_error error;
    signet_status status = sg_jwk_parse(text, text != NULL ? strlen(text) : 0, pin,
                                        is_secret ? SG_JWK_SECRET : SG_JWK_PUBLIC, &parsed, &error);
    free(text);
    if (status != SIGNET_OK) {
        return vectors_bad_key(error.message);
    }
    struct sg_verdict verdict = vectors_key_from_jwk(key, keyholder, parsed);
    sg_jwk_free(parsed);
    return verdict;
}

void vectors_key_free(struct vectors_key *key)
{
    sg_public_key_free(key->public);
    if (key->slot != 0) {
        struct sg_keyholder_request request = {.op = SG_KEYHOLDER_DESTROY, .slot = key->slot};
        struct sg_keyholder_reply reply;
        if (sg_keyholder_call(key->keyholder, &request, 1, NULL, 0, &reply) != SIGNET_OK ||
            reply.status != SIGNET_OK) {
            (void)printf("a key could not be destroyed\n");
        }
    }
    *key = (struct vectors_key){0};
}

bool vectors_key_check(const struct vectors_key *key, const uint8_t *input, size_t input_len,
                       const uint8_t *sig, size_t sig_len)
{
    if (key->public != NULL) {
        return sg_public_key_check_signature(key->public, input, input_len, sig, sig_len);
    }
    struct sg_keyholder_request request = {.op = SG_KEYHOLDER_MAC_CHECK,
                                           .slot = key->slot,
                                           .data_len = (uint32_t)input_len,
                                           .mac_len = (uint32_t)sig_len};
    struct sg_keyholder_reply reply;
    if (sig_len > sizeof(request.mac)) {
        return false;
    }
    memcpy(request.mac, sig, sig_len);
    return sg_keyholder_call(key->keyholder, &request, 1, input, input_len, &reply) == SIGNET_OK &&
           reply.status == SIGNET_OK && reply.verdict == SG_KEYHOLDER_MAC_EQUAL;
}

struct sg_verdict vectors_key_verify(const struct vectors_key *key, const char *token, size_t len,
                                     struct sg_jws *jws)
{
    struct sg_verdict verdict = sg_jws_parse(token, len, jws);
    if (verdict.reason != SIGNET_REASON_NONE) {
        return verdict;
    }
    if (jws->has_kid && key->has_kid && strcmp(jws->kid, key->kid) != 0) {
        return vectors_bad(SIGNET_REASON_UNKNOWN_KEY, "the token names another kid");
    }
    if (key->public != NULL) {
        return sg_public_key_verify(key->public, jws);
    }
    verdict = sg_jws_check_alg(jws, key->alg);
    if (verdict.reason == SIGNET_REASON_NONE &&
        !vectors_key_check(key, (const uint8_t *)jws->signing_input, jws->signing_input_len,
                           jws->signature, jws->signature_len)) {
        return vectors_bad(SIGNET_REASON_BAD_SIGNATURE, "the MAC differs");
    }
    return verdict;
}
