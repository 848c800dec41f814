/* SPDX-License-Identifier: Apache-2.0
 *
 * Public keys: checked once when they are loaded, then only used. A key is one algorithm; nothing a
 * token says can choose another (RFC 8725 section 3.1).
 */
#include "common/jose/public_key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/key_checks.h"

#define PUBLIC_KEY_MAX_PEM    8192u
#define PUBLIC_KEY_MAX_MEMBER (SG_MAX_RSA_BITS / 8)

struct public_key_member {
    const char *name;
    uint8_t *bytes;
    size_t len;
};

struct sg_public_key {
    const struct sg_alg_info *info;
    EVP_PKEY *pkey;
    EVP_MD *digest;       /* NULL for EdDSA */
    EVP_PKEY_CTX *verify; /* RSA, ECDSA: set up once, never used itself: each check copies it */
    EVP_MD_CTX *verify_edwards; /* EdDSA: likewise */
    size_t signature_len;
    uint8_t *spki; /* DER */
    size_t spki_len;
    struct public_key_member members[2]; /* n and e; x and y; or x alone */
};

/* ---- Lifetime ---- */

static signet_status public_key_refuse(struct sg_key_error *error, signet_status status,
                                       const char *message)
{
    ERR_clear_error();
    (void)snprintf(error->message, sizeof(error->message), "%s", message);
    return status;
}

void sg_public_key_free(struct sg_public_key *key)
{
    if (key == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof(key->members) / sizeof(key->members[0]); i++) {
        free(key->members[i].bytes);
    }
    EVP_PKEY_CTX_free(key->verify);
    EVP_MD_CTX_free(key->verify_edwards);
    EVP_MD_free(key->digest);
    EVP_PKEY_free(key->pkey);
    OPENSSL_free(key->spki);
    free(key);
}

/* ---- Loading ---- */

static bool public_key_keep(struct public_key_member *member, const char *name,
                            const uint8_t *bytes, size_t len)
{
    member->bytes = malloc(len);
    if (member->bytes == NULL || len == 0) {
        return false;
    }
    memcpy(member->bytes, bytes, len);
    member->name = name;
    member->len = len;
    return true;
}

static bool public_key_keep_bn(struct public_key_member *member, const char *name,
                               const EVP_PKEY *pkey, const char *param, size_t width)
{
    uint8_t bytes[PUBLIC_KEY_MAX_MEMBER];
    BIGNUM *bn = NULL;
    bool kept = false;
    if (EVP_PKEY_get_bn_param(pkey, param, &bn) == 1) {
        size_t len = width != 0 ? width : (size_t)BN_num_bytes(bn);
        kept = len <= sizeof(bytes) && BN_bn2binpad(bn, bytes, (int)len) == (int)len &&
               public_key_keep(member, name, bytes, len);
    }
    BN_free(bn);
    return kept;
}

static bool public_key_keep_members(struct sg_public_key *key)
{
    struct public_key_member *members = key->members;
    size_t width = key->info->coordinate_len;
    uint8_t raw[57];
    size_t raw_len = sizeof(raw);
    switch (key->info->family) {
    case SG_FAMILY_RSA_PKCS1:
    case SG_FAMILY_RSA_PSS:
        return public_key_keep_bn(&members[0], "n", key->pkey, OSSL_PKEY_PARAM_RSA_N, 0) &&
               public_key_keep_bn(&members[1], "e", key->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
    case SG_FAMILY_ECDSA:
        return public_key_keep_bn(&members[0], "x", key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, width) &&
               public_key_keep_bn(&members[1], "y", key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, width);
    case SG_FAMILY_EDDSA:
        return EVP_PKEY_get_raw_public_key(key->pkey, raw, &raw_len) == 1 && raw_len == width &&
               public_key_keep(&members[0], "x", raw, raw_len);
    case SG_FAMILY_HMAC:
        break;
    }
    return false;
}

/* RFC 7518 section 3.5: MGF1 with the same hash, and a salt as long as the hash. */
static bool public_key_set_padding(EVP_PKEY_CTX *ctx, const struct sg_public_key *key)
{
    if (key->info->family == SG_FAMILY_ECDSA) {
        return true;
    }
    if (key->info->family == SG_FAMILY_RSA_PKCS1) {
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0;
    }
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, key->digest) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)key->info->hash_len) > 0;
}

