/* SPDX-License-Identifier: Apache-2.0
 *
 * Wycheproof files: JWS and JWK Sets as tokens, the primitives as raw messages through the very
 * function that checks a token's signature. Labels that are known to be wrong come from ERRATA.json
 * beside the files.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/vectors.h"

#define WYCHEPROOF_MAX_BYTES 8192u

struct wycheproof_bytes {
    uint8_t bytes[WYCHEPROOF_MAX_BYTES];
    size_t len;
};

static bool wycheproof_hex(const json_t *object, const char *name, struct wycheproof_bytes *out)
{
    const char *hex = vectors_text(object, name);
    size_t len = hex != NULL ? strlen(hex) : 1;
    if (len % 2 != 0 || len / 2 > sizeof(out->bytes)) {
        return false;
    }
    for (size_t i = 0; i < len / 2; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        char *end = NULL;
        out->bytes[i] = (uint8_t)strtoul(pair, &end, 16);
        if (end != pair + 2 || !isxdigit((unsigned char)pair[0])) {
            return false;
        }
    }
    out->len = len / 2;
    return true;
}

static bool wycheproof_is(const json_t *object, const char *name, const char *text)
{
    const char *value = vectors_text(object, name);
    return value != NULL && strcmp(value, text) == 0;
}

/* ---- Labels ---- */

static const char *wycheproof_label(const struct vectors_file *file, const json_t *test)
{
    const char *name = strrchr(file->path, '/');
    name = name != NULL ? name + 1 : file->path;
    for (size_t i = 0; i < json_array_size(file->errata); i++) {
        const json_t *entry = json_array_get(file->errata, i);
        if (wycheproof_is(entry, "file", name) &&
            json_equal(json_object_get(entry, "tcId"), json_object_get(test, "tcId"))) {
            return vectors_text(entry, "use");
        }
    }
    return vectors_text(test, "result");
}

static void wycheproof_judge(struct vectors_file *file, const json_t *test,
                             struct sg_verdict verdict)
{
    char id[32];
    (void)snprintf(id, sizeof(id), "tcId %lld",
                   (long long)json_integer_value(json_object_get(test, "tcId")));
    const char *label = wycheproof_label(file, test);
    if (label != NULL && strcmp(label, "valid") == 0) {
        vectors_judge(file, id, VECTORS_ACCEPT, verdict);
    } else if (label != NULL && strcmp(label, "invalid") == 0) {
        vectors_judge(file, id, VECTORS_REJECT, verdict);
    } else {
        vectors_choice(file, VECTORS_REJECT, verdict); /* "acceptable", or "either" by the errata */
    }
}

static void wycheproof_not_applicable(struct vectors_file *file, const json_t *group,
                                      const char *why)
{
    size_t num = json_array_size(json_object_get(group, "tests"));
    (void)printf("  %s: %zu cases not applicable: %s\n", file->path, num, why);
    file->count.cases += num;
    file->count.not_applicable += num;
}

static struct sg_verdict wycheproof_bad(const char *detail)
{
    return (struct sg_verdict){.reason = SIGNET_REASON_BAD_SIGNATURE, .detail = detail};
}

/* ---- Tokens ---- */

static void wycheproof_run_jws(struct vectors_file *file, const json_t *group)
{
    const json_t *jwk = json_object_get(group, "public");
    const json_t *tests = json_object_get(group, "tests");
    struct vectors_key key = {0};
    struct sg_verdict loaded = vectors_key_load(
        &key, file->keyholder, jwk != NULL ? jwk : json_object_get(group, "private"), SG_ALG_UNSET);
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *test = json_array_get(tests, i);
        const json_t *token = json_object_get(test, "jws");
        struct sg_jws jws;
        struct sg_verdict verdict = loaded;
        if (loaded.reason == SIGNET_REASON_NONE) {
            verdict =
                vectors_key_verify(&key, json_string_value(token), json_string_length(token), &jws);
        }
        wycheproof_judge(file, test, verdict);
    }
    vectors_key_free(&key);
}

static struct sg_verdict wycheproof_try_set(const struct vectors_file *file,
                                            const struct sg_jwks *set, const json_t *token)
{
    struct sg_verdict verdict = {.reason = SIGNET_REASON_UNKNOWN_KEY, .detail = "no such key"};
    for (size_t i = 0; i < sg_jwks_num(set); i++) {
        struct vectors_key key = {0};
        struct sg_jws jws;
        verdict = vectors_key_from_jwk(&key, file->keyholder, sg_jwks_get(set, i));
        if (verdict.reason == SIGNET_REASON_NONE) {
            verdict =
                vectors_key_verify(&key, json_string_value(token), json_string_length(token), &jws);
            vectors_key_free(&key);
        }
        if (verdict.reason == SIGNET_REASON_NONE) {
            break;
        }
    }
    return verdict;
}

