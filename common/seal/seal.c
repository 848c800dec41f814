/* SPDX-License-Identifier: Apache-2.0
 *
 * X25519, HKDF and AES-GCM by OpenSSL, put together as seal.h says.
 */
#include "common/seal/seal.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <string.h>

#define SEAL_TAG_LEN 16u
_Static_assert(SG_SEAL_OVERHEAD == SG_SEAL_KEY_LEN + SEAL_TAG_LEN, "a public key and a tag");

/* OpenSSL's queue of errors is per thread and grows. */
static signet_status seal_done(bool worked, signet_status otherwise)
{
    ERR_clear_error();
    return worked ? SIGNET_OK : otherwise;
}

static EVP_PKEY *seal_private(const uint8_t key[SG_SEAL_KEY_LEN])
{
    return EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, key, SG_SEAL_KEY_LEN);
}

static EVP_PKEY *seal_public(const uint8_t key[SG_SEAL_KEY_LEN])
{
    return EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, key, SG_SEAL_KEY_LEN);
}

/* OpenSSL refuses a secret of zeros, which is what a point of small order leads to (RFC 7748 section
 * 6.1). */
static bool seal_share(EVP_PKEY *own, EVP_PKEY *peer, uint8_t secret[SG_SEAL_KEY_LEN])
{
    size_t len = SG_SEAL_KEY_LEN;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    bool shared = context != NULL && peer != NULL && EVP_PKEY_derive_init(context) == 1 &&
                  EVP_PKEY_derive_set_peer(context, peer) == 1 &&
                  EVP_PKEY_derive(context, secret, &len) == 1 && len == SG_SEAL_KEY_LEN;
    EVP_PKEY_CTX_free(context);
    return shared;
}

static bool seal_expand(const uint8_t secret[SG_SEAL_KEY_LEN],
                        const uint8_t own_public[SG_SEAL_KEY_LEN],
                        const uint8_t recipient[SG_SEAL_KEY_LEN], uint8_t key[SG_SEAL_KEY_LEN])
{
    static char digest[] = "SHA256";
    static char info[] = "signet seal v1";
    uint8_t salt[2 * SG_SEAL_KEY_LEN];
    memcpy(salt, own_public, SG_SEAL_KEY_LEN);
    memcpy(salt + SG_SEAL_KEY_LEN, recipient, SG_SEAL_KEY_LEN);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret,
                                          SG_SEAL_KEY_LEN),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info) - 1),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    bool expanded = context != NULL && EVP_KDF_derive(context, key, SG_SEAL_KEY_LEN, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return expanded;
}

/* The key of one message. */
static bool seal_derive(EVP_PKEY *own, EVP_PKEY *peer, const uint8_t own_public[SG_SEAL_KEY_LEN],
                        const uint8_t recipient[SG_SEAL_KEY_LEN], uint8_t key[SG_SEAL_KEY_LEN])
{
    uint8_t secret[SG_SEAL_KEY_LEN];
    bool derived = own != NULL && seal_share(own, peer, secret) &&
                   seal_expand(secret, own_public, recipient, key);
    OPENSSL_cleanse(secret, sizeof(secret));
    return derived;
}

/* One key serves one message, so that the nonce may be zero. */
static bool seal_begin(EVP_CIPHER_CTX *cipher, const uint8_t key[SG_SEAL_KEY_LEN],
                       const char *context, bool is_sealing)
{
    static const uint8_t nonce[12];
    int unused = 0;
    return cipher != NULL &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce, is_sealing ? 1 : 0) ==
               1 &&
           EVP_CipherUpdate(cipher, NULL, &unused, (const uint8_t *)context,
                            (int)strlen(context)) == 1;
}

static bool seal_encrypt(const uint8_t key[SG_SEAL_KEY_LEN], const char *context,
                         const uint8_t *bytes, size_t len, uint8_t *out)
{
    int part = 0;
    int rest = 0;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    bool sealed = seal_begin(cipher, key, context, true) &&
                  EVP_EncryptUpdate(cipher, out, &part, bytes, (int)len) == 1 &&
                  (size_t)part == len && EVP_EncryptFinal_ex(cipher, out + len, &rest) == 1 &&
                  rest == 0 &&
                  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_LEN, out + len) == 1;
    EVP_CIPHER_CTX_free(cipher);
    return sealed;
}