static bool public_key_set_up(struct sg_public_key *key)
{
    key->signature_len = key->info->signature_len != 0 ? key->info->signature_len
                                                       : (size_t)EVP_PKEY_get_size(key->pkey);
    if (key->info->family == SG_FAMILY_EDDSA) {
        key->verify_edwards = EVP_MD_CTX_new();
        return key->verify_edwards != NULL &&
               EVP_DigestVerifyInit_ex(key->verify_edwards, NULL, NULL, NULL, NULL, key->pkey,
                                       NULL) == 1;
    }
    key->digest = EVP_MD_fetch(NULL, key->info->digest, NULL);
    key->verify = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    return key->digest != NULL && key->verify != NULL && EVP_PKEY_verify_init(key->verify) == 1 &&
           EVP_PKEY_CTX_set_signature_md(key->verify, key->digest) > 0 &&
           public_key_set_padding(key->verify, key);
}

/* Takes the public half alone, by way of its SubjectPublicKeyInfo: nothing private comes along. */
static bool public_key_take_half(struct sg_public_key *key, const EVP_PKEY *pkey)
{
    int len = i2d_PUBKEY(pkey, &key->spki);
    const uint8_t *at = key->spki;
    key->spki_len = len > 0 ? (size_t)len : 0;
    key->pkey = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL;
    return key->pkey != NULL;
}

signet_status sg_public_key_from_pkey(enum sg_alg alg, EVP_PKEY *pkey, struct sg_public_key **out,
                                      struct sg_key_error *error)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info == NULL || info->family == SG_FAMILY_HMAC) {
        return public_key_refuse(error, SIGNET_INVALID_ARGUMENT,
                                 "a public key needs one of the RS, PS, ES or EdDSA algorithms");
    }
    const char *fault = sg_key_check_public(info, pkey);
    if (fault != NULL) {
        return public_key_refuse(error, SIGNET_INVALID_ARGUMENT, fault);
    }
    struct sg_public_key *key = calloc(1, sizeof(*key));
    if (key == NULL) {
        return public_key_refuse(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for a key");
    }
    key->info = info;
    if (!public_key_take_half(key, pkey) || !public_key_keep_members(key) ||
        !public_key_set_up(key)) {
        sg_public_key_free(key);
        return public_key_refuse(error, SIGNET_RESOURCE_EXHAUSTED,
                                 "OpenSSL could not set up the key");
    }
    ERR_clear_error();
    *out = key;
    return SIGNET_OK;
}

signet_status sg_public_key_from_spki(enum sg_alg alg, const uint8_t *der, size_t len,
                                      struct sg_public_key **out, struct sg_key_error *error)
{
    const uint8_t *at = der;
    EVP_PKEY *pkey =
        der != NULL && len <= SG_MAX_SPKI_LEN ? d2i_PUBKEY(NULL, &at, (long)len) : NULL;
    signet_status status =
        pkey != NULL && at == der + len
            ? sg_public_key_from_pkey(alg, pkey, out, error)
            : public_key_refuse(error, SIGNET_INVALID_ARGUMENT,
                                "not a SubjectPublicKeyInfo in DER (RFC 5280 section 4.1)");
    EVP_PKEY_free(pkey);
    return status;
}

signet_status sg_public_key_from_pem(enum sg_alg alg, const char *pem, size_t len,
                                     struct sg_public_key **out, struct sg_key_error *error)
{
    BIO *bio = pem != NULL && len <= PUBLIC_KEY_MAX_PEM ? BIO_new_mem_buf(pem, (int)len) : NULL;
    char *name = NULL;
    char *header = NULL;
    unsigned char *der = NULL;
    long der_len = 0;
    signet_status status = SIGNET_OK;
    if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &der_len) == 1 &&
        strcmp(name, PEM_STRING_PUBLIC) == 0) {
        status = sg_public_key_from_spki(alg, der, (size_t)der_len, out, error);
    } else {
        status = public_key_refuse(error, SIGNET_INVALID_ARGUMENT,
                                   "not a PEM file with a PUBLIC KEY block (RFC 7468 section 13)");
    }
    /* What was in the file by mistake may have been private. */
    OPENSSL_clear_free(der, der_len > 0 ? (size_t)der_len : 0);
    OPENSSL_free(header);
    OPENSSL_free(name);
    BIO_free(bio);
    return status;
}

