/* SPDX-License-Identifier: Apache-2.0
 *
 * Private keys and secrets as objects: fresh or imported, checked before they are used for
 * anything. A private part leaves an object for the keystore only, which seals it.
 */
#include "server/keyholder/keys.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/key_checks.h"
#include "common/limits.h"

/* ---- Lifetime ---- */

struct sg_private_key *sg_private_key_ref(struct sg_private_key *key)
{
    (void)atomic_fetch_add_explicit(&key->num_refs, 1, memory_order_relaxed);
    return key;
}

void sg_private_key_unref(struct sg_private_key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->num_refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    sg_key_contexts_fini(&key->contexts);
    sg_secret_free(key->secret);
    EVP_PKEY_free(key->pkey);
    EVP_MD_free(key->digest);
    EVP_MAC_free(key->mac);
    free(key->name);
    free(key);
}

/* An object with everything but the key itself. */
static signet_status keys_new(enum sg_alg alg, struct sg_private_key **out, const char **why)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info == NULL) {
        *why = "no such algorithm";
        return SIGNET_INVALID_ARGUMENT;
    }
    *why = "no memory for a key";
    /* Before the first private key, so that OpenSSL puts its private parts there. */
    if (sg_secret_heap_open() != SIGNET_OK) {
        *why = "no memory that is fit for secrets";
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    struct sg_private_key *key = aligned_alloc(_Alignof(struct sg_private_key), sizeof(*key));
    if (key == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    memset(key, 0, sizeof(*key));
    atomic_init(&key->num_refs, 1);
    key->info = info;
    key->digest = info->digest != NULL ? EVP_MD_fetch(NULL, info->digest, NULL) : NULL;
    key->mac =
        info->family == SG_FAMILY_HMAC ? EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL) : NULL;
    if ((info->digest != NULL && key->digest == NULL) ||
        (info->family == SG_FAMILY_HMAC && key->mac == NULL)) {
        ERR_clear_error();
        sg_private_key_unref(key);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = key;
    return SIGNET_OK;
}

/* ---- Making ---- */

static bool keys_rsa_bits_ok(long bits)
{
    return bits >= (long)SG_MIN_RSA_BITS && bits <= (long)SG_MAX_RSA_BITS;
}

static EVP_PKEY *keys_generate_pkey(const struct sg_alg_info *info, uint32_t rsa_bits)
{
    switch (info->family) {
    case SG_FAMILY_RSA_PKCS1:
    case SG_FAMILY_RSA_PSS:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)rsa_bits);
    case SG_FAMILY_ECDSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group);
    case SG_FAMILY_EDDSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, info->group);
    case SG_FAMILY_HMAC:
        break;
    }
    return NULL;
}

static signet_status keys_generate(struct sg_private_key *key, uint32_t rsa_bits, const char **why)
{
    enum sg_alg_family family = key->info->family;
    if (family == SG_FAMILY_HMAC) {
        *why = "no random bytes, or no memory that is fit for secrets";
        return sg_secret_new(NULL, key->info->hash_len, &key->secret);
    }
    if ((family == SG_FAMILY_RSA_PKCS1 || family == SG_FAMILY_RSA_PSS) &&
        (!keys_rsa_bits_ok((long)rsa_bits) || rsa_bits % 8 != 0)) {
        *why = "RSA keys have 2048 to 8192 bits, a multiple of 8 (RFC 7518 section 3.3)";
        return SIGNET_INVALID_ARGUMENT;
    }
    key->pkey = keys_generate_pkey(key->info, rsa_bits);
    if (key->pkey == NULL) {
        ERR_clear_error();
        *why = "OpenSSL could not make a key";
        return SIGNET_INTERNAL;
    }
    return SIGNET_OK;
}

signet_status sg_private_key_generate(enum sg_alg alg, uint32_t rsa_bits,
                                      struct sg_private_key **out, const char **why)
{
    struct sg_private_key *key = NULL;
    signet_status status = keys_new(alg, &key, why);
    if (status != SIGNET_OK) {
        return status;
    }
    status = keys_generate(key, rsa_bits, why);
    if (status != SIGNET_OK) {
        sg_private_key_unref(key);
        return status;
    }
    *out = key;
    return SIGNET_OK;
}

/* ---- Importing ---- */

/* PKCS#8 DER, every byte of it. */
static EVP_PKEY *keys_read_pkcs8(const uint8_t *der, size_t len)
{
    const uint8_t *at = der;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)len);
    EVP_PKEY *pkey = info != NULL && at == der + len ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    return pkey;
}

/* What a PEM file begins with; DER never does. */
static const char keys_pem_mark[] = {'-', '-', '-', '-', '-', 'B', 'E', 'G', 'I', 'N', ' '};

static const char keys_no_pem[] =
    "not a PEM file of one PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY, and nothing else";

