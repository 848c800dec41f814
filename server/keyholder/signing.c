/* SPDX-License-Identifier: Apache-2.0
 *
 * Working with private keys and secrets: signatures as JWS wants them (RFC 7518 section 3, RFC
 * 8037), and the check of a MAC. Holds no lock while it works. A context that failed is not used
 * again.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "server/keyholder/keys.h"

/* A SEQUENCE of two INTEGERs of up to 67 bytes, P-521's, takes 141 bytes at most. */
#define SIGNING_MAX_ECDSA_DER 160u

/* ---- Contexts ---- */

static EVP_MAC_CTX *signing_new_mac(const struct sg_private_key *key)
{
    size_t len = 0;
    const uint8_t *secret = sg_secret_bytes(key->secret, &len);
    char digest[16];
    (void)OPENSSL_strlcpy(digest, key->info->digest, sizeof(digest));
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(key->mac);
    if (mac != NULL && EVP_MAC_init(mac, secret, len, params) != 1) {
        EVP_MAC_CTX_free(mac);
        mac = NULL;
    }
    return mac;
}

static bool signing_set_padding(const struct sg_private_key *key, EVP_PKEY_CTX *sign)
{
    switch (key->info->family) {
    case SG_FAMILY_RSA_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(sign, RSA_PKCS1_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(sign, key->digest) == 1;
    case SG_FAMILY_RSA_PSS: /* salt as long as the hash, MGF1 with the same hash: section 3.5 */
        return EVP_PKEY_CTX_set_rsa_padding(sign, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(sign, key->digest) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(sign, key->digest) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(sign, RSA_PSS_SALTLEN_DIGEST) == 1;
    case SG_FAMILY_ECDSA:
        return EVP_PKEY_CTX_set_signature_md(sign, key->digest) == 1;
    case SG_FAMILY_EDDSA:
    case SG_FAMILY_HMAC:
        break;
    }
    return false;
}

static EVP_PKEY_CTX *signing_new_sign(const struct sg_private_key *key)
{
    EVP_PKEY_CTX *sign = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (sign != NULL && (EVP_PKEY_sign_init(sign) != 1 || !signing_set_padding(key, sign))) {
        EVP_PKEY_CTX_free(sign);
        sign = NULL;
    }
    return sign;
}

/* An idle context of the key, or a new one; NULL without memory. */
static struct sg_key_context *signing_take(struct sg_private_key *key)
{
    struct sg_key_context *context = sg_key_contexts_take(&key->contexts);
    if (context != NULL) {
        return context;
    }
    context = calloc(1, sizeof(*context));
    if (context == NULL) {
        return NULL;
    }
    if (key->info->family == SG_FAMILY_HMAC) {
        context->mac = signing_new_mac(key);
    } else {
        context->sign = signing_new_sign(key);
    }
    if (context->mac == NULL && context->sign == NULL) {
        sg_key_context_free(context);
        return NULL;
    }
    return context;
}

/* Gives a context back; one that failed may be in any state. */
static void signing_put(struct sg_private_key *key, struct sg_key_context *context, bool is_fit)
{
    if (is_fit) {
        sg_key_contexts_put(&key->contexts, context);
    } else {
        sg_key_context_free(context);
    }
}

/* ---- HMAC (RFC 7518 section 3.2) ---- */

static bool signing_mac(struct sg_private_key *key, const uint8_t *data, size_t len,
                        uint8_t out[EVP_MAX_MD_SIZE])
{
    size_t mac_len = 0;
    struct sg_key_context *context = signing_take(key);
    if (context == NULL) {
        return false;
    }
    /* Without a key, the context starts over with the one it has. */
    bool done = EVP_MAC_init(context->mac, NULL, 0, NULL) == 1 &&
                EVP_MAC_update(context->mac, data, len) == 1 &&
                EVP_MAC_final(context->mac, out, &mac_len, EVP_MAX_MD_SIZE) == 1 &&
                mac_len == key->info->hash_len;
    signing_put(key, context, done);
    return done;
}

static size_t signing_hmac(struct sg_private_key *key, const uint8_t *data, size_t len,
                           uint8_t *out, size_t out_cap)
{
    return out_cap >= EVP_MAX_MD_SIZE && signing_mac(key, data, len, out) ? key->info->hash_len : 0;
}

signet_status sg_private_key_mac_check(struct sg_private_key *key, const uint8_t *data, size_t len,
                                       const uint8_t *mac, size_t mac_len, bool *equal,
                                       const char **why)
{
    if (key->info->family != SG_FAMILY_HMAC) {
        *why = "only a secret can check a MAC";
        return SIGNET_INVALID_ARGUMENT;
    }
    if (mac_len != key->info->hash_len) {
        *equal = false;
        return SIGNET_OK;
    }
    uint8_t computed[EVP_MAX_MD_SIZE];
    bool done = signing_mac(key, data, len, computed);
    if (done) {
        *equal = CRYPTO_memcmp(computed, mac, mac_len) == 0;
    }
    OPENSSL_cleanse(computed, sizeof(computed));
    if (!done) {
        ERR_clear_error();
        *why = "OpenSSL could not compute the MAC";
        return SIGNET_INTERNAL;
    }
    return SIGNET_OK;
}

/* ---- RSA and ECDSA: a digest, then a signature of it ---- */

static size_t signing_digest(struct sg_private_key *key, const uint8_t *data, size_t len,
                             uint8_t *out, size_t out_cap)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    size_t out_len = out_cap;
    if (EVP_Digest(data, len, digest, &digest_len, key->digest, NULL) != 1) {
        return 0;
    }
    struct sg_key_context *context = signing_take(key);
    if (context == NULL) {
        return 0;
    }
    bool done = EVP_PKEY_sign(context->sign, out, &out_len, digest, digest_len) == 1;
    signing_put(key, context, done);
    return done ? out_len : 0;
}

/* RFC 7518 section 3.4: r and s, each as wide as the curve's order. */
static size_t signing_ecdsa(struct sg_private_key *key, const uint8_t *data, size_t len,
                            uint8_t *out, size_t out_cap)
{
    uint8_t der[SIGNING_MAX_ECDSA_DER];
    size_t der_len = signing_digest(key, data, len, der, sizeof(der));
    size_t width = key->info->signature_len / 2;
    if (der_len == 0 || 2 * width > out_cap) {
        return 0;
    }
    const uint8_t *at = der;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
    bool done = signature != NULL &&
                BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, (int)width) == (int)width &&
                BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + width, (int)width) == (int)width;
    ECDSA_SIG_free(signature);
    return done ? 2 * width : 0;
}