static void wycheproof_run_jwks(struct vectors_file *file, const json_t *group)
{
    const json_t *public = json_object_get(group, "public");
    const json_t *tests = json_object_get(group, "tests");
    char *text = json_dumps(public != NULL ? public : json_object_get(group, "private"), 0);
    struct sg_jwks *set = NULL;
    struct sg_key_error error = {{0}};
    signet_status status =
        text != NULL ? sg_jwks_parse(text, strlen(text),
                                     public != NULL ? SG_JWK_PUBLIC : SG_JWK_SECRET, &set, &error)
                     : SIGNET_INTERNAL;
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *test = json_array_get(tests, i);
        wycheproof_judge(file, test,
                         status == SIGNET_OK
                             ? wycheproof_try_set(file, set, json_object_get(test, "jws"))
                             : wycheproof_bad(error.message));
    }
    sg_jwks_free(set);
    free(text);
}

/* ---- Primitives ---- */

static void wycheproof_run_messages(struct vectors_file *file, const json_t *group,
                                    const struct vectors_key *key, const char *sig_name, bool never)
{
    static struct wycheproof_bytes message;
    static struct wycheproof_bytes sig;
    const json_t *tests = json_object_get(group, "tests");
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *test = json_array_get(tests, i);
        struct sg_verdict verdict = wycheproof_bad("the signature is not good");
        if (wycheproof_hex(test, "msg", &message) && wycheproof_hex(test, sig_name, &sig) &&
            vectors_key_check(key, message.bytes, message.len, sig.bytes, sig.len)) {
            verdict = (struct sg_verdict){.reason = SIGNET_REASON_NONE};
        }
        if (never && wycheproof_is(test, "result", "valid")) {
            vectors_judge(file, "valid under parameters that are not JWS's", VECTORS_REJECT,
                          verdict);
        } else if (never) {
            /* Some are bad only because they have the very parameters of JWS. */
            file->count.cases++;
            file->count.not_applicable++;
        } else {
            wycheproof_judge(file, test, verdict);
        }
    }
}

/* The row of a family with this hash or curve; SG_ALG_UNSET if JOSE has none. */
static enum sg_alg wycheproof_alg(enum sg_alg_family family, const char *sha, const char *crv)
{
    for (int i = SG_ALG_UNSET + 1; i < SG_ALG_COUNT; i++) {
        const struct sg_alg_info *info = sg_alg_info((enum sg_alg)i);
        char name[16] = "";
        if (info->digest != NULL) {
            (void)snprintf(name, sizeof(name), "SHA-%s", info->digest + strlen("SHA"));
        }
        if (info->family == family && (sha == NULL || strcmp(sha, name) == 0) &&
            (crv == NULL || (info->crv != NULL && strcmp(crv, info->crv) == 0))) {
            return info->alg;
        }
    }
    return SG_ALG_UNSET;
}

static const char *wycheproof_curve(const json_t *group)
{
    static const struct {
        const char *theirs;
        const char *ours;
    } curves[] = {{"secp256r1", "P-256"},     {"secp384r1", "P-384"},      {"secp521r1", "P-521"},
                  {"secp256k1", "secp256k1"}, {"edwards25519", "Ed25519"}, {"edwards448", "Ed448"}};
    const char *curve = vectors_text(json_object_get(group, "publicKey"), "curve");
    for (size_t i = 0; curve != NULL && i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(curve, curves[i].theirs) == 0) {
            return curves[i].ours;
        }
    }
    return NULL;
}

/* Loads the group's SPKI and runs its messages. A key that is refused is no failure by itself: the
 * tests that are labelled valid then fail. */
static void wycheproof_run_public(struct vectors_file *file, const json_t *group,
                                  const char *der_name, enum sg_alg alg, bool never)
{
    static struct wycheproof_bytes der;
    struct vectors_key key = {.alg = alg};
    struct sg_key_error error = {"no key in the group"};
    if (alg == SG_ALG_UNSET) {
        wycheproof_not_applicable(file, group, "no JWS algorithm has this curve and hash");
        return;
    }
    if (!wycheproof_hex(group, der_name, &der) ||
        sg_public_key_from_spki(alg, der.bytes, der.len, &key.public, &error) != SIGNET_OK) {
        const json_t *tests = json_object_get(group, "tests");
        for (size_t i = 0; i < json_array_size(tests); i++) {
            wycheproof_judge(file, json_array_get(tests, i), wycheproof_bad(error.message));
        }
        return;
    }
    wycheproof_run_messages(file, group, &key, "sig", never);
    vectors_key_free(&key);
}

static void wycheproof_run_ecdsa(struct vectors_file *file, const json_t *group)
{
    const char *crv = wycheproof_curve(group);
    enum sg_alg alg = crv != NULL ? wycheproof_alg(SG_FAMILY_ECDSA, vectors_text(group, "sha"), crv)
                                  : SG_ALG_UNSET;
    wycheproof_run_public(file, group, "publicKeyDer", alg, false);
}

static void wycheproof_run_eddsa(struct vectors_file *file, const json_t *group)
{
    const char *crv = wycheproof_curve(group);
    enum sg_alg alg = crv != NULL ? wycheproof_alg(SG_FAMILY_EDDSA, NULL, crv) : SG_ALG_UNSET;
    wycheproof_run_public(file, group, "publicKeyDer", alg, false);
}