/* The DER of a PEM block by the block's name (RFC 7468 section 10; RFC 5915; RFC 8017 A.1.2). */
static EVP_PKEY *keys_read_block(const char *name, const char *header, const uint8_t *der, long len,
                                 const char **why)
{
    const uint8_t *at = der;
    EVP_PKEY *pkey = NULL;
    *why = keys_no_pem;
    if (strcmp(name, PEM_STRING_PKCS8) == 0 || strstr(header, "ENCRYPTED") != NULL) {
        *why = "the private key is encrypted; decrypt it first, for example with openssl pkey";
        return NULL;
    }
    if (strcmp(name, PEM_STRING_PKCS8INF) == 0) {
        return keys_read_pkcs8(der, (size_t)len);
    }
    if (strcmp(name, PEM_STRING_ECPRIVATEKEY) == 0) {
        pkey = d2i_PrivateKey(EVP_PKEY_EC, NULL, &at, len);
    } else if (strcmp(name, PEM_STRING_RSA) == 0) {
        pkey = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, len);
    }
    if (pkey != NULL && at != der + len) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    return pkey;
}

static bool keys_is_blank(const char *text, long len)
{
    for (long i = 0; i < len; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n') {
            return false;
        }
    }
    return true;
}

/* A PEM file of one block. Nothing here decrypts, so nobody is ever asked for a passphrase. */
static EVP_PKEY *keys_read_pem(const uint8_t *pem, size_t len, const char **why)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    char *name = NULL;
    char *header = NULL;
    unsigned char *der = NULL;
    long der_len = 0;
    char *rest = NULL;
    EVP_PKEY *pkey = NULL;
    *why = keys_no_pem;
    if (bio != NULL && PEM_read_bio_ex(bio, &name, &header, &der, &der_len, PEM_FLAG_SECURE) == 1) {
        long rest_len = BIO_get_mem_data(bio, &rest);
        if (keys_is_blank(rest, rest_len)) {
            pkey = keys_read_block(name, header, der, der_len, why);
        }
    }
    OPENSSL_secure_clear_free(der, der_len > 0 ? (size_t)der_len : 0);
    OPENSSL_secure_free(header);
    OPENSSL_secure_free(name);
    BIO_free(bio);
    return pkey;
}

/* Whether the key is of the right kind, sound, and its parts belong together. */
static const char *keys_pkey_fault(const struct sg_alg_info *info, EVP_PKEY *pkey)
{
    const char *fault = sg_key_check_public(info, pkey);
    if (fault != NULL) {
        return fault;
    }
    /* For OKP nothing can be wrong: OpenSSL computes the public part from the private one. */
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (check == NULL || EVP_PKEY_pairwise_check(check) != 1) {
        fault = "the private part is bad, or does not belong to the public one";
    }
    EVP_PKEY_CTX_free(check);
    return fault;
}

static signet_status keys_import(struct sg_private_key *key, const uint8_t *bytes, size_t len,
                                 const char **why)
{
    if (key->info->family == SG_FAMILY_HMAC) {
        if (len < key->info->hash_len) {
            *why = "the secret is shorter than the hash (RFC 7518 section 3.2)";
            return SIGNET_INVALID_ARGUMENT;
        }
        *why = "the secret is longer than 1024 bytes, or there is no memory for it";
        return sg_secret_new(bytes, len, &key->secret);
    }
    if (len > SG_KEYHOLDER_MAX_PKCS8) {
        *why = "too long for a private key";
        return SIGNET_INVALID_ARGUMENT;
    }
    *why = "not a private key in PKCS#8 DER (RFC 5208) or PEM (RFC 7468)";
    bool is_pem =
        len >= sizeof(keys_pem_mark) && memcmp(bytes, keys_pem_mark, sizeof(keys_pem_mark)) == 0;
    key->pkey = is_pem ? keys_read_pem(bytes, len, why) : keys_read_pkcs8(bytes, len);
    if (key->pkey == NULL) {
        ERR_clear_error();
        return SIGNET_INVALID_ARGUMENT;
    }
    const char *fault = keys_pkey_fault(key->info, key->pkey);
    ERR_clear_error();
    if (fault != NULL) {
        *why = fault;
        return SIGNET_INVALID_ARGUMENT;
    }
    return SIGNET_OK;
}

signet_status sg_private_key_import(enum sg_alg alg, const uint8_t *bytes, size_t len,
                                    struct sg_private_key **out, const char **why)
{
    if (bytes == NULL || len == 0) {
        *why = "an empty key";
        return SIGNET_INVALID_ARGUMENT;
    }
    struct sg_private_key *key = NULL;
    signet_status status = keys_new(alg, &key, why);
    if (status != SIGNET_OK) {
        return status;
    }
    sg_secret_wiping_begin();
    status = keys_import(key, bytes, len, why);
    sg_secret_wiping_end();
    if (status != SIGNET_OK) {
        sg_private_key_unref(key);
        return status;
    }
    *out = key;
    return SIGNET_OK;
}