/* ---- EdDSA (RFC 8037 section 3.1) ---- */

/* Signs the message itself in one go; there is no context worth keeping. */
static size_t signing_eddsa(const struct sg_private_key *key, const uint8_t *data, size_t len,
                            uint8_t *out, size_t out_cap)
{
    size_t out_len = out_cap;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key->pkey) == 1 &&
                EVP_DigestSign(context, out, &out_len, data, len) == 1;
    EVP_MD_CTX_free(context);
    return done ? out_len : 0;
}

signet_status sg_private_key_sign(struct sg_private_key *key, const uint8_t *data, size_t len,
                                  uint8_t *out, size_t out_cap, size_t *out_len, const char **why)
{
    size_t made = 0;
    switch (key->info->family) {
    case SG_FAMILY_HMAC:
        made = signing_hmac(key, data, len, out, out_cap);
        break;
    case SG_FAMILY_RSA_PKCS1:
    case SG_FAMILY_RSA_PSS:
        made = signing_digest(key, data, len, out, out_cap);
        break;
    case SG_FAMILY_ECDSA:
        made = signing_ecdsa(key, data, len, out, out_cap);
        break;
    case SG_FAMILY_EDDSA:
        made = signing_eddsa(key, data, len, out, out_cap);
        break;
    }
    if (made == 0) {
        ERR_clear_error();
        *why = "OpenSSL could not sign";
        return SIGNET_INTERNAL;
    }
    *out_len = made;
    return SIGNET_OK;
}