static bool seal_decrypt(const uint8_t key[SG_SEAL_KEY_LEN], const char *context,
                         const uint8_t *bytes, size_t len, uint8_t *out)
{
    uint8_t tag[SEAL_TAG_LEN];
    uint8_t none[SEAL_TAG_LEN];
    int part = 0;
    int rest = 0;
    memcpy(tag, bytes + len, sizeof(tag));
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    bool opened = seal_begin(cipher, key, context, false) &&
                  EVP_DecryptUpdate(cipher, out, &part, bytes, (int)len) == 1 &&
                  (size_t)part == len &&
                  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_LEN, tag) == 1 &&
                  EVP_DecryptFinal_ex(cipher, none, &rest) == 1 && rest == 0;
    EVP_CIPHER_CTX_free(cipher);
    return opened;
}

/* ---- The interface ---- */

signet_status sg_seal_keypair(uint8_t private_key[SG_SEAL_KEY_LEN],
                              uint8_t public_key[SG_SEAL_KEY_LEN])
{
    size_t private_len = SG_SEAL_KEY_LEN;
    size_t public_len = SG_SEAL_KEY_LEN;
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    bool made = pair != NULL &&
                EVP_PKEY_get_raw_private_key(pair, private_key, &private_len) == 1 &&
                EVP_PKEY_get_raw_public_key(pair, public_key, &public_len) == 1 &&
                private_len == SG_SEAL_KEY_LEN && public_len == SG_SEAL_KEY_LEN;
    EVP_PKEY_free(pair);
    return seal_done(made, SIGNET_INTERNAL);
}

signet_status sg_seal(const uint8_t public_key[SG_SEAL_KEY_LEN], const char *context,
                      const uint8_t *bytes, size_t len, uint8_t *out)
{
    uint8_t own_private[SG_SEAL_KEY_LEN];
    uint8_t key[SG_SEAL_KEY_LEN];
    if (len > INT_MAX - SG_SEAL_OVERHEAD) {
        return SIGNET_INVALID_ARGUMENT;
    }
    signet_status status = sg_seal_keypair(own_private, out);
    if (status != SIGNET_OK) {
        return status;
    }
    EVP_PKEY *own = seal_private(own_private);
    EVP_PKEY *peer = seal_public(public_key);
    bool derived = seal_derive(own, peer, out, public_key, key);
    bool sealed = derived && seal_encrypt(key, context, bytes, len, out + SG_SEAL_KEY_LEN);
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
    OPENSSL_cleanse(own_private, sizeof(own_private));
    OPENSSL_cleanse(key, sizeof(key));
    return seal_done(sealed, derived ? SIGNET_INTERNAL : SIGNET_INVALID_ARGUMENT);
}

signet_status sg_seal_open(const uint8_t private_key[SG_SEAL_KEY_LEN], const char *context,
                           const uint8_t *sealed, size_t len, uint8_t *out)
{
    uint8_t own_public[SG_SEAL_KEY_LEN];
    uint8_t key[SG_SEAL_KEY_LEN];
    size_t public_len = sizeof(own_public);
    if (len < SG_SEAL_OVERHEAD || len > INT_MAX) {
        return SIGNET_INVALID_ARGUMENT;
    }
    size_t inner_len = len - SG_SEAL_OVERHEAD;
    EVP_PKEY *own = seal_private(private_key);
    EVP_PKEY *peer = seal_public(sealed);
    bool opened = own != NULL && EVP_PKEY_get_raw_public_key(own, own_public, &public_len) == 1 &&
                  seal_derive(own, peer, sealed, own_public, key) &&
                  seal_decrypt(key, context, sealed + SG_SEAL_KEY_LEN, inner_len, out);
    if (!opened) {
        OPENSSL_cleanse(out, inner_len);
    }
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
    OPENSSL_cleanse(key, sizeof(key));
    return seal_done(opened, SIGNET_INVALID_ARGUMENT);
}
