/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Keys: read, every member that counts checked, and made into keys. What this file itself holds
 * of a private member or a secret is wiped before it is freed: buffers, big numbers and the strings of
 * the JSON tree. Copies that jansson's lexer made on the way are freed as they are, since its memory
 * functions are those of the whole process.
 */
#include "common/jose/jwk.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/json.h"

#define JWK_MAX_LEN      16384u
#define JWK_MAX_SET_LEN  262144u
#define JWK_MAX_SET_KEYS 256u
#define JWK_MAX_DEPTH    8u
#define JWK_MAX_NUMBER   (SG_MAX_RSA_BITS / 8 + 1) /* an RSA number with a leading zero */

struct sg_jwk {
    enum sg_alg alg;
    char *kid;                    /* or NULL */
    struct sg_public_key *public; /* or NULL: oct */
    uint8_t *secret;              /* or NULL: what a keyholder imports */
    size_t secret_len;
};

struct sg_jwks {
    struct sg_jwk **keys;
    size_t num, num_skipped;
};

static signet_status jwk_refuse(struct sg_key_error *error, const char *message)
{
    ERR_clear_error();
    (void)snprintf(error->message, sizeof(error->message), "%s", message);
    return SIGNET_INVALID_ARGUMENT;
}

static signet_status jwk_no_memory(struct sg_key_error *error)
{
    (void)jwk_refuse(error, "no memory for a key");
    return SIGNET_RESOURCE_EXHAUSTED;
}

void sg_jwk_free(struct sg_jwk *jwk)
{
    if (jwk == NULL) {
        return;
    }
    if (jwk->secret != NULL) {
        OPENSSL_cleanse(jwk->secret, jwk->secret_len);
    }
    free(jwk->secret);
    sg_public_key_free(jwk->public);
    free(jwk->kid);
    free(jwk);
}

/* jansson hands strings out as const, but they are ours: the tree is about to go. */
static void jwk_wipe_strings(const json_t *object)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (json_is_string(value)) {
            OPENSSL_cleanse((void *)(uintptr_t)json_string_value(value), json_string_length(value));
        }
    }
}

/* ---- Metadata: kid, alg, use, key_ops (RFC 7517 section 4) ---- */

static bool jwk_member_is(const json_t *object, const char *name, const char *text)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) && json_string_length(value) == strlen(text) &&
           memcmp(json_string_value(value), text, strlen(text)) == 0;
}

static enum sg_alg jwk_alg_of_curve(const json_t *object)
{
    for (int i = SG_ALG_UNSET + 1; i < SG_ALG_COUNT; i++) {
        const struct sg_alg_info *info = sg_alg_info((enum sg_alg)i);
        if (info->crv != NULL && jwk_member_is(object, "crv", info->crv)) {
            return info->alg;
        }
    }
    return SG_ALG_UNSET;
}

/* The algorithm that this key has and no other; NULL in *detail if that is settled. */
static enum sg_alg jwk_settle_alg(const json_t *object, enum sg_alg pin, const char **detail)
{
    const json_t *member = json_object_get(object, "alg");
    enum sg_alg alg = pin != SG_ALG_UNSET ? pin : jwk_alg_of_curve(object);
    *detail = NULL;
    if (member != NULL && !json_is_string(member)) {
        *detail = "alg is not a string (RFC 7517 section 4.4)";
    } else if (member != NULL && alg == SG_ALG_UNSET) {
        alg = sg_alg_from_name(json_string_value(member), json_string_length(member));
        *detail = alg == SG_ALG_UNSET ? "alg is not a signature algorithm known here" : NULL;
    } else if (member != NULL &&
               !sg_alg_matches(alg, json_string_value(member), json_string_length(member))) {
        *detail = "alg is not the algorithm that this key is for (RFC 8725 section 3.1)";
    } else if (alg == SG_ALG_UNSET) {
        *detail = "the key has no alg, and none was given for it (RFC 8725 section 3.1)";
    }
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (*detail == NULL && (info == NULL || !jwk_member_is(object, "kty", info->kty))) {
        *detail = "kty does not fit the algorithm (RFC 7518 section 6.1)";
    } else if (*detail == NULL && info->crv != NULL && !jwk_member_is(object, "crv", info->crv)) {
        *detail = "crv does not fit the algorithm (RFC 7518 section 3.4, RFC 8037 section 3.1)";
    }
    return alg;
}