enum sg_alg sg_public_key_alg(const struct sg_public_key *key)
{
    return key->info->alg;
}

unsigned sg_public_key_rsa_bits(const struct sg_public_key *key)
{
    if (key == NULL ||
        (key->info->family != SG_FAMILY_RSA_PKCS1 && key->info->family != SG_FAMILY_RSA_PSS)) {
        return 0;
    }
    int bits = EVP_PKEY_get_bits(key->pkey);
    return bits > 0 ? (unsigned)bits : 0;
}

EVP_PKEY *sg_public_key_pkey(const struct sg_public_key *key)
{
    return key->pkey;
}

/* ---- Checking ---- */

/* The longest DER: SEQUENCE of two INTEGERs of 66 bytes with a leading zero each (P-521). */
#define PUBLIC_KEY_MAX_COORDINATE 66u
#define PUBLIC_KEY_MAX_DER        (3 + 2 * (2 + 1 + PUBLIC_KEY_MAX_COORDINATE))

/* An unsigned big-endian number as a DER INTEGER; zero has one byte. Returns its length. */
static size_t public_key_der_integer(const uint8_t *number, size_t len, uint8_t *out)
{
    while (len > 1 && number[0] == 0) {
        number++;
        len--;
    }
    size_t pad = number[0] >= 0x80 ? 1 : 0;
    out[0] = 0x02;
    out[1] = (uint8_t)(len + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, number, len);
    return 2 + pad + len;
}

/* r||s as the DER that OpenSSL reads. sig_len is already known to be twice a coordinate. OpenSSL itself
 * makes sure that r and s are at least 1 and less than the order of the group. */
static size_t public_key_der_signature(const uint8_t *sig, size_t sig_len,
                                       uint8_t out[PUBLIC_KEY_MAX_DER])
{
    uint8_t integers[PUBLIC_KEY_MAX_DER];
    size_t len = public_key_der_integer(sig, sig_len / 2, integers);
    len += public_key_der_integer(sig + sig_len / 2, sig_len / 2, integers + len);
    size_t head = 0;
    out[head++] = 0x30;
    if (len >= 0x80) {
        out[head++] = 0x81;
    }
    out[head++] = (uint8_t)len;
    memcpy(out + head, integers, len);
    return head + len;
}

/* Whether what is in OpenSSL's error queue tells of a lack of memory. Empties it. */
static bool public_key_no_memory(void)
{
    bool found = false;
    for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error()) {
        found = found || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    }
    return found;
}

/* What a check ended with: OK is a good signature; RESOURCE_EXHAUSTED says nothing about it. */
static signet_status public_key_outcome(bool was_set_up, int verified)
{
    if (was_set_up && verified == 1) {
        return SIGNET_OK;
    }
    bool no_memory = public_key_no_memory();
    return !was_set_up || no_memory ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_INVALID_ARGUMENT;
}

static signet_status public_key_check_edwards(const struct sg_public_key *key, const uint8_t *input,
                                              size_t input_len, const uint8_t *sig, size_t sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool was_set_up = ctx != NULL && EVP_MD_CTX_copy_ex(ctx, key->verify_edwards) == 1;
    int verified = was_set_up ? EVP_DigestVerify(ctx, sig, sig_len, input, input_len) : 0;
    EVP_MD_CTX_free(ctx);
    return public_key_outcome(was_set_up, verified);
}