/* ---- For the keystore ---- */

signet_status sg_private_key_restore(enum sg_alg alg, const uint8_t *bytes, size_t len,
                                     struct sg_private_key **out, const char **why)
{
    struct sg_private_key *key = NULL;
    signet_status status = keys_new(alg, &key, why);
    if (status != SIGNET_OK) {
        return status;
    }
    if (key->info->family == SG_FAMILY_HMAC) {
        *why = "no memory that is fit for secrets";
        status = sg_secret_new(bytes, len, &key->secret);
    } else {
        *why = "OpenSSL does not read it, or there is no memory that is fit for secrets";
        sg_secret_wiping_begin();
        key->pkey = keys_read_pkcs8(bytes, len);
        sg_secret_wiping_end();
        status = key->pkey != NULL ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
        ERR_clear_error();
    }
    if (status != SIGNET_OK) {
        sg_private_key_unref(key);
        return status;
    }
    *out = key;
    return SIGNET_OK;
}

static signet_status keys_write_pkcs8(EVP_PKEY *pkey, uint8_t **out, size_t *len, const char **why)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int size = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
    uint8_t *bytes =
        size > 0 && size <= (int)SG_KEYHOLDER_MAX_PKCS8 ? sg_secret_alloc((size_t)size) : NULL;
    uint8_t *at = bytes;
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    *why = "the key is too long, or there is no memory that is fit for secrets";
    if (bytes != NULL && i2d_PKCS8_PRIV_KEY_INFO(info, &at) == size) {
        *out = bytes;
        *len = (size_t)size;
        status = SIGNET_OK;
    } else {
        sg_secret_release(bytes, size > 0 ? (size_t)size : 0);
    }
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    ERR_clear_error();
    return status;
}

signet_status sg_private_key_export(const struct sg_private_key *key, uint8_t **out, size_t *len,
                                    const char **why)
{
    if (key->pkey != NULL) {
        sg_secret_wiping_begin();
        signet_status status = keys_write_pkcs8(key->pkey, out, len, why);
        sg_secret_wiping_end();
        return status;
    }
    size_t secret_len = 0;
    const uint8_t *secret = sg_secret_bytes(key->secret, &secret_len);
    uint8_t *bytes = sg_secret_alloc(secret_len);
    if (bytes == NULL) {
        ERR_clear_error();
        *why = "no memory that is fit for secrets";
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    memcpy(bytes, secret, secret_len);
    *out = bytes;
    *len = secret_len;
    return SIGNET_OK;
}

/* A keyset's name has no slash, so that a name says one keyset and one kid. */
bool sg_private_key_set_name(struct sg_private_key *key, const char *keyset, const char *kid)
{
    size_t size = strlen(keyset) + strlen(kid) + 2;
    char *name = malloc(size);
    if (name == NULL) {
        return false;
    }
    (void)snprintf(name, size, "%s/%s", keyset, kid);
    free(key->name);
    key->name = name;
    return true;
}

bool sg_private_key_has_name(const struct sg_private_key *key, const char *keyset, const char *kid)
{
    size_t len = strlen(keyset);
    return key->name != NULL && strncmp(key->name, keyset, len) == 0 && key->name[len] == '/' &&
           strcmp(key->name + len + 1, kid) == 0;
}

void sg_private_key_bar(struct sg_private_key *key, enum sg_key_bar bar)
{
    atomic_store(&key->bar, (unsigned)bar);
}

bool sg_private_key_shares_keyset(const struct sg_private_key *key,
                                  const struct sg_private_key *other)
{
    if (key->name == NULL || other->name == NULL) {
        return false;
    }
    size_t len = strcspn(key->name, "/") + 1; /* with the slash, which no keyset's name has */
    return strncmp(key->name, other->name, len) == 0;
}

const char *sg_private_key_barred(const struct sg_private_key *key, bool is_check)
{
    switch ((enum sg_key_bar)atomic_load_explicit(&key->bar, memory_order_acquire)) {
    case SG_KEY_BAR_NONE:
        return NULL;
    case SG_KEY_BAR_VERIFY_ONLY:
        return is_check ? NULL : "the key was imported to verify only";
    case SG_KEY_BAR_REVOKED:
        break;
    }
    return "the key was revoked";
}

/* ---- Describing ---- */

signet_status sg_private_key_public(const struct sg_private_key *key, uint8_t *out, size_t out_cap,
                                    size_t *out_len, const char **why)
{
    if (key->pkey == NULL) {
        *why = "a secret has no public part";
        return SIGNET_INVALID_ARGUMENT;
    }
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);
    signet_status status = SIGNET_OK;
    if (len <= 0 || (size_t)len > out_cap) {
        ERR_clear_error();
        *why = "the public key cannot be written";
        status = SIGNET_INTERNAL;
    } else {
        memcpy(out, der, (size_t)len);
        *out_len = (size_t)len;
    }
    OPENSSL_free(der);
    return status;
}