static bool jwk_ops_have(const json_t *ops, const char *wanted)
{
    for (size_t i = 0; i < json_array_size(ops); i++) {
        if (strcmp(json_string_value(json_array_get(ops, i)), wanted) == 0) {
            return true;
        }
    }
    return false;
}

static bool jwk_ops_are_valid(const json_t *ops)
{
    if (!json_is_array(ops)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        if (op == NULL) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(op, json_string_value(json_array_get(ops, j))) == 0) {
                return false;
            }
        }
    }
    return true;
}

/* RFC 7517 sections 4.2 and 4.3. */
static const char *jwk_use_fault(const json_t *object, enum sg_jwk_want want)
{
    if (json_object_get(object, "use") != NULL && !jwk_member_is(object, "use", "sig")) {
        return "use is not \"sig\" (RFC 7517 section 4.2)";
    }
    const json_t *ops = json_object_get(object, "key_ops");
    if (ops == NULL) {
        return NULL;
    }
    if (!jwk_ops_are_valid(ops)) {
        return "key_ops is not an array of different strings (RFC 7517 section 4.3)";
    }
    bool may = (want != SG_JWK_PRIVATE && jwk_ops_have(ops, "verify")) ||
               (want != SG_JWK_PUBLIC && jwk_ops_have(ops, "sign"));
    return may ? NULL : "key_ops does not allow what the key is wanted for (RFC 7517 section 4.3)";
}

static signet_status jwk_take_kid(const json_t *object, struct sg_jwk *jwk,
                                  struct sg_key_error *error)
{
    const json_t *kid = json_object_get(object, "kid");
    if (kid == NULL) {
        return SIGNET_OK;
    }
    if (!json_is_string(kid) || json_string_length(kid) > SG_MAX_KID_LEN) {
        return jwk_refuse(error, "kid is not a string of at most 256 bytes (RFC 7517 section 4.5)");
    }
    jwk->kid = strdup(json_string_value(kid));
    return jwk->kid != NULL ? SIGNET_OK : jwk_no_memory(error);
}

/* ---- Members that are bytes ---- */

struct jwk_bytes {
    uint8_t bytes[JWK_MAX_NUMBER];
    size_t len;
};

static bool jwk_decode(const json_t *object, const char *name, struct jwk_bytes *out)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) &&
           sg_base64url_decode(json_string_value(value), json_string_length(value), out->bytes,
                               sizeof(out->bytes), &out->len);
}

/* Base64urlUInt (RFC 7518 section 2), with one leading zero forgiven, as some producers write it. */
static bool jwk_push_number(OSSL_PARAM_BLD *build, BIGNUM **kept, const char *param,
                            const json_t *object, const char *name)
{
    struct jwk_bytes number;
    bool is_good = jwk_decode(object, name, &number) && number.len > 0 &&
                   (number.bytes[0] != 0 || (number.len > 1 && number.bytes[1] != 0));
    if (is_good) {
        *kept = BN_secure_new();
        is_good = *kept != NULL && BN_bin2bn(number.bytes, (int)number.len, *kept) != NULL &&
                  OSSL_PARAM_BLD_push_BN(build, param, *kept) == 1;
    }
    OPENSSL_cleanse(&number, sizeof(number));
    return is_good;
}

/* ---- Making OpenSSL's key ---- */

static EVP_PKEY *jwk_from_params(const char *type, int selection, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params); /* wipes */
    return pkey;
}

struct jwk_number_name {
    const char *member;
    const char *param;
};