static signet_status public_key_check_digest(const struct sg_public_key *key, const uint8_t *input,
                                             size_t input_len, const uint8_t *sig, size_t sig_len)
{
    uint8_t der[PUBLIC_KEY_MAX_DER];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (key->info->family == SG_FAMILY_ECDSA) {
        sig_len = public_key_der_signature(sig, sig_len, der);
        sig = der;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(key->verify);
    bool was_set_up =
        ctx != NULL && EVP_Digest(input, input_len, digest, &digest_len, key->digest, NULL) == 1;
    int verified = was_set_up ? EVP_PKEY_verify(ctx, sig, sig_len, digest, digest_len) : 0;
    EVP_PKEY_CTX_free(ctx);
    return public_key_outcome(was_set_up, verified);
}

static signet_status public_key_check(const struct sg_public_key *key, const uint8_t *input,
                                      size_t input_len, const uint8_t *sig, size_t sig_len)
{
    if (sig_len != key->signature_len) {
        return SIGNET_INVALID_ARGUMENT;
    }
    ERR_clear_error(); /* what comes of this check is read afterwards */
    return key->info->family == SG_FAMILY_EDDSA
               ? public_key_check_edwards(key, input, input_len, sig, sig_len)
               : public_key_check_digest(key, input, input_len, sig, sig_len);
}

bool sg_public_key_check_signature(const struct sg_public_key *key, const uint8_t *input,
                                   size_t input_len, const uint8_t *sig, size_t sig_len)
{
    return public_key_check(key, input, input_len, sig, sig_len) == SIGNET_OK;
}

struct sg_verdict sg_public_key_verify(const struct sg_public_key *key, const struct sg_jws *jws)
{
    struct sg_verdict verdict = sg_jws_check_alg(jws, key->info->alg);
    if (verdict.reason != SIGNET_REASON_NONE) {
        return verdict;
    }
    signet_status status =
        public_key_check(key, (const uint8_t *)jws->signing_input, jws->signing_input_len,
                         jws->signature, jws->signature_len);
    if (status == SIGNET_RESOURCE_EXHAUSTED) {
        verdict = (struct sg_verdict){.reason = SIGNET_REASON_BAD_SIGNATURE,
                                      .detail = "no memory to check the signature",
                                      .error = status};
    } else if (status != SIGNET_OK) {
        verdict = (struct sg_verdict){.reason = SIGNET_REASON_BAD_SIGNATURE,
                                      .detail = "the signature is not good"};
    }
    return verdict;
}

/* ---- Describing ---- */

const uint8_t *sg_public_key_spki(const struct sg_public_key *key, size_t *len)
{
    *len = key->spki_len;
    return key->spki;
}

const uint8_t *sg_public_key_member(const struct sg_public_key *key, const char *name, size_t *len)
{
    for (size_t i = 0; i < sizeof(key->members) / sizeof(key->members[0]); i++) {
        const struct public_key_member *member = &key->members[i];
        if (member->name != NULL && strcmp(member->name, name) == 0) {
            *len = member->len;
            return member->bytes;
        }
    }
    return NULL;
}

/* Appends ,"name":"bytes in base64url". */
static void public_key_hash_member(const struct sg_public_key *key, const char *name, char *json,
                                   size_t *at)
{
    size_t len = 0;
    const uint8_t *bytes = sg_public_key_member(key, name, &len);
    if (bytes == NULL) {
        return;
    }
    json[(*at)++] = ',';
    json[(*at)++] = '"';
    json[(*at)++] = name[0];
    memcpy(json + *at, "\":\"", 3);
    *at += 3;
    *at += sg_base64url_encode(bytes, len, json + *at);
    json[(*at)++] = '"';
}

/* RFC 7638 section 3.2: the required members in the order of their names, no white space. "crv" or "e"
 * come before "kty", and "n", "x" and "y" after it. */
signet_status sg_public_key_thumbprint(const struct sg_public_key *key, char out[44])
{
    char json[SG_BASE64URL_LEN(PUBLIC_KEY_MAX_MEMBER) + 256];
    uint8_t hash[32];
    unsigned hash_len = 0;
    char head[64];
    size_t at = 0;
    json[0] = '\0';
    if (key->info->crv != NULL) {
        at = (size_t)snprintf(json, sizeof(json), ",\"crv\":\"%s\"", key->info->crv);
    }
    public_key_hash_member(key, "e", json, &at);
    int head_len = snprintf(head, sizeof(head), ",\"kty\":\"%s\"", key->info->kty);
    memcpy(json + at, head, (size_t)head_len);
    at += (size_t)head_len;
    public_key_hash_member(key, "n", json, &at);
    public_key_hash_member(key, "x", json, &at);
    public_key_hash_member(key, "y", json, &at);
    json[0] = '{';
    json[at++] = '}';
    if (EVP_Digest(json, at, hash, &hash_len, EVP_sha256(), NULL) != 1 ||
        hash_len != sizeof(hash)) {
        ERR_clear_error();
        return SIGNET_INTERNAL;
    }
    out[sg_base64url_encode(hash, sizeof(hash), out)] = '\0';
    return SIGNET_OK;
}
