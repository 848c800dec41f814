/* SPDX-License-Identifier: Apache-2.0
 *
 * Examples of RFCs: JWS whose signature is good or that must be refused, RFC 7638 thumbprints, and the
 * RFC 7520 cookbook. Signatures only: most payloads are not JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/vectors.h"

static enum sg_alg vectors_pin(const char *alg)
{
    bool is_pin = alg != NULL && strcmp(alg, "EdDSA") != 0;
    return is_pin ? sg_alg_from_name(alg, strlen(alg)) : SG_ALG_UNSET;
}

static struct sg_verdict vectors_check_jws(const struct vectors_file *file, const json_t *jwk,
                                           const char *alg, const char *token)
{
    struct sg_jws jws;
    struct vectors_key key = {0};
    if (!json_is_object(jwk)) {
        /* No key: nothing may be found that takes it. */
        struct sg_verdict verdict = sg_jws_parse(token, strlen(token), &jws);
        for (int i = SG_ALG_UNSET; verdict.reason == SIGNET_REASON_NONE && i < SG_ALG_COUNT; i++) {
            struct sg_verdict one = sg_jws_check_alg(&jws, (enum sg_alg)i);
            verdict = one.reason == SIGNET_REASON_NONE || i == SG_ALG_COUNT - 1 ? one : verdict;
            if (one.reason == SIGNET_REASON_NONE) {
                break;
            }
        }
        return verdict;
    }
    struct sg_verdict verdict = vectors_key_load(&key, file->keyholder, jwk, vectors_pin(alg));
    if (verdict.reason == SIGNET_REASON_NONE) {
        verdict = vectors_key_verify(&key, token, strlen(token), &jws);
        vectors_key_free(&key);
    }
    return verdict;
}

static void vectors_run_examples(struct vectors_file *file, const json_t *vectors)
{
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *vector = json_array_get(vectors, i);
        const char *expected = vectors_text(vector, "expected");
        bool is_valid = expected != NULL && strcmp(expected, "valid_signature") == 0;
        vectors_judge(file, vectors_text(vector, "name"),
                      is_valid ? VECTORS_ACCEPT : VECTORS_REJECT,
                      vectors_check_jws(file, json_object_get(vector, "jwk"),
                                        vectors_text(json_object_get(vector, "header"), "alg"),
                                        vectors_text(vector, "jws")));
    }
}

static void vectors_run_thumbprints(struct vectors_file *file)
{
    for (size_t i = 0; i < json_array_size(file->root); i++) {
        const json_t *vector = json_array_get(file->root, i);
        const json_t *jwk = json_object_get(vector, "jwk");
        const char *kty = vectors_text(jwk, "kty");
        const char *wanted = vectors_text(vector, "sha256_thumbprint");
        enum sg_alg pin = kty != NULL && strcmp(kty, "RSA") == 0 ? SG_ALG_RS256 : SG_ALG_UNSET;
        struct vectors_key key = {0};
        char print[44] = "";
        struct sg_verdict verdict = vectors_key_load(&key, file->keyholder, jwk, pin);
        if (verdict.reason == SIGNET_REASON_NONE &&
            (sg_public_key_thumbprint(key.public, print) != SIGNET_OK || wanted == NULL ||
             strcmp(print, wanted) != 0)) {
            verdict.reason = SIGNET_REASON_CLAIM_INVALID;
            verdict.detail = "another thumbprint";
        }
        vectors_key_free(&key);
        vectors_judge(file, vectors_text(vector, "name"), VECTORS_ACCEPT, verdict);
    }
}

/* ---- The cookbook ---- */

/* Judges header.payload.signature; without a protected header there is no compact form at all. */
static void vectors_judge_parts(struct vectors_file *file, const char *id, const json_t *key,
                                const char *alg, const char *header, const char *payload,
                                const char *signature)
{
    char token[8192];
    (void)snprintf(token, sizeof(token), "%s.%s.%s", header != NULL ? header : "", payload,
                   signature);
    bool is_jws = header != NULL && strpbrk(payload, ".$") == NULL;
    vectors_judge(file, id, is_jws ? VECTORS_ACCEPT : VECTORS_REJECT,
                  vectors_check_jws(file, key, alg, token));
}

/* Every signature of the JSON form, put together as compact. */
static void vectors_run_signatures(struct vectors_file *file, const json_t *input,
                                   const json_t *general)
{
    const json_t *signatures = json_object_get(general, "signatures");
    const char *payload = vectors_text(general, "payload");
    char id[64];
    for (size_t i = 0; i < json_array_size(signatures); i++) {
        const json_t *one = json_array_get(signatures, i);
        const json_t *keys = json_object_get(input, "key");
        const json_t *algs = json_object_get(input, "alg");
        const json_t *key = json_is_array(keys) ? json_array_get(keys, i) : keys;
        const json_t *alg = json_is_array(algs) ? json_array_get(algs, i) : algs;
        (void)snprintf(id, sizeof(id), "signature %zu", i + 1);
        if (payload == NULL) {
            file->count.cases++;
            file->count.not_applicable++; /* detached; the compact form below is judged */
            continue;
        }
        vectors_judge_parts(file, id, key, json_string_value(alg), vectors_text(one, "protected"),
                            payload, vectors_text(one, "signature"));
    }
}

static bool vectors_is_detached(const char *compact)
{
    return strstr(compact, "..") != NULL;
}

static void vectors_run_cookbook(struct vectors_file *file)
{
    const json_t *input = json_object_get(file->root, "input");
    const json_t *output = json_object_get(file->root, "output");
    const char *compact = vectors_text(output, "compact");
    const json_t *protected = json_object_get(json_object_get(file->root, "signing"), "protected");
    if (compact != NULL) {
        bool is_plain = !vectors_is_detached(compact) && json_object_get(protected, "b64") == NULL;
        vectors_judge(file, "compact", is_plain ? VECTORS_ACCEPT : VECTORS_REJECT,
                      vectors_check_jws(file, json_object_get(input, "key"),
                                        vectors_text(input, "alg"), compact));
    }
    if (json_object_get(protected, "b64") == NULL) {
        vectors_run_signatures(file, input, json_object_get(output, "json"));
    } else if (compact == NULL) {
        const json_t *flat = json_object_get(output, "json_flat");
        vectors_judge_parts(file, "b64 false", json_object_get(input, "key"),
                            vectors_text(input, "alg"), vectors_text(flat, "protected"),
                            vectors_text(flat, "payload"), vectors_text(flat, "signature"));
    }
}

bool vectors_run_rfc(struct vectors_file *file)
{
    const json_t *vectors = json_object_get(file->root, "vectors");
    if (vectors_text(json_array_get(vectors, 0), "jws") != NULL) {
        vectors_run_examples(file, vectors);
        return true;
    }
    if (vectors_text(json_array_get(file->root, 0), "sha256_thumbprint") != NULL) {
        vectors_run_thumbprints(file);
        return true;
    }
    if (json_is_object(json_object_get(file->root, "input")) &&
        json_is_object(json_object_get(file->root, "output"))) {
        vectors_run_cookbook(file);
        return true;
    }
    return false;
}