static const struct jwk_number_name jwk_rsa_numbers[] = {
    {"n", OSSL_PKEY_PARAM_RSA_N},          {"e", OSSL_PKEY_PARAM_RSA_E},
    {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
    {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
    {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};
#define JWK_RSA_NUMBERS        (sizeof(jwk_rsa_numbers) / sizeof(jwk_rsa_numbers[0]))
#define JWK_RSA_PUBLIC_NUMBERS 2u

/* RFC 7518 section 6.3. */
static EVP_PKEY *jwk_make_rsa(const json_t *object, bool is_private, const char **fault)
{
    BIGNUM *numbers[JWK_RSA_NUMBERS] = {NULL};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    size_t num = is_private ? JWK_RSA_NUMBERS : JWK_RSA_PUBLIC_NUMBERS;
    bool is_good = build != NULL && !(is_private && json_object_get(object, "oth") != NULL);
    for (size_t i = 0; is_good && i < num; i++) {
        is_good = jwk_push_number(build, &numbers[i], jwk_rsa_numbers[i].param, object,
                                  jwk_rsa_numbers[i].member);
    }
    *fault = is_private
                 ? "n, e, d, p, q, dp, dq, qi must all be there, as Base64urlUInt, without oth "
                   "(RFC 7518 section 6.3.2)"
                 : "n and e must be there, as Base64urlUInt (RFC 7518 section 6.3.1)";
    if (is_good) {
        pkey = jwk_from_params("RSA", is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, build);
        *fault = "n and e are not an RSA key";
    }
    for (size_t i = 0; i < JWK_RSA_NUMBERS; i++) {
        BN_clear_free(numbers[i]);
    }
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

/* Decodes a coordinate or a private value: of full width (RFC 7518 section 6.2.1.2). */
static bool jwk_decode_full(const json_t *object, const char *name, size_t width,
                            struct jwk_bytes *out)
{
    return jwk_decode(object, name, out) && out->len == width;
}

#define JWK_MAX_COORDINATE 66u

/* RFC 7518 section 6.2. */
static EVP_PKEY *jwk_make_ec(const struct sg_alg_info *info, const json_t *object, bool is_private,
                             const char **fault)
{
    size_t width = info->coordinate_len;
    struct jwk_bytes x;
    struct jwk_bytes y;
    struct jwk_bytes d = {.len = 0};
    *fault = "x, y and d must be as long as the curve's field (RFC 7518 sections 6.2.1, 6.2.2)";
    if (!jwk_decode_full(object, "x", width, &x) || !jwk_decode_full(object, "y", width, &y) ||
        (is_private && !jwk_decode_full(object, "d", width, &d))) {
        OPENSSL_cleanse(&d, sizeof(d));
        return NULL;
    }
    uint8_t point[1 + 2 * JWK_MAX_COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x.bytes, width);
    memcpy(point + 1 + width, y.bytes, width);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *secret = BN_secure_new();
    EVP_PKEY *pkey = NULL;
    *fault = "x and y are not a point of the curve (RFC 7518 section 6.2.1)";
    if (build != NULL && secret != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, info->group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width) ==
            1 &&
        (!is_private || (BN_bin2bn(d.bytes, (int)d.len, secret) != NULL &&
                         OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret) == 1))) {
        pkey = jwk_from_params("EC", is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, build);
    }
    OPENSSL_cleanse(&d, sizeof(d));
    BN_clear_free(secret);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

/* RFC 8037 section 2. The private key alone decides the public one; x must be that. */
static EVP_PKEY *jwk_make_okp(const struct sg_alg_info *info, const json_t *object, bool is_private,
                              const char **fault)
{
    struct jwk_bytes x;
    struct jwk_bytes d;
    *fault = "x and d must be as long as the curve has it (RFC 8037 section 2)";
    if (!jwk_decode_full(object, "x", info->coordinate_len, &x)) {
        return NULL;
    }
    if (!is_private) {
        return EVP_PKEY_new_raw_public_key_ex(NULL, info->group, NULL, x.bytes, x.len);
    }
    EVP_PKEY *pkey = jwk_decode_full(object, "d", info->coordinate_len, &d)
                         ? EVP_PKEY_new_raw_private_key_ex(NULL, info->group, NULL, d.bytes, d.len)
                         : NULL;
    OPENSSL_cleanse(&d, sizeof(d));
    uint8_t derived[JWK_MAX_COORDINATE];
    size_t derived_len = sizeof(derived);
    if (pkey != NULL && (EVP_PKEY_get_raw_public_key(pkey, derived, &derived_len) != 1 ||
                         derived_len != x.len || memcmp(derived, x.bytes, x.len) != 0)) {
        *fault = "x does not belong to d (RFC 8037 section 2)";
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

static EVP_PKEY *jwk_make(const struct sg_alg_info *info, const json_t *object, bool is_private,
                          const char **fault)
{
    switch (info->family) {
    case SG_FAMILY_RSA_PKCS1:
    case SG_FAMILY_RSA_PSS:
        return jwk_make_rsa(object, is_private, fault);
    case SG_FAMILY_ECDSA:
        return jwk_make_ec(info, object, is_private, fault);
    case SG_FAMILY_EDDSA:
        return jwk_make_okp(info, object, is_private, fault);
    case SG_FAMILY_HMAC:
        break;
    }
    *fault = "a secret is no public or private key";
    return NULL;
}

/* ---- Taking the key ---- */

static bool jwk_is_pair(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* PKCS#8 DER into a buffer of our own. */
static bool jwk_keep_pkcs8(struct sg_jwk *jwk, const EVP_PKEY *pkey)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int len = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
    uint8_t *der = len > 0 ? malloc((size_t)len) : NULL;
    uint8_t *at = der;
    if (der != NULL && i2d_PKCS8_PRIV_KEY_INFO(info, &at) == len) {
        jwk->secret = der;
        jwk->secret_len = (size_t)len;
    } else {
        free(der);
    }
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    return jwk->secret != NULL;
}

static signet_status jwk_take_pair(const struct sg_alg_info *info, const json_t *object,
                                   bool is_private, struct sg_jwk *jwk, struct sg_key_error *error)
{
    const char *fault = NULL;
    EVP_PKEY *pkey = jwk_make(info, object, is_private, &fault);
    if (pkey == NULL) {
        return jwk_refuse(error, fault);
    }
    signet_status status = sg_public_key_from_pkey(info->alg, pkey, &jwk->public, error);
    if (status == SIGNET_OK && is_private && !jwk_is_pair(pkey)) {
        status = jwk_refuse(error, "the private members do not belong to the public ones");
    }
    if (status == SIGNET_OK && is_private && !jwk_keep_pkcs8(jwk, pkey)) {
        status = jwk_no_memory(error);
    }
    EVP_PKEY_free(pkey);
    return status;
}

static signet_status jwk_take_secret(const struct sg_alg_info *info, const json_t *object,
                                     struct sg_jwk *jwk, struct sg_key_error *error)
{
    const json_t *k = json_object_get(object, "k");
    if (info->family != SG_FAMILY_HMAC || !json_is_string(k)) {
        return jwk_refuse(error,
                          "not a secret: kty \"oct\" with a string k (RFC 7518 section 6.4)");
    }
    jwk->secret = malloc(SG_MAX_SECRET_LEN);
    if (jwk->secret == NULL) {
        return jwk_no_memory(error);
    }
    memset(jwk->secret, 0, SG_MAX_SECRET_LEN);
    jwk->secret_len = SG_MAX_SECRET_LEN; /* for a wipe of all of it, should this fail */
    size_t len = 0;
    if (!sg_base64url_decode(json_string_value(k), json_string_length(k), jwk->secret,
                             SG_MAX_SECRET_LEN, &len)) {
        return jwk_refuse(error, "k is not strict base64url, or longer than 1024 bytes "
                                 "(RFC 7518 section 6.4.1)");
    }
    if (len < info->hash_len) {
        return jwk_refuse(error, "the secret is shorter than the hash (RFC 7518 section 3.2)");
    }
    jwk->secret_len = len;
    return SIGNET_OK;
}

static signet_status jwk_take(const json_t *object, enum sg_alg pin, enum sg_jwk_want want,
                              struct sg_jwk *jwk, struct sg_key_error *error)
{
    const char *fault = NULL;
    jwk->alg = jwk_settle_alg(object, pin, &fault);
    if (fault == NULL) {
        fault = jwk_use_fault(object, want);
    }
    if (fault != NULL) {
        return jwk_refuse(error, fault);
    }
    signet_status status = jwk_take_kid(object, jwk, error);
    if (status != SIGNET_OK) {
        return status;
    }
    const struct sg_alg_info *info = sg_alg_info(jwk->alg);
    if (want == SG_JWK_SECRET) {
        return jwk_take_secret(info, object, jwk, error);
    }
    return jwk_take_pair(info, object, want == SG_JWK_PRIVATE, jwk, error);
}

static signet_status jwk_from_object(const json_t *object, enum sg_alg pin, enum sg_jwk_want want,
                                     struct sg_jwk **out, struct sg_key_error *error)
{
    struct sg_jwk *jwk = calloc(1, sizeof(*jwk));
    if (jwk == NULL) {
        return jwk_no_memory(error);
    }
    signet_status status = jwk_take(object, pin, want, jwk, error);
    if (status != SIGNET_OK) {
        sg_jwk_free(jwk);
        return status;
    }
    *out = jwk;
    return SIGNET_OK;
}

signet_status sg_jwk_parse(const char *json, size_t len, enum sg_alg alg, enum sg_jwk_want want,
                           struct sg_jwk **out, struct sg_key_error *error)
{
    const char *detail = NULL;
    json_t *object = NULL;
    signet_status status = sg_json_load(json, len, JWK_MAX_LEN, JWK_MAX_DEPTH, &object, &detail);
    if (status != SIGNET_OK) {
        (void)jwk_refuse(error, detail);
        return status;
    }
    status = jwk_from_object(object, alg, want, out, error);
    jwk_wipe_strings(object);
    json_decref(object);
    return status;
}

/* ---- Using it ---- */

enum sg_alg sg_jwk_alg(const struct sg_jwk *jwk)
{
    return jwk->alg;
}

const char *sg_jwk_kid(const struct sg_jwk *jwk)
{
    return jwk->kid;
}

signet_status sg_jwk_public(const struct sg_jwk *jwk, struct sg_public_key **out,
                            struct sg_key_error *error)
{
    if (jwk->public == NULL) {
        return jwk_refuse(error, "a secret has no public key");
    }
    return sg_public_key_from_pkey(jwk->alg, sg_public_key_pkey(jwk->public), out, error);
}

signet_status sg_jwk_secret(const struct sg_jwk *jwk, const uint8_t **bytes, size_t *len)
{
    if (jwk->secret == NULL) {
        return SIGNET_INVALID_ARGUMENT;
    }
    *bytes = jwk->secret;
    *len = jwk->secret_len;
    return SIGNET_OK;
}

/* ---- Sets (RFC 7517 section 5) ---- */

void sg_jwks_free(struct sg_jwks *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->num; i++) {
        sg_jwk_free(set->keys[i]);
    }
    free(set->keys);
    free(set);
}

/* Whether a key before index in the array has the same kid. */
static bool jwk_kid_is_taken(const json_t *keys, size_t index)
{
    const json_t *kid = json_object_get(json_array_get(keys, index), "kid");
    for (size_t i = 0; kid != NULL && i < index; i++) {
        if (json_equal(json_object_get(json_array_get(keys, i), "kid"), kid)) {
            return true;
        }
    }
    return false;
}

static signet_status jwk_fill_set(const json_t *keys, enum sg_jwk_want want, struct sg_jwks *set,
                                  struct sg_key_error *error)
{
    size_t num = json_array_size(keys);
    if (!json_is_array(keys) || num > JWK_MAX_SET_KEYS) {
        return jwk_refuse(error, "not a JWK Set: keys is an array of at most 256 "
                                 "(RFC 7517 section 5)");
    }
    set->keys = calloc(num + 1, sizeof(struct sg_jwk *));
    if (set->keys == NULL) {
        return jwk_no_memory(error);
    }
    for (size_t i = 0; i < num; i++) {
        if (jwk_kid_is_taken(keys, i)) {
            return jwk_refuse(error, "two keys of the set have the same kid "
                                     "(RFC 7517 section 4.5)");
        }
        struct sg_key_error skipped;
        signet_status status = jwk_from_object(json_array_get(keys, i), SG_ALG_UNSET, want,
                                               &set->keys[set->num], &skipped);
        if (status == SIGNET_OK) {
            set->num++;
        } else if (status == SIGNET_INVALID_ARGUMENT) {
            set->num_skipped++;
        } else {
            *error = skipped;
            return status;
        }
    }
    return SIGNET_OK;
}

signet_status sg_jwks_parse(const char *json, size_t len, enum sg_jwk_want want,
                            struct sg_jwks **out, struct sg_key_error *error)
{
    const char *detail = NULL;
    json_t *root = NULL;
    signet_status status = sg_json_load(json, len, JWK_MAX_SET_LEN, JWK_MAX_DEPTH, &root, &detail);
    if (status != SIGNET_OK) {
        (void)jwk_refuse(error, detail);
        return status;
    }
    const json_t *keys = json_object_get(root, "keys");
    struct sg_jwks *set = calloc(1, sizeof(*set));
    status = set != NULL ? jwk_fill_set(keys, want, set, error) : jwk_no_memory(error);
    for (size_t i = 0; i < json_array_size(keys); i++) {
        jwk_wipe_strings(json_array_get(keys, i));
    }
    json_decref(root);
    if (status != SIGNET_OK) {
        sg_jwks_free(set);
        return status;
    }
    *out = set;
    return SIGNET_OK;
}

size_t sg_jwks_num(const struct sg_jwks *set)
{
    return set->num;
}

const struct sg_jwk *sg_jwks_get(const struct sg_jwks *set, size_t index)
{
    return index < set->num ? set->keys[index] : NULL;
}

size_t sg_jwks_num_skipped(const struct sg_jwks *set)
{
    return set->num_skipped;
}

/* ---- Writing ---- */

static bool jwk_put_member(json_t *object, const struct sg_public_key *key, const char *name)
{
    size_t len = 0;
    const uint8_t *bytes = sg_public_key_member(key, name, &len);
    if (bytes == NULL) {
        return true; /* such keys have none */
    }
    char text[SG_BASE64URL_LEN(JWK_MAX_NUMBER)];
    size_t text_len = sg_base64url_encode(bytes, len, text);
    return json_object_set_new(object, name, json_stringn(text, text_len)) == 0;
}

struct json_t *sg_jwk_write(const struct sg_public_key *key, const char *kid)
{
    const struct sg_alg_info *info = sg_alg_info(sg_public_key_alg(key));
    json_t *object = json_object();
    bool is_good =
        object != NULL && json_object_set_new(object, "kty", json_string(info->kty)) == 0 &&
        (info->crv == NULL || json_object_set_new(object, "crv", json_string(info->crv)) == 0) &&
        jwk_put_member(object, key, "n") && jwk_put_member(object, key, "e") &&
        jwk_put_member(object, key, "x") && jwk_put_member(object, key, "y") &&
        (kid == NULL || json_object_set_new(object, "kid", json_string(kid)) == 0) &&
        json_object_set_new(object, "alg", json_string(info->jws_name)) == 0 &&
        json_object_set_new(object, "use", json_string("sig")) == 0;
    if (!is_good) {
        json_decref(object);
        return NULL;
    }
    return object;
}