static void wycheproof_run_pkcs1(struct vectors_file *file, const json_t *group)
{
    wycheproof_run_public(file, group, "publicKeyDer",
                          wycheproof_alg(SG_FAMILY_RSA_PKCS1, vectors_text(group, "sha"), NULL),
                          false);
}

/* Signatures made with a private key; PKCS#1 v1.5 has one for each message, so checking them under the
 * public key says the same. */
static void wycheproof_run_pkcs1_generate(struct vectors_file *file, const json_t *group)
{
    wycheproof_run_public(file, group, "keyDer",
                          wycheproof_alg(SG_FAMILY_RSA_PKCS1, vectors_text(group, "sha"), NULL),
                          false);
}

/* RFC 7518 section 3.5 fixes MGF1's hash and the salt's length: what is good under others must not pass. */
static void wycheproof_run_pss(struct vectors_file *file, const json_t *group)
{
    const char *sha = vectors_text(group, "sha");
    enum sg_alg alg = wycheproof_alg(SG_FAMILY_RSA_PSS, sha, NULL);
    const struct sg_alg_info *info = sg_alg_info(alg);
    bool is_jws = info != NULL && sha != NULL && wycheproof_is(group, "mgfSha", sha) &&
                  json_integer_value(json_object_get(group, "sLen")) == (json_int_t)info->hash_len;
    wycheproof_run_public(file, group, "publicKeyDer", alg, !is_jws);
}

static void wycheproof_run_mac_test(struct vectors_file *file, const json_t *test, enum sg_alg alg,
                                    bool is_short_tag)
{
    static struct wycheproof_bytes secret;
    static struct wycheproof_bytes message;
    static struct wycheproof_bytes tag;
    struct vectors_key key = {0};
    struct sg_verdict verdict = wycheproof_bad("a field is not hexadecimal");
    if (wycheproof_hex(test, "key", &secret) && wycheproof_hex(test, "msg", &message) &&
        wycheproof_hex(test, "tag", &tag)) {
        verdict = vectors_key_import(&key, file->keyholder, alg, secret.bytes, secret.len);
        if (verdict.reason == SIGNET_REASON_NONE &&
            !vectors_key_check(&key, message.bytes, message.len, tag.bytes, tag.len)) {
            verdict = wycheproof_bad("the MAC differs");
        }
        vectors_key_free(&key);
    }
    if (is_short_tag || secret.len < sg_alg_info(alg)->hash_len) {
        /* RFC 7518 section 3.2: neither a cut MAC nor a short key, whatever the label says. */
        vectors_judge(file, "a short tag or key", VECTORS_REJECT, verdict);
    } else {
        wycheproof_judge(file, test, verdict);
    }
}

static void wycheproof_run_mac(struct vectors_file *file, const json_t *group)
{
    static const char prefix[] = "HMACSHA";
    const char *name = vectors_text(file->root, "algorithm");
    char sha[16] = "";
    if (name != NULL && strncmp(name, prefix, strlen(prefix)) == 0) {
        (void)snprintf(sha, sizeof(sha), "SHA-%.8s", name + strlen(prefix));
    }
    enum sg_alg alg = wycheproof_alg(SG_FAMILY_HMAC, sha, NULL);
    const json_t *tests = json_object_get(group, "tests");
    if (alg == SG_ALG_UNSET) {
        wycheproof_not_applicable(file, group, "no JWS algorithm is this MAC");
        return;
    }
    bool is_short = json_integer_value(json_object_get(group, "tagSize")) !=
                    (json_int_t)(8 * sg_alg_info(alg)->hash_len);
    for (size_t i = 0; i < json_array_size(tests); i++) {
        wycheproof_run_mac_test(file, json_array_get(tests, i), alg, is_short);
    }
}

/* ---- Groups ---- */

static const struct {
    const char *type;
    void (*run)(struct vectors_file *file, const json_t *group);
} wycheproof_groups[] = {
    {"JsonWebSignature", wycheproof_run_jws},
    {"JsonWebKey", wycheproof_run_jwks},
    {"EcdsaP1363Verify", wycheproof_run_ecdsa},
    {"EddsaVerify", wycheproof_run_eddsa},
    {"MacTest", wycheproof_run_mac},
    {"RsassaPkcs1Verify", wycheproof_run_pkcs1},
    {"RsassaPkcs1Generate", wycheproof_run_pkcs1_generate},
    {"RsassaPssVerify", wycheproof_run_pss},
};

static bool wycheproof_run_group(struct vectors_file *file, const json_t *group)
{
    for (size_t i = 0; i < sizeof(wycheproof_groups) / sizeof(wycheproof_groups[0]); i++) {
        if (wycheproof_is(group, "type", wycheproof_groups[i].type)) {
            wycheproof_groups[i].run(file, group);
            return true;
        }
    }
    return false;
}

bool vectors_run_wycheproof(struct vectors_file *file)
{
    const json_t *groups = json_object_get(file->root, "testGroups");
    bool known = json_array_size(groups) != 0;
    for (size_t i = 0; i < json_array_size(groups); i++) {
        if (!wycheproof_run_group(file, json_array_get(groups, i))) {
            known = false;
        }
    }
    return known;
}
